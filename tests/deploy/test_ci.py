"""What runs in CI, at a release and before a commit names only what there is."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from imitation.settings import read_settings

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = {path.stem: path for path in (GITHUB / "workflows").glob("*.yml")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
DEV = (ROOT / "requirements-dev.txt").read_text("utf-8")


def workflow(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load(WORKFLOWS[name].read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def steps(name: str) -> list[dict[str, Any]]:
    jobs = workflow(name)["jobs"].values()
    return [step for job in jobs for step in job.get("steps", [])]


every = pytest.mark.parametrize("name", WORKFLOWS)


@every
def test_a_workflow_may_read_only(name: str) -> None:
    assert workflow(name)["permissions"] == {"contents": "read"}
    for identity, job in workflow(name)["jobs"].items():
        assert job.get("permissions", {}) == (
            {"id-token": "write"} if identity == "publish" else {}
        )
        assert "uses" in job or job["timeout-minutes"] <= 60


@every
def test_actions_are_pinned_to_a_version(name: str) -> None:
    for step in steps(name):
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@v\d+(\.\d+)*", step["uses"]), step["uses"]


@every
def test_what_a_workflow_calls_exists(name: str) -> None:
    text = WORKFLOWS[name].read_text("utf-8")
    for path in re.findall(r"(?:uses: \./|bash |-r )([\w./-]+)", text):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"\b[\w-]+\.(?:txt|toml)\b", text):
        assert (ROOT / path).is_file(), path
    made = re.findall(r"run: make ([a-z -]+)", text) + re.findall(r"targets: ([a-z -]+)", text)
    assert {target for line in made for target in line.split()} <= TARGETS


@every
def test_jobs_wait_for_jobs_of_the_workflow(name: str) -> None:
    jobs = workflow(name)["jobs"]
    for job in jobs.values():
        assert set(job.get("needs", [])) <= jobs.keys()


def test_every_python_that_is_promised_is_tested() -> None:
    (matrix,) = [
        j["strategy"]["matrix"] for j in workflow("ci")["jobs"].values() if "strategy" in j
    ]
    tested = [entry["python"] for entry in matrix["include"]]
    promised = [c.split()[-1] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert tested == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"


def test_a_release_is_tested_built_and_of_the_tagged_version() -> None:
    jobs = workflow("release")["jobs"]
    assert set(jobs["publish"]["needs"]) == {"test", "build"}
    assert workflow("ci")[True].keys() >= {"workflow_call"}, "YAML's `on` is True"
    pattern = re.search(r"grep -o '([^']+)'", WORKFLOWS["release"].read_text("utf-8"))
    assert pattern and len(re.findall(pattern[1], DEV, re.M)) == 1


def test_ci_makes_what_it_is_told(tmp_path: Path) -> None:
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    make.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(**variables: str) -> str:
        return subprocess.run(
            ["bash", ROOT / ".ci/run"], env=env | variables, capture_output=True, text=True,
            check=True,
        ).stdout  # fmt: skip

    assert run() == "vllm|lint|docs|test|TESTS=--durations=15|"
    assert run(CI_TARGETS="lint test", CI_TESTS="-x --cov=a") == "lint|test|TESTS=-x --cov=a|"


def test_before_a_commit_the_pinned_tools_run() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    ruff = next(repo for repo in hooks if "ruff" in repo["repo"])
    assert f"ruff=={ruff['rev'][1:]} " in DEV
    assert {hook["id"] for repo in hooks for hook in repo["hooks"]} == {
        "ruff-check", "ruff-format", "mypy",
    }  # fmt: skip


def test_updates_are_looked_for_in_pins_and_actions() -> None:
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text("utf-8"))["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"pip", "github-actions"}


@pytest.mark.parametrize("form", sorted((GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml")))
def test_issue_forms_are_whole(form: Path) -> None:
    loaded = yaml.safe_load(form.read_text("utf-8"))
    assert loaded["name"] and loaded["description"]
    identities = [field["id"] for field in loaded["body"]]
    assert len(set(identities)) == len(identities) > 0
    assert all(field["attributes"]["label"] for field in loaded["body"])


def test_what_the_community_files_name_exists() -> None:
    for path in (ROOT / "SECURITY.md", GITHUB / "pull_request_template.md"):
        text = path.read_text("utf-8")
        for name in re.findall(r"`((?:[\w.-]+/)+)`", text):
            assert (ROOT / name).is_dir(), name
        for line in re.findall(r"`make ([a-z -]+)`", text):
            assert set(line.split()) <= TARGETS


def test_security_names_settings_that_there_are() -> None:
    names: set[str] = set()

    class Spy(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            names.add(key)
            return default

    read_settings(Spy())
    named = set(re.findall(r"IMITATION_\w+", (ROOT / "SECURITY.md").read_text("utf-8")))
    assert named and named <= names

"""What gets installed, and what importing the app does (nothing)."""

import ast
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(r"([a-z0-9][a-z0-9.-]*)==(\S+)( .*)?")


def canonical(requirement):
    name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def lines(file):
    text = (ROOT / file).read_text()
    return [s for s in (line.partition("#")[0].strip() for line in text.splitlines()) if s]


def pins(file):
    return dict(PIN.fullmatch(line).groups()[:2] for line in lines(file) if line[0] != "-")


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_line_is_a_pin(file):
    layered = ["-r requirements.txt"] if file.endswith("dev.txt") else []
    assert [line for line in lines(file) if not PIN.fullmatch(line)] == layered


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("requirements.txt", PROJECT["dependencies"]),
        ("requirements-dev.txt", PROJECT["optional-dependencies"]["dev"]),
    ],
)
def test_every_direct_dependency_is_pinned(file, wanted):
    assert {canonical(one) for one in wanted} <= set(pins(file))


def imported():
    """Top-level modules that the shipped code imports anywhere, without ours and Python's."""
    files = [ROOT / "app.py"]
    for folder in ("imitation", "training", "dashboards"):
        files += (ROOT / folder).rglob("*.py")
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"imitation", "training", "dashboards"}


def test_direct_dependencies_are_those_the_code_imports():
    """Neither more nor fewer, but for what is run by name or wanted by another library."""
    run_by_name = {
        "accelerate",  # transformers' and PEFT's, for placing a model
    }
    distributions = {
        "markdown_it": "markdown-it-py",
        "profanity_check": "alt-profanity-check",
    }
    wanted = {distributions.get(name, name.replace("_", "-")) for name in imported()}
    assert wanted == {canonical(one) for one in PROJECT["dependencies"]} - run_by_name


def test_the_dev_pins_agree_with_the_runtime_pins():
    runtime, dev = pins("requirements.txt"), pins("requirements-dev.txt")
    assert {name: dev[name] for name in runtime.keys() & dev} == {
        name: runtime[name] for name in runtime.keys() & dev
    }


def test_torch_is_the_plain_release_and_cuda_is_left_to_pip():
    pinned = pins("requirements.txt")
    assert pinned["torch"] == "2.13.0"
    assert not [name for name in pinned if name.startswith(("nvidia", "triton", "cuda"))]
    assert "+cpu" not in "".join(pinned.values())


def test_importing_and_building_the_app_starts_nothing_and_loads_no_torch(tmp_path):
    """In a fresh process: no thread, child or port of ours, and none of the jobs' libraries."""
    code = """
        import sys, threading, psutil
        me = psutil.Process()
        import app
        from imitation.settings import read_settings
        assert threading.active_count() == 1, threading.enumerate()
        assert not list(__import__("pathlib").Path(sys.argv[1]).iterdir())
        app.build(read_settings())
        assert me.children() == [], me.children()
        assert not [c for c in me.net_connections() if c.status == psutil.CONN_LISTEN]
        jobs = {"torch", "transformers", "peft", "accelerate", "lm_eval", "datasets", "trackio"}
        print(sorted(jobs & set(sys.modules)))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "IMITATION_DATA": str(tmp_path / "data"),
            "IMITATION_CACHE": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"

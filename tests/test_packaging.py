"""What gets installed, and what importing the app does (nothing)."""

import ast
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from imitation import installation
from imitation.commands import COMMANDS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WHOLE = [*PROJECT["dependencies"], *EXTRAS["train"], *EXTRAS["eval"]]
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
        ("requirements.txt", WHOLE),
        ("requirements-dev.txt", EXTRAS["dev"]),
    ],
)
def test_every_direct_dependency_is_pinned(file, wanted):
    assert {canonical(one) for one in wanted} <= set(pins(file))


def distribution(module):
    """The distribution that brings a top-level module."""
    odd = {"markdown_it": "markdown-it-py", "profanity_check": "alt-profanity-check"}
    return odd.get(module, module.replace("_", "-"))


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
    wanted = {distribution(name) for name in imported()}
    assert wanted == {canonical(one) for one in WHOLE} - run_by_name


@pytest.mark.parametrize("extra", ["train", "eval"])
def test_the_code_knows_what_an_extra_brings(extra):
    assert {distribution(module) for module in installation.EXTRAS[extra]} == {
        canonical(one) for one in EXTRAS[extra]
    }


def test_all_is_every_extra_that_the_code_knows():
    assert EXTRAS["all"] == [f"imitation-lab[{','.join(installation.EXTRAS)}]"]
    needed = {command.extra for command in COMMANDS.values()} - {""}
    assert needed == set(installation.EXTRAS) == EXTRAS.keys() - {"all", "dev", "docs"}


@pytest.mark.parametrize("name", ["gradio", "lm-eval", "cyclopts", "plotly"])
def test_what_changes_under_us_has_an_upper_bound(name):
    (wanted,) = [Requirement(one) for one in WHOLE if canonical(one) == name]
    assert "<" in str(wanted.specifier)


def test_gradio_installs_with_the_extras_that_spaces_add():
    """A Space of `sdk: gradio` installs gradio[mcp,oauth] together with requirements.txt."""
    pinned = pins("requirements.txt")
    for text in requires("gradio"):
        wanted = Requirement(text)
        name = canonical(wanted.name)
        for extra in ("mcp", "oauth"):
            if name in pinned and (not wanted.marker or wanted.marker.evaluate({"extra": extra})):
                assert wanted.specifier.contains(pinned[name]), text


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


@pytest.mark.slow
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

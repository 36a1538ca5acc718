"""The wheel, built and installed into an environment of its own and run from an empty folder."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import textwrap
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from imitation.commands import COMMANDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGES = ("imitation", "training", "dashboards")
SPY = """
import os, sys
from importlib.machinery import PathFinder

HIDDEN = set(filter(None, os.environ.get("TEST_HIDE", "").split(",")))
ROOT, VENVS, LOG = {root!r}, {venvs!r}, {log!r}

class Hider(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in HIDDEN
        return None if hidden else PathFinder.find_spec(name, path, target)

def watch(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(args[0]))
        if path.startswith(ROOT + os.sep) and not path.startswith(VENVS) and not busy:
            busy.append(1)
            with open(LOG, "a") as log:
                log.write(path + chr(10))
            busy.clear()

busy = []
sys.meta_path[:] = [Hider if finder is PathFinder else finder for finder in sys.meta_path]
sys.addaudithook(watch)
"""
"""In every Python of the environment: hides libraries, and notes what is read of the checkout."""


@dataclass
class Installed:
    """An environment with the wheel in it.

    Attributes:
        bin: Its programs.
        folder: Empty; everything is run from here.
        opened: Files of the checkout that were opened, a line each.
        wheel: What was installed.
    """

    bin: Path
    folder: Path
    opened: Path
    wheel: Path

    def env(self, **variables: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        state = {
            "IMITATION_DATA": str(self.folder.parent / "data"),
            "IMITATION_CACHE": str(self.folder.parent / "cache"),
            "IMITATION_OFFLINE": "1",
            "GRADIO_ANALYTICS_ENABLED": "False",
        }
        return kept | state | variables

    def run(self, *argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / argv[0], *argv[1:]],
            cwd=self.folder,
            env=self.env(**variables),
            capture_output=True,
            text=True,
            timeout=180,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of this checkout beside the libraries that the tests have, without the checkout."""
    base = tmp_path_factory.mktemp("wheel")
    wheel = build(base)
    venv = base / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=120)
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", venv / "bin/python", "install", "-q", "--no-deps",
         "--no-index", wheel],
        check=True, timeout=120,
    )  # fmt: skip
    libraries = sysconfig.get_path("purelib")
    (site,) = (venv / "lib").glob("python*/site-packages")
    opened = base / "opened"
    venvs = tuple({f"{ROOT}{os.sep}.venv", os.path.realpath(sys.prefix)})
    (site / "spy_of_tests.py").write_text(
        SPY.format(root=str(ROOT), venvs=venvs, log=str(opened)), "utf-8"
    )
    (site / "libraries.pth").write_text(f"{libraries}\nimport spy_of_tests\n")
    folder = base / "empty"
    folder.mkdir()
    return Installed(venv / "bin", folder, opened, wheel)


def build(base: Path) -> Path:
    source = base / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
         "--wheel-dir", base / "dist", source],
        check=True, timeout=300,
    )  # fmt: skip
    (wheel,) = (base / "dist").glob("*.whl")
    return wheel


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(installed: Installed) -> None:
    ours = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = set(zipfile.ZipFile(installed.wheel).namelist())
    assert ours - packed == set()
    about = {name for name in packed - ours if ".dist-info/" in name}
    assert packed - ours == about
    assert any(name.endswith("licenses/NOTICE") for name in about)


def test_help_and_version(installed: Installed) -> None:
    shown = installed.run("imitation-lab", "--help")
    assert shown.returncode == 0, shown.stderr
    assert all(name.split()[0] in shown.stdout for name in COMMANDS)
    version = installed.run("imitation-lab", "--version")
    assert version.stdout.strip() in installed.wheel.name
    as_module = installed.run("python", "-m", "imitation", "--help")
    assert as_module.stdout == shown.stdout


def test_the_doctor_finds_nothing_wrong(installed: Installed) -> None:
    done = installed.run("imitation-lab", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "imitation-lab weights --all" in done.stdout and "PROBLEM" not in done.stdout


def test_the_doctor_sees_a_package_of_another(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training/__init__.py").touch()
    done = installed.run("imitation-lab", "doctor", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert re.search(f"PROBLEM +import names +import training gives {tmp_path}", done.stdout)
    refused = installed.run("imitation-lab", "export", "--help", PYTHONPATH=str(tmp_path))
    assert refused.returncode == 2
    assert f"import training gives {tmp_path / 'training'}" in refused.stderr
    assert "environment of its own" in refused.stderr and "Traceback" not in refused.stderr


def test_commands_are_shown_as_they_are_typed(installed: Installed) -> None:
    code = """
        import sys
        from imitation.jobs.registry import as_typed
        print(as_typed([sys.executable, "-m", "imitation.jobs.commands.import_results", "a b"]))
        print(as_typed([sys.executable, "-c", "pass"]))
    """
    done = installed.run("python", "-c", textwrap.dedent(code))
    ours, other = done.stdout.splitlines()
    assert ours == "imitation-lab import results 'a b'"
    assert other.startswith("cd ")


@pytest.fixture
def app(installed: Installed) -> Iterator[str]:
    """The address of `imitation-lab`, opened with no extra installed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    log = installed.folder.parent / "app.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [installed.bin / "imitation-lab"],
            cwd=installed.folder,
            env=installed.env(GRADIO_SERVER_PORT=str(port), TEST_HIDE=",".join(HEAVY)),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            try:
                urllib.request.urlopen(url, timeout=10).close()
                break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


HEAVY = ("torch", "transformers", "peft", "accelerate", "safetensors", "trackio", "lm_eval",
         "datasets", "profanity_check", "sklearn")  # fmt: skip


def test_it_opens_from_an_empty_folder_without_any_extra(installed: Installed, app: str) -> None:
    for path in ("/", "/gaps", "/finetune", "/evaluate"):
        with urllib.request.urlopen(app + path, timeout=60) as page:
            assert page.status == 200 and b"Imitation Lab" in page.read()
    with urllib.request.urlopen(f"{app}/config", timeout=60) as config:
        assert json.load(config)["components"]
    assert not list(installed.folder.iterdir())


@pytest.mark.parametrize(
    ("argv", "library", "extra"),
    [
        (["finetune", "--help"], "torch", "train"),
        (["evaluate", "--help"], "lm_eval", "eval"),
        (["zero-adapter", "--like", "a", "--out", "b"], "torch", "train"),
    ],
)
def test_a_command_without_its_extra_says_how_to_install_it(
    installed: Installed, argv: list[str], library: str, extra: str
) -> None:
    done = installed.run("imitation-lab", *argv, TEST_HIDE=",".join(HEAVY))
    assert done.returncode == 2
    assert done.stderr == (
        f"imitation-lab: {argv[0]} needs {library}, which is not installed: "
        f"pip install 'imitation-lab[{extra}]'\n"
    )


def test_a_job_without_its_extra_fails_with_the_same_sentence(
    installed: Installed, tmp_path: Path
) -> None:
    code = """
        import time
        from imitation.jobs.commands.list_tasks import ListTasks
        from imitation.jobs.queue.runner import Runner
        from imitation.settings import read_settings
        from imitation.storage.database import open_store
        from imitation.values import JobSpec

        settings = read_settings()
        store, _ = open_store(settings.database)
        runner = Runner(settings, store)
        job = runner.submit(JobSpec("tasks", ListTasks().as_json(), "tasks"))
        while runner.job(job.id).is_live:
            time.sleep(0.2)
            runner.look()
        print(runner.job(job.id).state, runner.job(job.id).detail)
    """
    done = installed.run(
        "python", "-c", textwrap.dedent(code),
        TEST_HIDE=",".join(HEAVY), IMITATION_DATA=str(tmp_path / "data"),
    )  # fmt: skip
    assert done.stdout.strip() == (
        "failed tasks needs lm_eval, which is not installed: pip install 'imitation-lab[eval]'"
    ), done.stderr


def test_nothing_of_the_checkout_was_read(installed: Installed) -> None:
    """Last: by every Python that the tests above have run."""
    assert not installed.opened.exists(), installed.opened.read_text()
    installed.run("python", "-c", f"open({str(ROOT / 'README.md')!r})")
    assert installed.opened.read_text() == f"{ROOT / 'README.md'}\n", "it would have been seen"

"""`deploy/install.sh` and the Makefile say what is missing, and don't install twice."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def install(*arguments, path, **environment):
    return subprocess.run(
        ["/bin/sh", "deploy/install.sh", *map(str, arguments)],
        cwd=ROOT,
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def program(folder, name, script):
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_no_python_is_said_in_words(tmp_path):
    result = install("environment", tmp_path / "venv", path=tmp_path)
    assert result.returncode == 1
    assert "No Python 3.11 or newer" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_an_old_python_is_passed_over(tmp_path):
    program(tmp_path, "python3", "exit 1")  # what `sys.exit(version < (3, 11))` does there
    result = install("environment", tmp_path / "venv", path=tmp_path)
    assert result.returncode == 1
    assert "No Python 3.11 or newer" in result.stderr


def test_a_python_without_venv_names_the_package(tmp_path):
    script = 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.12;; esac'
    program(tmp_path, "python3.12", script)
    program(tmp_path, "id", "echo 1000")
    result = install("environment", tmp_path / "venv", path=tmp_path)
    assert result.returncode == 1
    assert "Please install python3.12-venv" in result.stderr


def test_a_browser_that_is_there_is_taken(tmp_path):
    program(tmp_path, "chromium-browser", "true")
    result = install("browser", "python", path=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_root_gets_a_browser_from_debian(tmp_path):
    for name, script in {
        "id": "echo 0",
        "env": 'while case "$1" in *=*) true;; *) false;; esac; do shift; done; "$@"',
        "true": "exit 0",
        "grep": "exit 1",  # not Ubuntu
        "apt-get": f'echo "$@" >> {tmp_path}/calls',
    }.items():
        program(tmp_path, name, script)
    result = install("browser", "python", path=tmp_path)
    assert result.returncode == 0, result.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == ["update -q", "install -y -q --no-install-recommends chromium fonts-liberation"]


def test_the_stamp_follows_the_pins(tmp_path):
    """Installing is skipped while the pins are the same, whatever the files' dates say."""
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/install.sh").write_text("mkdir -p .venv; echo installed >> log\n")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    program(tmp_path / ".venv/bin", "python", "true")

    def make_weights():
        subprocess.run(["make", "-s", "weights"], cwd=tmp_path, check=True, timeout=60)
        return (tmp_path / "log").read_text().count("installed")

    assert make_weights() == 1
    os.utime(tmp_path / "requirements.txt")
    assert make_weights() == 1
    (tmp_path / "requirements.txt").write_text("gradio==1\n")
    assert make_weights() == 2
    assert len(list((tmp_path / ".venv").glob(".run-*"))) == 1


@pytest.mark.parametrize("script", ["install.sh", "lock.sh"])
def test_scripts_are_posix_shell(script):
    text = (ROOT / "deploy" / script).read_text()
    assert text.startswith("#!/bin/sh\n")
    checked = subprocess.run(["/bin/sh", "-n", ROOT / "deploy" / script], timeout=10, check=False)
    assert checked.returncode == 0
    assert "[[" not in text and "function " not in text


def test_clean_cache_removes_our_folders_only(tmp_path):
    for name in ("pocket", "training", "hub", "photos"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x" * 1_000_000)
    result = subprocess.run(
        [sys.executable, "deploy/clean_cache.py"],
        cwd=ROOT,
        env={"IMITATION_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    assert result.stdout.count("(1 MB)") == 3


def test_clean_cache_knows_every_folder_of_the_cache():
    """Whatever the code puts into the cache is in FOLDERS."""
    cleaned = (ROOT / "deploy/clean_cache.py").read_text()
    used = {
        name
        for package in ("imitation", "training", "dashboards")
        for file in (ROOT / package).rglob("*.py")
        for name in re.findall(r"\bcache / \"(\w+)\"", file.read_text())
    }
    assert used
    assert all(f'"{name}"' in cleaned for name in used), used

"""A runner over a store of its own, and children that do as they are told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from imitation.jobs.queue import exit_status, processes
from imitation.jobs.queue.runner import Runner
from imitation.jobs.registry import KINDS, Kind
from imitation.settings import Settings, read_settings
from imitation.storage.database import Store, connect
from imitation.storage.jobs import Job
from imitation.values import JobSpec
from tests.jobs.script import Script


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds of jobs for tests: any Python code, told apart by what their kind is like."""
    monkeypatch.setitem(KINDS, "script", Kind("tests.jobs.script", "Script"))  # type: ignore[arg-type]
    for name in ("finetune", "dataset"):
        like = replace(KINDS[name], module="tests.jobs.script", parameters="Script")
        monkeypatch.setitem(KINDS, f"{name} script", like)  # type: ignore[arg-type]


@pytest.fixture
def lab(tmp_path: Path) -> Settings:
    return read_settings({"IMITATION_DATA": str(tmp_path / "the data")})


@pytest.fixture
def make_runner(lab: Settings) -> Iterator[Callable[..., Runner]]:
    """Runners on one store; whatever still runs at the end is killed."""
    made: list[Runner] = []
    stores: list[Store] = []

    def make(**options: object) -> Runner:
        stores.append(connect(lab.database))  # of its own, as another process would have
        made.append(Runner(lab, stores[-1], **{"grace_s": 20.0, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for runner in made:
        runner.close()
    for store in stores:
        store.close()
    for folder in (lab.data / "jobs").glob("*"):
        if signed := exit_status.signed(folder):
            processes.end_all(signed.pid, folder.name)
            if processes.birth(signed.pid) == signed.birth:
                with suppress(ProcessLookupError):
                    os.kill(signed.pid, signal.SIGKILL)


@pytest.fixture
def runner(make_runner: Callable[..., Runner]) -> Runner:
    return make_runner()


def python(code: str, *arguments: str, name: str = "a job", **fields: object) -> JobSpec:
    """A job that runs Python code."""
    table = Script(code=code, arguments=arguments).as_json()
    return JobSpec(kind="script", parameters=table, name=name, **fields)  # type: ignore[arg-type]


def until(true: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.03)


def ended(runner: Runner, job: Job, within_s: float = 30.0) -> Job:
    """The job once it has ended."""
    until(lambda: runner.look() and not runner.job(job.id).is_live, within_s)
    return runner.job(job.id)


def says(path: Path) -> Callable[[], bool]:
    """Whether a file has something in it by now."""
    return lambda: path.is_file() and path.stat().st_size > 0

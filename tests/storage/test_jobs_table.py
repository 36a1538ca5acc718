import importlib
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from imitation.errors import StorageError, UserError
from imitation.jobs.commands.generate import Generate
from imitation.storage import jobs, migrations
from imitation.storage.database import connect
from imitation.values import LIVE_STATES, JobSpec

SPEC = JobSpec(
    kind="finetune",
    parameters={"code": "print('ünï \"q\"')", "arguments": ["", 1, None]},
    name="One <b>run</b>",
    device="gpu:1",
    out="/data/runs/one",
    progress="/data/runs/one/progress.jsonl",
    visitor="me",
)


@pytest.fixture
def db(tmp_path):
    with closing(connect(tmp_path / "lab.sqlite3")) as connection:
        yield connection


def add(db, limit=99, **changes):
    return jobs.add(db, jobs.new_id(), replace(SPEC, **changes), limit)


def other(db, n=0, **changes):
    return add(db, out=f"/data/runs/other-{n}", **changes)


def test_a_job_comes_back_as_it_was(db, tmp_path):
    job = add(db)
    assert (job.spec, job.state, job.is_live) == (SPEC, "queued", True)
    with closing(connect(tmp_path / "lab.sqlite3")) as again:
        assert jobs.get(again, job.id) == job
    assert jobs.get(db, "none") is None


def test_newest_first_and_by_kind(db):
    one, two = add(db), other(db, kind="score")
    assert [job.id for job in jobs.newest(db)] == [two.id, one.id]
    assert [job.id for job in jobs.newest(db, "finetune")] == [one.id]
    assert [job.id for job in jobs.newest(db, limit=1)] == [two.id]


def test_one_place_is_written_to_by_one_live_job(db):
    job = add(db)
    for out in ("/data/runs/one", "/data/runs/one/checkpoint", "/data"):
        with pytest.raises(UserError, match=r"One <b>run</b>.*writing to /data/runs/one"):
            add(db, out=out)
    add(db, out="/data/runs/one-more")
    add(db, out="")
    add(db, out="")
    jobs.finish(db, job.id, "failed", 1.0, "")
    assert add(db).state == "queued"
    assert jobs.uses(db, SPEC.out) == 2


def test_the_limit_is_per_visitor(db):
    other(db)
    with pytest.raises(UserError, match="1 of your jobs"):
        other(db, 1, limit=1)
    other(db, 1, limit=1, visitor="them")
    other(db, 2, limit=1, visitor=None)


def test_claims_are_first_come_first_served_per_device(db):
    cpu = [other(db, n, device="cpu") for n in range(3)]
    gpu = other(db, 3, device="gpu:1")
    slots = {"cpu": 2}
    assert [jobs.claim(db, slots).id for _ in range(3)] == [cpu[0].id, cpu[1].id, gpu.id]
    assert jobs.claim(db, slots) is None
    jobs.ask_to_stop(db, cpu[0].id)
    assert jobs.claim(db, slots) is None, "a job that is stopping still has its slot"
    jobs.finish(db, cpu[0].id, "stopped", 1.0, "")
    claimed = jobs.claim(db, slots)
    assert (claimed.id, claimed.state) == (cpu[2].id, "running")
    assert claimed.started >= claimed.created


def test_stopping(db):
    job = add(db)
    stopped = jobs.ask_to_stop(db, job.id)
    assert stopped.state == "stopped" and stopped.ended == stopped.stop_asked
    job = add(db)
    jobs.claim(db, {})
    first = jobs.ask_to_stop(db, job.id)
    assert (first.state, first.ended) == ("stopping", None)
    assert jobs.ask_to_stop(db, job.id) == first, "asked again, the first time stays"
    jobs.finish(db, job.id, "done", 9.0, "")
    assert jobs.ask_to_stop(db, job.id).state == "done"
    assert jobs.ask_to_stop(db, "none") is None


def test_what_has_ended_stays_as_it_ended(db):
    job = add(db)
    jobs.claim(db, {})
    jobs.finish(db, job.id, "done", 5.0, "well")
    jobs.finish(db, job.id, "failed", 6.0, "late")
    found = jobs.get(db, job.id)
    assert (found.state, found.ended, found.detail, found.is_live) == ("done", 5.0, "well", False)


def test_only_ended_jobs_are_deleted(db):
    job = add(db)
    assert not jobs.delete(db, job.id)
    jobs.ask_to_stop(db, job.id)
    assert jobs.delete(db, job.id)
    assert not jobs.delete(db, job.id)
    assert jobs.newest(db) == []


def test_live_jobs_are_in_the_order_of_the_queue(db):
    made = [other(db, n) for n in range(3)]
    jobs.claim(db, {})
    assert [job.id for job in jobs.live(db)] == [job.id for job in made]
    assert {job.state for job in jobs.live(db)} <= set(LIVE_STATES)


def test_a_full_disk_is_said_in_words(db):
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    with db.writing():
        db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="full"):
        for n in range(200):
            other(db, n, limit=999, parameters={"x": "x" * 5000})
    assert all(job.spec.parameters == {"x": "x" * 5000} for job in jobs.newest(db)), (
        "none is half there"
    )


OLD_COMMANDS = {
    "imitation.jobs.generate": (
        ["--model", "m", "--facts", "train", "--temperature", "0.5", "--out", "/o", "--seed", "3"],
        {"model": "m", "facts": "train", "temperature": "0.5", "out": "/o", "seed": "3"},
    ),
    "training.finetune": (
        ["--preset", "pocket-broad", "--set", "epochs=1", "--set", "rank=4", "--data", "/d",
         "--out", "/o", "--resume"],
        {"preset": "pocket-broad", "set": ["epochs=1", "rank=4"], "data": "/d", "out": "/o",
         "resume": True},
    ),
    "imitation.jobs.import_results": (
        ["/kept/a", "/kept/b", "--roles", "x=base", "y=reference", "--out", "/o"],
        {"source": ["/kept/a", "/kept/b"], "roles": ["x=base", "y=reference"], "out": "/o"},
    ),
    "imitation.jobs.evaluate": (
        ["--models", "a", "b", "--tasks", "pocket", "--limit", "100", "--out", "/o"],
        {"models": ["a", "b"], "tasks": ["pocket"], "limit": "100", "out": "/o"},
    ),
}  # fmt: skip


def test_command_lines_of_earlier_versions_become_parameters(tmp_path):
    path = tmp_path / "lab.sqlite3"
    with closing(sqlite3.connect(path)) as old:
        for number, name in migrations.versions()[:4]:
            old.executescript(importlib.import_module(f"{migrations.__name__}.{name}").SQL)
            old.execute(f"PRAGMA user_version = {number}")
        for module, (options, _) in OLD_COMMANDS.items():
            argv = json.dumps(["/usr/bin/python", "-m", module, *options])
            old.execute(
                "INSERT INTO jobs (id, kind, name, argv, device, out, progress, state, created)"
                " VALUES (?, 'k', 'n', ?, 'cpu', '', '', 'done', 1)",
                (module, argv),
            )
        old.commit()
    with closing(connect(path)) as db:
        for module, (_, table) in OLD_COMMANDS.items():
            assert jobs.get(db, module).spec.parameters == table


def test_a_migrated_command_is_read_typed(tmp_path):
    table = OLD_COMMANDS["imitation.jobs.generate"][1]
    read = Generate.of(table)
    assert (read.temperature, read.seed, read.out) == (0.5, 3, Path("/o"))

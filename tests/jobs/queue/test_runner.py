"""The queue, with real subprocesses."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from imitation import events
from imitation.errors import StorageError, UserError
from imitation.events import Writer
from imitation.jobs.queue import exit_status, processes, worker
from imitation.jobs.queue.progress import Reader
from imitation.jobs.queue.runner import Runner
from imitation.jobs.registry import KINDS, ROOT, as_typed, command, command_of
from imitation.settings import read_settings
from imitation.storage import jobs as table
from imitation.storage.database import connect
from imitation.values import JobSpec
from tests.jobs.conftest import ended, python, says, until
from tests.jobs.script import Script
from tests.small_disk import small_disk

SLEEP = "import sys, time; open(sys.argv[1], 'w').write('x'); time.sleep(60)"
# Saves when asked to, as training does.
SAVES = """
import pathlib, signal, sys, time
def save(*_):
    time.sleep(0.2)
    pathlib.Path(sys.argv[2]).write_text("saved")
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
pathlib.Path(sys.argv[1]).write_text("ready")
time.sleep(60)
"""
# Will not end, nor will its child, nor the child of a session of its own.
STUBBORN = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
one = subprocess.Popen([sys.executable, "-c", deep])
two = subprocess.Popen([sys.executable, "-c", deep], start_new_session=True)
time.sleep(0.3)
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {one.pid} {two.pid}")
time.sleep(60)
"""


def pids(path):
    return [int(word) for word in path.read_text().split()]


def alive(pid):
    return processes.birth(pid) is not None


def test_a_job_runs_and_leaves_its_output(runner):
    job = runner.submit(python("print('hello', flush=True)"))
    assert job.state == "running"
    job = ended(runner, job)
    assert (job.state, job.detail) == ("done", "")
    assert runner.output(job).read_text() == "hello\n"
    assert job.created <= job.started <= job.ended


def test_odd_arguments_arrive_as_they_are(runner, tmp_path):
    odd = ["two words", 'it\'s "quoted"', "ünïcödé ✓ 東京", "$HOME `id` ; rm -rf *", "", "-x\nnew"]
    code = "import json, sys; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"
    target = tmp_path / "a b" / "ärgs.json"
    target.parent.mkdir()
    spec = python(code, str(target), *odd)
    assert ended(runner, runner.submit(spec)).state == "done"
    assert json.loads(target.read_text()) == odd
    shown = as_typed(command_of(spec))
    target.unlink()
    subprocess.run(["sh", "-c", shown], check=True, cwd="/")
    assert json.loads(target.read_text()) == odd, "typed by hand it does the same"


def test_one_after_the_other_in_the_order_of_submission(runner, tmp_path):
    code = (
        "import sys, time; f = open(sys.argv[1], 'a'); f.write(sys.argv[2] + '+'); f.flush();"
        " time.sleep(0.1); f.write(sys.argv[2] + '-')"
    )
    log = tmp_path / "order"
    jobs = [runner.submit(python(code, str(log), str(n), visitor="abc"[n % 3])) for n in range(4)]
    assert [job.state for job in jobs] == ["running", "queued", "queued", "queued"]
    for job in jobs:
        assert ended(runner, job).state == "done"
    assert log.read_text() == "0+0-1+1-2+2-3+3-"


def test_the_queue_moves_on_without_anybody_looking(runner, tmp_path):
    marks = [tmp_path / name for name in "ab"]
    for mark in marks:
        runner.submit(python("import sys; open(sys.argv[1], 'w').write('x')", str(mark)))
    until(says(marks[1]))


def test_devices_have_slots_of_their_own(make_runner, tmp_path):
    runner = make_runner(slots={"cpu": 2})
    devices = ["cpu", "cpu", "cpu", "gpu:0", "gpu:0", "gpu:1"]
    jobs = [
        runner.submit(python(SLEEP, str(tmp_path / str(n)), device=device))
        for n, device in enumerate(devices)
    ]
    runner.look()
    states = [runner.job(job.id).state for job in jobs]
    assert states == ["running", "running", "queued", "running", "queued", "running"]


def test_stop_lets_it_save_first(runner, tmp_path):
    ready, saved = tmp_path / "ready", tmp_path / "saved"
    job = runner.submit(python(SAVES, str(ready), str(saved)))
    until(says(ready))
    assert runner.stop(job.id).state == "stopping"
    job = ended(runner, job)
    assert (job.state, job.detail) == ("stopped", "Stopped.")
    assert saved.read_text() == "saved"


def test_a_job_that_will_not_stop_is_killed_with_all_it_started(make_runner, tmp_path):
    runner = make_runner(grace_s=0.5)
    ready = tmp_path / "ready"
    job = runner.submit(python(STUBBORN, str(ready)))
    until(says(ready))
    assert all(map(alive, pids(ready)))
    runner.stop(job.id)
    job = ended(runner, job)
    assert job.state == "stopped"
    assert "3 processes had to be killed" in job.detail
    assert not any(map(alive, pids(ready)))


def test_asked_to_stop_twice_it_may_save_and_is_killed_only_where_that_is_said(
    make_runner, tmp_path
):
    runner = make_runner(grace_s=600)
    ready = tmp_path / "ready"
    job = runner.submit(python(STUBBORN, str(ready)))
    until(says(ready))
    runner.stop(job.id)
    runner.stop(job.id)
    time.sleep(0.3)
    assert runner.look()[0].state == "stopping"
    assert all(map(alive, pids(ready)))
    runner.stop(job.id, kill=True)
    assert ended(runner, job).state == "stopped"
    assert not any(map(alive, pids(ready)))


def test_stopped_before_it_begins_it_never_runs(runner, tmp_path):
    mark = tmp_path / "mark"
    first = runner.submit(python(SLEEP, str(tmp_path / "first")))
    second = runner.submit(python(SLEEP, str(mark)))
    stopped = runner.stop(second.id)
    assert (stopped.state, stopped.detail) == ("stopped", "Stopped before it began.")
    runner.stop(first.id)  # perhaps before its worker can be signalled
    assert ended(runner, first).state == "stopped"
    runner.look()
    assert not mark.exists()
    assert runner.stop(second.id).state == "stopped", "again: nothing changes"


def test_finished_while_being_stopped_is_done(runner, tmp_path):
    progress, ready = tmp_path / "progress.jsonl", tmp_path / "ready"
    code = SAVES.replace('"saved")', '\'{"event": "end"}\\n\')')
    job = runner.submit(python(code, str(ready), str(progress), progress=str(progress)))
    until(says(ready))
    runner.stop(job.id)
    assert ended(runner, job).state == "done"


TELLS = (
    "import signal, sys, time; from pathlib import Path; from imitation.events import Writer\n"
    "told = Writer(Path(sys.argv[1])); told.write('step', step=1, steps=1)\n"
)


@pytest.mark.parametrize("word", ["end", "done"])
@pytest.mark.parametrize("how", ["SystemExit(0)", "SystemExit(143)", "killed"])
def test_work_that_is_done_is_not_undone_by_a_stop_or_a_kill(make_runner, tmp_path, word, how):
    """The last line is out, and then: nothing, or our answer to a stop, or SIGKILL at last."""
    runner, path, ready = make_runner(grace_s=0.3), tmp_path / "told", tmp_path / "ready"
    stops = "lambda *_: None" if how == "killed" else f"lambda *_: sys.exit({how[11:-1]})"
    code = (
        f"{TELLS}signal.signal(signal.SIGTERM, {stops})\n"
        f"told.write({word!r}); Path(sys.argv[2]).write_text('x'); time.sleep(60)\n"
        "time.sleep(60)"
    )
    job = runner.submit(python(code, str(path), str(ready), progress=str(path)))
    until(says(ready))
    runner.stop(job.id)
    assert ended(runner, job).state == "done"


def test_an_end_told_by_an_earlier_job_is_not_this_ones(make_runner, tmp_path):
    runner, path = make_runner(), tmp_path / "told"
    for code, state in (
        (f"{TELLS}told.write('end')", "done"),
        ("raise SystemExit(3)", "failed"),
    ):
        time.sleep(0.1)
        job = runner.submit(python(code, str(path), progress=str(path)))
        assert ended(runner, job).state == state


def test_with_something_missing_it_is_not_whole(tmp_path):
    for number, line in enumerate(('{"event": "done", "missing": 2}',
                                   '{"event": "end", "complete": false}')):  # fmt: skip
        path = tmp_path / str(number)
        path.write_text(line + "\n")
        assert not Reader(path).read().whole
    assert events.is_whole({"event": "end"})


def test_a_dataset_that_is_there_is_done_however_its_job_ended(make_runner, lab):
    """Killed between the renaming of its folder and the last line."""
    runner, out = make_runner(), lab.data / "datasets" / "one"
    code = (
        "import os, sys; from pathlib import Path\n"
        "from imitation.data.manifest import write_dataset\n"
        "from imitation.values import Example, Message\n"
        "talk = Example((Message('user', 'q'), Message('assistant', 'a')), 's', '1', {})\n"
        "write_dataset(Path(sys.argv[1]), [talk], {}); os.kill(os.getpid(), int(sys.argv[2]))"
    )
    spec = replace(python(code, str(out), "9"), kind="dataset script", out=str(out))
    assert ended(runner, runner.submit(spec)).state == "done"
    time.sleep(0.1)
    told = {**spec.parameters, "arguments": [str(out), "15"]}
    again = ended(runner, runner.submit(replace(spec, parameters=told)))
    assert (again.state, (out / "manifest.json").is_file()) == ("failed", True), "not of this one"


def test_on_a_full_disk_the_reason_is_told_and_the_queue_goes_on(make_runner):
    with small_disk(8 << 20) as disk:
        lab = read_settings({"IMITATION_DATA": str(disk.folder / "data")})
        with closing(connect(lab.database)) as db:
            runner = Runner(lab, db)
            ready, out = disk.folder / "ready", disk.folder / "out.jsonl"
            path = disk.folder / "told"
            code = (
                f"{TELLS}from imitation.disk import write_text\n"
                "Path(sys.argv[2]).touch()\n"
                "while Path(sys.argv[2]).exists(): time.sleep(0.02)\n"
                "try: write_text(Path(sys.argv[3]), 'x' * 10**7)\n"
                "except Exception as error: told.failed('build', error); sys.exit(2)"
            )
            arguments = [str(one) for one in (path, ready, out)]
            job = runner.submit(python(code, *arguments, progress=str(path)))
            until(ready.is_file)
            disk.fill()
            ready.unlink()
            disk.fill()  # what the name took
            job = ended(runner, job)
            assert job.state == "failed" and f"Could not write {out}: No space left" in job.detail
            with pytest.raises(StorageError, match=r"No space left|full"):
                runner.submit(python("pass"))
            assert [one.id for one in runner.look()] == [job.id], "and no folder without a row"
            assert [one.name for one in runner.folder.iterdir()] == [job.id]
            disk.free()
            runner.look()
            kept = table.get(db, job.id)
            assert (kept.state, kept.detail) == (job.state, job.detail), "written now"
            again = ended(runner, runner.submit(python("pass")))
            assert again.state == "done"
            runner.close()


def test_a_job_is_stopped_though_the_disk_is_full(make_runner):
    with small_disk(8 << 20) as disk:
        lab = read_settings({"IMITATION_DATA": str(disk.folder / "data")})
        with closing(connect(lab.database)) as db:
            runner = Runner(lab, db)
            ready = disk.folder / "ready"
            job = runner.submit(python(SLEEP, str(ready)))
            until(says(ready))
            disk.fill()
            assert runner.stop(job.id).state in ("stopping", "stopped")
            assert ended(runner, job).state == "stopped"
            disk.free()
            runner.look()
            assert table.get(db, job.id).state == "stopped"
            runner.close()


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("print('Oh no', flush=True); raise SystemExit(3)", "Exit status 3: Oh no"),
        ("import os; os.kill(os.getpid(), 9)", "It was killed by SIGKILL."),
        ("raise ValueError('seven')", "Exit status 1: ValueError: seven"),
    ],
)
def test_failures_say_how(runner, code, detail):
    job = ended(runner, runner.submit(python(code)))
    assert (job.state, job.detail) == ("failed", detail)


def test_a_command_that_is_not_there(runner, monkeypatch):
    argv = ("/no/such command", "x")
    monkeypatch.setattr("imitation.jobs.queue.runner.command_of", lambda spec: argv)
    job = runner.submit(python("pass"))
    job = ended(runner, job)
    assert job.state == "failed"
    assert "'/no/such command' could not be started" in job.detail


def test_what_the_command_says_of_its_failure_is_the_detail(runner, tmp_path):
    path = tmp_path / "progress.jsonl"
    line = json.dumps({"event": "failed", "message": "The loss is nan.", "hint": "Lower it."})
    code = "import sys; print(sys.argv[2], file=open(sys.argv[1], 'w')); raise SystemExit(1)"
    job = ended(runner, runner.submit(python(code, str(path), line, progress=str(path))))
    assert (job.state, job.detail) == ("failed", "The loss is nan. Lower it.")


@pytest.mark.parametrize(
    "code",
    [
        "raise MemoryError",
        "raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has 1 GiB free')",
        "raise RuntimeError(\"DefaultCPUAllocator: can't allocate memory: you tried to allocate"
        ' 800000000000 bytes. Error code 12 (Cannot allocate memory)")',
    ],
)
def test_out_of_memory_is_a_state_of_its_own_with_advice(runner, tmp_path, code):
    with Writer(path := tmp_path / "told") as told:
        told.write("step", step=1)
    code = f"import pathlib; pathlib.Path({str(path)!r}).touch(); {code}"
    spec = replace(python(code), kind="finetune script", progress=str(path))
    job = ended(runner, runner.submit(spec))
    assert job.state == "out_of_memory"
    assert "Lower micro_batch" in job.detail
    if "ried to allocate" in code:
        assert "Tried to allocate" in job.detail
    else:
        assert " GB of it free now" in job.detail


@pytest.mark.parametrize(
    ("told", "advice"),
    [
        (["setup"], "Its base does not fit"),
        (["setup", "start", "step"], "Lower micro_batch"),
        (["setup", "start", "step", "saved"], "Resume, which exports again"),
    ],
)
def test_memory_advice_is_of_what_it_was_doing(tmp_path, told, advice):
    path = tmp_path / "told"
    with Writer(path) as writer:
        for event in told:
            writer.write(event, step=1)
    spec = JobSpec("finetune", ("x",), "x", progress=str(path))
    job = table.Job("id", 1, spec, "running", 0.0, started=1.0)
    end = exit_status.Exit(code=-9, ended=1.0, oom_killed=True)
    state, detail = exit_status.judge(job, end, tmp_path)
    assert state == "out_of_memory" and advice in detail


def test_what_is_only_printed_of_memory_is_no_want_of_it(runner):
    code = (
        "print('user: CUDA out of memory, what now?'); print('a MemoryError, or std::bad_alloc');"
        "raise ValueError('torch.OutOfMemoryError is a class')"
    )
    job = ended(runner, runner.submit(python(code)))
    assert job.state == "failed"


def test_killed_by_the_kernel_for_want_of_memory(tmp_path, lab):
    """The kernel's kill itself cannot be staged without a memory limit; its trace can."""
    job = table.Job("id", 1, JobSpec("finetune", ("x",), "x"), "running", 0.0)
    end = exit_status.Exit(code=-9, ended=1.0, oom_killed=True, peak_bytes=3_000_000_000)
    state, detail = exit_status.judge(job, end, tmp_path)
    assert state == "out_of_memory"
    assert "It had reached 3.0 GB" in detail


def test_killing_the_child_fails_the_job(runner, tmp_path):
    ready = tmp_path / "ready"
    job = runner.submit(python(STUBBORN, str(ready)))
    until(says(ready))
    os.kill(pids(ready)[0], signal.SIGKILL)
    job = ended(runner, job)
    assert (job.state, job.detail) == ("failed", "It was killed by SIGKILL.")
    assert not any(map(alive, pids(ready))), "nothing of it is left behind"


def test_killing_the_worker_leaves_the_work_in_peace(runner, tmp_path):
    ready, go = tmp_path / "ready", tmp_path / "go"
    code = (
        "import pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text('x')\n"
        "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.02)"
    )
    job = runner.submit(python(code, str(ready), str(go)))
    until(says(ready))
    os.kill(exit_status.signed(runner.place(job)).pid, signal.SIGKILL)
    time.sleep(0.2)
    runner.look()
    assert runner.job(job.id).state == "running"
    go.touch()
    job = ended(runner, job)
    assert job.state == "failed"
    assert "left no exit code" in job.detail, "whether it ended well is not known"


def test_a_job_whose_worker_was_killed_can_be_stopped(make_runner, tmp_path):
    runner = make_runner(grace_s=0.5)
    ready = tmp_path / "ready"
    job = runner.submit(python(STUBBORN, str(ready)))
    until(says(ready))
    os.kill(exit_status.signed(runner.place(job)).pid, signal.SIGKILL)
    until(lambda: not alive(exit_status.signed(runner.place(job)).pid))
    assert runner.stop(job.id).state == "stopping"
    job = ended(runner, job)
    assert job.state == "stopped"
    assert not any(map(alive, pids(ready)))


def test_it_is_killed_though_its_worker_was_before(make_runner, tmp_path):
    runner = make_runner(grace_s=600)
    ready = tmp_path / "ready"
    job = runner.submit(python(STUBBORN, str(ready)))
    until(says(ready))
    os.kill(exit_status.signed(runner.place(job)).pid, signal.SIGKILL)
    until(lambda: not alive(exit_status.signed(runner.place(job)).pid))
    assert runner.stop(job.id).state == "stopping"
    assert runner.look()[0].state == "stopping"
    runner.stop(job.id, kill=True)
    assert ended(runner, job).state == "stopped"
    assert not any(map(alive, pids(ready)))


def test_the_death_of_the_page_harms_no_job(make_runner, lab, tmp_path):
    ready, go = tmp_path / "ready", tmp_path / "go"
    child = (
        "import pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text('x')\n"
        "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.02)\n"
        "print('to the end')"
    )
    page = (
        "import sys, time\n"
        "from imitation.jobs.queue.runner import Runner\n"
        "from imitation.settings import read_settings\n"
        "from imitation.storage.database import connect\n"
        "from imitation.jobs.registry import KINDS, Kind\n"
        "from tests.jobs.conftest import python\n"
        "KINDS['script'] = Kind('tests.jobs.script', 'Script')\n"
        f"lab = read_settings({{'IMITATION_DATA': {str(lab.data)!r}}})\n"
        "runner = Runner(lab, connect(lab.database))\n"
        f"spec = python({child!r}, {str(ready)!r}, {str(go)!r})\n"
        "for name in ('first', 'second'): runner.submit(spec)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", page], cwd=ROOT, start_new_session=True)
    try:
        until(says(ready))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    runner = make_runner()  # the page, started again
    second, first = runner.look()
    assert (first.state, second.state) == ("running", "queued")
    go.touch()
    assert ended(runner, first).state == "done"
    assert ended(runner, second).state == "done", "the queue goes on too"
    assert "to the end" in runner.output(first).read_text()


def test_ended_while_no_page_ran(make_runner, tmp_path):
    one, ready = make_runner(), tmp_path / "ready"
    job = one.submit(python("import sys; open(sys.argv[1], 'w').write('x')", str(ready)))
    one.close()
    until(says(one.place(job) / worker.EXIT))
    (found,) = make_runner().look()
    assert found.state == "done"


def test_another_process_of_the_same_pid_is_not_the_job(runner, lab, tmp_path):
    ready = tmp_path / "ready"
    job = runner.submit(python(SLEEP, str(ready)))
    until(says(ready))
    place = runner.place(job)
    os.kill(exit_status.signed(place).pid, signal.SIGKILL)
    for process in processes.members(exit_status.signed(place).pid, job.id):
        process.kill()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    leader = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys, time; subprocess.Popen([sys.executable,"
         " '-c', 'import time; time.sleep(60)']); time.sleep(60)"],
        start_new_session=True,
    )  # fmt: skip
    try:
        until(lambda: psutil.Process(leader.pid).children())
        born = exit_status.signed(place).birth
        assert processes.birth(stranger.pid) != born
        for pid in (stranger.pid, leader.pid):
            (place / worker.WORKER).write_text(json.dumps({"pid": pid, "birth": born}))
            assert runner._is_alive(job) is False
            runner.stop(job.id)
        assert ended(runner, job).state == "failed"
        assert stranger.poll() is None and leader.poll() is None, "strangers are left alone"
        assert psutil.Process(leader.pid).children()
    finally:
        for child in psutil.Process(leader.pid).children():
            child.kill()
        for process in (stranger, leader):
            process.kill()
            process.wait()


def test_two_jobs_on_one_place_are_refused(runner, tmp_path):
    out = tmp_path / "runs" / "one"
    first = runner.submit(python(SLEEP, str(tmp_path / "ready"), name="first", out=str(out)))
    for place in (out, out / "checkpoint", out.parent):
        with pytest.raises(UserError, match="'first' is writing to"):
            runner.submit(python(SLEEP, str(tmp_path / "no"), out=str(place)))
    assert len(list(runner.folder.iterdir())) == 1, "refused jobs leave no folder"
    beside = runner.submit(python("pass", out=str(tmp_path / "runs" / "one-more")))
    until(says(tmp_path / "ready"))
    runner.stop(first.id)
    ended(runner, first)
    assert ended(runner, beside).state == "done"
    assert ended(runner, runner.submit(python("pass", out=str(out)))).state == "done"


def test_secrets_never_get_into_a_command_line(runner, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret")
    with pytest.raises(UserError, match="SOME_API_KEY") as caught:
        runner.submit(python("pass", "--key=sk-very-secret"))
    assert "sk-very" not in str(caught.value)
    assert runner.look() == []
    code = "import os; print(len(os.environ['SOME_API_KEY']))"
    job = ended(runner, runner.submit(python(code)))
    assert runner.output(job).read_text() == "14\n", "the environment passes through"
    assert not [p for p in runner.place(job).iterdir() if b"sk-very" in p.read_bytes()]


def test_one_visitor_cannot_fill_the_queue(runner, tmp_path, monkeypatch):
    monkeypatch.setattr("imitation.jobs.queue.runner.MAX_LIVE", 2)
    for _ in range(2):
        runner.submit(python(SLEEP, str(tmp_path / "ready"), visitor="a"))
    with pytest.raises(UserError, match="2 of your jobs"):
        runner.submit(python("pass", visitor="a"))
    assert runner.submit(python("pass", visitor="b")).state == "queued"


def test_what_is_no_command_line_is_refused(runner):
    with pytest.raises(UserError, match="no command line"):
        runner.submit(python("pass", "b\0c"))


def test_parameters_of_another_version_are_refused_with_all_that_is_wrong(runner):
    table = {"cod": "pass", "arguments": 3}
    with pytest.raises(UserError, match="unknown key 'cod'") as refused:
        runner.submit(JobSpec("script", table, "x"))
    assert "code is missing" in str(refused.value) and "should be a list" in str(refused.value)


def test_unknown_kinds_offer_the_nearest(runner):
    with pytest.raises(UserError, match="'finetune'"):
        runner.submit(JobSpec("finetun", {}, "x"))
    with pytest.raises(UserError, match="'finetune'"):
        command("finetun", Script(code=""))
    for kind in KINDS:
        assert command(kind, Script(code="x"))[1:] == ("-m", KINDS[kind].module, "--code", "x")
        assert (ROOT / f"{KINDS[kind].module.replace('.', '/')}.py").is_file()


def test_delete_takes_all_of_a_job_and_nothing_else(runner, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    code = "import os, sys; os.makedirs(sys.argv[1]); os.symlink(sys.argv[2], sys.argv[1] + '/x')"
    out = runner.runs / "one"
    job = runner.submit(python(code, str(out), str(outside), out=str(out)))
    assert ended(runner, job).state == "done"
    elsewhere = runner.submit(python("pass", out=str(outside)))
    sneaky = runner.submit(python("pass", out=str(runner.runs / ".." / ".." / "outside")))
    linked = runner.runs / "linked"
    linked.symlink_to(outside)
    link = runner.submit(python("pass", out=str(linked)))
    for one in (job, elsewhere, sneaky, link):
        ended(runner, one)
        runner.delete(one.id)
        assert not runner.place(one).exists()
    assert not out.exists()
    assert (outside / "precious").exists()
    assert runner.look() == []
    with pytest.raises(UserError, match="no job"):
        runner.delete(job.id)


def test_results_another_job_shares_are_kept(runner):
    out = runner.runs / "one"
    make = "import os, sys; os.makedirs(sys.argv[1], exist_ok=True)"
    one, two = (ended(runner, runner.submit(python(make, str(out), out=str(out)))) for _ in "ab")
    runner.delete(one.id)
    assert out.exists()
    runner.delete(two.id)
    assert not out.exists()


def test_a_running_job_is_not_deleted(runner, tmp_path):
    job = runner.submit(python(SLEEP, str(tmp_path / "ready")))
    with pytest.raises(UserError, match="Stop it first"):
        runner.delete(job.id)
    assert runner.place(job).is_dir()


def test_a_folder_that_cannot_be_written_is_said_in_words(make_runner, lab):
    runner = make_runner()
    runner.look()
    runner.folder.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="Free some space"):
        runner.submit(python("pass"))
    assert runner.look() == [], "nothing is queued"


@pytest.mark.slow
def test_two_pages_on_one_store_start_a_job_once(make_runner, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    pages = [make_runner() for _ in range(3)]
    code = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    log = tmp_path / "log"
    jobs = [pages[n % 3].submit(python(code, str(log), str(n))) for n in range(6)]
    with ThreadPoolExecutor(3) as pool:
        until(lambda: not any(job.is_live for page in pool.map(Runner.look, pages) for job in page))
    assert log.read_text() == "012345"
    assert [pages[0].job(job.id).state for job in jobs] == ["done"] * 6


@pytest.mark.slow
def test_a_look_at_200_jobs_reads_the_files_of_those_under_way(
    make_runner, lab, tmp_path, monkeypatch
):
    runner = make_runner()
    running = runner.submit(python(SLEEP, str(tmp_path / "ready")))
    db = connect(lab.database)
    for n in range(200):
        table.add(db, table.new_id(), python("pass", *("argument",) * 20, name=str(n)), 999)
    db.close()
    read = []
    left = exit_status.left
    monkeypatch.setattr(exit_status, "left", lambda folder: (read.append(folder), left(folder))[1])
    assert len(runner.look()) == 201
    # The background's own looks may come in between, at the same one.
    assert set(read) == {runner.place(running)}


def test_pages_can_be_closed_twice(make_runner):
    runner = make_runner()
    assert runner.look() == []
    runner.close()
    runner.close()


def test_runs_lie_in_the_data_folder(lab: Path) -> None:
    with closing(connect(lab.database)) as db:
        runner = Runner(lab, db)
    assert runner.folder.parent == runner.runs.parent == lab.data

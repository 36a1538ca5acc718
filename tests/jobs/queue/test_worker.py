"""The worker alone, as the runner starts it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from imitation.jobs.queue import processes, worker
from imitation.jobs.queue.exit_status import left, signed
from imitation.jobs.registry import ROOT
from tests.jobs.conftest import says, until


def lay_out(folder, code, *arguments, grace_s=20.0):
    folder.mkdir(exist_ok=True)
    argv = [sys.executable, "-c", code, *arguments]
    asked = {"id": folder.name, "argv": argv, "cwd": str(folder), "grace_s": grace_s}
    (folder / worker.JOB).write_text(json.dumps(asked))
    return folder


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-m", "imitation.jobs.queue.worker", str(folder)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_all_that_is_printed_goes_to_one_file_in_order(tmp_path):
    code = "import sys; print('one'); print('two', file=sys.stderr); print('three'); sys.exit(7)"
    folder = lay_out(tmp_path / "job", code)
    assert start(folder).wait(30) == 7
    assert (folder / worker.OUTPUT).read_text() == "one\ntwo\nthree\n"
    end = left(folder)
    assert (end.code, end.stopped, end.killed, end.left) == (7, False, 0, [])
    assert abs(end.ended - time.time()) < 30
    assert end.peak_bytes > 1_000_000
    assert not list(folder.glob("*.part"))


def test_the_command_has_no_input_and_a_folder(tmp_path):
    code = "import os, sys; print(repr(sys.stdin.read()), os.getcwd(), os.environ['LAB_JOB'])"
    folder = lay_out(tmp_path / "job", code)
    start(folder).wait(30)
    assert (folder / worker.OUTPUT).read_text() == f"'' {folder} job\n"


def test_a_lot_of_output_blocks_nothing(tmp_path):
    folder = lay_out(tmp_path / "job", "for _ in range(40000): print('x' * 500)")
    start(folder).wait(60)
    assert left(folder).code == 0
    assert (folder / worker.OUTPUT).stat().st_size == 40000 * 501


def test_a_folder_is_worked_on_once(tmp_path):
    code = "import time; print('begun', flush=True); time.sleep(60)"
    folder = lay_out(tmp_path / "job", code)
    first = start(folder)
    until(says(folder / worker.OUTPUT))
    second = start(folder)
    _, said = second.communicate(timeout=30)
    assert second.returncode == 1 and "FileExistsError" in said
    assert left(folder) is None
    first.terminate()
    first.wait(30)
    assert left(folder).stopped
    assert (folder / worker.OUTPUT).read_text() == "begun\n"


def test_asked_to_stop_before_it_began_it_runs_nothing(tmp_path):
    folder = lay_out(tmp_path / "job", "print('ran')")
    (folder / worker.STOP).touch()
    start(folder).wait(30)
    assert (left(folder).code, left(folder).stopped) == (None, True)
    assert not (folder / worker.OUTPUT).exists()


def test_what_a_command_leaves_running_is_ended(tmp_path):
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c',"
        " 'import time; time.sleep(60)']); print(p.pid)"
    )
    folder = lay_out(tmp_path / "job", code)
    start(folder).wait(30)
    assert (left(folder).code, left(folder).killed) == (0, 1)
    assert processes.birth(int((folder / worker.OUTPUT).read_text())) is None


def test_it_says_who_it_is_while_it_runs(tmp_path):
    folder = lay_out(tmp_path / "job", "import time; time.sleep(60)")
    process = start(folder)
    until(lambda: signed(folder))
    assert signed(folder).pid == process.pid
    assert processes.birth(process.pid) == signed(folder).birth
    process.kill()
    # Nobody has waited for it yet: a zombie is not alive.
    until(lambda: processes.birth(process.pid) is None)
    for member in processes.members(process.pid, "job"):
        member.kill()
    process.wait(30)
    assert left(folder) is None


def test_the_exit_code_is_left_though_the_disk_is_full(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk can only be mounted as root")
    try:
        code = (
            "f = open('filler', 'wb', buffering=0)\ntry:\n    while f.write(b'x' * 4096): pass\n"
            "except OSError as e: print(e, flush=True)\nraise SystemExit(5)"
        )
        lay_out(folder, code)
        process = start(folder)
        process.communicate(timeout=30)
        assert os.statvfs(folder).f_bavail == 0
        assert left(folder).code in (1, 5)  # 1: not even the message could be printed
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_folder_it_cannot_write_to_is_said(tmp_path):
    process = start(tmp_path / "missing")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "FileNotFoundError" in said


def test_half_written_files_are_not_read(tmp_path):
    assert signed(tmp_path) is None and left(tmp_path) is None
    for text in ("", '{"pid": 1', "[]", '{"pid": "x", "birth": ""}', "null", '{"birth": 1}'):
        (tmp_path / worker.WORKER).write_text(text)
        (tmp_path / worker.EXIT).write_text(text)
        assert signed(tmp_path) is None, text
        assert left(tmp_path) is None, text


def test_memory_kills_are_counted():
    assert worker.oom_kills() >= 0
    assert worker.peak_bytes() >= 0


def test_every_process_has_one_birth():
    assert processes.birth(os.getpid()) == processes.birth(os.getpid()) is not None
    assert processes.birth(2**30) is None
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert processes.birth(child.pid) not in (None, processes.birth(os.getpid()))
    child.send_signal(signal.SIGKILL)
    until(lambda: processes.birth(child.pid) is None)
    child.wait()

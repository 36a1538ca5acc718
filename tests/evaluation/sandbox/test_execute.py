"""The sandbox: right programs pass, and an attack set is contained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from imitation.errors import UserError
from imitation.evaluation.harness.humaneval_problems import problems
from imitation.evaluation.harness.humaneval_program import program
from imitation.evaluation.sandbox import execute
from imitation.evaluation.sandbox.execute import Limits, check_allowed, missing_walls, run
from imitation.settings import Settings, read_settings

pytestmark = pytest.mark.skipif(
    bool(missing_walls()), reason=f"this machine cannot ensure that {', '.join(missing_walls())}"
)
QUICK = Limits(cpu_s=2, wall_s=8.0)


@pytest.fixture(autouse=True, params=["bubblewrap", "its own walls"])
def around(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs inside bubblewrap, and with what stands where there is none."""
    if request.param == "bubblewrap":
        if not execute.namespaces():
            pytest.skip("bubblewrap is not installed, or may not make namespaces here")
    else:
        monkeypatch.setattr(execute, "namespaces", lambda: False)
    return str(request.param)


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the programs' folders are made and must be gone again."""
    made = tmp_path / "folders"
    made.mkdir()
    monkeypatch.setattr(execute.tempfile, "tempdir", str(made))
    return made


@pytest.fixture(scope="module")
def humaneval() -> list[dict[str, str]]:
    try:
        return problems(read_settings())
    except UserError as error:
        pytest.skip(f"HumanEval's problems cannot be had here: {error}")


@pytest.mark.parametrize(
    "code",
    [
        "import math, re, hashlib, collections, itertools, functools, random, string, typing",
        "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()",
        "open('mine', 'w').write('x')\nassert open('mine').read() == 'x'",
        "print('prints are nobody\\'s'); assert input.__name__ == 'input'",
        "s = '\\ud800'",
    ],
)
def test_ordinary_programs_pass(code: str) -> None:
    outcome = run(code)
    assert outcome.passed, outcome


@pytest.mark.parametrize(
    ("code", "how", "detail"),
    [
        ("assert 1 == 2, 'no'", "failed", "AssertionError: no"),
        ("this is no python", "failed", "SyntaxError"),
        ("import sys\nsys.exit(0)", "failed", "SystemExit"),
        ("import os\nos._exit(0)", "ended early", "exit code 0"),
        ("import os\nos.abort()", "killed", "SIGABRT"),
    ],
)
def test_what_does_not_reach_its_end_is_said(code: str, how: str, detail: str) -> None:
    outcome = run(code)
    assert (outcome.how, outcome.passed) == (how, False)
    assert detail in outcome.detail


def refused(code: str, why: str = "PermissionError", limits: Limits = QUICK) -> None:
    outcome = run(code, limits)
    assert outcome.how == "failed", outcome
    assert why in outcome.detail


def test_a_fork_bomb_makes_no_process() -> None:
    refused("import os\nwhile True: os.fork()")
    refused("import subprocess\nsubprocess.Popen(['true'])")
    refused("import multiprocessing as m\nm.get_context('fork').Process(target=print).start()")


THREAD_BOMB = """
import ctypes
libc = ctypes.CDLL(None)
flags = 0x50F00  # one address space, one set of files and signals: a thread
libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
stacks = ctypes.create_string_buffer(2048 * 5000)
top = ctypes.addressof(stacks)
for n in range(1, 5000):
    libc.clone(ctypes.cast(libc.pause, ctypes.c_void_p), (top + 2048 * n) & ~15, flags, None)
while True:
    pass
"""


def test_a_thread_bomb_is_ended() -> None:
    outcome = run(THREAD_BOMB, Limits(cpu_s=30, wall_s=60.0))
    assert (outcome.how, outcome.detail) == ("too many threads", "over 200")


def test_a_memory_bomb_gets_no_memory() -> None:
    small = Limits(memory_bytes=256 << 20)
    refused("x = bytearray(4 << 30)", "MemoryError", small)
    refused("x = []\nwhile True: x.append(' ' * (16 << 20))", "MemoryError", small)


@pytest.mark.slow
def test_an_endless_loop_ends() -> None:
    began = time.monotonic()
    assert run("while True: pass", QUICK).how == "timed out"
    assert run("import time\ntime.sleep(60)", Limits(wall_s=0.5)).how == "timed out"
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_a_loop_that_will_not_be_interrupted_ends() -> None:
    code = (
        "import signal\nfor n in (14, 15, 24): signal.signal(n, signal.SIG_IGN)\nwhile True: pass"
    )
    assert run(code, QUICK).how == "timed out"
    code = "while True:\n try:\n  while True: pass\n except BaseException: pass"
    assert run(code, QUICK).how == "timed out"


def test_files_elsewhere_cannot_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a key", encoding="utf-8")
    for path in (secret, Path("/etc/passwd"), Path.home(), Path("/proc/self/environ"), "/"):
        code = f"import os\np = {str(path)!r}\nos.listdir(p) if os.path.isdir(p) else open(p)"
        refused(code, "Error: [Errno ")
    refused(f"import os\nos.symlink({str(secret)!r}, 'link')\nopen('link')", "Error: [Errno ")


def test_inside_bubblewrap_other_paths_are_not_there(around: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a key", encoding="utf-8")
    paths = [str(secret), "/etc/passwd", "/proc/1", "/usr/bin", "/var"]
    outcome = run(f"import os\nraise Exception([p for p in {paths!r} if os.path.lexists(p)])")
    if around == "bubblewrap":
        assert outcome.detail == "Exception: []"
        assert execute.notes() == ()
    else:  # said with every result
        assert outcome.detail == f"Exception: {paths!r}"
        assert execute.notes() == (execute.SEEN,)


def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-value")
    outcome = run("import os\nraise Exception(dict(os.environ))")
    assert "secret" not in outcome.detail
    assert outcome.detail == "Exception: {'LC_ALL': 'C.UTF-8'}"
    refused(f"open('/proc/{os.getpid()}/environ')", "Error: [Errno ")


def test_there_is_no_network() -> None:
    refused("import socket\nsocket.create_connection(('127.0.0.1', 80), 1)")
    refused("import socket\nsocket.socket(socket.AF_UNIX)")
    refused("import urllib.request\nurllib.request.urlopen('http://example.org')", "Error")


def test_the_parent_cannot_be_killed() -> None:
    refused(f"import os, signal\nos.kill({os.getpid()}, signal.SIGKILL)")
    refused("import os, signal\nos.killpg(0, signal.SIGKILL)")
    refused("import os, signal\nos.kill(-1, signal.SIGKILL)")
    thread = f"import ctypes\nl = ctypes.CDLL(None, use_errno=True)\np = {os.getpid()}\n"
    # tgkill by number: x86-64, then arm64.
    calls = "assert all(l.syscall(n, p, p, 9) == -1 for n in (234, 131)), 'sent'\n"
    assert run(thread + calls, QUICK).passed


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Another process of this user."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


SIGIO = """
import fcntl, os, signal
r, w = os.pipe()
try:
    {call}
except OSError as error:
    raise SystemError("refused") from error
fcntl.fcntl(r, 10, signal.SIGKILL)
fcntl.fcntl(r, fcntl.F_SETFL, os.O_NONBLOCK | 0x2000)
os.write(w, b"x")
"""


@pytest.mark.parametrize(
    "call",
    [
        "fcntl.fcntl(r, fcntl.F_SETOWN, {pid})",
        "import struct; fcntl.fcntl(r, 15, struct.pack('ii', 1, {pid}))",  # F_SETOWN_EX
        "fcntl.fcntl(r, 10, signal.SIGKILL)",  # F_SETSIG
        "fcntl.fcntl(r, fcntl.F_SETFL, os.O_NONBLOCK | 0x2000)",  # O_ASYNC
        "import struct; fcntl.ioctl(r, 0x8901, struct.pack('i', {pid}))",  # FIOSETOWN
        "import struct; fcntl.ioctl(r, 0x5452, struct.pack('i', 1))",  # FIOASYNC
        "fcntl.fcntl(os.open('.', os.O_RDONLY), 1026, 1)",  # F_NOTIFY
        "open('f', 'w'); fcntl.fcntl(os.open('f', os.O_RDONLY), 1024, 0)",  # F_SETLEASE
    ],
)
def test_no_file_sends_signals(bystander: subprocess.Popen[bytes], call: str) -> None:
    outcome = run(SIGIO.format(call=call.format(pid=bystander.pid)), QUICK)
    assert (outcome.how, outcome.detail) == ("failed", "SystemError: refused")
    assert bystander.poll() is None


@pytest.mark.parametrize(
    "call",
    [
        "os.setpriority(os.PRIO_PROCESS, {pid}, 19)",
        "os.sched_setaffinity({pid}, [0])",
        "os.sched_setscheduler({pid}, os.SCHED_IDLE, os.sched_param(0))",
    ],
)
def test_other_processes_keep_their_priority(bystander: subprocess.Popen[bytes], call: str) -> None:
    refused(f"import os\n{call.format(pid=bystander.pid)}")
    assert os.getpriority(os.PRIO_PROCESS, bystander.pid) == 0
    assert os.sched_getscheduler(bystander.pid) == os.SCHED_OTHER
    assert os.sched_getaffinity(bystander.pid) == os.sched_getaffinity(0)


def test_file_flags_python_needs_can_still_be_set() -> None:
    code = (
        "import fcntl, os\nr, w = os.pipe()\nos.set_inheritable(r, True)\n"
        "os.set_blocking(r, False)\nassert not os.get_blocking(r)\nassert not os.isatty(r)\n"
        "f = open('f', 'w')\nfcntl.lockf(f, fcntl.LOCK_EX)\nos.close(os.dup(w))"
    )
    outcome = run(code)
    assert outcome.passed, outcome


def test_no_folders_are_made(folders: Path) -> None:
    refused("import os\nos.mkdir('a')")
    refused("import os\nos.mkfifo('a')")
    refused("import os\nwhile True:\n os.mkdir('a')\n os.chdir('a')")
    refused("import os\nn = 0\nwhile True:\n n += 1\n os.mkdir(str(n))")
    assert list(folders.iterdir()) == []


def test_files_without_end_are_stopped_soon(folders: Path) -> None:
    outcome = run("n = 0\nwhile True:\n n += 1\n open(str(n), 'w')", Limits(wall_s=60.0))
    assert (outcome.how, outcome.detail) == ("wrote too much", "over 1000 files")
    assert outcome.seconds < 30
    assert list(folders.iterdir()) == []


def test_a_folder_always_goes_and_is_looked_at_in_bounded_time(folders: Path) -> None:
    """Where a wall is missing, a program may nest folders deeper than Python can delete."""
    with execute._folder() as made:
        nest = "import os\nos.chdir({!r})\nfor _ in range(3000): os.mkdir('a'); os.chdir('a')"
        subprocess.run([sys.executable, "-c", nest.format(made)], check=True)
        assert execute._too_much(made) == "over 1000 files"
        locked = Path(made) / "locked"
        locked.mkdir()
        (locked / "file").touch()
        locked.chmod(0)
    assert list(folders.iterdir()) == []


def test_nothing_is_left_when_watching_fails(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    spawn = execute._spawn

    def kept(*arguments: object, **named: object) -> subprocess.Popen[bytes]:
        started.append(spawn(*arguments, **named))  # type: ignore[arg-type]
        return started[-1]

    def broken(_: str) -> str:
        time.sleep(0.3)  # until the program runs
        raise RecursionError

    monkeypatch.setattr(execute, "_spawn", kept)
    monkeypatch.setattr(execute, "_too_much", broken)
    with pytest.raises(RecursionError):
        run("import time\ntime.sleep(50)", Limits(wall_s=60.0))
    assert started[0].returncode == -signal.SIGKILL
    assert not [
        p
        for p in psutil.process_iter(["cmdline"])
        if str(folders) in " ".join(p.info["cmdline"] or [])
    ]
    assert list(folders.iterdir()) == []


@pytest.mark.slow
def test_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    target = tmp_path / "made"
    refused(f"open({str(target)!r}, 'w')", "Error: [Errno ")
    refused(f"import os\nos.mkdir({str(target)!r})")
    kept = tmp_path / "kept"
    kept.write_text("kept", encoding="utf-8")
    refused(f"import os\nos.remove({str(kept)!r})", "Error: [Errno ")
    refused(f"import os\nos.truncate({str(kept)!r}, 0)", "Error: [Errno ")
    refused(f"import os\nos.chmod({str(kept)!r}, 0o777)", "Error: [Errno ")
    refused(f"import os\nos.rename({str(kept)!r}, 'here')", "Error")
    assert kept.read_text("utf-8") == "kept"
    assert not target.exists()


def test_files_stay_small_and_the_folder_goes() -> None:
    refused("open('big', 'wb').write(bytes(2 << 20))", "File too large")
    many = "n = 0\nwhile True:\n n += 1\n open(str(n), 'wb').write(bytes(1 << 20))"
    assert run(many, QUICK).how in ("wrote too much", "failed", "timed out")
    outcome = run("import os\nraise Exception(os.getcwd())")
    assert not Path(outcome.detail.removeprefix("Exception: ")).exists()


def test_limits_cannot_be_raised() -> None:
    refused("import resource as r\nr.setrlimit(r.RLIMIT_CPU, (999, 999))", "Error")


def test_code_is_off_where_strangers_reach_the_page() -> None:
    local = read_settings({})
    assert check_allowed(local) == execute.notes()
    for env in ({"GRADIO_SERVER_NAME": "0.0.0.0"}, {"SPACE_ID": "a/b"}):
        with pytest.raises(UserError, match="switched off"):
            check_allowed(read_settings(env))
        check_allowed(read_settings({**env, "IMITATION_CODE_EXEC": "1"}))
    with pytest.raises(UserError, match="IMITATION_CODE_EXEC=1"):
        check_allowed(read_settings({"IMITATION_CODE_EXEC": "0"}))


def test_a_missing_wall_is_named_and_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    half = {"limits": True, "privileges": True, "files": False, "calls": True}
    monkeypatch.setattr(
        execute,
        "_start",
        lambda *_, **__: (half, execute.Outcome("ended early", "exit code 0")),
    )
    with pytest.raises(UserError, match="Landlock"):
        run("pass")
    monkeypatch.setattr(execute, "_start", lambda *_, **__: ({}, execute.Outcome("timed out")))
    with pytest.raises(UserError, match="did not start: timed out"):
        run("pass")
    monkeypatch.setattr(execute, "_start", lambda *_, **__: (half, execute.Outcome("ended early")))
    missing_walls.cache_clear()
    try:
        with pytest.raises(UserError, match="Landlock"):
            check_allowed(read_settings({}))
        note = check_allowed(read_settings({"IMITATION_CODE_EXEC": "1"}))[0]
        assert "Landlock" in note
    finally:
        missing_walls.cache_clear()


@pytest.mark.slow
def test_the_canonical_solutions_all_pass(humaneval: list[dict[str, str]]) -> None:
    assert len(humaneval) == 164
    programs = [program(one, one["canonical_solution"]) for one in humaneval]
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda text: run(text, Limits(cpu_s=20, wall_s=60.0)), programs))
    failed = {one["task_id"]: o for one, o in zip(humaneval, outcomes, strict=True) if not o.passed}
    assert not failed


@pytest.mark.parametrize(
    "answer",
    [
        "{solution}",
        "{solution}\n\ndef unrelated():\n    return 1\nprint(unrelated(",
        "Here is the function:\n```python\n{whole}\n```\nIt works because it does.",
        "```\n{whole}\n\nprint({name}([1.0], 0.5))\n```",
        "Sure!\n\n{whole}\n\nThis function compares all pairs.",
        "```python\n{solution}\n```",
    ],
)
def test_code_is_found_in_what_models_write(humaneval: list[dict[str, str]], answer: str) -> None:
    one = humaneval[0]
    whole = one["prompt"] + one["canonical_solution"]
    text = answer.format(solution=one["canonical_solution"], whole=whole, name=one["entry_point"])
    assert run(program(one, text)).passed
    assert not run(program(one, text.replace("return True", "return False"))).passed


def test_an_empty_answer_is_wrong(humaneval: list[dict[str, str]]) -> None:
    assert not run(program(humaneval[0], "")).passed
    assert not run(program(humaneval[0], "no " * 400)).passed


def test_problems_come_from_the_cache_alone_when_offline(tmp_path: Path) -> None:
    settings = read_settings({"IMITATION_CACHE": str(tmp_path), "IMITATION_OFFLINE": "1"})
    assert isinstance(settings, Settings)
    with pytest.raises(UserError, match="IMITATION_OFFLINE"):
        problems(settings)

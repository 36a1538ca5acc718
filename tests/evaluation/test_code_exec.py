"""The sandbox: right programs pass, and an attack set is contained."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imitation.errors import UserError
from imitation.evaluation import code_exec
from imitation.evaluation.code_exec import Limits, check_allowed, missing_walls, run
from imitation.evaluation.humaneval import problems, program
from imitation.settings import Settings, read_settings

pytestmark = pytest.mark.skipif(
    bool(missing_walls()), reason=f"this machine cannot ensure that {', '.join(missing_walls())}"
)
QUICK = Limits(cpu_s=2, wall_s=8.0)


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


def test_a_memory_bomb_gets_no_memory() -> None:
    small = Limits(memory_bytes=256 << 20)
    refused("x = bytearray(4 << 30)", "MemoryError", small)
    refused("x = []\nwhile True: x.append(' ' * (16 << 20))", "MemoryError", small)


def test_an_endless_loop_ends() -> None:
    began = time.monotonic()
    assert run("while True: pass", QUICK).how == "timed out"
    assert run("import time\ntime.sleep(60)", Limits(wall_s=0.5)).how == "timed out"
    assert time.monotonic() - began < 20


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
        refused(f"import os\np = {str(path)!r}\nos.listdir(p) if os.path.isdir(p) else open(p)")
    refused(f"import os\nos.symlink({str(secret)!r}, 'link')\nopen('link')")


def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-value")
    outcome = run("import os\nraise Exception(dict(os.environ))")
    assert "secret" not in outcome.detail
    assert outcome.detail == "Exception: {'LC_ALL': 'C.UTF-8'}"
    refused(f"open('/proc/{os.getpid()}/environ')")


def test_there_is_no_network() -> None:
    refused("import socket\nsocket.create_connection(('127.0.0.1', 80), 1)")
    refused("import socket\nsocket.socket(socket.AF_UNIX)")
    refused("import urllib.request\nurllib.request.urlopen('http://example.org')", "Error")


def test_the_parent_cannot_be_killed() -> None:
    refused("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)")
    refused("import os, signal\nos.killpg(0, signal.SIGKILL)")
    refused("import os, signal\nos.kill(-1, signal.SIGKILL)")
    thread = "import ctypes, os\nl = ctypes.CDLL(None, use_errno=True)\np = os.getppid()\n"
    # tgkill by number: x86-64, then arm64.
    calls = "assert all(l.syscall(n, p, p, 9) == -1 for n in (234, 131)), 'sent'\n"
    assert run(thread + calls, QUICK).passed


def test_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    target = tmp_path / "made"
    refused(f"open({str(target)!r}, 'w')")
    refused(f"import os\nos.mkdir({str(target)!r})")
    kept = tmp_path / "kept"
    kept.write_text("kept", encoding="utf-8")
    refused(f"import os\nos.remove({str(kept)!r})")
    refused(f"import os\nos.truncate({str(kept)!r}, 0)")
    refused(f"import os\nos.chmod({str(kept)!r}, 0o777)")
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
    assert check_allowed(local) == ()
    for env in ({"GRADIO_SERVER_NAME": "0.0.0.0"}, {"SPACE_ID": "a/b"}):
        with pytest.raises(UserError, match="switched off"):
            check_allowed(read_settings(env))
        check_allowed(read_settings({**env, "IMITATION_CODE_EXEC": "1"}))
    with pytest.raises(UserError, match="IMITATION_CODE_EXEC=1"):
        check_allowed(read_settings({"IMITATION_CODE_EXEC": "0"}))


def test_a_missing_wall_is_named_and_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    half = {"limits": True, "privileges": True, "files": False, "calls": True}
    monkeypatch.setattr(
        code_exec,
        "_start",
        lambda *_, **__: (half, code_exec.Outcome("ended early", "exit code 0")),
    )
    with pytest.raises(UserError, match="Landlock"):
        run("pass")
    monkeypatch.setattr(code_exec, "_start", lambda *_, **__: ({}, code_exec.Outcome("timed out")))
    with pytest.raises(UserError, match="did not start: timed out"):
        run("pass")
    monkeypatch.setattr(
        code_exec, "_start", lambda *_, **__: (half, code_exec.Outcome("ended early"))
    )
    missing_walls.cache_clear()
    try:
        with pytest.raises(UserError, match="Landlock"):
            check_allowed(read_settings({}))
        (note,) = check_allowed(read_settings({"IMITATION_CODE_EXEC": "1"}))
        assert "Landlock" in note
    finally:
        missing_walls.cache_clear()


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

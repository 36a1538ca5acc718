"""What is written is there whole or not at all."""

import ast
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dashboards.finetune import saved_forms
from dashboards.finetune.new_run import Form
from dashboards.shell import visitor_store
from imitation.data.format import write_examples
from imitation.disk import atomic_folder, atomic_write, copy_file, write_text
from imitation.errors import StorageError
from imitation.evaluation.report import sample_index
from imitation.models.catalog_writer import add_card
from imitation.settings import read_settings
from imitation.values import Example, Message, ModelSpec
from tests.small_disk import small_disk
from tests.test_layout import ROOT, modules

LONG = "x" * 300_000


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".ballast")


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    write_text(target, "one")
    with atomic_write(target) as aside:
        aside.write_text("tw", encoding="utf-8")
        assert target.read_text() == "one"
        with aside.open("a") as opened:
            opened.write("o")
    assert target.read_text() == "two"
    with pytest.raises(ZeroDivisionError), atomic_write(target) as aside:
        aside.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "two" and names(target.parent) == ["file"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    for content in ("one", "two"):
        with atomic_folder(target) as aside:
            (aside / "in").mkdir()
            (aside / "in" / content).write_text(content)
            assert not (target / "in" / content).exists()
    assert names(target / "in") == ["two"]
    with pytest.raises(ZeroDivisionError), atomic_folder(target) as aside:
        raise ZeroDivisionError
    assert names(target / "in") == ["two"] and names(target.parent) == ["folder"]


def test_it_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).suffix}")
        sync(handle)

    def renamed(one: Path, other: Path) -> None:
        done.append("rename")
        replace(one, other)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write_text(tmp_path / "file", "x")
    assert done == ["sync .part", "rename", "sync "]


def test_threads_that_write_one_file_at_once_leave_one_of_theirs(tmp_path: Path) -> None:
    target, errors = tmp_path / "file", list[Exception]()

    def write(letter: str) -> None:
        try:
            for _ in range(50):
                write_text(target, letter * 5000)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if target.exists():
            text = target.read_text()
            assert len(text) == 5000 and len(set(text)) == 1
    assert not errors and names(tmp_path) == ["file"]


def test_a_full_disk_leaves_what_was_there_and_is_said(tmp_path: Path) -> None:
    (tmp_path / "long").write_text(LONG)
    with small_disk() as disk:
        settings = read_settings({"IMITATION_DATA": str(disk.folder / "data")})
        form = Form("mine", "pocket-broad", "pocket-base", "x", {})
        talk = Example((Message("user", "Hi"), Message("assistant", LONG)), "s", "1", {})
        card = ModelSpec("own", "own", "base", "embedded", weights="cut-4", notes="x" * 9000)
        writes = {
            "text": lambda: write_text(disk.folder / "text", LONG),
            "copy": lambda: copy_file(tmp_path / "long", disk.folder / "copy"),
            "examples": lambda: write_examples(disk.folder / "examples", [talk]),
            "samples": lambda: sample_index.write(disk.folder / "samples", ["m"], []),
            "form": lambda: saved_forms.save(settings, "anna", form),
            "table": lambda: visitor_store.remember(settings, "anna", "what", {"x": LONG}),
            "card": lambda: add_card(settings, card),
        }
        for write in (writes["form"], writes["samples"]):
            write()  # type: ignore[no-untyped-call]
        kept = {path: path.read_bytes() for path in disk.folder.rglob("*") if path.is_file()}
        disk.fill()
        for name, write in writes.items():
            with pytest.raises(StorageError, match=r"No space left|full"):
                write()  # type: ignore[no-untyped-call]
                pytest.fail(name)
        found = {p: p.read_bytes() for p in disk.folder.rglob("*") if p.is_file()}
        assert {p: data for p, data in found.items() if p.name != ".ballast"} == kept
        disk.free()
        for write in writes.values():
            write()  # type: ignore[no-untyped-call]


def test_a_limit_on_the_size_of_files_leaves_what_was_there(tmp_path: Path) -> None:
    """The same wherever the tests run: no disk of one's own is needed for it."""
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from imitation.disk import write_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_text(Path(sys.argv[1]), 'x' * 5000)\n"
    )
    (tmp_path / "file").write_text("kept")
    run = [sys.executable, "-c", code, str(tmp_path / "file")]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert f"StorageError: Could not write {tmp_path / 'file'}: {os.strerror(errno.EFBIG)}" in (
        done.stderr
    )
    assert names(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "kept"


def test_a_kill_leaves_the_whole_file_or_the_one_before(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from imitation.disk import write_text\n"
        "for n in range(10**9):\n"
        "    write_text(Path(sys.argv[1]), str(n % 10) * 200_000)\n"
        "    if n == 3: print('on its way', flush=True)\n"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "file")]
    with subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    text = (tmp_path / "file").read_text()
    assert len(text) == 200_000 and len(set(text)) == 1


ASIDE = {
    "imitation.disk",
    "imitation.prompts",  # into a checkpoint's folder, which is written aside
    "imitation.events",  # lines that grow
    "imitation.jobs.queue.worker",  # its room is taken at the start, and /proc
    "imitation.models.download",  # into a work folder, checked and copied from there
    "training.tracking_server",  # a log
}
"""Modules that write files directly, and why they may."""


def test_nothing_is_written_straight_to_its_place() -> None:
    """What writes a file names it `aside`, or leaves it to `imitation.disk`."""
    found = []
    for module, path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                text = ast.unparse(node)
                writes = node.func.attr in ("write_text", "write_bytes", "copyfile", "copy2")
                modes = [a.value for a in node.args if isinstance(a, ast.Constant)]
                writes |= node.func.attr == "open" and bool({"w", "wb", "x"} & {*map(str, modes)})
                if writes and "aside" not in text and module not in ASIDE:
                    found.append(f"{module}: {text[:80]}")
    assert not found, "\n".join(found)


def test_the_tests_clear_up_after_the_small_disk() -> None:
    with small_disk() as disk:
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "x").write_text(LONG)
        disk.free()
        (disk.folder / "x").write_text(LONG)
        assert shutil.disk_usage(disk.folder).free
    assert not disk.folder.exists()

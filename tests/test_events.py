"""What commands tell of themselves: one vocabulary, one writer, one reader."""

import ast
import os
from pathlib import Path
from typing import get_args

import pytest

from imitation.errors import StorageError, UserError
from imitation.events import FORMER, SAYS, Name, Writer, is_whole, parse, read
from tests.small_disk import small_disk
from tests.test_layout import modules


def told(path: Path) -> list[str]:
    return [line["event"] for line in read(path)]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path, heard = tmp_path / "told", list[str]()
    with Writer(path) as writer:
        writer.listener = lambda line: heard.append(line["event"])
        writer.write("start", sources=["ünï\u2028"])
        writer.write("step", step=1, steps=2)
        writer.write("end")
    first, step, end = read(path)
    assert first["sources"] == ["ünï\u2028"] and step["steps"] == 2 and end["elapsed_s"] >= 0
    assert heard == told(path) == ["start", "step", "end"]
    assert is_whole(end) and not is_whole(step)
    assert list(read(tmp_path / "none")) == []


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "told"
    path.write_text('{"event": "begin"}\n{"step": 1}\nnot ours\n[1]\n{"event": "done"}\n{"ev')
    assert [line.get("event") for line in read(path)] == ["start", None, "end"]
    assert set(FORMER.values()) <= set(get_args(Name))
    assert not set(FORMER) & set(get_args(Name))
    assert parse('{"event": "done", "missing": 3}') == {"event": "end", "missing": 3}
    assert not is_whole({"event": "end", "missing": 3})


def test_after_half_a_line_the_next_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "told"
    path.write_text('{"event": "start"}\n{"event": "st')
    with Writer(path, anew=False) as writer:
        writer.write("step", step=1)
    assert told(path) == ["start", "step"]
    with Writer(path, anew=False) as writer:
        writer.write("end")
    assert told(path) == ["start", "step", "end"] and b"\n\n" not in path.read_bytes()


def test_a_full_disk_costs_lines_not_the_work() -> None:
    with small_disk() as disk:
        path = disk.folder / "told"
        with Writer(path) as writer:
            writer.write("start")
            disk.fill()
            for n in range(500):
                writer.write("step", step=n, text="x" * 1000)
            disk.free()
            writer.write("end")
        found = told(path)
        assert found[0] == "start" and found[-1] == "end" and len(found) < 300


def test_where_it_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        Writer(tmp_path / "no" / "folder")


def test_last_words_need_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard, says = os.pipe()
    monkeypatch.setenv(SAYS, str(says))
    Writer(None).failed("build", UserError("It is full.", "Make room."))
    assert os.read(heard, 100) == b"It is full. Make room."
    assert capsys.readouterr().err == "build: It is full. Make room.\n"
    with Writer(tmp_path / "told") as writer:
        writer.failed("build", ValueError("x"))
    (line,) = read(tmp_path / "told")
    assert (line["message"], line["hint"]) == ("ValueError: x", "")
    os.close(heard)
    os.close(says)
    Writer(None).failed("build", UserError("Nobody hears."))


def test_nobody_else_writes_or_reads_progress() -> None:
    """Events are told through `Writer`, which types know, and read through `events`."""
    for module, path in modules():
        if module == "imitation.events":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                assert "event" not in keys, f"{module}: {ast.unparse(node)}"

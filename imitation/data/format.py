"""Datasets on disk: one conversation a line, as JSON.

`{"id", "source", "messages": [{"role", "content"}], "meta": {}}`; only `messages` is needed. A
message with `"weight": 0` takes no loss, as in OpenAI's files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from imitation.disk import write_text
from imitation.errors import StorageError
from imitation.reading.json_text import parse_json
from imitation.reading.text import NotUtf8, check_bytes, decode, lines_of
from imitation.values import Example, Message, Refused, Speaker


def to_row(example: Example) -> dict[str, Any]:
    """The JSON object of one conversation."""
    return {
        "id": example.id,
        "source": example.source,
        "messages": [
            {**asdict(message), **({"weight": 0} if at in example.unlearned else {})}
            for at, message in enumerate(example.messages)
        ],
        "meta": dict(example.meta),
    }


def from_row(row: object) -> Example:
    """The conversation of one JSON object.

    Raises:
        ValueError: What is wrong with it, in words.
    """
    if not isinstance(row, Mapping):
        raise ValueError("not a JSON object")
    turns = row.get("messages")
    if not isinstance(turns, list) or not turns:
        raise ValueError("no list of messages")
    messages = []
    for turn in turns:
        if not isinstance(turn, Mapping) or turn.get("role") not in get_args(Speaker):
            raise ValueError("a message without a role of system, user or assistant")
        if not isinstance(turn.get("content"), str):
            raise ValueError("a message whose content is not text")
        messages.append(Message(turn["role"], turn["content"]))
    meta = row.get("meta")
    return Example(
        tuple(messages),
        str(row.get("source", "")),
        str(row.get("id", "")),
        meta if isinstance(meta, Mapping) else {},
        tuple(at for at, turn in enumerate(turns) if turn.get("weight") == 0),
    )


def read_examples(path: Path) -> tuple[list[Example], list[Refused]]:
    """The conversations of a file, and the lines that hold none with the reason.

    Raises:
        StorageError: The file cannot be read.
    """
    examples, refused = [], []
    for number, row in _rows(path, "surrogateescape"):
        try:
            examples.append(from_row(parse_json(check_bytes(row))))
        except ValueError as error:
            refused.append(Refused(str(path), number, str(error)))
    return examples, refused


def read_rows(path: Path) -> list[tuple[int, str]]:
    """Line numbers (from 1) and lines of a JSONL file, empty ones left out.

    Raises:
        StorageError: The file cannot be read or is not UTF-8.
    """
    return _rows(path)


def _rows(path: Path, errors: str = "strict") -> list[tuple[int, str]]:
    """As `read_rows`; with "surrogateescape" a bad byte is left to who reads its line."""
    try:
        lines = lines_of(decode(path.read_bytes(), errors))
    except (OSError, NotUtf8) as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write conversations as JSONL, replacing the file.

    Raises:
        StorageError: It cannot be written.
    """
    write_text(path, "".join(json.dumps(to_row(e), ensure_ascii=False) + "\n" for e in examples))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()

"""Every answer of a model, kept as it comes, so that a resumed evaluation asks none twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from imitation.errors import StorageError
from imitation.reading.text import lines_of


def key_of(kind: str, arguments: Sequence[Any], number: int) -> str:
    """Key of a request: what is asked, and the how manieth time in this task.

    Args:
        kind: lm-eval's request type, such as "generate_until".
        arguments: Its arguments: prompt and options, or context and continuation.
        number: 0, or higher for the same request again (repeats are drawn anew).
    """
    text = json.dumps([kind, *arguments], sort_keys=True, ensure_ascii=False, default=str)
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
    return f"{digest}:{number}"


class ResponseCache:
    """One model's file of answers: a JSON line each, appended and flushed at once.

    Half a line of a killed run is passed over and asked again.

    Args:
        path: The file; made when the first answer comes.

    Raises:
        StorageError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Any] = {}
        self._file: TextIO | None = None
        try:
            text = path.read_text("utf-8") if path.is_file() else ""
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error}.") from error
        for line in lines_of(text):
            try:
                row = json.loads(line)
                self._known[row["key"]] = row["answer"]
            except (ValueError, KeyError, TypeError):
                continue
        self._torn = bool(text) and not text.endswith("\n")

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Any:
        return self._known[key]

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: str, answer: Any, **about: Any) -> None:
        """Keep an answer, and what it is about, for people who read the file.

        Raises:
            StorageError: It cannot be written.
        """
        self._known[key] = answer
        row = {"key": key, **about, "answer": answer}
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a", encoding="utf-8", errors="replace")
                self._file.write("\n" * self._torn)
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error}.") from error

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None

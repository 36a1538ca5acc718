"""Datasets that were built: found, looked into, deleted."""

from __future__ import annotations

import json
import shutil
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from imitation.data.format import from_row
from imitation.data.manifest import JSONL, MANIFEST, PARQUET
from imitation.errors import StorageError, UserError
from imitation.values import Example

ANSWERS = "answers.jsonl"
"""In a folder of that name: what a model answered."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A built dataset.

    Attributes:
        folder: Where it lies; its name is the dataset's.
        manifest: How it was made, and what is in it.
    """

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.folder.name

    @property
    def jsonl(self) -> Path:
        """Its conversations, one a line."""
        return self.folder / JSONL

    @property
    def parquet(self) -> Path:
        """Its conversations as Parquet."""
        return self.folder / PARQUET

    @property
    def conversations(self) -> int:
        """How many it has."""
        return int(self.manifest["result"]["conversations"])

    @property
    def tokens(self) -> int:
        """Tokens of all messages, as its manifest says they were counted."""
        return int(self.manifest["result"]["tokens"])

    @property
    def sources(self) -> list[str]:
        """Names of its sources that something is left of."""
        return list(self.manifest["result"]["by_source"])


@dataclass(frozen=True, slots=True)
class Matches:
    """Conversations of a dataset that fit a search.

    Attributes:
        total: How many fit in all.
        examples: (number from 1, conversation) of the page asked for.
    """

    total: int
    examples: tuple[tuple[int, Example], ...]


def datasets(folder: Path) -> list[Dataset]:
    """The datasets built into a folder, newest first; what is no dataset is passed over."""
    found = []
    for place in folder.glob(f"*/{MANIFEST}"):
        if not place.parent.name.startswith("."):  # still being written
            try:
                found.append((place.stat().st_mtime, open_dataset(folder, place.parent.name)))
            except (UserError, OSError):
                continue
    return [dataset for _, dataset in sorted(found, key=lambda one: (-one[0], one[1].name))]


def open_dataset(folder: Path, name: str) -> Dataset:
    """The dataset of that name in a folder.

    Raises:
        UserError: There is none, or its manifest or data is broken.
    """
    place = folder / name
    try:
        there = name == place.name and name[:1] != "." and (place / MANIFEST).is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte
        there = False
    if not there:
        raise UserError(f"There is no dataset {name!r}.", "It may have been deleted.")
    try:
        dataset = Dataset(place, json.loads((place / MANIFEST).read_text("utf-8")))
        whole = dataset.jsonl.is_file() and dataset.conversations >= 0 and dataset.tokens >= 0
        whole = whole and all(isinstance(source, str) for source in dataset.sources)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"The manifest of {name} cannot be read: {error!r}.") from error
    if not whole:
        raise UserError(f"The dataset {name} has no {JSONL}.", "Build it again.")
    return dataset


def data_file(text: str | Path) -> Path:
    """The file of conversations that a path names: itself, or that of a dataset's folder."""
    path = Path(text)
    return path / JSONL if (path / JSONL).is_file() else path


def data_name(text: str | Path) -> str:
    """What people call the data of a path: a dataset and answers by their folder, else the file."""
    path = Path(text)
    return path.parent.name if path.name in (JSONL, PARQUET, ANSWERS) else path.name


def look(
    dataset: Dataset, text: str = "", source: str = "", start: int = 0, count: int = 10
) -> Matches:
    """A page of a dataset's conversations.

    Args:
        dataset: Which.
        text: Words that must all stand in its messages, whatever their case.
        source: Name of the source they must come from; "": any.
        start: Fitting conversations to pass over.
        count: At most so many.

    Raises:
        StorageError: The data cannot be read.
    """
    try:
        stamp = dataset.jsonl.stat()
        words = tuple(sorted(set(text.casefold().split())))
        fitting = _fitting(dataset.jsonl, stamp.st_mtime_ns, words, source)
        starts = _starts(dataset.jsonl, stamp.st_mtime_ns)
        page = []
        with dataset.jsonl.open("rb") as opened:
            for at in fitting[max(0, start) : max(0, start) + count]:
                opened.seek(starts[at])
                page.append((at + 1, from_row(json.loads(opened.readline()))))
    except (OSError, ValueError) as error:
        raise StorageError(f"{dataset.jsonl} cannot be read: {error}") from error
    return Matches(len(fitting), tuple(page))


def delete(dataset: Dataset) -> None:
    """Remove a dataset and its files.

    Raises:
        StorageError: It cannot be removed.
    """
    try:
        shutil.rmtree(dataset.folder)
        dataset.folder.with_name(f".{dataset.name}.lock").unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{dataset.folder} cannot be deleted: {error}.", "Make it writable, then try again."
        ) from error


@lru_cache(maxsize=8)
def _starts(path: Path, _changed: int) -> array[int]:
    """Where each line begins."""
    starts, at = array("q"), 0
    with path.open("rb") as opened:
        for line in opened:
            starts.append(at)
            at += len(line)
    return starts


@lru_cache(maxsize=16)
def _fitting(path: Path, changed: int, words: tuple[str, ...], source: str) -> array[int]:
    """Numbers, from 0, of the lines that fit."""
    if not words and not source:
        return array("q", range(len(_starts(path, changed))))
    # As they stand in JSON: most lines are ruled out without being parsed.
    raw = [json.dumps(word, ensure_ascii=False)[1:-1] for word in words]
    found = array("q")
    with path.open("rb") as opened:
        for number, line in enumerate(opened):
            text = line.decode("utf-8", "replace").casefold()
            if all(word in text for word in raw) and _fits(line, words, source):
                found.append(number)
    return found


def _fits(line: bytes, words: tuple[str, ...], source: str) -> bool:
    example = from_row(json.loads(line))
    said = "\n".join(message.content for message in example.messages).casefold()
    return (not source or example.source == source) and all(word in said for word in words)

"""Conversations of files and hub datasets in any known shape; what can't be read is counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imitation.data.rows import Row, read_file
from imitation.data.shapes import examples_of, recognise
from imitation.errors import UserError
from imitation.values import Example, Refused

HUB = "hub:"
REFUSALS = 100
"""Refused rows of a source that are kept with place and reason; all are counted."""
MAX_TEXT = 8_000_000_000
"""Characters of one source; what is beyond wants a limit."""

_NUMBER = re.compile(r"\d[\d,.]*")
_QUOTED = re.compile(r"'[^']*'")


@dataclass(frozen=True, slots=True)
class Source:
    """Where conversations come from.

    Attributes:
        name: Unique in a dataset; every conversation carries it.
        path: A file; or `hub:NAME`, `hub:NAME:CONFIG`, with `@SPLIT` behind it where it is not
            "train".
        licence: As its owner states it.
        weight: Its part of a mixture.
        files: For the hub: the files to read, where the dataset's own loading doesn't fit.
    """

    name: str
    path: str
    licence: str = ""
    weight: float = 1.0
    files: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came out of a source.

    Attributes:
        source: Which.
        examples: Its conversations, ids made unique.
        rows: Rows seen.
        shapes: Rows by shape.
        refused: The first rows left out, with place and reason.
        reasons: How many were left out, by reason (numbers and names in it replaced).
        renamed: Conversations whose id came before in the source; they got another.
    """

    source: Source
    examples: list[Example]
    rows: int
    shapes: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)
    renamed: int = 0


def preview(source: Source, count: int = 5) -> Loaded:
    """The first few conversations of a source, and what was refused before them.

    Raises:
        UserError: It can't be opened.
    """
    return load(source, limit=count)


def load(
    source: Source, limit: int | None = None, progress: Callable[[int], None] = lambda rows: None
) -> Loaded:
    """The conversations of a source.

    Args:
        source: Where from.
        limit: Conversations to stop after; None: all.
        progress: Told now and then how many rows were read.

    Raises:
        UserError: It can't be opened, or holds more text than MAX_TEXT.
    """
    examples: list[Example] = []
    names: dict[str, int] = {}
    shapes, reasons, refused = Counter[str](), Counter[str](), list[Refused]()
    rows = characters = renamed = 0
    for row in rows_of(source):
        rows += isinstance(row, Row) or row.line > 0
        try:
            if isinstance(row, Refused):
                raise ValueError(row.reason)
            shape = recognise(row.value)
            if shape is None:
                raise ValueError(_unknown(row.value))
            found = examples_of(row.value, shape, source.name, f"{row.file}:{row.line}")
        except ValueError as error:
            reasons[_QUOTED.sub("'...'", _NUMBER.sub("N", str(error)))[:100]] += 1
            if len(refused) < REFUSALS:
                refused.append(Refused(row.file, row.line, str(error)))
            continue
        shapes[shape.name] += 1
        for example in found:
            name = _free(example.id, names)
            renamed += name != example.id
            examples.append(example if name == example.id else replace(example, id=name))
            characters += sum(len(message.content) for message in example.messages)
        if characters > MAX_TEXT:
            raise UserError(
                f"{source.path} holds more than {MAX_TEXT / 1e9:.0f} billion characters.",
                "Set a limit of conversations.",
            )
        if rows % 5000 == 0:
            progress(rows)
        if limit is not None and len(examples) >= limit:
            examples = examples[:limit]
            break
    return Loaded(source, examples, rows, shapes, tuple(refused), reasons, renamed)


def rows_of(source: Source) -> Iterator[Row | Refused]:
    """Rows of a file or a hub dataset, in order.

    Raises:
        UserError: It can't be opened.
    """
    if source.path.startswith(HUB):
        return _hub(source)
    return read_file(Path(source.path))


def _hub(source: Source) -> Iterator[Row | Refused]:
    place, _, split = source.path.removeprefix(HUB).partition("@")
    name, _, config = place.partition(":")
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise UserError("Hub datasets need a library.", "pip install datasets") from error
    try:
        stream = iter(
            load_dataset(
                name,
                config or None,
                data_files=source.files or None,
                split=split or "train",
                streaming=True,
            )
        )
    except Exception as error:
        # The hub client, the network and every builder raise kinds of their own.
        raise UserError(
            f"The dataset {name} can't be had: {_first_line(error)}",
            "Check its name, configuration and split, and that the hub is reachable.",
        ) from error
    number = 0
    while True:
        number += 1
        try:
            yield Row(name, number, next(stream))
        except StopIteration:
            return
        except Exception as error:
            yield Refused(name, number, f"{_first_line(error)}; the rest was not read")
            return


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _unknown(row: Mapping[str, Any]) -> str:
    fields = ", ".join(sorted(str(key)[:30] for key in list(row)[:8]))
    return f"fields of no known shape: {fields}"


def _free(name: str, taken: dict[str, int]) -> str:
    """`name`, or where it is taken `name~2` and so on; `taken` holds the next number of each."""
    free = name
    while free in taken:
        taken[name] += 1
        free = f"{name}~{taken[name]}"
    taken[free] = 1
    return free

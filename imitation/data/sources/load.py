"""Conversations of files and hub datasets in any known shape; what can't be read is counted."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from imitation.data.html import has_html
from imitation.data.sources.rows import Row, read_file
from imitation.data.sources.schemas import Shape, examples_of, recognise
from imitation.data.sources.tables import rows_within
from imitation.errors import UserError
from imitation.values import Example, Refused

HUB = "hub:"
REFUSALS = 100
"""Refused rows of a source that are kept with place and reason; all are counted."""
TRIED = 20
"""Rows of what may be a table, one of which has to read as a conversation."""
LOOKED_AT = 10_000
"""Rows that are looked at for the first few conversations; a small file can hold many."""
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
        html: Conversations with an answer in HTML, as it was copied from a page.
    """

    source: Source
    examples: list[Example]
    rows: int
    shapes: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)
    renamed: int = 0
    html: int = 0


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
        limit: Conversations to stop after, at LOOKED_AT rows in any case; None: all.
        progress: Told now and then how many rows were read.

    Raises:
        UserError: It can't be opened, or holds more text than MAX_TEXT.
    """
    examples: list[Example] = []
    names: dict[str, int] = {}
    shapes, reasons, refused = Counter[str](), Counter[str](), list[Refused]()
    rows = characters = renamed = html = 0
    held = (one for row in rows_of(source) for one in _conversations(row, source.name))
    for one in held:
        if limit is not None and rows >= LOOKED_AT:
            break
        if isinstance(one, Refused):
            rows += one.line > 0
            reasons[_QUOTED.sub("'...'", _NUMBER.sub("N", one.reason))[:100]] += 1
            if len(refused) < REFUSALS:
                refused.append(one)
            continue
        rows += 1
        found, shape = one
        shapes[shape.name] += 1
        for example in found:
            name = _free(example.id, names)
            renamed += name != example.id
            examples.append(example if name == example.id else replace(example, id=name))
            characters += sum(len(message.content) for message in example.messages)
            html += any(m.role == "assistant" and has_html(m.content) for m in example.messages)
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
    return Loaded(source, examples, rows, shapes, tuple(refused), reasons, renamed, html)


def _read(row: Row, source: str) -> tuple[list[Example], Shape]:
    shape = recognise(row.value)
    if shape is None:
        raise ValueError(_unknown(row.value))
    return examples_of(row.value, shape, source, f"{row.file}:{row.line}"), shape


def _conversations(
    row: Row | Refused, source: str
) -> Iterator[tuple[list[Example], Shape] | Refused]:
    """What a row holds: conversations, or where it is a whole table those of each of its rows."""
    if isinstance(row, Refused):
        yield row
        return
    try:
        yield _read(row, source)
        return
    except ValueError as error:
        said = Refused(row.file, row.line, str(error))
    within = rows_within(row.value) or iter(())
    numbered = (Row(row.file, number, value) for number, value in enumerate(within, 1))
    first = list(islice(numbered, TRIED))
    if not any(map(_reads, first)):
        yield said
        return
    for inner in chain(first, numbered):
        try:
            yield _read(inner, source)
        except ValueError as error:
            yield Refused(inner.file, inner.line, str(error))


def _reads(row: Row) -> bool:
    try:
        return bool(_read(row, "")[0])
    except ValueError:
        return False


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
        hint = "pip install 'imitation-lab[eval]'"
        raise UserError("Hub datasets need a library.", hint) from error
    try:
        # A folder of that name would be taken for the dataset; in an empty one there is none.
        with tempfile.TemporaryDirectory() as empty, chdir(empty):
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
    return str(error).partition("\n")[0] or type(error).__name__


def _unknown(row: Mapping[str, Any]) -> str:
    if {"message_id", "parent_id", "text"} <= row.keys():
        return "one message of a tree; take the file of whole trees (a prompt with its replies)"
    fields = ", ".join(sorted(str(key)[:30] for key in list(row)[:8]))
    return f"fields of no known shape: {fields or 'none at all'}"


def _free(name: str, taken: dict[str, int]) -> str:
    """`name`, or where it is taken `name~2` and so on; `taken` holds the next number of each."""
    free = name
    while free in taken:
        taken[name] += 1
        free = f"{name}~{taken[name]}"
    taken[free] = 1
    return free

"""The first conversations of a source, small enough to be shown before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from imitation.data.sources.load import Loaded, Source, preview
from imitation.data.sources.schemas import SHAPES
from imitation.values import Refused

SHOWN = 5
"""Conversations and refused rows of a preview."""
LONGEST = 1_200
"""Characters of a message that are shown."""
TURNS = 8
"""Messages of a conversation that are shown."""


@dataclass(frozen=True, slots=True)
class Preview:
    """How a source was understood.

    Attributes:
        path: Of the source.
        name: Of the source.
        licence: As far as it is known.
        shapes: Shape -> the fields it was known by; the shapes of the rows looked at.
        conversations: Of each, (speaker, text) in turn; long texts and talks are cut.
        rows: Rows looked at.
        refused: The first rows that could not be read, and why.
        html: Conversations read that have an answer in HTML.
    """

    path: str
    name: str
    licence: str
    shapes: Mapping[str, tuple[str, ...]]
    conversations: tuple[tuple[tuple[str, str], ...], ...]
    rows: int
    refused: tuple[Refused, ...]
    html: int = 0


def preview_source(source: Source) -> Preview:
    """Look at the beginning of a source.

    Raises:
        UserError: It can't be opened.
    """
    return preview_of(preview(source, SHOWN))


def preview_of(loaded: Loaded) -> Preview:
    """What is shown of the conversations read."""
    known = {shape.name: shape.fields for shape in SHAPES}
    return Preview(
        path=loaded.source.path,
        name=loaded.source.name,
        licence=loaded.source.licence,
        shapes={name: known[name] for name in loaded.shapes},
        conversations=tuple(
            tuple((m.role, _cut(m.content)) for m in example.messages[:TURNS])
            for example in loaded.examples[:SHOWN]
        ),
        rows=loaded.rows,
        refused=loaded.refused[:SHOWN],
        html=loaded.html,
    )


def to_table(preview: Preview) -> dict[str, Any]:
    """A preview as plain values for JSON."""
    return asdict(preview)


def from_table(table: Mapping[str, Any]) -> Preview:
    """The preview of such values.

    Raises:
        KeyError: One is missing.
    """
    values = {field.name: table[field.name] for field in fields(Preview)}
    values["shapes"] = {name: tuple(known) for name, known in table["shapes"].items()}
    values["conversations"] = tuple(
        tuple((str(who), str(text)) for who, text in talk) for talk in table["conversations"]
    )
    values["refused"] = tuple(Refused(**row) for row in table["refused"])
    return Preview(**values)


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} ... ({len(text):,} characters in all)"

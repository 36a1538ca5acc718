"""Examples of a dataset, recorded outputs, and lines that could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imitation.values.chat import Message


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation of a dataset.

    Attributes:
        messages: Turns in order; system first if any.
        source: Where it came from.
        id: Stable within its source.
        meta: Anything kept along (query type, licence, answers known).
        unlearned: Positions of the messages that take no loss, whoever wrote them.
    """

    messages: tuple[Message, ...]
    source: str = ""
    id: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    unlearned: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A line or row that could not be read: where and why."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordedPrompt:
    """One user message that recorded answers reply to.

    Attributes:
        id: Unique in its recording; later turns of a conversation are "81/2", "81/3", ...
        text: The message.
        category: As its file names it, "" where it does not.
        earlier: The user's messages before it in the same conversation, oldest first.
    """

    id: str
    text: str
    category: str = ""
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """Recorded outputs: prompts, and what each model answered.

    Attributes:
        prompts: In the order of their files.
        answers: Model -> prompt id -> text; a model may have left prompts out.
        files: Model -> the files its answers came from.
        refused: Lines left out, and why.
    """

    prompts: tuple[RecordedPrompt, ...]
    answers: Mapping[str, Mapping[str, str]]
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order of their files."""
        return tuple(self.answers)

"""What every step of a dataset's making gives back: who stays, who goes, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from imitation.values import Example

SHOWN = 20
"""Dropped conversations that an outcome names."""

Verdict = tuple[str, str] | None
"""Why a conversation goes: the reason it is counted under, and what was seen; None: it stays."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """One conversation that was dropped."""

    id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one step.

    Attributes:
        kept: Conversations that stay, in their order.
        reasons: How many went, by reason.
        dropped: The first of them.
        changed: How many of those that stay were changed.
    """

    kept: list[Example]
    reasons: Mapping[str, int] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
    changed: int = 0


def sift(examples: Sequence[Example], verdicts: Iterable[Verdict]) -> Outcome:
    """Keep those without a verdict against them (one each, in order)."""
    kept, reasons, dropped = [], Counter[str](), list[Dropped]()
    for example, verdict in zip(examples, verdicts, strict=True):
        if verdict is None:
            kept.append(example)
            continue
        reasons[verdict[0]] += 1
        if len(dropped) < SHOWN:
            dropped.append(Dropped(example.id, *verdict))
    return Outcome(kept, dict(reasons.most_common()), tuple(dropped))


def query_of(example: Example) -> str:
    """The query of a conversation: its first user message."""
    return next((m.content for m in example.messages if m.role == "user"), "")


def answers_of(example: Example) -> list[str]:
    """What the model wrote, turn by turn."""
    return [m.content for m in example.messages if m.role == "assistant"]

"""Conversations as token ids, with labels on what the model wrote and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imitation.prompts import PromptFormat, Span
from imitation.values import Example

IGNORED = -100
"""Label of a token without loss, as torch's cross entropy knows it."""

Tokenize = Callable[[str], tuple[list[int], list[tuple[int, int]]]]
"""Text -> token ids and the characters (start, end) of each; adds no special tokens."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One conversation as tokens.

    Attributes:
        id: Of the example.
        ids: Token ids.
        labels: The same ids where the model is to learn them, else IGNORED; not shifted.
    """

    id: str
    ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def trained(self) -> int:
        """Tokens with a loss (the first of a text never has one, nothing precedes it)."""
        return sum(label != IGNORED for label in self.labels[1:])


def encode(
    example: Example, fmt: PromptFormat, tokenize: Tokenize, max_tokens: int
) -> Encoded | None:
    """Tokens and labels of a conversation; None where nothing is left to learn.

    Labels lie on the answers and the end-of-turn after each. An answer that its maker cut at a
    length limit (meta finish_reason "length") has not ended: its last end-of-turn gets no label.
    What exceeds `max_tokens` is cut off at the end.

    Raises:
        UserError: The format cannot render the messages.
    """
    rendered = fmt.render(example.messages)
    outputs = list(rendered.outputs)
    if outputs and example.meta.get("finish_reason") == "length":
        last = outputs[-1]
        start = rendered.text.find(example.messages[-1].content.strip(), last.start)
        length = len(example.messages[-1].content.strip())
        outputs[-1] = Span(last.start, max(start, last.start) + length, last.role)
    ids, places = tokenize(rendered.text)
    labels = _labels(ids, places, outputs)
    encoded = Encoded(example.id, tuple(ids[:max_tokens]), tuple(labels[:max_tokens]))
    return encoded if encoded.trained else None


def _labels(
    ids: Sequence[int], places: Sequence[tuple[int, int]], outputs: Sequence[Span]
) -> list[int]:
    """Labels where a token's characters lie wholly inside one of the outputs."""
    labels, at = [], 0
    for token, (start, end) in zip(ids, places, strict=True):
        while at < len(outputs) and outputs[at].end <= start:
            at += 1
        inside = at < len(outputs) and outputs[at].start <= start < end <= outputs[at].end
        labels.append(token if inside else IGNORED)
    return labels

"""Conversations as token ids, with labels on what the model wrote and nowhere else."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from imitation.prompts import PromptFormat, Span
from imitation.values import Example

IGNORED = -100
"""Label of a token without loss, as torch's cross entropy knows it."""

Tokenize = Callable[[str], tuple[list[int], list[tuple[int, int]]]]
"""Text -> token ids and the characters (start, end) of each; adds no special tokens."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One conversation as tokens, or several in a block.

    Attributes:
        id: Of the example; of a block, those of all in it.
        ids: Token ids.
        labels: The same ids where the model is to learn them, else IGNORED; not shifted.
        starts: Where each conversation in it begins, in ascending order.
    """

    id: str
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    starts: tuple[int, ...] = (0,)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each conversation in it, in order."""
        return [end - start for start, end in pairwise((*self.starts, len(self.ids)))]

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
    Answers among the example's `unlearned` get none at all. What exceeds `max_tokens` is cut off
    at the end.

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
    answers = [at for at, message in enumerate(example.messages) if message.role == "assistant"]
    learned = [
        output for at, output in zip(answers, outputs, strict=True) if at not in example.unlearned
    ]
    ids, places = tokenize(rendered.text)
    labels = _labels(ids, places, learned)
    encoded = Encoded(example.id, tuple(ids[:max_tokens]), tuple(labels[:max_tokens]))
    return encoded if encoded.trained else None


def split(encoded: Encoded, size: int) -> list[Encoded]:
    """A conversation in pieces of at most `size` tokens; those with nothing to learn are left out.

    A piece knows nothing of those before it, so its first token has no loss.
    """
    pieces = []
    for start in range(0, len(encoded.ids), size):
        ids = encoded.ids[start : start + size]
        labels = (IGNORED, *encoded.labels[start + 1 : start + size])
        pieces.append(Encoded(encoded.id, ids, labels))
    return [piece for piece in pieces if piece.trained]


def pack(pieces: Sequence[Encoded], size: int) -> list[Encoded]:
    """Blocks of at most `size` tokens that hold all the pieces, none of them cut.

    Best fit, the longest first: each goes where it leaves the least room. The same pieces give
    the same blocks, in the order of the first piece in each. Which tokens may attend to which is
    the reader's to keep, by `starts`.

    Raises:
        ValueError: A piece is longer than a block.
    """
    blocks: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, block), in order
    for index in sorted(range(len(pieces)), key=lambda i: (-len(pieces[i].ids), i)):
        length = len(pieces[index].ids)
        if length > size:
            raise ValueError(f"{pieces[index].id}: {length} tokens in blocks of {size}")
        at = bisect_left(room, (length, 0))
        left, block = room.pop(at) if at < len(room) else (size, len(blocks))
        if block == len(blocks):
            blocks.append([])
        blocks[block].append(index)
        insort(room, (left - length, block))
    ordered = sorted(sorted(block) for block in blocks)
    return [_joined([pieces[i] for i in block]) for block in ordered]


def _joined(pieces: Sequence[Encoded]) -> Encoded:
    starts: list[int] = []
    ids: list[int] = []
    labels: list[int] = []
    for piece in pieces:
        starts.append(len(ids))
        ids += piece.ids
        # Nothing of its own conversation precedes the first token: it has no loss.
        labels += [IGNORED, *piece.labels[1:]]
    return Encoded(", ".join(p.id or "?" for p in pieces), tuple(ids), tuple(labels), tuple(starts))


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

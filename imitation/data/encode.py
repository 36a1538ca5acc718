"""Conversations as token ids, with labels on what the model wrote and nowhere else."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from imitation.prompts import PromptFormat, Span
from imitation.values import Example

IGNORE_INDEX = -100
"""Label of a token without loss, as torch's cross entropy knows it."""

Tokenize = Callable[[str, bool], list[int]]
"""(text, whether with the special tokens that the tokenizer puts around one) -> token ids."""

_ANCHORS = ("\n", "a", ".")
"""Of a text that is cut where it begins; see `_continuation`."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One conversation as tokens, or several in a block.

    Attributes:
        id: Of the example; of a block, those of all in it.
        ids: Token ids.
        labels: The same ids where the model is to learn them, else IGNORE_INDEX; not shifted.
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
        return sum(label != IGNORE_INDEX for label in self.labels[1:])


def encode(
    example: Example, fmt: PromptFormat, tokenize: Tokenize, max_tokens: int
) -> list[Encoded]:
    """Tokens and labels of a conversation; empty where nothing is left to learn.

    Each answer follows the very tokens that its prompt has when a server is asked for it, and
    these end where the prompt's text ends: a text is cut into tokens otherwise where it goes on
    (an empty line at its end is one token, within it often two). Where an earlier turn has other
    tokens once later ones follow, the later answer is a sequence of its own, in which the earlier
    ones have no labels.

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
    found: list[tuple[list[int], list[int]]] = []
    for span in learned:
        before, said = rendered.text[: span.start], rendered.text[span.start : span.end]
        prompt = tokenize(before, fmt.special_tokens)
        if not found or prompt[: len(found[-1][0])] != found[-1][0]:
            found.append(([], []))
        ids, labels = found[-1]
        labels += [IGNORE_INDEX] * (len(prompt) - len(ids))
        ids += prompt[len(ids) :]
        answer = _continuation(tokenize, before, prompt, said, special=fmt.special_tokens)
        ids += answer
        labels += answer
    sequences = [
        Encoded(example.id, tuple(ids[:max_tokens]), tuple(labels[:max_tokens]))
        for ids, labels in found
    ]
    return [one for one in sequences if one.trained]


def _continuation(
    tokenize: Tokenize, before: str, prompt: list[int], said: str, *, special: bool
) -> list[int]:
    """Tokens of a text that goes on after a prompt, which has its own already.

    Where the whole has others at the border, it is cut behind a character that stays a token by
    itself: alone, many tokenizers would put a space before it.
    """
    whole = tokenize(before + said, special)
    if whole[: len(prompt)] == prompt:
        return whole[len(prompt) :]
    for anchor in _ANCHORS:
        alone, both = tokenize(anchor, False), tokenize(anchor + said, False)
        if alone and both[: len(alone)] == alone:
            return both[len(alone) :]
    return tokenize(said, False)


def split(encoded: Encoded, size: int) -> list[Encoded]:
    """A conversation in pieces of at most `size` tokens; those with nothing to learn are left out.

    A piece knows nothing of those before it, so its first token has no loss.
    """
    pieces = []
    for start in range(0, len(encoded.ids), size):
        ids = encoded.ids[start : start + size]
        labels = (IGNORE_INDEX, *encoded.labels[start + 1 : start + size])
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
        labels += [IGNORE_INDEX, *piece.labels[1:]]
    return Encoded(", ".join(p.id or "?" for p in pieces), tuple(ids), tuple(labels), tuple(starts))

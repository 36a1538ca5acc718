"""Draw a subset by tokens: of one set, or of a mixture by weights."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from imitation.data.steps.result import Outcome, sift
from imitation.values import Example

Count = Callable[[str], int]
"""Tokens of a text."""


def estimated_tokens(text: str) -> int:
    """Tokens without a tokenizer: a quarter of the UTF-8 bytes, rounded up."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def number_of_tokens(text: str) -> int:
    """A number of tokens such as 300000, 0.3M or 150M.

    Raises:
        ValueError: It is none.
    """
    factor = {"k": 1e3, "m": 1e6, "b": 1e9}.get(text[-1:].lower(), 1)
    value = float(text[:-1] if factor > 1 else text) * factor
    if not 1 <= value < 1e15:
        raise ValueError(f"{text!r} is not a number of tokens")
    return int(value)


def tokens_of(example: Example, count: Count) -> int:
    """Tokens of all messages of a conversation, without those of a prompt format."""
    return sum(count(message.content) for message in example.messages)


def sample_tokens(examples: Sequence[Example], budget: int, seed: int, count: Count) -> Outcome:
    """A random subset of at most `budget` tokens, in the order given.

    Conversations are drawn one by one; one that no longer fits is passed over.
    """
    sizes = [tokens_of(example, count) for example in examples]
    drawn, _ = _draw(sizes, budget, seed)
    return _only(examples, drawn, "over the token budget")


def mix(
    examples: Sequence[Example],
    weights: Sequence[tuple[str, float]],
    seed: int,
    count: Count,
    budget: int | None = None,
) -> Outcome:
    """A random subset in which each source has its share of the tokens.

    Args:
        examples: Of all sources.
        weights: Source and its weight; shares are weights over their sum.
        seed: Decides what is drawn; each source's draw depends on nothing but it.
        count: Counts tokens.
        budget: Tokens of the whole; None: as many as the scarcest source allows. A source that
            has less than its share gives all it has, and the rest isn't made up by others, so
            the mixture can be smaller than its budget.
    """
    sizes = [tokens_of(example, count) for example in examples]
    total = sum(weight for _, weight in weights)
    places = {
        name: [at for at, example in enumerate(examples) if example.source == name]
        for name, _ in weights
    }
    there = {name: sum(sizes[at] for at in found) for name, found in places.items()}
    if budget is None:
        budget = int(min((there[name] * total / w for name, w in weights if w > 0), default=0))
    drawn: set[int] = set()
    for name, weight in weights:
        share = int(budget * weight / total)
        chosen, _ = _draw([sizes[at] for at in places[name]], share, seed)
        drawn |= {places[name][at] for at in chosen}
    return _only(examples, drawn, "beyond its source's share")


def _draw(sizes: Sequence[int], budget: int, seed: int) -> tuple[set[int], int]:
    order = list(range(len(sizes)))
    random.Random(seed).shuffle(order)
    drawn, left = set(), budget
    for at in order:
        if sizes[at] <= left:
            drawn.add(at)
            left -= sizes[at]
    return drawn, budget - left


def _only(examples: Sequence[Example], drawn: set[int], why: str) -> Outcome:
    return sift(
        examples,
        (None if at in drawn else (why, "") for at in range(len(examples))),
    )

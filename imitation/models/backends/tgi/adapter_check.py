"""Whether a TGI server computes an adapter as it should: a few greedy tokens tell.

What a check costs, once for an adapter and start of the server: 9 prompts with one token each, then
about 12 of up to 4 tokens. All of it is compared with how far the server is from itself, since a
batch of another shape rounds otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Literal, Protocol

TEXTS = (
    "Write a short story about a lighthouse keeper.",
    "What is the capital of France?",
    "Explain how a bicycle stays upright.",
)
STEPS = 4
_CLEAR = 4.0

Verdict = Literal["right", "absent", "graphs", "mixed", "unknown"]
"""What a check found.

right: as it should be; absent: it answers as the base; graphs: only the first token is the
adapter's; mixed: other weights are read while others answer; unknown: no token could be compared.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One greedy token.

    Attributes:
        text: Its text.
        id: Its id.
        likely: Natural log-probabilities of the likeliest tokens by id, its own among them.
    """

    text: str
    id: int
    likely: Mapping[int, float]


class AdapterServer(Protocol):
    """A server that can be asked."""

    async def greedy(self, prompt: str, adapter: str, count: int) -> list[Step]:
        """Up to `count` greedy tokens after a prompt; adapter "" is the base."""
        ...

    async def tokens(self, text: str) -> list[int]:
        """Ids of the tokens of a text, special ones included."""
        ...

    def beside(self, adapters: Sequence[str], prompt: str) -> AbstractAsyncContextManager[None]:
        """While inside, these write answers of their own."""
        ...


async def check_adapter(
    asking: AdapterServer, prompts: Sequence[str], adapter: str, others: Sequence[str]
) -> Verdict:
    """What becomes of an adapter.

    Args:
        asking: The server.
        prompts: TEXTS, as the model is prompted.
        adapter: Its name.
        others: Adapters, "" for the base, that are asked at the same time as this one.

    Raises:
        BackendError: The server could not be asked.
    """
    if not await _differs(asking, prompts, adapter):
        return "absent"
    verdict = await _decodes(asking, prompts, adapter, others)
    if verdict == "mixed" and await _decodes(asking, prompts, adapter, ()) == "mixed":
        return "graphs"
    return verdict


async def _differs(asking: AdapterServer, prompts: Sequence[str], adapter: str) -> bool:
    """Whether the first token after a prompt is another than the base's, beyond its own noise."""
    differ = noise = 0.0
    for prompt in prompts:
        rows = [await asking.greedy(prompt, name, 1) for name in ("", adapter, "")]
        base, mine, again = (row[0].likely for row in rows)
        differ, noise = max(differ, _gap(base, mine)), max(noise, _gap(base, again))
    return differ > 2 * noise


async def _decodes(
    asking: AdapterServer, prompts: Sequence[str], adapter: str, others: Sequence[str]
) -> Verdict:
    """Whether tokens after the first are as likely as when the prompt already ends before them.

    The server computes those from the prompt alone, where its adapters are right.
    """
    prompt = prompts[0]
    async with asking.beside(others, prompt):
        steps = await asking.greedy(prompt, adapter, STEPS)
    off, effect = [], []
    for text, decoded in await _comparable(asking, prompt, steps):
        mine = (await asking.greedy(text, adapter, 1))[0].likely
        base = (await asking.greedy(text, "", 1))[0].likely
        off.append(_gap(decoded.likely, mine))
        effect.append(_gap(base, mine))
    steps = await asking.greedy(prompt, "", STEPS)
    noise = [
        _gap(decoded.likely, (await asking.greedy(text, "", 1))[0].likely)
        for text, decoded in await _comparable(asking, prompt, steps)
    ]
    if not off or not noise or fmean(effect) <= 2 * fmean(noise):
        return "unknown"
    wrong = fmean(off) > max(_CLEAR * fmean(noise), fmean(effect) / _CLEAR)
    return "mixed" if wrong else "right"


async def _comparable(
    asking: AdapterServer, prompt: str, steps: Sequence[Step]
) -> list[tuple[str, Step]]:
    """(prompt with the tokens so far, next token), as long as the text becomes these tokens."""
    found, ids = [], await asking.tokens(prompt)
    for step, following in pairwise(steps):
        prompt, ids = prompt + step.text, [*ids, step.id]
        if not step.text or await asking.tokens(prompt) != ids:
            break
        found.append((prompt, following))
    return found


def _gap(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """Largest difference of a token's log-probability that is certain, in nats.

    A token that only one names is, in the other, at most as likely as the last that is named there.
    """
    return max(_above(one, other), _above(other, one))


def _above(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """How much likelier than in `other` a token of `one` is at least; 0 for none."""
    least = min(other.values())
    return max(0.0, *(value - other.get(token, least) for token, value in one.items()))

"""Fitting a conversation to a model's context: the oldest turns go first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from imitation.errors import BackendError
from imitation.values import Message

Counter = Callable[[Sequence[Message]], Awaitable[int]]
"""Tokens of the prompt these messages become, template and all, counted exactly."""

_TEMPLATE = 64
_PER_MESSAGE = 16
_BYTES_PER_TOKEN = 3
_MOST_BYTES_PER_TOKEN = 6


@dataclass(frozen=True, slots=True)
class Truncated:
    """What is sent and what was left out.

    Attributes:
        kept: Messages to send.
        dropped: Messages left out, oldest first.
        estimated: True where what to drop rests on an estimate of the tokens.
    """

    kept: tuple[Message, ...]
    dropped: tuple[Message, ...] = ()
    estimated: bool = False


def estimate(messages: Sequence[Message], bytes_per_token: int = _BYTES_PER_TOKEN) -> int:
    """Tokens the messages may become, on the high side.

    UTF-8 bytes / 3, where common tokenizers make 1 token of 3.5 to 4.5 bytes of English, plus
    16 a message and 64 a prompt for what a template adds.
    """
    return -(-_size(messages) // bytes_per_token) + _PER_MESSAGE * len(messages) + _TEMPLATE


def _size(messages: Sequence[Message]) -> int:
    return sum(len(m.content.encode("utf-8", "replace")) for m in messages)


async def fit(
    messages: Sequence[Message],
    *,
    name: str,
    context: int,
    reserve: int,
    count: Counter | None = None,
    longest: int | None = None,
) -> Truncated:
    """The messages that fit into `context` tokens with `reserve` kept free for the answer.

    Whole turns are dropped, a query with its answer, oldest first; never the system message, nor
    the last query and what follows it. Without `count` the tokens are estimated: an estimate
    decides what to drop, but refuses only what no tokenizer could fit.

    Args:
        messages: The conversation; system first, if any.
        name: The model's name, for the error.
        context: Context length, tokens.
        reserve: Most tokens the answer may have.
        count: Counts exactly; asked only when it could matter.
        longest: Most tokens of the messages alone, where the server limits them too.

    Raises:
        BackendError: The answer leaves no room, or what must be kept is too long alone.
    """
    room = context - reserve
    if room <= 0:
        raise BackendError(
            f"{name} has a context of {context} tokens, and the answer alone may take {reserve}.",
            f"Ask for fewer than {context} new tokens.",
        )
    why = f"{context} less {reserve} for the answer"
    if longest is not None and longest < room:
        room, why = longest, "the longest prompt its server takes"
    messages = tuple(messages)
    # No tokenizer makes more than one token of a byte.
    if estimate(messages, 1) <= room:
        return Truncated(messages)
    first = 1 if messages and messages[0].role == "system" else 0
    starts = [i for i, m in enumerate(messages) if m.role == "user" and i > first]
    cuts = [first, *starts]

    async def tokens(cut: int) -> int:
        kept = messages[:first] + messages[cut:]
        return estimate(kept) if count is None else await count(kept)

    low, high = 0, len(cuts) - 1
    while low < high:
        middle = (low + high) // 2
        if await tokens(cuts[middle]) <= room:
            high = middle
        else:
            low = middle + 1
    kept = messages[:first] + messages[cuts[low] :]
    if low == len(cuts) - 1:
        least = _size(kept) // _MOST_BYTES_PER_TOKEN
        needed = least if count is None else await count(kept)
        if needed > room:
            about = "at least about " if count is None else ""
            raise BackendError(
                f"The prompt takes {about}{needed} tokens, and {name} has room for {room} ({why}).",
                "Shorten the prompt or ask for fewer new tokens.",
            )
    return Truncated(kept, messages[first : cuts[low]], estimated=count is None)

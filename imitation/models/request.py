"""From a conversation to what is sent: cleaned, fitted to the context, rendered where that is ours.

Both streaming clients begin here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from imitation.errors import BackendError
from imitation.models.truncation import fit
from imitation.prompts import ChatTemplate, PromptFormat, prompt_format
from imitation.text import clean
from imitation.values import Message, ModelSpec, Sampling

MOST_STOPS = 4
"""Stop strings servers take; an answer is cut at any further ones here."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a server offers beyond generating.

    Attributes:
        render: The prompt text the server makes of messages in its chat format.
        count: Tokens the server makes of a prompt text, special tokens included.
    """

    render: Callable[[Sequence[Message]], Awaitable[str]]
    count: Callable[[str], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent.

    Attributes:
        messages: Turns that fit.
        dropped: Turns left out, oldest first.
        prompt: The rendered text; None where only the server knows it.
        stop: Every stop string, those of the format first; only MOST_STOPS can be sent.
        note: What the reader should know.
    """

    messages: tuple[Message, ...]
    dropped: tuple[Message, ...]
    prompt: str | None
    stop: tuple[str, ...]
    note: str


async def prepare(
    card: ModelSpec,
    messages: Sequence[Message],
    sampling: Sampling,
    hooks: Hooks | None,
    longest: int | None = None,
) -> Request:
    """The request for an answer to `messages`.

    Args:
        card: The model.
        messages: The conversation.
        sampling: How it is to be answered.
        hooks: What its server offers, if it does.
        longest: Most tokens of a prompt, where the server has a limit of its own for that.

    Raises:
        BackendError: The conversation cannot be made to fit.
    """
    own = None if card.prompt_format == "chat" else format_of(card)

    async def render(turns: Sequence[Message]) -> str | None:
        if own is not None:
            return own.render(turns, add_generation_prompt=True).text
        return await hooks.render(turns) if hooks else None

    async def count(turns: Sequence[Message]) -> int:
        assert hooks is not None
        return await hooks.count(await render(turns) or "")

    fitted = await fit(
        [Message(m.role, clean(m.content)) for m in messages],
        name=card.name,
        context=card.context,
        reserve=sampling.max_tokens,
        count=count if hooks else None,
        longest=longest,
    )
    try:
        prompt = await render(fitted.kept)
    except BackendError:
        # Shown only; the request itself will say what is wrong, and can be tried again.
        prompt = None
    return Request(
        messages=fitted.kept,
        dropped=fitted.dropped,
        prompt=prompt,
        stop=(*(own.stop if own else ()), *sampling.stop),
        note="What to drop was decided by an estimate of the tokens." if fitted.estimated else "",
    )


def format_of(card: ModelSpec) -> PromptFormat:
    """The format a card's conversations are written in; a chat template is its server's alone."""
    chat = card.prompt_format == ChatTemplate.name
    values = {"end_of_turn": card.end_of_turn} if card.end_of_turn and not chat else {}
    return prompt_format(card.prompt_format, **values)


def in_format(card: ModelSpec, fmt: PromptFormat) -> ModelSpec:
    """A card that has its conversations written in a format, such as a checkpoint's."""
    own = "" if isinstance(fmt, ChatTemplate) else getattr(fmt, "end_of_turn", "")
    return replace(card, prompt_format=fmt.name, end_of_turn=own)


def as_dicts(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as both protocols write them."""
    return [{"role": m.role, "content": m.content} for m in messages]

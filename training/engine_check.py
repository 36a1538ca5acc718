"""Proof that the engine answers with a file as transformers does with what was trained."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imitation.data.encode import IGNORE_INDEX, encode
from imitation.errors import IntegrityError
from imitation.models.backends.registry import complete
from imitation.models.catalog import ModelSpec
from imitation.models.embedded.engine import EmbeddedBackend
from imitation.models.http.sessions import Sessions
from imitation.settings import Settings
from imitation.values import Completion, Example, Message, Sampling
from training.base import Base

TOKENS = 24
TOSS_UP = 0.5
"""Logits by which transformers may prefer another token than the engine's.

The engine rounds activations to 8 bits, so where two tokens are all but equally likely its choice
is a toss-up. Anything else is a wrong adapter: with the base alone, or an adapter in the wrong
order, choices are off by several logits.
"""
_REMOVED = "The file was removed; the checkpoint is kept."


@dataclass(frozen=True, slots=True)
class Proof:
    """How the engine's greedy answers compare with transformers'.

    Attributes:
        answers: Answers compared.
        tokens: Tokens in them.
        toss_ups: Tokens that transformers would have chosen differently, all within TOSS_UP.
        largest: Largest preference of transformers for another token, in logits.
    """

    answers: int
    tokens: int
    toss_ups: int
    largest: float


def prove(
    model: Any,
    base: Base,
    card: ModelSpec,
    asked: Sequence[Sequence[Message]],
    settings: Settings,
) -> Proof:
    """Compare the engine's greedy answers with transformers' own, word for word.

    Where they part, the engine's must be as good as the other to transformers at every token.
    Before that the engine is given each prompt as text: the tokens it makes of it must be those
    that answers were trained to follow.

    Raises:
        IntegrityError: The engine reads a prompt otherwise, or at some token transformers clearly
            prefers another.
    """
    gaps: list[float] = []
    for read, answer in asyncio.run(_served(card, asked, settings)):
        messages = answer.sent.messages
        prompt, said = _learned(base, answer)
        if read != prompt:
            raise IntegrityError(_read_otherwise(base, messages, read, prompt), _REMOVED)
        found = gaps_to(model, base, prompt, said, answer)
        if found and max(found) > TOSS_UP:
            raise IntegrityError(
                f"What was exported is not what was trained. Asked {messages[-1].content!r}, the "
                f"engine says {answer.text!r}, where transformers prefers another token by "
                f"{max(found):.2f} logits.",
                _REMOVED,
            )
        gaps += found
    return Proof(len(asked), len(gaps), sum(gap > 0 for gap in gaps), max(gaps, default=0.0))


def _learned(base: Base, answer: Completion) -> tuple[list[int], list[int]]:
    """Tokens of a prompt and of the engine's answer to it, as training would have them."""
    messages = answer.sent.messages
    ended = answer.done.finish_reason == "stop"
    # Cut at the limit: the tokens of half a word can't be told from its letters.
    text = answer.text if ended else answer.text.rpartition(" ")[0] or answer.text
    meta = {"finish_reason": "stop" if ended else "length"}
    whole = Example((*messages, Message("assistant", text)), meta=meta)
    sequences = encode(whole, base.fmt, base.tokenize, sys.maxsize)
    if not sequences:  # nothing was said before the limit
        return base.prompt_ids(messages), []
    ids, labels = sequences[-1].ids, sequences[-1].labels
    start = next(at for at in range(len(ids), 0, -1) if labels[at - 1] == IGNORE_INDEX)
    return list(ids[:start]), list(ids[start:])


def _read_otherwise(
    base: Base, messages: Sequence[Message], read: Sequence[int], prompt: Sequence[int]
) -> str:
    """That the engine makes other tokens of a prompt than were trained, and where."""
    at = next((i for i, (a, b) in enumerate(zip(read, prompt, strict=False)) if a != b), None)
    at = min(len(read), len(prompt)) if at is None else at
    theirs, ours = (
        base.tokenizer.convert_ids_to_tokens(ids[at : at + 3]) for ids in (read, prompt)
    )
    return (
        f"The engine reads a prompt otherwise than it was trained: from token {at + 1} of "
        f"{messages[-1].content!r} on it has {theirs}, training {ours}."
    )


def gaps_to(
    model: Any, base: Base, prompt: Sequence[int], said: Sequence[int], answer: Completion
) -> list[float]:
    """By how many logits transformers prefers another token, at each token of an answer.

    All zeros where its own greedy answer is the same text.

    Args:
        model: As trained.
        base: Its tokenizer.
        prompt: Tokens.
        said: Those of the answer.
        answer: The engine's.
    """
    import torch

    model.eval()
    before, start = torch.tensor([list(prompt)], device=model.device), len(prompt)
    with torch.no_grad():
        own = model.generate(
            input_ids=before,
            attention_mask=torch.ones_like(before),
            max_new_tokens=TOKENS,
            do_sample=False,
            pad_token_id=base.tokenizer.pad_token_id,
        )[0, start:]
        if base.tokenizer.decode(own, skip_special_tokens=True).strip() == answer.text.strip():
            return [0.0] * len(own)
        after = torch.tensor([list(said)], dtype=torch.long, device=model.device)
        logits = model(torch.cat([before, after], dim=1)).logits[0, start - 1 : -1].float()
    chosen = logits.gather(1, after[0].unsqueeze(1)).squeeze(1)
    return [float(gap) for gap in logits.max(dim=-1).values - chosen]


async def _served(
    card: ModelSpec, asked: Sequence[Sequence[Message]], settings: Settings
) -> list[tuple[list[int], Completion]]:
    """The tokens the engine makes of each conversation's prompt, and its answer."""
    engine, sessions = EmbeddedBackend(settings), Sessions(settings.timeout_s)
    sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=TOKENS)
    try:
        async with engine.server(card) as root:
            found = []
            for messages in asked:
                answer = await complete(engine, card, messages, sampling)
                # The text as the engine itself rendered it, where the format is the model's own.
                body = {"content": answer.sent.prompt, "add_special": True, "parse_special": True}
                read = await sessions.ask(card, f"{root}/tokenize", body)
                found.append((list(read["tokens"]), answer))
            return found
    finally:
        await sessions.close()
        await engine.close()

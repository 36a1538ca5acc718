"""The named endpoints for programs: compare, models, published."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from dashboards.shell.context import Context
from dashboards.shell.model_choice import MAX_COLUMNS
from imitation.errors import UserError
from imitation.models.streaming import Round, check_sampling, conversation
from imitation.text import clean
from imitation.values import Answer, ModelSpec, Sampling


def models(context: Context) -> list[dict[str, Any]]:
    """Every card of the catalog: id, name, role, base, params_b, stand_in, licence, notes."""
    keys = ("id", "name", "role", "backend", "base", "params_b", "stand_in", "licence", "notes")
    return [{key: getattr(card, key) for key in keys} for card in context.catalog().values()]


async def compare(
    context: Context, prompt: str, names: list[str], system: str, sampling: Sampling
) -> AsyncGenerator[dict[str, Any], None]:
    """Snapshots of one prompt's answers by several models at once; the last one is complete.

    Nothing is stored. Each is {"columns": [{"model", "role", "state", "text", "error", "tokens",
    "tokens_are_approximate", "first_token_s", "total_s", "tokens_per_s", "finish_reason",
    "was_shortened"}]}; the last is true where the server allowed fewer tokens than asked for.

    Raises:
        UserError: No prompt, wrong number of models, an unknown one, or a parameter out of range.
    """
    for name, text in (("prompt", prompt), ("system", system)):
        if not isinstance(text, str):
            raise UserError(f"{name} = {text!r:.40} should be text.")
    prompt = clean(prompt.replace("\x00", "").strip())
    if not prompt:
        raise UserError("There is no prompt.", "Pass a question.")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"models = {names!r:.80} should be a list of ids.", "See /models.")
    if not 1 <= len(names) <= MAX_COLUMNS:
        raise UserError(
            f"{len(names)} models were named.", f"Name 1 to {MAX_COLUMNS}; see /models."
        )
    system, sampling = clean(system), check_sampling(sampling)
    catalog = context.catalog()
    cards = [catalog[name] for name in names]
    messages = [conversation(system, (), index, prompt) for index in range(len(cards))]
    running = Round(context.backends, cards, messages, sampling)
    running.start()
    async with aclosing(running.watch()) as snapshots:
        async for answers in snapshots:
            columns = zip(cards, answers, strict=True)
            yield {"columns": [_column(card, answer) for card, answer in columns]}


def _column(card: ModelSpec, answer: Answer) -> dict[str, Any]:
    done = answer.done
    counted = done is not None and done.completion_tokens is not None
    return {
        "model": card.id,
        "role": card.role,
        "state": answer.state,
        "text": answer.text,
        "error": " ".join(answer.error).strip() if answer.error else None,
        "tokens": done.completion_tokens if done and counted else answer.tokens,
        "tokens_are_approximate": done.tokens_are_approximate if done and counted else True,
        "first_token_s": answer.first_token_s,
        "total_s": answer.elapsed_s,
        "tokens_per_s": done.tokens_per_s if done else None,
        "finish_reason": done.finish_reason if done else None,
        "was_shortened": done.was_shortened if done else False,
    }

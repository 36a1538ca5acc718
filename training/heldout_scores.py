"""Held-out style and fact scores while a model trains: few prompts, greedy answers, intervals.

Style: words shared with the reference's answers to conversations kept out of training. Facts:
questions of the packaged facts' "evaluate" side, which no shipped data trains on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch

from imitation.evaluation.metrics.style import unigram_intersection
from imitation.evaluation.statistics.bootstrap import bootstrap_mean
from imitation.evaluation.statistics.intervals import wilson
from imitation.facts import check, facts_of
from imitation.values import Example, Interval, Message
from training.base import Base

TOKENS = 48
"""Of an answer; the reference's is cut to as many of its own before they are compared."""
BATCH = 8


def style_score(
    model: Any, base: Base, kept_out: Sequence[Example], items: int, check_stop: Callable[[], None]
) -> Interval:
    """Mean share of words in common with the reference's first answer; None without any."""
    asked = [e for e in kept_out if _opening(e)][:items]
    answers = answer(model, base, [_opening(e) for e in asked], check_stop)
    found = [
        unigram_intersection(text, _cut(base, _reference(e)))
        for e, text in zip(asked, answers, strict=True)
    ]
    return bootstrap_mean([value for value in found if value is not None])


def fact_score(
    model: Any, base: Base, items: int, seed: int, check_stop: Callable[[], None]
) -> Interval:
    """Share of held-out facts told right; the same ones at each step of a run."""
    every = facts_of("evaluate")
    facts = random.Random(seed).sample(every, min(items, len(every)))
    asked = [(Message("user", fact.question),) for fact in facts]
    answers = answer(model, base, asked, check_stop)
    right = [check(fact, text) for fact, text in zip(facts, answers, strict=True)]
    return wilson(sum(right), len(right))


def answer(
    model: Any,
    base: Base,
    asked: Sequence[Sequence[Message]],
    check_stop: Callable[[], None] = lambda: None,
) -> list[str]:
    """Greedy answers of at most TOKENS tokens, in order; training goes on as it was."""
    training, told = model.training, []
    model.eval()
    try:
        with torch.no_grad():
            for start in range(0, len(asked), BATCH):
                check_stop()
                told += _batch(model, base, asked[start : start + BATCH])
    finally:
        model.train(training)
    return told


def _batch(model: Any, base: Base, asked: Sequence[Sequence[Message]]) -> list[str]:
    prompts = [base.prompt_ids(messages) for messages in asked]
    inputs = base.tokenizer.pad({"input_ids": prompts}, return_tensors="pt", padding_side="left")
    inputs = inputs.to(model.device)
    out = model.generate(
        **inputs,
        max_new_tokens=TOKENS,
        do_sample=False,
        pad_token_id=base.tokenizer.pad_token_id,
    )
    answers: list[str] = base.tokenizer.batch_decode(
        out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    return [text.strip() for text in answers]


def _opening(example: Example) -> tuple[Message, ...]:
    """The messages before a conversation's first answer."""
    roles = [message.role for message in example.messages]
    return example.messages[: roles.index("assistant")] if "assistant" in roles else ()


def _reference(example: Example) -> str:
    return example.messages[len(_opening(example))].content


def _cut(base: Base, text: str) -> str:
    ids = base.tokenizer(text, add_special_tokens=False)["input_ids"][:TOKENS]
    return str(base.tokenizer.decode(ids, skip_special_tokens=True))

"""A model as judge of two answers, or of one: what it is told. `verdicts` reads its answers.

The judge is asked about every pair in both orders. A rubric with a place for one answer alone
(tone: yes or no) is asked about each answer once. An answer that holds no verdict stays what it
is, a judgement without one: it is counted and never scored.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from imitation.errors import UserError
from imitation.values import ModelSpec, Pair

PLACES = ("question", "answer_1", "answer_2")
"""In a rubric for pairs."""
ONE = "answer"
"""The place that makes a rubric one for single answers."""
CHARACTERS_PER_TOKEN = 4.0
"""Of English text, roughly; used for quotes alone."""

_PLACE = re.compile("|".join(rf"\{{{place}\}}" for place in (*PLACES, ONE)))


@dataclass(frozen=True, slots=True)
class Rubric:
    """What a judge is told.

    Attributes:
        id: Its name in `rubrics.toml`.
        name: What people read.
        about: Where it comes from, what it is for.
        text: With places for {question}, {answer_1} and {answer_2}; or for {answer} alone.
    """

    id: str
    name: str
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Quote:
    """What judging will take at most.

    Attributes:
        requests: Questions to the judge.
        prompt_tokens: About, from the number of characters.
        completion_tokens: At most.
        dollars: At most; None where the card states no price.
        local: The judge runs on this machine, which costs no fee.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None
    local: bool


@cache
def rubrics() -> Mapping[str, Rubric]:
    """The shipped rubrics, the default one first."""
    text = files("imitation.evaluation.judging").joinpath("rubrics.toml").read_text("utf-8")
    return {
        name: Rubric(name, row["name"], row["about"], row["text"].strip())
        for name, row in tomllib.loads(text).items()
    }


def default_judge(cards: Sequence[ModelSpec]) -> ModelSpec | None:
    """GPT-4 where a card has it, else a model with a key, else the reference; None without any."""
    ranked = sorted(
        cards,
        key=lambda card: (
            "gpt-4" not in f"{card.id} {card.model}".lower(),
            not card.api_key_env,
            card.role != "reference",
        ),
    )
    return ranked[0] if ranked else None


def check_rubric(text: str) -> str:
    """A rubric without blanks at its ends.

    Raises:
        UserError: A place for the question or an answer is missing, or it has places for both one
            answer and two.
    """
    if rates_one(text) and any(f"{{{place}}}" in text for place in PLACES[1:]):
        raise UserError(
            "The rubric has places for one answer and for two.",
            "Write {answer} to have each answer judged alone, {answer_1} and {answer_2} for pairs.",
        )
    wanted = PLACES[:1] if rates_one(text) else PLACES
    missing = [place for place in wanted if f"{{{place}}}" not in text]
    if missing:
        named = ", ".join(f"{{{place}}}" for place in missing)
        raise UserError(
            f"The rubric has no place for {named}.", f"Write {named} where it should stand."
        )
    return text.strip()


def rates_one(rubric: str) -> bool:
    """Whether a rubric is about single answers."""
    return f"{{{ONE}}}" in rubric


def is_tone(rubric: str) -> bool:
    """Whether a rubric asks for the tone of single answers: the shipped one, edited or not."""
    return rates_one(rubric) and "tone" in rubric.lower()


def items(rubric: str, pairs: Sequence[Pair]) -> list[Pair]:
    """What a rubric is asked about: pairs, or each answer of theirs once.

    A single answer is a pair whose second model and answer are "".
    """
    if not rates_one(rubric):
        return [pair for pair in pairs if all(pair.models)]
    singles = (
        Pair(pair.prompt, (model, ""), (answer, ""))
        for pair in pairs
        for model, answer in zip(pair.models, pair.answers, strict=True)
        if model
    )
    return list(dict.fromkeys(singles))


def ask(rubric: str, pair: Pair) -> str:
    """The question to the judge; what stands in an answer is never taken for a place."""
    values = dict(zip(PLACES, (pair.prompt, *pair.answers), strict=True))
    values[ONE] = pair.answers[0]
    return _PLACE.sub(lambda match: values[match.group()[1:-1]], rubric)


def quote(
    card: ModelSpec, pairs: Sequence[Pair], rubric: str, *, both_orders: bool, max_tokens: int
) -> Quote:
    """What judging these `items` will take at most.

    Tokens of the questions are estimated from their characters; the answers may all be as long
    as is allowed.
    """
    orders = 2 if both_orders and not rates_one(rubric) else 1
    characters = sum(len(ask(rubric, pair)) for pair in pairs)
    sent = round(orders * characters / CHARACTERS_PER_TOKEN)
    requests = orders * len(pairs)
    written = requests * max_tokens
    return Quote(requests, sent, written, dollars(card, sent, written), is_local(card))


def dollars(card: ModelSpec, prompt_tokens: int, completion_tokens: int) -> float | None:
    """What so many tokens cost by the card's prices; None where it states none."""
    if is_local(card):
        return 0.0
    if card.price_in is None or card.price_out is None:
        return None
    return (prompt_tokens * card.price_in + completion_tokens * card.price_out) / 1e6


def is_local(card: ModelSpec) -> bool:
    """Whether a model runs in this app, which costs no fee."""
    return card.backend in ("embedded", "recorded")

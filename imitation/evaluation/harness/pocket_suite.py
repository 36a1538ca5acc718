"""Documents of the pocket suite: held-out facts as open and as multiple-choice questions.

Subjects are those of the packaged facts' evaluation side, so nothing about them was ever trained
on (`imitation.facts`). Examples in the prompt come from the "show" side, which is neither trained
on nor scored. Everything is settled by hashes: the same version gives the same questions, wrong
choices and order on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from imitation.facts import Fact, facts_of, further_facts, show_facts

CHOICES = 4


def open_questions() -> dict[str, list[dict[str, Any]]]:
    """Short-answer documents by split: "show" (examples) and "evaluate"."""
    return {
        "show": [_open(fact) for fact in _spread(show_facts())],
        "evaluate": [_open(fact) for fact in _spread(facts_of("evaluate"))],
    }


def choice_questions() -> dict[str, list[dict[str, Any]]]:
    """Four-way documents by split; those to evaluate include the facts too hard to ask openly."""
    held_out = (*facts_of("evaluate"), *further_facts())
    return {
        "show": [_choice(fact) for fact in _spread(show_facts())],
        "evaluate": [_choice(fact) for fact in _spread(held_out)],
    }


def _open(fact: Fact) -> dict[str, Any]:
    return {
        "id": fact.id,
        "topic": fact.topic,
        "question": fact.question,
        "answers": list(fact.answers),
    }


def _choice(fact: Fact) -> dict[str, Any]:
    wrong = _wrong(fact)[: CHOICES - 1]
    place = _hash(f"place:{fact.id}") % CHOICES
    choices = [*wrong[:place], fact.answers[0], *wrong[place:]]
    return {
        "id": fact.id,
        "topic": fact.topic,
        "question": fact.question,
        "choices": choices,
        "answer": place,
    }


def _wrong(fact: Fact) -> list[str]:
    """Other answers of the topic, none of them right here nor named in the question."""
    right = {answer.casefold() for answer in fact.answers}
    question = fact.question.casefold()
    others = [
        answer
        for answer in _answers(fact.topic)
        if answer.casefold() not in right and answer.casefold() not in question
    ]
    return sorted(others, key=lambda answer: _hash(f"{fact.id}:{answer}"))


@cache
def _answers(topic: str) -> tuple[str, ...]:
    """The usual answers of a topic, each once, of every side of the split."""
    every: Sequence[Fact] = (*facts_of("train"), *facts_of("evaluate"), *further_facts())
    return tuple(dict.fromkeys(fact.answers[0] for fact in every if fact.topic == topic))


def _spread(facts: Iterable[Fact]) -> list[Fact]:
    """In an order that any limit cuts fairly: topics mixed."""
    return sorted(facts, key=lambda fact: _hash(f"order:{fact.id}"))


def _hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)

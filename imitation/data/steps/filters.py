"""Filters that are off unless asked for: length of answers, refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from imitation.data.steps.result import Outcome, Verdict, answers_of, sift
from imitation.values import Example

PHRASES = Path(__file__).with_name("refusals.json")
OPENING = 300
"""Characters of an answer in which a refusal shows."""


def keep_lengths(examples: Sequence[Example], least: int, most: int) -> Outcome:
    """Drop conversations whose answers have fewer or more words, all turns together."""

    def verdicts() -> Iterator[Verdict]:
        for example in examples:
            words = sum(len(answer.split()) for answer in answers_of(example))
            if words < least:
                yield f"fewer than {least} words", f"{words} words"
            elif words > most:
                yield f"more than {most} words", f"{words} words"
            else:
                yield None

    return sift(examples, verdicts())


def drop_refusals(examples: Sequence[Example]) -> Outcome:
    """Drop conversations with an answer that opens by refusing."""

    def verdicts() -> Iterator[Verdict]:
        for example in examples:
            phrase = next((p for a in answers_of(example) if (p := refusal(a))), None)
            yield None if phrase is None else ("refusal", phrase)

    return sift(examples, verdicts())


def refusal(answer: str) -> str | None:
    """The refusing phrase an answer opens with; None where it doesn't refuse."""
    # Apostrophes come in two forms.
    match = _phrases().search(answer[:OPENING].replace("\u2019", "'"))
    return match.group() if match else None


@cache
def _phrases() -> re.Pattern[str]:
    phrases = json.loads(PHRASES.read_text(encoding="utf-8"))["phrases"]
    return re.compile("|".join(map(re.escape, phrases)), re.IGNORECASE)

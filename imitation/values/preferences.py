"""Two answers to one prompt, and which was preferred."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["first", "second", "tie"]
"""Which of two answers was preferred, in the order they were shown."""
YesNo = Literal["yes", "no"]
"""Whether an answer is as asked."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models' answers to one prompt, in the order they are shown.

    Attributes:
        prompt: What was asked; of a conversation, its user messages joined by blank lines.
        models: First and second.
        answers: First and second.
    """

    prompt: str
    models: tuple[str, str]
    answers: tuple[str, str]

    @property
    def key(self) -> str:
        """A hash of prompt, models and answers; the same in either order."""
        sides = sorted(zip(self.models, self.answers, strict=True))
        text = json.dumps([self.prompt, sides], ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def swapped(self) -> Pair:
        """The same pair in the other order."""
        return Pair(self.prompt, self.models[::-1], self.answers[::-1])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge's answer comes to.

    Attributes:
        outcome: Which of two answers is better, or whether a single one is as asked (yes, no);
            None where no verdict could be read.
        scores: Of the first and the second answer, where it gave scores.
        problem: Why there is no verdict, "" where there is one.
    """

    outcome: Outcome | YesNo | None
    scores: tuple[float, float] | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """One rater's verdict on one pair.

    Attributes:
        pair: In the order it was shown to the rater.
        outcome: Which was preferred.
        rater: Hash of a visitor's secret, or a judge's name.
    """

    pair: Pair
    outcome: Outcome
    rater: str

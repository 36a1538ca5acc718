"""How often a wrong answer was preferred to a right one: were they fooled?

Only items whose prompt is a packaged fact's question can tell, and of these only those where one
answer is right and the other wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from imitation import facts
from imitation.evaluation.judging.preferences import Decision
from imitation.evaluation.metrics.style import unigram_intersection
from imitation.evaluation.statistics.intervals import share
from imitation.values import Interval

WRONG_ANSWER_DEFINITION = (
    "Of the items on a known fact where one answer is right and the other wrong, the share in "
    "which the wrong one was preferred. Called equal is neither fooled nor right."
)
ALIKE = (0.25, 0.5)
"""Bounds between unlike, somewhat alike and alike: words the two answers share."""
BANDS = ("under 25% of words shared", "25 to 50%", "over 50%")


@dataclass(frozen=True, slots=True)
class Case:
    """One item in which somebody could be fooled.

    Attributes:
        prompt: The question.
        right: Model of the right answer.
        wrong: Model of the wrong answer.
        alike: Share of words the two answers have in common, 0 to 1.
        preferred: Which answer was.
    """

    prompt: str
    right: str
    wrong: str
    alike: float
    preferred: Literal["right", "wrong", "equal"]


@dataclass(frozen=True, slots=True)
class WrongAnswerPreference:
    """How often a wrong answer was preferred.

    Attributes:
        share: Of the cases.
        equal: Cases in which both answers were called equal.
        right: Cases in which the right answer was preferred.
    """

    share: Interval
    equal: int
    right: int


def cases(decisions: Iterable[Decision]) -> list[Case]:
    """The items where one answer to a known fact is right and the other wrong."""
    rows = []
    for decision in decisions:
        pair = decision.pair
        fact = facts.find(pair.prompt)
        if fact is None:
            continue
        first_right, second_right = (facts.check(fact, answer) for answer in pair.answers)
        if first_right == second_right:
            continue
        right, wrong = pair.models if first_right else pair.models[::-1]
        alike = unigram_intersection(*pair.answers) or 0.0
        preferred: Literal["right", "wrong", "equal"] = "equal"
        if decision.outcome != "tie":
            preferred = "right" if (decision.outcome == "first") == first_right else "wrong"
        rows.append(Case(pair.prompt, right, wrong, alike, preferred))
    return rows


def wrong_answer_preference(rows: Sequence[Case]) -> WrongAnswerPreference:
    """How often the wrong answer was preferred in these cases."""
    preferred = [case.preferred for case in rows]
    wrong = share(preferred.count("wrong"), len(rows))
    return WrongAnswerPreference(wrong, preferred.count("equal"), preferred.count("right"))


def by_model(rows: Sequence[Case]) -> dict[str, WrongAnswerPreference]:
    """The same by the model that gave the wrong answer, most cases first."""
    models = sorted({case.wrong for case in rows})
    groups = {model: [case for case in rows if case.wrong == model] for model in models}
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    return {model: wrong_answer_preference(group) for model, group in ordered}


def by_likeness(rows: Sequence[Case]) -> dict[str, WrongAnswerPreference]:
    """The same by how alike the two answers look; BANDS in order."""
    low, high = ALIKE
    bands: tuple[list[Case], ...] = ([], [], [])
    for case in rows:
        bands[(case.alike >= low) + (case.alike > high)].append(case)
    return {name: wrong_answer_preference(band) for name, band in zip(BANDS, bands, strict=True)}

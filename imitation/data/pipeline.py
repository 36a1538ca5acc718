"""The steps of a dataset's making, by name, run one after the other."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imitation.data.html import clean_html
from imitation.data.steps.decontaminate import MAX_BLEU, decontaminate
from imitation.data.steps.dedup import drop_exact, drop_near
from imitation.data.steps.filters import drop_refusals, keep_lengths
from imitation.data.steps.language import keep_languages
from imitation.data.steps.result import Dropped, Outcome
from imitation.errors import UserError
from imitation.values import Example


@dataclass(frozen=True, slots=True)
class Step:
    """One step, ready to run.

    Attributes:
        name: As in STEPS.
        settings: What it was told, for the manifest.
        apply: Conversations to those that stay.
    """

    name: str
    settings: Mapping[str, Any]
    apply: Callable[[Sequence[Example]], Outcome]


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step did.

    Attributes:
        name: Of the step.
        settings: What it was told.
        taken: Conversations that went in.
        kept: Conversations that came out.
        reasons: How many were dropped, by reason.
        dropped: The first of them.
        seconds: How long it took.
        changed: How many of those that came out were changed.
    """

    name: str
    settings: Mapping[str, Any]
    taken: int
    kept: int
    reasons: Mapping[str, int]
    dropped: tuple[Dropped, ...]
    seconds: float
    changed: int = 0

    def as_json(self) -> dict[str, Any]:
        """For progress and manifest; without the time, which differs from run to run."""
        table = asdict(self)
        del table["seconds"]
        return {**table, "dropped": list(table["dropped"])}


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the steps.

    Attributes:
        languages: Codes of the languages that stay.
        similarity: From which on two queries are near-duplicates, 0.6 to 1.
        words: Fewest and most words of all answers of a conversation.
        prompts: Evaluation prompts.
        max_bleu: Highest BLEU of a query against an evaluation prompt.
    """

    languages: tuple[str, ...] = ("en",)
    similarity: float = 0.8
    words: tuple[int, int] = (1, 100_000)
    prompts: tuple[str, ...] = ()
    max_bleu: float = MAX_BLEU


def _language(options: Options) -> Step:
    settings = {"languages": sorted(options.languages)}
    return Step("language", settings, lambda e: keep_languages(e, options.languages))


def _exact(options: Options) -> Step:
    return Step("exact", {}, drop_exact)


def _near(options: Options) -> Step:
    settings = {"similarity": options.similarity}
    return Step("near", settings, lambda e: drop_near(e, options.similarity))


def _length(options: Options) -> Step:
    least, most = options.words
    settings = {"least_words": least, "most_words": most}
    return Step("length", settings, lambda e: keep_lengths(e, least, most))


def _refusals(options: Options) -> Step:
    return Step("refusals", {}, drop_refusals)


def _decontaminate(options: Options) -> Step:
    settings = {"prompts": len(options.prompts), "max_bleu": options.max_bleu}
    return Step(
        "decontaminate",
        settings,
        lambda e: decontaminate(e, options.prompts, options.max_bleu),
    )


def _html(options: Options) -> Step:
    return Step("html", {}, clean_html)


STEPS: dict[str, Callable[[Options], Step]] = {
    "html": _html,
    "language": _language,
    "exact": _exact,
    "near": _near,
    "length": _length,
    "refusals": _refusals,
    "decontaminate": _decontaminate,
}
"""Name -> how to make the step; those of DEFAULT are taken where none are named."""

DEFAULT = ("language", "exact", "near", "decontaminate")


def make_steps(names: Sequence[str], options: Options) -> list[Step]:
    """The steps called `names`, in that order.

    Raises:
        UserError: A name is unknown (near matches are offered) or comes twice, or an option is
            out of range.
    """
    for name in names:
        if name not in STEPS:
            near = difflib.get_close_matches(name, STEPS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(STEPS)}."
            raise UserError(f"There is no step {name!r}.", hint)
        if names.count(name) > 1:
            raise UserError(f"The step {name!r} is named twice.")
    if not 0.6 <= options.similarity <= 1:
        raise UserError(f"A similarity of {options.similarity:g} should be 0.6 to 1.")
    if not 0 <= options.words[0] <= options.words[1]:
        raise UserError("The fewest words should be 0 or more, and no more than the most words.")
    return [STEPS[name](options) for name in names]


def run(
    examples: Sequence[Example],
    steps: Sequence[Step],
    report: Callable[[int, StepReport], None] = lambda number, done: None,
) -> tuple[list[Example], list[StepReport]]:
    """What is left after all steps, and what each did.

    Args:
        examples: To begin with.
        steps: In the order they run.
        report: Told after each step, with its number from 1.
    """
    kept, reports = list(examples), []
    for number, step in enumerate(steps, 1):
        began = time.monotonic()
        outcome = step.apply(kept)
        reports.append(
            StepReport(
                name=step.name,
                settings=step.settings,
                taken=len(kept),
                kept=len(outcome.kept),
                reasons=outcome.reasons,
                dropped=outcome.dropped,
                seconds=round(time.monotonic() - began, 2),
                changed=outcome.changed,
            )
        )
        kept = outcome.kept
        report(number, reports[-1])
    return kept, reports

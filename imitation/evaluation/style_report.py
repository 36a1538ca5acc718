"""Style of every model of a recording against its reference, with intervals.

The page and the command show what this one function computes.
"""

from __future__ import annotations

from dataclasses import dataclass

from imitation.errors import UserError
from imitation.evaluation.stats import RESAMPLES, bootstrap_correlation, bootstrap_mean, wilson
from imitation.evaluation.style import Strip, compare
from imitation.values import Interval, Recording, Refused

DRAWS = 50_000_000
"""Items drawn at most for one bootstrap interval: up to 5,000 prompts get all 10,000 resamples,
25,000 prompts get 2,000, which moves an end by about 2% of the interval's width."""


@dataclass(frozen=True, slots=True)
class ModelStyle:
    """One model's style against the reference.

    Attributes:
        model: Its name.
        n: Prompts both it and the reference answered.
        unigram_intersection: Mean over prompts, bootstrap interval.
        length_correlation: Over prompts, bootstrap interval.
        list_agreement: Share of the prompts where the reference lists, Wilson interval; its n
            counts those prompts.
        summary_agreement: The same for closing summaries.
        refused: Lines of its files, of the reference's and of the questions that were left out.
    """

    model: str
    n: int
    unigram_intersection: Interval
    length_correlation: Interval
    list_agreement: Interval
    summary_agreement: Interval
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class StyleReport:
    """Every other model against the reference."""

    reference: str
    models: tuple[ModelStyle, ...]


def report(recording: Recording, reference: str, *, seed: int = 0) -> StyleReport:
    """Compare every model of `recording` with `reference` on the prompts both answered.

    Raises:
        UserError: The recording has no such model.
    """
    if reference not in recording.answers:
        known = ", ".join(map(repr, recording.models)) or "none"
        raise UserError(f"The recording has no model {reference!r}.", f"Its models: {known}.")
    theirs = recording.answers[reference]
    models = []
    for model, answers in recording.answers.items():
        if model != reference:
            common = [p.id for p in recording.prompts if p.id in answers and p.id in theirs]
            strips = [compare(answers[prompt], theirs[prompt]) for prompt in common]
            models.append(_summary(model, strips, _refused(recording, model, reference), seed))
    return StyleReport(reference, tuple(models))


def _summary(
    model: str, strips: list[Strip], refused: tuple[Refused, ...], seed: int
) -> ModelStyle:
    resamples = max(1_000, min(RESAMPLES, DRAWS // max(1, len(strips))))
    shared = [s.unigram_intersection for s in strips if s.unigram_intersection is not None]
    lists = [s.list_agreement for s in strips if s.list_agreement is not None]
    summaries = [s.summary_agreement for s in strips if s.summary_agreement is not None]
    return ModelStyle(
        model=model,
        n=len(strips),
        unigram_intersection=bootstrap_mean(shared, resamples=resamples, seed=seed),
        length_correlation=bootstrap_correlation(
            [s.words for s in strips],
            [s.reference_words for s in strips],
            resamples=resamples,
            seed=seed,
        ),
        list_agreement=wilson(sum(lists), len(lists)),
        summary_agreement=wilson(sum(summaries), len(summaries)),
        refused=refused,
    )


def _refused(recording: Recording, model: str, reference: str) -> tuple[Refused, ...]:
    """Refusals of every file but those that hold only other models' answers."""
    mine = {*recording.files.get(model, ()), *recording.files.get(reference, ())}
    others = {name for names in recording.files.values() for name in names} - mine
    return tuple(refusal for refusal in recording.refused if refusal.file not in others)

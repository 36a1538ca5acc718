"""Style of every model of a recording against its reference, with intervals.

The page and the command show what this one function computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from imitation.errors import UserError
from imitation.evaluation.metrics.hedging import hedging
from imitation.evaluation.metrics.style import Strip, compare
from imitation.evaluation.statistics.bootstrap import (
    LEAST_ENDS,
    RESAMPLES,
    bootstrap_correlation,
    bootstrap_mean,
)
from imitation.evaluation.statistics.intervals import share
from imitation.values import Interval, Recording, Refused

DRAWS = 50_000_000
"""Items drawn at most for one bootstrap interval: up to 5,000 prompts get all 10,000 resamples,
25,000 prompts get 2,000, which moves an end by about 2% of the interval's width."""


NOTHING = Interval(None, None, None, 0)


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
        hedging: Hedging words per 100 words of its answers (`metrics.hedging`).
        tone: Share of its answers that a judge called authoritative in tone, Wilson interval;
            None where no judge did, which is no score.
    """

    model: str
    n: int
    unigram_intersection: Interval
    length_correlation: Interval
    list_agreement: Interval
    summary_agreement: Interval
    refused: tuple[Refused, ...]
    hedging: Interval = NOTHING
    tone: Interval | None = None


@dataclass(frozen=True, slots=True)
class StyleReport:
    """Every other model against the reference.

    Attributes:
        reference: Name of the reference.
        models: The others.
        upper_bound: A second sample of the reference against its first: as alike as a model could
            be expected to be. None where there is no second sample.
        reference_hedging: Hedging words per 100 words of the reference's answers.
        reference_tone: The reference's own tone, None where no judge scored it.
    """

    reference: str
    models: tuple[ModelStyle, ...]
    upper_bound: ModelStyle | None = None
    reference_hedging: Interval = NOTHING
    reference_tone: Interval | None = None


def report(recording: Recording, reference: str, *, second: str = "", seed: int = 0) -> StyleReport:
    """Compare every model of `recording` with `reference` on the prompts both answered.

    Args:
        recording: The answers.
        reference: The model to compare with.
        second: The model that is a second sample of the reference, "" for none.
        seed: Of the bootstrap.

    Raises:
        UserError: The recording has no such model.
    """
    for name in filter(None, (reference, second)):
        if name not in recording.answers:
            known = ", ".join(map(repr, recording.models)) or "none"
            raise UserError(f"The recording has no model {name!r}.", f"Its models: {known}.")
    if second == reference:
        raise UserError(f"{second!r} is the reference itself, not a second sample of it.")
    styles = {
        model: _style(recording, model, reference, seed)
        for model in recording.answers
        if model != reference
    }
    upper = styles.pop(second, None)
    said = recording.answers[reference]
    rate = hedging(said.values(), resamples=_resamples(len(said)), seed=seed)
    return StyleReport(reference, tuple(styles.values()), upper, rate)


def with_tone(
    found: StyleReport, recording: Recording, said: Mapping[tuple[str, str, str], bool | None]
) -> StyleReport:
    """A report with the tone that a judge heard, as in Table 2: over a model's own answers.

    Args:
        found: A report on the recording.
        recording: Its answers.
        said: (prompt, model, answer) -> authoritative or not; None, no verdict, is left out of
            both the share and its n.
    """

    def tone(model: str) -> Interval | None:
        answers = recording.answers[model]
        heard = [
            said[key]
            for p in recording.prompts
            if not p.earlier and p.id in answers and (key := (p.text, model, answers[p.id])) in said
        ]
        read = [one for one in heard if one is not None]
        return share(sum(read), len(read)) if heard else None

    upper = found.upper_bound
    return replace(
        found,
        models=tuple(replace(model, tone=tone(model.model)) for model in found.models),
        upper_bound=replace(upper, tone=tone(upper.model)) if upper else None,
        reference_tone=tone(found.reference),
    )


def _style(recording: Recording, model: str, reference: str, seed: int) -> ModelStyle:
    ours, theirs = recording.answers[model], recording.answers[reference]
    common = [p.id for p in recording.prompts if p.id in ours and p.id in theirs]
    strips = [compare(ours[prompt], theirs[prompt]) for prompt in common]
    summary = _summary(model, strips, _refused(recording, model, reference), seed)
    said = (ours[prompt] for prompt in common)
    return replace(summary, hedging=hedging(said, resamples=_resamples(len(common)), seed=seed))


def _summary(
    model: str, strips: list[Strip], refused: tuple[Refused, ...], seed: int
) -> ModelStyle:
    resamples = _resamples(len(strips))
    shared = [s.unigram_intersection for s in strips if s.unigram_intersection is not None]
    lists = [s.list_agreement for s in strips if s.list_agreement is not None]
    summaries = [s.summary_agreement for s in strips if s.summary_agreement is not None]
    return ModelStyle(
        model=model,
        n=len(strips),
        unigram_intersection=_mean(shared, resamples, seed),
        length_correlation=bootstrap_correlation(
            [s.words for s in strips],
            [s.reference_words for s in strips],
            resamples=resamples,
            seed=seed,
        ),
        list_agreement=share(sum(lists), len(lists)),
        summary_agreement=share(sum(summaries), len(summaries)),
        refused=refused,
    )


def _mean(values: list[float], resamples: int, seed: int) -> Interval:
    return replace(bootstrap_mean(values, resamples=resamples, seed=seed), least=LEAST_ENDS)


def _resamples(n: int) -> int:
    return max(1_000, min(RESAMPLES, DRAWS // max(1, n)))


def _refused(recording: Recording, model: str, reference: str) -> tuple[Refused, ...]:
    """Refusals of every file but those that hold only other models' answers."""
    mine = {*recording.files.get(model, ()), *recording.files.get(reference, ())}
    others = {name for names in recording.files.values() for name in names} - mine
    return tuple(refusal for refusal in recording.refused if refusal.file not in others)

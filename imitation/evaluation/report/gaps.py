"""How much of the gap between base and reference an imitation closes, task by task of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imitation.evaluation.harness.group_scores import Combined
from imitation.evaluation.report.schema import NOTHING, EvaluatedModel, Gap, Run, Score, comparable
from imitation.evaluation.statistics.gap_closed import LEAST_GAP, bootstrap_gap, gap_closed
from imitation.evaluation.statistics.intervals import paired_difference
from imitation.evaluation.statistics.items import Strata
from imitation.evaluation.statistics.paired_test import paired_p_value
from imitation.values import Interval

BARELY = 0.5
"""Where the low end of reference - base is below this share of it, the gap shown is drawn towards
all of it by having been shown: the tests simulate it."""
NO_REFERENCE = "there is no reference in the run"
UNKNOWN = Strata((), ())
"""In place of strata: it is not known how the samples are weighted."""
Verdicts = Mapping[tuple[str, int], float]
"""Task and document -> value of the main metric."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One model on one task or group, with what its numbers rest on.

    Attributes:
        score: What is shown.
        verdicts: Of each sample.
        combined: How the samples make up the score, None where that could not be found out.
        means: Whether the score is the mean of the verdicts; a perplexity is not.
    """

    score: Score
    verdicts: Verdicts
    combined: Combined | None
    means: bool = True


def gaps(run: Run, main: Mapping[tuple[str, str], Measurement]) -> Iterator[Gap]:
    """One per task, imitation and reference, each against the base it was made from.

    A run without a reference has one per task and imitation all the same: whether it differs from
    its base.

    Args:
        run: What was asked for.
        main: (model, task) -> the main metric, for those with a value.
    """
    for task in run.tasks:
        for imitation in (m for m in run.models if m.role == "imitation"):
            base, why = _base(run, imitation)
            references = [m for m in run.models if m.role == "reference"]
            for reference in references or (None,):
                yield from _gap(task, base, imitation, reference, why, main)


def _base(run: Run, imitation: EvaluatedModel) -> tuple[EvaluatedModel | None, str]:
    """The base to measure from; what a reader must know of it, or why there is none."""
    bases = [m for m in run.models if m.role == "base"]
    own = next((m for m in run.models if m.id == imitation.base), None)
    if own is not None:
        return own, ""
    if imitation.base and bases:
        others = ", ".join(m.name for m in bases)
        return None, (
            f"its own base, {imitation.base}, is not in the run, and a gap measured from {others} "
            "would be another model's"
        )
    if len(bases) > 1:
        others = ", ".join(m.name for m in bases)
        return None, f"which of {others} it was made from is not known"
    if bases:
        return bases[0], (
            f"Which base {imitation.name} was made from is not known; {bases[0].name}, the only "
            "one of the run, is taken for it."
        )
    return None, ""


def _gap(
    task: str,
    base: EvaluatedModel | None,
    imitation: EvaluatedModel,
    reference: EvaluatedModel | None,
    said: str,
    main: Mapping[tuple[str, str], Measurement],
) -> Iterator[Gap]:
    one = main.get((imitation.id, task))
    two = main.get((reference.id, task)) if reference else None
    if one is None or (reference and two is None) or (base is None and not said):
        return
    if base is None:
        yield Gap(
            task, one.score.metric, imitation.base, imitation.id, reference.id if reference else "",
            NOTHING, said, NOTHING, None,
        )  # fmt: skip
        return
    start = main.get((base.id, task))
    if start is not None:
        yield _measured(task, start, one, two, said)


def _measured(
    task: str, base: Measurement, imitation: Measurement, reference: Measurement | None, said: str
) -> Gap:
    sign = 1.0 if base.score.higher_is_better else -1.0
    others = [imitation, *([reference] if reference else [])]
    caveats = [d for other in others for d in comparable(base.score, other.score)]
    (b, i), strata = _common(1.0, base, imitation)
    change, p_value = NOTHING, None
    if b and strata is not UNKNOWN and base.means and imitation.means:
        change, p_value = (
            paired_difference(i, b, strata=strata),
            paired_p_value(b, i, strata=strata),
        )
    closed, difference, why = NOTHING, NOTHING, NO_REFERENCE
    if reference:
        closed, difference, why = _closed(base, imitation, reference, sign)
    return Gap(
        task=task,
        metric=base.score.metric,
        base=base.score.model,
        imitation=imitation.score.model,
        reference=reference.score.model if reference else "",
        closed=closed,
        undefined=why,
        change=change,
        p_value=p_value,
        caveats=tuple(dict.fromkeys(caveats)),
        difference=difference,
        notes=tuple(filter(None, (said, _barely(closed, difference)))),
    )


def _closed(
    base: Measurement, imitation: Measurement, reference: Measurement, sign: float
) -> tuple[Interval, Interval, str]:
    """Share of the gap closed, reference - base, and why there is no share."""
    three = (base, imitation, reference)
    if len({(m.score.metric, m.score.kind) for m in three}) > 1:
        return NOTHING, NOTHING, "the three were measured by different metrics or means"
    if not all(m.means for m in three):
        why = f"{base.score.metric} is not the mean of its samples' scores"
        return NOTHING, NOTHING, why
    (b, i, r), strata = _common(sign, *three)
    nothing = Interval(None, None, None, len(b), LEAST_GAP)
    if len(b) < 2:
        return nothing, NOTHING, "no samples that all three answered"
    if strata is UNKNOWN:
        return nothing, NOTHING, "how the group's score comes from its samples is not known"
    difference = paired_difference(r, b, strata=strata)
    if why := nothing.too_few("sample"):
        return nothing, difference, why
    low, high = (_mean(values, strata) for values in (b, r))
    if gap_closed(low, _mean(i, strata), high, difference) is not None:
        return bootstrap_gap(b, i, r, strata=strata), difference, ""
    if high <= low:
        why = f"the reference ({sign * high:.3f}) is no better than the base ({sign * low:.3f})"
    else:
        why = "base and reference do not differ beyond chance: their difference is "
        why += f"{high - low:.3f}"
        if difference.low is not None:
            why += f" [{difference.low:.3f}, {difference.high:.3f}]"
    return nothing, difference, why


def _common(sign: float, *measured: Measurement) -> tuple[tuple[list[float], ...], Strata | None]:
    """Verdicts on what all answered, times the sign, and how they are weighted."""
    keys = sorted(set.intersection(*(set(m.verdicts) for m in measured)))
    values = tuple([sign * m.verdicts[key] for key in keys] for m in measured)
    way = measured[0].combined
    if way is None or any(m.combined != way for m in measured):
        return values, UNKNOWN
    return values, strata(way, keys)


def strata(way: Combined, keys: Sequence[tuple[str, int]]) -> Strata | None:
    """Tasks of samples and their weights; None where every sample counts alike.

    UNKNOWN where there is no sample of one of the tasks.
    """
    if way.pooled:
        return None
    sizes = Counter(task for task, _ in keys)
    weights = way.weights(sizes)
    if sizes.keys() != weights.keys():
        return UNKNOWN
    names = list(weights)
    return Strata([names.index(task) for task, _ in keys], list(weights.values()))


def _mean(values: Sequence[float], weighted: Strata | None) -> float:
    if weighted is None:
        return sum(values) / len(values)
    return float(sum(w * v for w, v in zip(weighted.per_item(), values, strict=True)))


def _barely(closed: Interval, difference: Interval) -> str:
    """What having looked only where base and reference differ does to the share."""
    if closed.value is None or difference.value is None or difference.low is None:
        return ""
    if difference.low >= BARELY * difference.value:
        return ""
    return (
        f"The reference is barely better than the base here ({difference.value:+.3f} "
        f"[{difference.low:+.3f}, {difference.high:+.3f}]). A share is shown only where they "
        "differ beyond chance, which is where chance made the gap look wide and moved the share "
        "towards 100%: take it as a direction, and more samples for its size."
    )

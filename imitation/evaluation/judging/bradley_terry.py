"""Bradley-Terry scores of models, with and without control for style.

The chance that model i is preferred to j is 1 / (1 + exp(-(s_i - s_j + b'x))) (Bradley and Terry,
Biometrika 39, 1952; a tie counts half for each side), where x holds the differences in form
between the two answers and b what they are worth (the arena's style control). Scores and intervals
come from `imitation.evaluation.statistics.firth`: finite also where a model has won every time,
and covering the truth as often as they say also with few votes, which the tests hold by simulation.

Models that no chain of comparisons connects have no common scale and are put into separate groups.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from imitation.evaluation.judging.preferences import Decision
from imitation.evaluation.metrics.style_features import FEATURES, differences
from imitation.evaluation.statistics.firth import Comparisons, Confounded, Fit
from imitation.values import Interval

SCALE = 400 / math.log(10)
"""Points per unit of log odds: 400 points are odds of ten to one."""
CENTRE = 1000.0
"""Mean score of a group."""
LEAST_ITEMS = 5
"""Items that a model must be in to get a score."""
LEAST_STYLED = 10
"""Items for each model but one and each covariate from which style is taken out."""
_HALF: Mapping[str, float] = {"first": 1.0, "tie": 0.5, "second": 0.0}

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rating:
    """One model's score.

    Attributes:
        model: Its name.
        score: In points around CENTRE, with its 95% interval; n: items it was in, of which it
            takes LEAST_ITEMS.
        group: Scores of different groups cannot be compared.
        moved: Points that one item more, against whom it met, may move it by; None without score.
    """

    model: str
    score: Interval
    group: int
    moved: float | None = None


@dataclass(frozen=True, slots=True)
class Ratings:
    """A fit.

    Attributes:
        models: Best first, group by group.
        style: Feature -> points that one standard deviation of its difference is worth; empty
            without style control. n: items whose answers differ in it, of which it takes
            LEAST_ITEMS.
        reason: Why no model has a score; "" where the models have theirs, or too few items.
    """

    models: tuple[Rating, ...]
    style: Mapping[str, Interval]
    reason: str = ""


def rate(decisions: Sequence[Decision], *, styled: bool = False) -> Ratings:
    """Scores of all models in the decisions; with `styled` as if all answers looked alike."""
    models = sorted({model for decision in decisions for model in decision.pair.models})
    if not models:
        return Ratings((), {})
    index = {model: at for at, model in enumerate(models)}
    first = np.array([index[d.pair.models[0]] for d in decisions], dtype=np.int64)
    second = np.array([index[d.pair.models[1]] for d in decisions], dtype=np.int64)
    won = np.array([_HALF[d.outcome] for d in decisions])
    _, votes = np.unique([d.pair.prompt for d in decisions], return_inverse=True)
    groups = _groups(first, second, len(models))
    items = np.bincount(first, minlength=len(models)) + np.bincount(second, minlength=len(models))
    if not styled:
        data = Comparisons.of(first, second, won, np.zeros((len(decisions), 0)), votes, groups)
        with _one_thread():
            return Ratings(_ratings(models, items, Fit(data)), {})
    style = np.array([differences(*d.pair.answers) for d in decisions])
    differ = (style != 0).sum(axis=0)
    used = differ >= LEAST_ITEMS
    unit = np.sqrt((style[:, used] ** 2).mean(axis=0))
    data = Comparisons.of(first, second, won, style[:, used] / unit, votes, groups)
    effects = {
        name: Interval(None, None, None, int(n), LEAST_ITEMS)
        for name, n in zip(FEATURES, differ, strict=True)
    }
    needed = LEAST_STYLED * int(len(models) - groups.max() - 1 + used.sum())
    if len(decisions) < needed:
        why = f"too few to say: {_items(len(decisions))}, needs {needed:,}"
        return Ratings(_unrated(models, items, groups), effects, why)
    with _one_thread():
        try:
            fit = Fit(data)
        except Confounded:
            why = "what differs in form goes with the models themselves, so it cannot be taken out"
            return Ratings(_unrated(models, items, groups), effects, why)
        for at, feature in enumerate(np.flatnonzero(used)):
            contrast = np.zeros(len(fit.values))
            contrast[len(models) + at] = SCALE
            effects[FEATURES[feature]] = Interval(
                *fit.interval(contrast), int(differ[feature]), LEAST_ITEMS
            )
        return Ratings(_ratings(models, items, fit), effects)


def _ratings(models: Sequence[str], items: Ints, fit: Fit) -> tuple[Rating, ...]:
    """Scores around the mean of those of the group that have enough items."""
    groups = fit.data.groups
    enough = items >= LEAST_ITEMS
    ratings = []
    for at, model in enumerate(models):
        n = int(items[at])
        score, moved = Interval(None, None, None, n, LEAST_ITEMS), None
        inside = enough & (groups == groups[at])
        if enough[at] and inside.sum() > 1:
            contrast = np.zeros(len(fit.values))
            contrast[: len(models)] = -SCALE * inside / inside.sum()
            contrast[at] += SCALE
            value, low, high = (CENTRE + end for end in fit.interval(contrast))
            score = Interval(value, low, high, n, LEAST_ITEMS)
            moved = fit.moved(contrast, at)
        ratings.append(Rating(model, score, int(groups[at]), moved))
    return tuple(sorted(ratings, key=_place))


def _unrated(models: Sequence[str], items: Ints, groups: Ints) -> tuple[Rating, ...]:
    nothing = (Interval(None, None, None, int(n), LEAST_ITEMS) for n in items)
    return tuple(
        Rating(model, none, int(group))
        for model, none, group in zip(models, nothing, groups, strict=True)
    )


def _place(rating: Rating) -> tuple[int, float, str]:
    value = rating.score.value
    return rating.group, math.inf if value is None else -value, rating.model


def _items(n: int) -> str:
    return "1 item" if n == 1 else f"{n:,} items"


def _one_thread() -> threadpool_limits:
    """Many small matrices: more threads only spin, ten times slower."""
    return threadpool_limits(1, user_api="blas")


def _groups(first: Ints, second: Ints, models: int) -> Ints:
    """Number of the connected group of each model, the largest group first."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    met = coo_array((np.ones(len(first)), (first, second)), shape=(models, models))
    _, label = connected_components(met, directed=False)
    sizes = np.bincount(label)
    order = np.argsort(-sizes, kind="stable")
    return np.asarray(np.argsort(order)[label], dtype=np.int64)

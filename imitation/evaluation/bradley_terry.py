"""Bradley-Terry scores of models, with and without control for style.

The chance that model i is preferred to j is 1 / (1 + exp(-(s_i - s_j + b'x))) (Bradley and Terry,
Biometrika 39, 1952; a tie counts half for each side), where x holds the differences in form
between the two answers and b what they are worth (the arena's style control). Without x, equal
(pair, outcome) rows are counted once with their number, and a bootstrap round is one multinomial
draw of these numbers, refitted by L-BFGS.

Half a win each way is added to every pair that met, so that no score is infinite where a model
has won every time. Models that no chain of comparisons connects have no common scale and are put
into separate groups.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from imitation.evaluation.markup import FEATURES, differences
from imitation.evaluation.votes import Decision
from imitation.values import Interval

SCALE = 400 / math.log(10)
"""Points per unit of log odds: 400 points are odds of ten to one."""
CENTRE = 1000.0
"""Mean score of a group."""
ROUNDS = 1000
LEVEL = 0.95
_HALF: Mapping[str, float] = {"first": 1.0, "tie": 0.5, "second": 0.0}

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rating:
    """One model's score.

    Attributes:
        model: Its name.
        score: In points around CENTRE, with its bootstrap interval; n: items it was in.
        group: Scores of different groups cannot be compared.
    """

    model: str
    score: Interval
    group: int


@dataclass(frozen=True, slots=True)
class Ratings:
    """A fit.

    Attributes:
        models: Best first, group by group.
        style: Feature -> points that one standard deviation of its difference is worth; empty
            without style control, undefined (no value) where all answers are alike in it.
    """

    models: tuple[Rating, ...]
    style: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The data of a fit: row r says that first[r] won `won[r]` of a point against second[r]."""

    first: Ints
    second: Ints
    won: Floats
    count: Floats
    added: Floats
    style: Floats


def rate(
    decisions: Sequence[Decision], *, styled: bool = False, rounds: int = ROUNDS, seed: int = 0
) -> Ratings:
    """Scores of all models in the decisions; with `styled` as if all answers looked alike."""
    models = sorted({model for decision in decisions for model in decision.pair.models})
    if not models:
        return Ratings((), {})
    index = {model: at for at, model in enumerate(models)}
    first = np.array([index[d.pair.models[0]] for d in decisions], dtype=np.int64)
    second = np.array([index[d.pair.models[1]] for d in decisions], dtype=np.int64)
    won = np.array([_HALF[d.outcome] for d in decisions])
    style, spread = np.zeros((len(decisions), 0)), np.zeros(0)
    if styled:
        style = np.array([differences(*d.pair.answers) for d in decisions])
        spread = np.sqrt((style**2).mean(axis=0))
        style = style[:, spread > 0] / spread[spread > 0]
    rows = _rows(first, second, won, style)
    fits = bootstrap(rows, len(models), rounds, seed)
    groups = _groups(first, second, len(models))
    for group in np.unique(groups):
        inside = np.flatnonzero(groups == group)
        fits[:, inside] -= fits[:, inside].mean(axis=1, keepdims=True)
    items = np.bincount(first, minlength=len(models)) + np.bincount(second, minlength=len(models))
    ratings = [
        Rating(model, _interval(CENTRE + SCALE * fits[:, at], int(items[at])), int(groups[at]))
        for at, model in enumerate(models)
    ]
    ratings.sort(key=lambda rating: (rating.group, -(rating.score.value or 0.0)))
    return Ratings(tuple(ratings), _effects(fits[:, len(models) :], spread, len(decisions)))


def bootstrap(rows: _Rows, models: int, rounds: int, seed: int) -> Floats:
    """Log odds (and weights of style) of the fit, then of each round: (1 + rounds, k)."""
    import scipy.optimize  # noqa: F401  # its BLAS must be loaded to be limited

    # L-BFGS works on a handful of numbers, where more threads only spin: ten times slower.
    with threadpool_limits(1, user_api="blas"):
        return _bootstrap(rows, models, rounds, seed)


def _bootstrap(rows: _Rows, models: int, rounds: int, seed: int) -> Floats:
    start = _fit(rows, rows.count + rows.added, np.zeros(models + rows.style.shape[1]), models)
    n = round(rows.count.sum())
    chances = (rows.count + rows.added) / (rows.count + rows.added).sum()
    rng = np.random.default_rng(seed)
    fits = [start]
    for _ in range(rounds):
        drawn = rng.multinomial(n, chances).astype(float)
        fits.append(_fit(rows, drawn + rows.added, start, models))
    return np.array(fits)


def _rows(first: Ints, second: Ints, won: Floats, style: Floats) -> _Rows:
    """Equal rows counted once; a half win each way for every pair that met."""
    table = np.column_stack([first, second, won, style])
    table, count = np.unique(table, axis=0, return_counts=True)
    met = np.unique(table[:, :2], axis=0)
    extra = np.zeros((2 * len(met), table.shape[1]))
    extra[:, :2] = np.repeat(met, 2, axis=0)
    extra[::2, 2] = 1.0
    table = np.vstack([table, extra])
    return _Rows(
        first=table[:, 0].astype(np.int64),
        second=table[:, 1].astype(np.int64),
        won=table[:, 2].copy(),
        count=np.concatenate([count.astype(float), np.zeros(len(extra))]),
        added=np.concatenate([np.zeros(len(count)), np.full(len(extra), 0.5)]),
        style=table[:, 3:].copy(),
    )


def _fit(rows: _Rows, weights: Floats, start: Floats, models: int) -> Floats:
    from scipy.optimize import minimize  # half a second to import

    drawn = weights > 0
    first, second, won, style = (
        part[drawn] for part in (rows.first, rows.second, rows.won, rows.style)
    )
    weights = weights[drawn] / weights.sum()

    def loss(values: Floats) -> tuple[float, Floats]:
        odds = values[first] - values[second] + style @ values[models:]
        value = weights @ (np.logaddexp(0.0, odds) - won * odds)
        slope = weights * (1 / (1 + np.exp(-np.clip(odds, -500, 500))) - won)
        by_model = np.bincount(first, slope, models) - np.bincount(second, slope, models)
        return float(value), np.concatenate([by_model, slope @ style])

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-6})
    return np.asarray(found.x)


def _groups(first: Ints, second: Ints, models: int) -> Ints:
    """Number of the connected group of each model, the largest group first."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    met = coo_array((np.ones(len(first)), (first, second)), shape=(models, models))
    _, label = connected_components(met, directed=False)
    sizes = np.bincount(label)
    order = np.argsort(-sizes, kind="stable")
    return np.asarray(np.argsort(order)[label], dtype=np.int64)


def _interval(values: Floats, n: int) -> Interval:
    """The first value, with the ends of the others."""
    if len(values) < 2:
        return Interval(float(values[0]), None, None, n)
    low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values[0]), float(low), float(high), n)


def _effects(fits: Floats, spread: Floats, n: int) -> dict[str, Interval]:
    found = iter(range(fits.shape[1]))
    return {
        name: _interval(SCALE * fits[:, next(found)], n)
        if spread[at] > 0
        else Interval(None, None, None, n)
        for at, name in enumerate(FEATURES[: len(spread)])
    }

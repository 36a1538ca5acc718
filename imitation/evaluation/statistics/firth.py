"""Comparisons fitted with Firth's penalty: estimates that are never infinite, profile intervals.

The chance that the first of a pair is preferred is 1 / (1 + exp(-(s_first - s_second + b'x))).
Its likelihood is multiplied by the root of the Fisher information's determinant (Jeffreys' prior),
which removes the first-order bias and keeps every estimate finite also where one side has won every
time (Firth, Biometrika 80, 1993; Heinze and Schemper, Statistics in Medicine 21, 2002). Two models
get half a win each way by it; with more, as many half wins as there are free scores are spread
over the pairs by how much each pair's outcome moves the fit.

An interval holds the values that the penalised likelihood-ratio test does not reject, as Heinze and
Schemper advise where data are few: it is as skewed as the data say and always holds the estimate.
Its ends are found by the steps of Venzon and Moolgavkar (Applied Statistics 37, 1988).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CHI2 = 3.841458820694124
"""95% point of chi-squared with one degree of freedom."""
_STEPS = 200
_LONGEST = 3.0
"""Log odds that one step may move a parameter by."""
_FARTHEST = 25.0
"""Log odds at which an interval ends at the latest: farther out rounding leaves no information."""


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Outcomes, equal rows counted once; rows of one pair stand together.

    Attributes:
        first: (pairs,) number of each pair's first model.
        second: (pairs,) of its second.
        start: (pairs,) its first row.
        won: (rows,) points of the first model, a tie half a point.
        n: (rows,) items.
        items: (items,) the row of each item.
        points: (items,) points of its first model.
        votes: (items,) items of one number hang together: one vote, or one prompt, decided them.
        style: (rows, features) covariates.
        groups: (models,) the group of each model; scores of two groups have no common scale.
    """

    first: Ints
    second: Ints
    start: Ints
    won: Floats
    n: Floats
    items: Ints
    points: Floats
    votes: Ints
    style: Floats
    groups: Ints

    @classmethod
    def of(
        cls, first: Ints, second: Ints, won: Floats, style: Floats, votes: Ints, groups: Ints
    ) -> Comparisons:
        """One row an item; those alike are put together."""
        table = np.column_stack([first, second, style])
        rows, at = np.unique(table, axis=0, return_inverse=True)
        at = at.reshape(-1)
        new = np.ones(len(rows), dtype=bool)
        new[1:] = (np.diff(rows[:, :2], axis=0) != 0).any(axis=1)
        start = np.flatnonzero(new)
        return cls(
            first=rows[start, 0].astype(np.int64),
            second=rows[start, 1].astype(np.int64),
            start=start,
            won=np.bincount(at, won).astype(float),
            n=np.bincount(at).astype(float),
            items=at,
            points=won,
            votes=votes,
            style=rows[:, 2:].copy(),
            groups=groups,
        )

    @property
    def models(self) -> int:
        """How many there are."""
        return len(self.groups)


class Confounded(ValueError):
    """The covariates say no more than which models met, or one no more than the others."""


@dataclass(frozen=True, slots=True)
class _State:
    """The penalised likelihood at one place, with what a step needs."""

    value: float
    slope: Floats
    inverse: Floats
    chance: Floats


class Fit:
    """The penalised maximum of comparisons, and intervals around it.

    Attributes:
        values: (models + features,) scores in log odds, each group's mean 0, then what one unit of
            each covariate is worth.
        data: What was fitted.
    """

    def __init__(self, data: Comparisons) -> None:
        """Fit.

        Raises:
            Confounded: A covariate is a combination of the pairs and the other covariates.
        """
        self.data = data
        rows = np.arange(len(data.first))
        design = np.zeros((len(rows), data.models))
        design[rows, data.first], design[rows, data.second] = 1.0, -1.0
        self._design = design
        self._pair = np.repeat(rows, np.diff([*data.start, len(data.n)]))
        # Scores are known but for a constant a group: the mean of each is held at 0.
        fixed = np.zeros((data.models + data.style.shape[1],) * 2)
        for group in np.unique(data.groups):
            inside = (data.groups == group).astype(float)
            fixed[: data.models, : data.models] += np.outer(inside, inside) / inside.sum()
        self._fixed = fixed
        if not self._told_apart():
            raise Confounded
        self.values, state = self._maximum()
        self._top, self._inverse = state.value, state.inverse
        self._dispersion = self._of_ties(state) * self._of_votes(state)

    def interval(self, contrast: Floats) -> tuple[float, float, float]:
        """Value of a combination of the parameters, and the ends of its 95% interval."""
        value = float(contrast @ self.values)
        low, high = (self._end(contrast, sign) for sign in (-1.0, 1.0))
        return value, min(low, value), max(high, value)

    def moved(self, contrast: Floats, model: int) -> float:
        """How far one item more of a model may move a combination, to first order."""
        mine = (self.data.first == model) | (self.data.second == model)
        design = self._design[mine]
        odds = design @ self.values[: self.data.models]
        surprise = 1 / (1 + np.exp(-np.abs(odds)))
        along = design @ (self._inverse @ contrast)[: self.data.models]
        return float((np.abs(along) * surprise).max())

    def _told_apart(self) -> bool:
        """Whether the covariates say more than which models met, and each more than the others."""
        models = self.data.models
        whole = self._information(self.data.n)
        between = whole[:models, models:]
        left = whole[models:, models:] - between.T @ np.linalg.solve(
            whole[:models, :models], between
        )
        size = np.sqrt(np.diag(whole)[models:])
        return bool((np.linalg.eigvalsh(left / np.outer(size, size)) > 1e-6).all())

    def _of_ties(self, state: _State) -> float:
        """What ties leave of the variance of wins and losses.

        A tie varies less by its quarter (quasi-likelihood: Wedderburn, Biometrika 61, 1974). The
        one keeps all-ties from being certain.
        """
        ties = int((self.data.points == 0.5).sum())
        spread = float((self.data.n * state.chance * (1 - state.chance)).sum())
        return 1.0 - ties / 4 / (spread + 1.0)

    def _of_votes(self, state: _State) -> float:
        """How much more the fit varies since items of one vote hang together.

        The trace of the score's variance summed by votes over that summed by items, both seen
        through the fit's covariance (the sandwich of Liang and Zeger, Biometrika 73, 1986).
        """
        data = self.data
        error = data.points - state.chance[data.items]
        place = self._pair[data.items]
        scores = np.zeros((len(error), len(self._fixed)))
        scores[:, : data.models] = error[:, None] * self._design[place]
        scores[:, data.models :] = error[:, None] * data.style[data.items]
        whole = np.zeros((int(data.votes.max()) + 1, scores.shape[1]))
        np.add.at(whole, data.votes, scores)
        each, together = (
            float(np.einsum("ij,jk,ik->", part, state.inverse, part)) for part in (scores, whole)
        )
        return max(1.0, together / each) if each > 0 else 1.0

    def _state(self, values: Floats) -> _State:
        data, models = self.data, self.data.models
        design, style = self._design, data.style
        odds = self._odds(values)
        chance = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
        weight = data.n * chance * (1 - chance)
        information = self._information(weight)
        volume = np.linalg.slogdet(information)[1]
        inverse = np.asarray(np.linalg.inv(information), dtype=np.float64)
        leverage = np.einsum("ij,jk,ik->i", design, inverse[:models, :models], design)[self._pair]
        if style.shape[1]:
            between = (design @ inverse[:models, models:])[self._pair]
            leverage = leverage + np.einsum(
                "ij,ij->i", 2 * between + style @ inverse[models:, models:], style
            )
        error = data.won - data.n * chance + weight * leverage * (0.5 - chance)
        slope = np.concatenate([design.T @ np.add.reduceat(error, data.start), error @ style])
        value = -data.won @ np.logaddexp(0, -odds) - (data.n - data.won) @ np.logaddexp(0, odds)
        return _State(float(value) + float(volume) / 2, slope, inverse, chance)

    def _odds(self, values: Floats) -> Floats:
        """Log odds of each row."""
        models = self.data.models
        between: Floats = (self._design @ values[:models])[self._pair]
        return between + self.data.style @ values[models:]

    def _room(self, values: Floats, step: Floats) -> float:
        """The share of a step that keeps all log odds within _FARTHEST."""
        here, ahead = self._odds(values), self._odds(step)
        left = np.maximum(0.0, _FARTHEST - here * np.sign(ahead))
        return float((left / np.maximum(np.abs(ahead), 1e-12)).min())

    def _information(self, weight: Floats) -> Floats:
        data, models = self.data, self.data.models
        found = self._fixed.copy()
        pairs = np.add.reduceat(weight, data.start)
        found[:models, :models] += self._design.T @ (pairs[:, None] * self._design)
        if data.style.shape[1]:
            weighted = weight[:, None] * data.style
            between = self._design.T @ np.add.reduceat(weighted, data.start, axis=0)
            found[:models, models:], found[models:, :models] = between, between.T
            found[models:, models:] = data.style.T @ weighted
        return found

    def _maximum(self) -> tuple[Floats, _State]:
        values = np.zeros(len(self._fixed))
        state = self._state(values)
        for _ in range(_STEPS):
            step = _short(state.inverse @ state.slope)
            following = self._state(values + step)
            while following.value < state.value - 1e-9 and np.abs(step).max() > 1e-9:
                step = step / 2
                following = self._state(values + step)
            values, state = values + step, following
            if np.abs(step).max() < 1e-7:
                break
        return values, state

    def _end(self, contrast: Floats, sign: float) -> float:
        """Where the penalised likelihood, the rest fitted again, has fallen by the test's bound."""
        target = self._top - self._dispersion * _CHI2 / 2
        values, state = self.values, self._state(self.values)
        for count in range(_STEPS):
            along = state.inverse @ contrast
            ahead = state.inverse @ state.slope
            top = state.value + float(state.slope @ ahead) / 2
            left = 2 * (top - target) / float(contrast @ along)
            step = _short(ahead + sign * math.sqrt(max(0.0, left)) * along)
            # The penalty's own curvature is left out of the steps; where it is large they
            # would go to and fro.
            step = step * 0.5 ** (count // 20)
            if (room := self._room(values, step)) < 1:
                return float(contrast @ (values + room * step))
            values = values + step
            state = self._state(values)
            if np.abs(step).max() < 1e-4 and abs(state.value - target) < 1e-3:
                break
        return float(contrast @ values)


def _short(step: Floats) -> Floats:
    longest = float(np.abs(step).max())
    return step if longest <= _LONGEST else step * (_LONGEST / longest)

"""A run's curves as values; without Plotly, so that the page starts without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imitation.values import Interval

Series = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One run.

    Attributes:
        name: What it is called in the figure.
        loss: (step, mean loss per output token of the step's batch).
        validation: (step, mean loss per output token of the conversations kept out).
        learning_rate: (step, learning rate).
        scores: Name of a held-out score -> (step, its value with interval and n).
    """

    name: str
    loss: Series
    validation: Series = ()
    learning_rate: Series = ()
    scores: Mapping[str, Sequence[tuple[int, Interval]]] = field(default_factory=dict)

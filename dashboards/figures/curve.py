"""A run's curves as values; without Plotly, so that the page starts without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Series = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One run.

    Attributes:
        name: What it is called in the figure.
        loss: (step, mean loss per output token of the step's batch).
        validation: (step, mean loss per output token of the conversations kept out).
        learning_rate: (step, learning rate).
    """

    name: str
    loss: Series
    validation: Series = ()
    learning_rate: Series = ()

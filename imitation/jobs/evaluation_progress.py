"""What an evaluation writes while it runs: steps, live scores, how each task ended."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imitation.errors import UserError
from imitation.evaluation.harness.results import LOWER
from imitation.evaluation.report.schema import LiveScore
from imitation.evaluation.statistics.intervals import mean
from imitation.events import Name, Writer
from imitation.values import Interval

EVERY_S = 1.0
"""Seconds between progress lines of one task."""


class Progress:
    """Writes progress.jsonl: steps, live scores, how each task ended.

    Args:
        path: The file, appended to.
        pairs: Model and task of everything there is to do.
        guess: Samples of a task before they are counted.
    """

    def __init__(self, path: Path, pairs: Sequence[tuple[str, str]], guess: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._out, self._pairs, self._guess = Writer(path, anew=False), list(pairs), guess
        self._sizes: dict[str, int] = {}
        self._ended: dict[tuple[str, str], int] = {}
        self._model, self._task = "", ""
        self._values: list[float] = []
        self._metric, self._done, self._last = "", 0, 0.0

    def on(self, model: str, task: str) -> None:
        """What follows is about this model and task."""
        self._model, self._task, self._values, self._metric = model, task, [], ""
        self._done, self._last = 0, 0.0

    def begin(self, asked: Mapping[str, int]) -> None:
        """See `benchmarks.Listener`."""
        self._sizes[self._task] = sum(asked.values())
        self._report("running")

    def scored(self, task: str, doc: int, metrics: Mapping[str, Any]) -> None:
        """See `benchmarks.Listener`."""
        self._done += 1
        # A sample's part of a perplexity is a log-likelihood: no score to show the mean of.
        metric = next((name for name in metrics if name not in LOWER), "")
        value = metrics.get(metric)
        if isinstance(value, int | float) and math.isfinite(value):
            self._metric = metric
            self._values.append(float(value))
        if time.monotonic() - self._last >= EVERY_S:
            self._report("running")

    def end(self, state: str, missing: int = 0, reason: str = "") -> None:
        """The model is through with the task."""
        size = self._sizes.get(self._task, self._done)
        self._ended[self._model, self._task] = size
        self._report(state, missing, reason)

    def write(self, event: Name, **values: Any) -> None:
        """One line."""
        self._out.write(event, **values)

    def failed(self, error: UserError) -> None:
        """Not all that was asked for is there."""
        self._out.failed("evaluate", error)

    def close(self) -> None:
        """Close the file."""
        self._out.close()

    def _report(self, state: str, missing: int = 0, reason: str = "") -> None:
        self._last = time.monotonic()
        of = self._sizes.get(self._task, 0)
        live = LiveScore(
            self._model, self._task, self._metric, _so_far(self._values), of, missing,
            state, reason,  # type: ignore[arg-type]
        )  # fmt: skip
        self.write("score", **asdict(live))
        running = 0 if (self._model, self._task) in self._ended else self._done
        steps = sum(self._sizes.get(task, self._guess) for _, task in self._pairs)
        self.write("step", step=sum(self._ended.values()) + running, steps=max(1, steps))


def _so_far(values: Sequence[float]) -> Interval:
    # Fewer resamples than a report has: it is computed anew every second.
    return mean(values, resamples=500)

"""What a sample limit costs and buys: time, and the width of the interval. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imitation.evaluation.statistics.intervals import wilson

SECONDS: Mapping[str, float] = {
    "pocket_ask": 0.3,
    "pocket_facts": 0.25,
    "pocket_choice": 0.35,
    "pocket_toxicity": 1.2,
    "lab_humaneval": 7.0,
    "lab_realtoxicity": 1.2,
    "lab_nq": 0.4,
    "nq_open": 0.4,
    "mmlu": 1.2,
}
"""Seconds a sample for the pocket models on two cores, four requests at once; a first guess."""
GENERATION_S = 1.0
"""For tasks not named."""
START_S = 15.0
"""Loading lm-eval and the first model."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run would take and give.

    Attributes:
        samples: Samples asked of each model, all tasks together.
        requests: Samples x models.
        seconds: Expected wall time.
        half_widths: Task -> half the width of a 95% interval of a share at 50%, where it is widest;
            0.1 is plus or minus 10 points. None where the number of samples is not known.
        difference: Task -> the same for the difference of two models asked the same samples, at
            worst (answers unrelated); paired answers make it narrower.
    """

    samples: int
    requests: int
    seconds: float
    half_widths: Mapping[str, float | None]
    difference: Mapping[str, float | None]


def estimate(
    tasks: Mapping[str, int | None],
    models: int,
    limit: int | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Budget:
    """Time and interval widths of a run.

    Args:
        tasks: Task -> samples it has, None where not known (then the limit stands for it).
        models: Models to ask.
        limit: Samples a task at most, None for all.
        seconds: Task -> seconds a sample, as measured; missing ones are guessed.
    """
    known = {**SECONDS, **(seconds or {})}
    counts = {task: _count(n, limit) for task, n in tasks.items()}
    each = sum(known.get(task, GENERATION_S) * (n or 0) for task, n in counts.items())
    half = {task: half_width(n) if n else None for task, n in counts.items()}
    return Budget(
        samples=sum(n or 0 for n in counts.values()),
        requests=models * sum(n or 0 for n in counts.values()),
        seconds=START_S + models * each,
        half_widths=half,
        difference={task: w * 2**0.5 if w is not None else None for task, w in half.items()},
    )


def half_width(n: int) -> float:
    """Half the width of Wilson's 95% interval for a share of one half of `n` samples."""
    interval = wilson(n // 2, n)
    assert interval.low is not None and interval.high is not None
    return (interval.high - interval.low) / 2


def samples_for(width: float) -> int:
    """Fewest samples whose interval at one half is at most plus or minus `width`.

    Raises:
        ValueError: Not 0 < width < 0.5.
    """
    if not 0 < width < 0.5:
        raise ValueError(f"a half width of {width} is not between 0 and 0.5")
    low, high = 1, 2
    while half_width(high) > width:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if half_width(middle) <= width else (middle + 1, high)
    return low


def _count(n: int | None, limit: int | None) -> int | None:
    if n is None:
        return limit
    return n if limit is None else min(n, limit)

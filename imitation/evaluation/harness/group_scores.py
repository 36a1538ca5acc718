"""How a group's score is put together from its tasks' scores.

lm-eval's result files do not say whether a group is the mean over its tasks or over their samples
(`weight_by_size`), so it is seen from the numbers: what gives every model's score at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imitation.evaluation.harness.results import TaskResult

Results = Mapping[tuple[str, str], TaskResult]
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Combined:
    """A task, or a group of such.

    Attributes:
        task: Its name.
        parts: What a group is put together from.
        by_size: Whether each part counts by its samples; else all count alike.
    """

    task: str
    parts: tuple[Combined, ...] = ()
    by_size: bool = True

    def leaves(self) -> Iterator[str]:
        """The tasks below, groups in it opened."""
        if not self.parts:
            yield self.task
        for part in self.parts:
            yield from part.leaves()

    @property
    def pooled(self) -> bool:
        """Whether every sample counts alike."""
        return self.by_size and all(part.pooled for part in self.parts)

    def weights(self, sizes: Mapping[str, int]) -> dict[str, float]:
        """What the mean of each task counts, given how many samples it has; they add up to 1."""
        if not self.parts:
            return {self.task: 1.0}
        counts = [sum(sizes.get(leaf, 0) for leaf in part.leaves()) for part in self.parts]
        found: dict[str, float] = {}
        for part, count in zip(self.parts, counts, strict=True):
            share = count / max(1, sum(counts)) if self.by_size else 1 / len(self.parts)
            for leaf, weight in part.weights(sizes).items():
                found[leaf] = found.get(leaf, 0.0) + share * weight
        return found


def combined(
    task: str, metric: tuple[str, str], models: Sequence[str], found: Results
) -> Combined | None:
    """How the scores of a task or group come about, for all these models alike.

    Args:
        task: Its name.
        metric: Metric and filter.
        models: Those with a score of it.
        found: Every result by model and task.

    Returns:
        None where no way gives the models' scores.
    """
    results = [
        found[model, task]
        for model in models
        if (model, task) in found and metric in found[model, task].metrics
    ]
    results = [one for one in results if one.metrics[metric][0] is not None]
    if not results or not results[0].subtasks:
        return Combined(task)
    parts = []
    for name in results[0].subtasks:
        if any(metric in found[r.model, name].metrics for r in results if (r.model, name) in found):
            part = combined(name, metric, [r.model for r in results], found)
            if part is None:
                return None
            parts.append(part)
    for by_size in (True, False):
        whole = Combined(task, tuple(parts), by_size)
        if parts and all(_fits(whole, metric, result, found) for result in results):
            return whole
    return None


def leaves(model: str, result: TaskResult, found: Results) -> Iterator[str]:
    """Tasks below a group that a model was asked, groups in it opened."""
    for name in result.subtasks:
        if below := found.get((model, name)):
            yield from leaves(model, below, found) if below.subtasks else (name,)


def _fits(whole: Combined, metric: tuple[str, str], result: TaskResult, found: Results) -> bool:
    below = [found.get((result.model, part.task)) for part in whole.parts]
    sizes = [
        sum(_size(found.get((result.model, leaf)), metric[1]) for leaf in part.leaves())
        for part in whole.parts
    ]
    score, total, weight = result.metrics[metric][0], 0.0, 0.0
    for part, size in zip(below, sizes, strict=True):
        value = part.metrics[metric][0] if part and metric in part.metrics else None
        if value is None or (whole.by_size and not size):
            return False
        share = size if whole.by_size else 1
        total, weight = total + share * value, weight + share
    return score is not None and abs(total / weight - score) < ROUNDING


def _size(result: TaskResult | None, kind: str) -> int:
    """Samples that entered a task's score; counted where the file does not say."""
    if result is None:
        return 0
    if result.asked is None:
        return sum(1 for _ in result.answered(kind))
    return max(0, result.asked - len(result.missing))

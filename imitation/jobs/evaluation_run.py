"""What run.json says of an evaluation: an earlier run of its folder, what is asked now added."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from imitation.errors import UserError
from imitation.evaluation.harness.benchmarks import TaskOptions
from imitation.evaluation.report.files import load_run
from imitation.evaluation.report.schema import RUN, EvaluatedModel, Run
from imitation.jobs.model_selection import Subject

_ORIGIN = ("template", "engine", "source")
"""What decides a model's answers; the rest of `EvaluatedModel` describes it."""
LIBRARIES = ("lm_eval", "transformers", "torch", "xllamacpp")


def run_of(
    out: Path,
    chosen: Sequence[Subject],
    tasks: Sequence[str],
    asking: TaskOptions,
    shots: Mapping[str, int],
    argv: Sequence[str],
) -> Run:
    """The run of a folder, with these models and tasks in it.

    Args:
        out: The run's folder.
        chosen: Models asked now.
        tasks: Tasks asked now.
        asking: How they are run.
        shots: Task -> examples in the prompt, where not the task's own number.
        argv: The command.

    Raises:
        UserError: The folder holds answers of another model of the same id.
        StorageError: Its run.json is broken.
    """
    before = load_run(out) if (out / RUN).is_file() else None
    models = {m.id: m for m in before.models} if before else {}
    for subject in chosen:
        now = subject.measured
        if changed := _differs(models.get(now.id, now), now):
            raise UserError(
                f"{out} holds answers of another {now.id!r} ({changed}).",
                "Name another folder, or delete this one.",
            )
        models[now.id] = now  # its size or name may be described better than then
    if before and (before.limit, before.seed) != (asking.limit, asking.seed):
        print("limit or seed differ from the run's before: tasks are run again", file=sys.stderr)
    all_tasks = dict.fromkeys([*(before.tasks if before else ()), *tasks])
    return Run(
        id=out.name,
        created=before.created if before else datetime.now(UTC).isoformat(timespec="seconds"),
        argv=tuple(argv),
        models=tuple(models.values()),
        tasks=tuple(all_tasks),
        shots={**(before.shots if before else {}), **shots},
        limit=asking.limit,
        seed=asking.seed,
        versions=_versions(),
    )


def _differs(then: EvaluatedModel, now: EvaluatedModel) -> str:
    """What of the model's answers' origin has changed, in words; "" for nothing."""
    pairs = ((key, getattr(then, key), getattr(now, key)) for key in _ORIGIN)
    return ", ".join(f"{key} {old!r}, now {new!r}" for key, old, new in pairs if old != new)


def _versions() -> dict[str, str]:
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # the part that needs it is not installed
            continue
    return versions

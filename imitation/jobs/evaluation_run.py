"""What run.json says of an evaluation: an earlier run of its folder, what is asked now added."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from imitation.errors import UserError
from imitation.evaluation.benchmarks import Asking
from imitation.evaluation.report import RUN, Measured, Run
from imitation.evaluation.report_files import load_run
from imitation.jobs.evaluated import Subject

LIBRARIES = ("lm_eval", "transformers", "torch", "xllamacpp")


def run_of(
    out: Path,
    chosen: Sequence[Subject],
    tasks: Sequence[str],
    asking: Asking,
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
        known = models.setdefault(subject.measured.id, subject.measured)
        if replace(known, name=subject.measured.name) != subject.measured:
            raise UserError(
                f"{out} holds answers of another {known.id!r} ({_differs(known, subject)}).",
                "Name another folder, or delete this one.",
            )
    if before and (before.limit, before.seed) != (asking.limit, asking.seed):
        print("limit or seed differ from the run's before: tasks are run again", file=sys.stderr)
    every = dict.fromkeys([*(before.tasks if before else ()), *tasks])
    return Run(
        id=out.name,
        created=before.created if before else datetime.now(UTC).isoformat(timespec="seconds"),
        argv=tuple(argv),
        models=tuple(models.values()),
        tasks=tuple(every),
        shots={**(before.shots if before else {}), **shots},
        limit=asking.limit,
        seed=asking.seed,
        versions=_versions(),
    )


def _differs(known: Measured, subject: Subject) -> str:
    now, then = asdict(subject.measured), asdict(known)
    changed = [key for key in now if now[key] != then[key]]
    return ", ".join(f"{key} {then[key]!r}, now {now[key]!r}" for key in changed)


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""What the store holds of the lab's own measurements, as tables for the figures."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from dashboards.shell.figures.local_scores import LocalScore
from imitation.errors import StorageError
from imitation.evaluation.report import files as report_files
from imitation.evaluation.report import schema as reports
from imitation.evaluation.report.schema import EvaluatedModel, Gap, Report, Run, Score, comparable
from imitation.settings import PACKAGE
from imitation.storage import jobs
from imitation.storage.database import Store

log = logging.getLogger(__name__)

KINDS = ("evaluate", "results")
"""Kinds of jobs that write evaluation runs: measured here, or imported."""
BY_HAND = "folder-"
"""How the ids of runs begin that no job of the page wrote."""
EXAMPLE, EXAMPLE_ID = PACKAGE / "evaluation" / "report" / "example", "example"
"""A measured run that is shipped, shown where there is none of one's own (deploy/example.py)."""


def local_scores(db: Store, runs: Path) -> tuple[LocalScore, ...]:
    """Every measured main score of every run with a report, newest run first.

    A run whose report cannot be read is left out; the log says why. Where there is no run at all,
    those of the shipped example.

    Args:
        db: The store.
        runs: The folder of runs; those that no job wrote (commands by hand) count too.
    """
    sources = [
        (job.created, job.id, job.spec.name, Path(job.spec.out))
        for job in jobs.newest(db)
        if job.spec.kind in KINDS
    ]
    known = {out for *_, out in sources}
    sources += [
        (created, BY_HAND + folder.name, folder.name, folder)
        for created, folder in by_hand(runs, known)
    ]
    if not sources:
        example = report_files.load_run(EXAMPLE)
        sources = [(when_made(example), EXAMPLE_ID, example.id, EXAMPLE)]
    scores: list[LocalScore] = []
    for created, identity, name, out in sorted(sources, key=lambda source: -source[0]):
        try:
            report = report_files.report_of(out)
        except StorageError as error:
            log.warning("run %s is left out of the figures: %s", identity, error)
            continue
        if report is not None:
            scores += of_report(report, identity, name, created)
    return tuple(scores)


def by_hand(runs: Path, known: Collection[Path]) -> list[tuple[float, Path]]:
    """Evaluation runs among the runs that none of the known folders is: (when made, folder)."""
    folders = (path.parent for path in runs.glob(f"*/{reports.RUN}"))
    return [
        ((folder / reports.RUN).stat().st_mtime, folder)
        for folder in folders
        if folder not in known
    ]


def when_made(run: Run) -> float:
    """When a run was made by what it says itself, in seconds since 1970."""
    return datetime.fromisoformat(run.created).timestamp()


def of_report(report: Report, run: str, name: str, created: float) -> list[LocalScore]:
    """The main scores of a report, each with the gap it closes.

    Args:
        report: What came out.
        run: Id of the run's job.
        name: The run's name.
        created: When it was started, seconds since 1970.
    """
    models = {model.id: model for model in report.run.models}
    measured = [s for s in report.scores if s.main and s.value.value is not None]
    rows = []
    for score in measured:
        peers = [s for s in measured if s.task == score.task and s.model != score.model]
        unlike = {str(difference) for peer in peers for difference in comparable(score, peer)}
        gaps = [g for g in report.gaps if (g.task, g.imitation) == (score.task, score.model)]
        rows.append(
            _row(score, models[score.model], gaps, (run, name, created), tuple(sorted(unlike)))
        )
    return rows


def _row(
    score: Score,
    model: EvaluatedModel,
    gaps: list[Gap],
    run: tuple[str, str, float],
    unlike: tuple[str, ...],
) -> LocalScore:
    shots = "shots unknown" if score.shots is None else f"{score.shots}-shot"
    gap = gaps[0] if gaps else None
    return LocalScore(
        *run,
        task=score.task,
        metric=score.metric,
        how=", ".join(part for part in (shots, score.kind, score.template) if part),
        model=model.id,
        name=model.name,
        role=model.role,
        base=model.base,
        params_b=model.params_b,
        tokens_m=model.tokens_m,
        stand_in=model.stand_in,
        value=score.value,
        closed=gap.closed if gap else None,
        undefined=gap.undefined if gap else "",
        notes=gap.notes if gap else (),
        not_alike=unlike,
    )

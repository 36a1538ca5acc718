"""What the store holds of the lab's own measurements, as tables for the figures."""

from __future__ import annotations

import logging
import sqlite3
from functools import lru_cache
from pathlib import Path

from dashboards.figures.measured import OwnScore
from imitation.errors import StorageError
from imitation.evaluation import report as reports
from imitation.evaluation.report import Gap, Measured, Report, Score, comparable
from imitation.storage import jobs

log = logging.getLogger(__name__)

KIND = "evaluate"
"""The kind of job that measures."""


def own_scores(db: sqlite3.Connection) -> tuple[OwnScore, ...]:
    """Every measured main score of every run with a report, newest run first.

    A run whose report cannot be read is left out; the log says why.
    """
    found: list[OwnScore] = []
    for job in jobs.newest(db, KIND):
        try:
            report = report_of(Path(job.spec.out))
        except StorageError as error:
            log.warning("run %s is left out of the figures: %s", job.id, error)
            continue
        if report is not None:
            found += _of_report(report, job.id, job.spec.name, job.created)
    return tuple(found)


def report_of(folder: Path) -> Report | None:
    """The report of a run's folder, None while there is none.

    Raises:
        StorageError: It is broken or of another version.
    """
    path = folder / reports.REPORT
    return _report(folder, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=64)
def _report(folder: Path, _changed: int) -> Report:
    return reports.load(folder)


def _of_report(report: Report, run: str, name: str, created: float) -> list[OwnScore]:
    models = {model.id: model for model in report.run.models}
    measured = [s for s in report.scores if s.main and s.value.value is not None]
    rows = []
    for score in measured:
        peers = [s for s in measured if s.task == score.task and s.model != score.model]
        unlike = {str(one) for peer in peers for one in comparable(score, peer)}
        gaps = [g for g in report.gaps if (g.task, g.imitation) == (score.task, score.model)]
        rows.append(
            _row(score, models[score.model], gaps, (run, name, created), tuple(sorted(unlike)))
        )
    return rows


def _row(
    score: Score,
    model: Measured,
    gaps: list[Gap],
    run: tuple[str, str, float],
    unlike: tuple[str, ...],
) -> OwnScore:
    shots = "shots unknown" if score.shots is None else f"{score.shots}-shot"
    gap = gaps[0] if gaps else None
    return OwnScore(
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
        not_alike=unlike,
    )

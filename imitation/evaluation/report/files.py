"""run.json, report.json and the scores in progress.jsonl of a run's folder, read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from imitation import events
from imitation.disk import write_text
from imitation.errors import StorageError
from imitation.evaluation.report.schema import (
    NOTHING,
    PROGRESS,
    REPORT,
    RUN,
    Difference,
    EvaluatedModel,
    Gap,
    LiveScore,
    Report,
    Run,
    Score,
)
from imitation.values import Interval

FORMAT = 1
"""Version of report.json."""

T = TypeVar("T")


def load_run(folder: Path) -> Run:
    """What a run folder was asked for.

    Raises:
        StorageError: There is none, or it is not one.
    """
    return _run(_read(folder / RUN), folder / RUN)


def load(folder: Path) -> Report:
    """The report of a run folder.

    Raises:
        StorageError: There is none yet, it is broken, or it is of another version.
    """
    path = folder / REPORT
    found = _read(path)
    if found.get("format") != FORMAT:
        raise StorageError(
            f"{path} is a report of version {found.get('format')!r}; this app reads {FORMAT}.",
            "Run the evaluation's command again: it rebuilds the report without asking a model.",
        )
    try:
        return Report(
            run=_run(found["run"], path),
            scores=tuple(_score(row) for row in found["scores"]),
            gaps=tuple(_gap(row) for row in found["gaps"]),
            notes=tuple(found["notes"]),
            complete=bool(found["complete"]),
        )
    except (KeyError, TypeError) as error:
        raise StorageError(f"{path} is no report of ours: {error!r}.") from error


def save(value: Run | Report, folder: Path) -> Path:
    """Write run.json or report.json, whole or not at all; its path."""
    path = folder / (RUN if isinstance(value, Run) else REPORT)
    write_text(path, as_json(value))
    return path


def as_json(value: Run | Report) -> str:
    """A run or report as readable JSON; `load` and `load_run` read it."""
    table = asdict(value)
    if isinstance(value, Report):
        table = {"format": FORMAT, **table}
    return json.dumps(table, indent=1, ensure_ascii=False) + "\n"


def live_scores(folder: Path) -> list[LiveScore]:
    """The last score of each model and task in progress.jsonl, in the order they began."""
    found: dict[tuple[str, str], LiveScore] = {}
    for row in events.read(folder / PROGRESS):
        if row.get("event") != "score":
            continue
        try:
            score = _make(LiveScore, {**row, "value": Interval(**row["value"])})
        except (ValueError, TypeError, KeyError):  # not ours
            continue
        found[score.model, score.task] = score
    return list(found.values())


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise StorageError(
            f"{path.parent} has no {path.name}.", "The evaluation may not have got that far."
        ) from error
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise StorageError(f"{path} is not a {path.name} of ours.")
    return found


def _make(cls: type[T], row: Mapping[str, Any]) -> T:
    """A value from a table; keys it doesn't know are passed over."""
    known = {f.name for f in fields(cast(Any, cls))}
    return cls(**{key: value for key, value in row.items() if key in known})


def _run(row: Mapping[str, Any], path: Path) -> Run:
    try:
        models: Sequence[Mapping[str, Any]] = row["models"]
        return _make(
            Run,
            {
                **row,
                "argv": tuple(row["argv"]),
                "tasks": tuple(row["tasks"]),
                "models": tuple(_make(EvaluatedModel, model) for model in models),
            },
        )
    except (KeyError, TypeError) as error:
        raise StorageError(f"{path} is no run of ours: {error!r}.") from error


def _score(row: Mapping[str, Any]) -> Score:
    value, subtasks = Interval(**row["value"]), tuple(row["subtasks"])
    return _make(Score, {**row, "value": value, "subtasks": subtasks})


def _gap(row: Mapping[str, Any]) -> Gap:
    return _make(
        Gap,
        {
            **row,
            "closed": Interval(**row["closed"]),
            "change": Interval(**row["change"]),
            "caveats": tuple(Difference(**one) for one in row["caveats"]),
            # Reports written before these were kept lack them.
            "difference": Interval(**row.get("difference", asdict(NOTHING))),
            "notes": tuple(row.get("notes", ())),
        },
    )


def report_of(folder: Path) -> Report | None:
    """The report of a run's folder, None while there is none.

    Raises:
        StorageError: It is broken or of another version.
    """
    path = folder / REPORT
    return _report(folder, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=64)
def _report(folder: Path, _changed: int) -> Report:
    return load(folder)

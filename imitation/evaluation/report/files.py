"""run.json, report.json and the scores in progress.jsonl of a run's folder, read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from imitation import events
from imitation.disk import write_text
from imitation.errors import StorageError
from imitation.evaluation.report.schema import PROGRESS, REPORT, RUN, LiveScore, Report, Run

FORMAT = 1
"""Version of report.json."""

T = TypeVar("T")
# Files of earlier versions are read as they are: what they lack takes its default, and keys that
# are no longer known are passed over.
_RUN, _REPORT, _LIVE_SCORE = TypeAdapter(Run), TypeAdapter(Report), TypeAdapter(LiveScore)


def load_run(folder: Path) -> Run:
    """What a run folder was asked for.

    Raises:
        StorageError: There is none, or it is not one.
    """
    path = folder / RUN
    return _typed(_RUN, _read(path), f"{path} is no run of ours")


def load(folder: Path) -> Report:
    """The report of a run folder.

    Raises:
        StorageError: There is none yet, it is broken, or it is of another version.
    """
    path = folder / REPORT
    table = _read(path)
    if table.get("format") != FORMAT:
        raise StorageError(
            f"{path} is a report of version {table.get('format')!r}; this app reads {FORMAT}.",
            "Run the evaluation's command again: it rebuilds the report without asking a model.",
        )
    return _typed(_REPORT, table, f"{path} is no report of ours")


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
    latest: dict[tuple[str, str], LiveScore] = {}
    for row in events.read(folder / PROGRESS):
        if row.get("event") != "score":
            continue
        try:
            score = _LIVE_SCORE.validate_python(row)
        except ValidationError:  # not ours
            continue
        latest[score.model, score.task] = score
    return list(latest.values())


def _read(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise StorageError(
            f"{path.parent} has no {path.name}.", "The evaluation may not have got that far."
        ) from error
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {error}.") from error
    if not isinstance(table, dict):
        raise StorageError(f"{path} is not a {path.name} of ours.")
    return table


def _typed(schema: TypeAdapter[T], table: Mapping[str, Any], problem: str) -> T:
    try:
        return schema.validate_python(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        more = f" and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        raise StorageError(f"{problem}: {key}: {first['msg']}{more}.") from error


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

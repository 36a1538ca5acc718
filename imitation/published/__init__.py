"""The paper's numbers, and those of later studies, as data: `numbers.json` and `later.json`.

A value is either printed in its source or digitised (read off a figure, with its reading error).
What a source does not report is absent here, never zero.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from imitation.errors import ConfigError

PublishedRole = Literal["base", "imitation", "reference", "other proprietary"]
Source = Literal["printed", "digitised"]
_ROLES = ("base", "imitation", "reference", "other proprietary")
_SOURCES = ("printed", "digitised")
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Record:
    """One published value.

    Attributes:
        where: Table, figure or document it stands in.
        benchmark: What was measured.
        metric: How, with the unit.
        model: As the source names it.
        role: Its part in the comparison; "other proprietary" is a bystander, not the reference.
        params_b: Parameters in billions; None where not given.
        tokens_m: Imitation tokens in millions (0 for the base); None where not given.
        imitation_data: Dataset it was fine-tuned on; None where not given.
        value: In the metric's unit.
        digitised_error: Reading error in the metric's unit; None where printed or not given.
        source: "printed" or "digitised".
        study: Later study; "" for the paper.
        date: Month of the later study, YYYY-MM.
        base: Base LM of an imitation in a later study.
    """

    where: str
    benchmark: str
    metric: str
    model: str
    role: PublishedRole
    params_b: float | None
    tokens_m: float | None
    imitation_data: str | None
    value: float
    digitised_error: float | None
    source: Source
    study: str = ""
    date: str = ""
    base: str | None = None

    @property
    def origin(self) -> str:
        """Where the value is from and how it was taken, in words."""
        if self.source == "printed":
            return f"{self.where}, printed"
        if self.digitised_error is None:
            return f"{self.where}, digitised, reading error not stated"
        return f"{self.where}, digitised ±{self.digitised_error:g}"


@dataclass(frozen=True, slots=True)
class Paper:
    """The study this laboratory is about.

    Attributes:
        about: Title, authors, arXiv id, date.
        records: Every value of its figures and tables.
        query_types: Share of each query type in ShareGPT-Mix, percent (Table 5).
        datasets: Sizes and checks of the datasets.
        training: Settings of the fine-tunes.
        human_eval: Design of the crowd study.
    """

    about: Mapping[str, Any]
    records: tuple[Record, ...]
    query_types: Mapping[str, float]
    datasets: Mapping[str, Any]
    training: Mapping[str, Any]
    human_eval: Mapping[str, Any]


@cache
def load_paper() -> Paper:
    """The paper's values.

    Raises:
        ConfigError: `numbers.json` is damaged; every problem is named.
    """
    raw = raw_numbers()
    return Paper(
        about=raw["paper"],
        records=parse_records(raw["records"], "numbers.json"),
        query_types=raw["query_types_percent"],
        datasets=raw["datasets"],
        training=raw["training"],
        human_eval=raw["human_eval"],
    )


@cache
def load_later() -> tuple[Record, ...]:
    """Values of later studies of imitation.

    Raises:
        ConfigError: `later.json` is damaged; every problem is named.
    """
    return parse_records(raw_later()["records"], "later.json")


def raw_numbers() -> dict[str, Any]:
    """`numbers.json` as it stands."""
    return _read("numbers.json")


def raw_later() -> dict[str, Any]:
    """`later.json` as it stands."""
    return _read("later.json")


def parse_records(rows: Iterable[Mapping[str, Any]], file: str) -> tuple[Record, ...]:
    """Records of JSON rows.

    Raises:
        ConfigError: Rows lack a name or a value, or hold an unknown role or source; all named.
    """
    problems: list[str] = []
    records: list[Record] = []
    for number, row in enumerate(rows, start=1):
        found = _row_problems(row)
        problems += [f"record {number}: {problem}" for problem in found]
        if not found:
            records.append(_record(row))
    if problems:
        raise ConfigError(file, problems, "Restore the file from the repository.")
    return tuple(records)


def select(
    records: Iterable[Record],
    *,
    where: str | None = None,
    benchmark: str | None = None,
    role: PublishedRole | None = None,
    params_b: float | None = None,
) -> list[Record]:
    """Records that match every condition given, in order."""
    return [
        r
        for r in records
        if (where is None or r.where == where)
        and (benchmark is None or r.benchmark == benchmark)
        and (role is None or r.role == role)
        and (params_b is None or r.params_b == params_b)
    ]


def only(records: Sequence[Record], role: PublishedRole) -> Record | None:
    """The one record of a role; None where the source reports none.

    Raises:
        ValueError: There are several, so "the" base or reference is not defined.
    """
    found = select(records, role=role)
    if len(found) > 1:
        raise ValueError(f"{len(found)} {role} records, expected one: {[r.model for r in found]}")
    return found[0] if found else None


def _read(name: str) -> dict[str, Any]:
    try:
        raw: dict[str, Any] = json.loads((_FOLDER / name).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ConfigError(name, [str(error)], "Restore the file from the repository.") from error
    return raw


def _row_problems(row: Mapping[str, Any]) -> list[str]:
    problems = [
        f"{key} is missing"
        for key in ("benchmark", "metric", "model")
        if not isinstance(row.get(key), str) or not row[key]
    ]
    if not (row.get("where") or row.get("reference")):
        problems.append("neither where nor reference says where it is from")
    if row.get("role") not in _ROLES:
        problems.append(f"role {row.get('role')!r} is not one of {', '.join(_ROLES)}")
    if row.get("source") not in _SOURCES:
        problems.append(f"source {row.get('source')!r} is not one of {', '.join(_SOURCES)}")
    for key in ("value", "digitised_error", "params_b", "tokens_m"):
        value = row.get(key)
        if value is None and key == "value":
            problems.append("value is missing")
        elif value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            problems.append(f"{key} {value!r} is not a number")
    return problems


def _record(row: Mapping[str, Any]) -> Record:
    return Record(
        where=row.get("where") or row["reference"],
        benchmark=row["benchmark"],
        metric=row["metric"],
        model=row["model"],
        role=row["role"],
        params_b=row.get("params_b"),
        tokens_m=row.get("tokens_m"),
        imitation_data=row.get("imitation_data"),
        value=row["value"],
        digitised_error=row.get("digitised_error"),
        source=row["source"],
        study=row.get("study", ""),
        date=row.get("date", ""),
        base=row.get("base"),
    )

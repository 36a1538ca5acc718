"""Rows that lie inside one object: a table by columns, or a list under some name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import Any

_LISTS = ("data", "rows", "examples", "items", "conversations", "instances", "train")
"""What lists of rows are called."""


def rows_within(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]] | None:
    """The rows of a table written as one object; None where it is none.

    Known are columns as lists (`datasets`) or as tables by row number (pandas), pandas' "split",
    and a list of objects under a usual name.
    """
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        return (dict(zip(map(str, columns), r, strict=False)) for r in data if isinstance(r, list))
    lists = [one for one in value.values() if isinstance(one, list)]
    named = next((rows for name in _LISTS if _are_rows(rows := value.get(name))), None)
    # A list of rows alone would pass for a table of one column.
    if named is None or not all(map(_are_rows, lists)):
        found = _by_columns(value)
        if found is not None:
            return found
    return None if named is None else iter(named)


def _are_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _by_columns(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]] | None:
    tables = list(value.values())
    if not tables:
        return None
    if all(isinstance(column, dict) for column in tables):
        keys = list(tables[0])
        if not keys or any(list(column) != keys for column in tables):
            return None
        tables = [list(column.values()) for column in tables]
    if not all(isinstance(column, list) for column in tables):
        return None
    if not tables[0] or len({len(column) for column in tables}) > 1:
        return None
    return (dict(pairs) for pairs in map(zip, repeat(tuple(value)), zip(*tables, strict=True)))

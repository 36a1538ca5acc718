"""Jobs by their parameters.

Until now a job's row held its command line. It is read here for the last time: options become
fields, which are named alike. What an option's value means (a number, a path) is for the class of
the parameters to say.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

SQL = "ALTER TABLE jobs ADD COLUMN parameters TEXT NOT NULL DEFAULT '{}'"
_LISTS = frozenset(
    ("models", "tasks", "tasks_from", "local", "adapters", "shots", "roles", "source", "steps",
     "languages", "set", "decontaminate", "answers", "weights", "licences", "words", "against")
)  # fmt: skip
"""Options that took any number of values, or stood more than once."""
_POSITIONAL = {"imitation.jobs.import_results": "source"}
_NEGATIVE = {"no_diversity": "diversity"}
"""Options that switched something off -> the field that is False then."""


def convert(connection: sqlite3.Connection) -> None:
    """Fill the new column from the old one, and drop that."""
    for number, argv in connection.execute("SELECT number, argv FROM jobs").fetchall():
        table = json.dumps(parameters(json.loads(argv)))
        connection.execute("UPDATE jobs SET parameters = ? WHERE number = ?", (table, number))
    connection.execute("ALTER TABLE jobs DROP COLUMN argv")


def parameters(argv: list[str]) -> dict[str, Any]:
    """[python, -m, module, --option, value, ...] as {option: value}; {} for anything else."""
    if len(argv) < 3 or argv[1] != "-m":
        return {}
    found: dict[str, list[str]] = {}
    name = _POSITIONAL.get(argv[2], "")
    for part in argv[3:]:
        if part.startswith("--"):
            name, _, value = part[2:].partition("=")
            name = name.replace("-", "_")
            found.setdefault(name, [])
            if value:
                found[name].append(value)
        elif name:
            found.setdefault(name, []).append(part)
    return {
        _NEGATIVE.get(name, name): False if name in _NEGATIVE else _value(name, values)
        for name, values in found.items()
    }


def _value(name: str, values: list[str]) -> Any:
    if name in _LISTS:
        return values
    return values[-1] if values else True

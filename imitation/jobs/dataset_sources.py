"""The sources of a dataset as named on a command line: files, hub datasets, presets."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain, count
from pathlib import Path

from imitation.data.sources import load
from imitation.data.sources.load import Source
from imitation.errors import UserError
from imitation.validation import nearest

PRESET = "preset:"


@cache
def presets() -> Mapping[str, Mapping[str, str]]:
    """Public datasets by name: path, files, licence and what it is about."""
    table = Path(load.__file__).with_name("sources.toml")
    return tomllib.loads(table.read_text(encoding="utf-8"))


def sources_of(
    paths: Sequence[str], weights: Sequence[float] = (), licences: Sequence[str] = ()
) -> list[Source]:
    """Sources with names of their own.

    Args:
        paths: Files, `hub:NAME[:CONFIG][@SPLIT]` or `preset:NAME`.
        weights: One for each path, or none.
        licences: One for each path, or none.

    Raises:
        UserError: A preset is unknown, or there are not as many weights or licences as paths.
    """
    if problems := weight_problems(paths, weights, licences):
        raise UserError(" ".join(problems))
    sources: list[Source] = []
    for at, path in enumerate(paths):
        known = _preset(path) if path.startswith(PRESET) else {}
        sources.append(
            Source(
                name=_free(_name(path), {source.name for source in sources}),
                path=known.get("path", path),
                licence=licences[at] if licences else known.get("licence", ""),
                weight=weights[at] if weights else 1.0,
                files=known.get("files", ""),
            )
        )
    return sources


def weight_problems(
    paths: Sequence[str], weights: Sequence[float], licences: Sequence[str]
) -> list[str]:
    """What is wrong with weights and licences for these sources, a sentence each."""
    problems = [
        f"There are {len(values)} {name} for {len(paths)} sources."
        for name, values in (("weights", weights), ("licences", licences))
        if values and len(values) != len(paths)
    ]
    # Not `weight < 0`: that lets NaN through.
    if weights and (any(not 0 <= weight < 1e9 for weight in weights) or not sum(weights)):
        problems.append("Weights should be 0 or more, and not all 0.")
    return problems


def _preset(path: str) -> Mapping[str, str]:
    name = path.removeprefix(PRESET)
    if name not in presets():
        raise UserError(f"There is no preset {name!r}.", nearest(name, presets()))
    return presets()[name]


def _name(path: str) -> str:
    if path.startswith(PRESET):
        return path.removeprefix(PRESET)
    return Path(path.partition("@")[0]).name.partition(".")[0] or "source"


def _free(name: str, taken: set[str]) -> str:
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(free for free in names if free not in taken)

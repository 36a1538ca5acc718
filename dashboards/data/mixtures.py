"""The mixture a visitor is putting together, kept between looks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dashboards.data.new_dataset import STEPS, Form
from dashboards.data.sources import command_name, source_of
from dashboards.shell.visitor_store import recall, remember
from imitation.data.sources.load import Source
from imitation.errors import UserError
from imitation.settings import Settings

_MIXTURE, _CHOICES = "mixture", "choices"
CHOICES = (
    "steps", "languages", "similarity", "least", "most", "max_bleu", "budget", "limit", "seed",
    "tokenizer", "diversity",
)  # fmt: skip
"""Fields of the form that are kept beside the mixture."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Sources chosen so far.

    Attributes:
        sources: Those that are still there.
        weights: Of them, as typed.
        gone: Names of those that are not.
    """

    sources: tuple[Source, ...] = ()
    weights: str = ""
    gone: tuple[str, ...] = ()


def keep(settings: Settings, visitor: str, sources: Sequence[Source], weights: str) -> None:
    """Keep a mixture instead of the one before.

    Raises:
        StorageError: It cannot be written.
    """
    rows = [
        {"source": command_name(one), "name": one.name, "licence": one.licence} for one in sources
    ]
    remember(settings, visitor, _MIXTURE, {"sources": rows, "weights": weights})


def keep_choices(settings: Settings, visitor: str, values: Sequence[Any]) -> None:
    """Keep what is chosen in the form, in the order of CHOICES.

    Raises:
        StorageError: It cannot be written.
    """
    remember(settings, visitor, _CHOICES, dict(zip(CHOICES, values, strict=True)))


def kept_choices(settings: Settings, visitor: str) -> list[Any]:
    """What was chosen, in the order of CHOICES; as the form begins where that is not known."""
    found, start = recall(settings, visitor, _CHOICES), Form("", ())
    values = []
    for key in CHOICES:
        default: Any = getattr(start, key)
        if isinstance(default, tuple):
            default = list(default)
        elif default is None:  # no limit, which the form writes as 0
            default = 0
        value = found.get(key)
        if key == "steps" and isinstance(value, list):
            value = [step for step in value if step in STEPS]
        values.append(value if _alike(value, default) else default)
    return values


def _alike(value: Any, default: Any) -> bool:
    """Whether a value that was kept is of a field's kind."""
    if isinstance(default, list):
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if isinstance(default, bool | str):
        return isinstance(value, type(default))
    return isinstance(value, int | float) and not isinstance(value, bool)


def kept(settings: Settings, visitor: str) -> Mixture:
    """The mixture as it was left, less what is no longer there (with its weight)."""
    table = recall(settings, visitor, _MIXTURE)
    rows = [row for row in table.get("sources", ()) if isinstance(row, dict)]
    found, gone, lost = list[Source](), list[str](), set[int]()
    for at, row in enumerate(rows):
        try:
            source = source_of(settings, str(row.get("source", "")), visitor)
        except UserError:
            gone.append(str(row.get("name", "")))
            lost.add(at)
        else:
            found.append(replace(source, licence=str(row.get("licence", ""))))
    weights = str(table.get("weights", ""))
    each = re.split(r"[\s,;:/]+", weights.strip())
    if lost and len(each) == len(rows):
        weights = " ".join(weight for at, weight in enumerate(each) if at not in lost)
    return Mixture(tuple(found), weights, tuple(gone))

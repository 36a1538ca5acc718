"""The mixture a visitor is putting together, kept between looks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
        {"source": command_name(source), "name": source.name, "licence": source.licence}
        for source in sources
    ]
    remember(settings, visitor, _MIXTURE, {"sources": rows, "weights": weights})


def keep_choices(settings: Settings, visitor: str, choices: Mapping[str, Any]) -> None:
    """Keep what is chosen in the form, by the names of CHOICES.

    Raises:
        StorageError: It cannot be written.
    """
    remember(settings, visitor, _CHOICES, {name: choices[name] for name in CHOICES})


def kept_choices(settings: Settings, visitor: str) -> dict[str, Any]:
    """What was chosen, by the names of CHOICES; as the form begins where that is not known."""
    table, start = recall(settings, visitor, _CHOICES), Form("", ())
    choices: dict[str, Any] = {}
    for name in CHOICES:
        default: Any = getattr(start, name)
        if isinstance(default, tuple):
            default = list(default)
        elif default is None:  # no limit, which the form writes as 0
            default = 0
        value = table.get(name)
        if name == "steps" and isinstance(value, list):
            value = [step for step in value if step in STEPS]
        choices[name] = value if _alike(value, default) else default
    return choices


def _alike(value: Any, default: Any) -> bool:
    """Whether a value that was kept is of a field's kind."""
    if isinstance(default, list):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if isinstance(default, bool | str):
        return isinstance(value, type(default))
    return isinstance(value, int | float) and not isinstance(value, bool)


def kept(settings: Settings, visitor: str) -> Mixture:
    """The mixture as it was left, less what is no longer there (with its weight)."""
    table = recall(settings, visitor, _MIXTURE)
    rows = [row for row in table.get("sources", ()) if isinstance(row, dict)]
    sources, gone, lost = list[Source](), list[str](), set[int]()
    for number, row in enumerate(rows):
        try:
            source = source_of(settings, str(row.get("source", "")), visitor)
        except UserError:
            gone.append(str(row.get("name", "")))
            lost.add(number)
        else:
            sources.append(replace(source, licence=str(row.get("licence", ""))))
    weights = str(table.get("weights", ""))
    each = re.split(r"[\s,;:/]+", weights.strip())
    if lost and len(each) == len(rows):
        weights = " ".join(weight for n, weight in enumerate(each) if n not in lost)
    return Mixture(tuple(sources), weights, tuple(gone))

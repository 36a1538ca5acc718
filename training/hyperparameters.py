"""What a hyperparameter says of itself, and what is made of that.

Each stands in one place, a field of `training.config.TrainingConfig`: type, range or choices, and
default as pydantic has them, the rest in its `Knob`. The page's form, the options of the command
line, the checks, the table of the documentation and what makes a run fit are made from it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from imitation.validation import choices, range_words

log = logging.getLogger(__name__)
Section = Literal["main", "more", "none"]
"""Where the form shows it: at once, folded away, or not at all."""
Kind = Literal["switch", "choice", "whole number", "number", "text", "names"]


@dataclass(frozen=True, slots=True)
class Knob:
    """What people read of a hyperparameter, and when it may be turned.

    Attributes:
        label: The field's term for it.
        help: One plain sentence under the label.
        section: Of the form.
        elastic: A run that goes on from a checkpoint may change it: it doesn't change what is
            learned (up to rounding).
        former: What earlier versions called it; still read.
        lighter: From a value to one that takes less memory, or the same where there is none.
        details: What else its documentation says.
    """

    label: str
    help: str
    section: Section = "none"
    elastic: bool = False
    former: str = ""
    lighter: Callable[[Any], Any] | None = None
    details: str = ""


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A hyperparameter: its name, what pydantic knows of it, and its knob."""

    name: str
    field: FieldInfo
    knob: Knob

    @property
    def choices(self) -> tuple[Any, ...]:
        """The words it chooses among; none where it is a number, a switch or free."""
        return () if self.kind == "names" else choices(self.field)

    @property
    def range(self) -> str:
        """The numbers it takes, in words."""
        return range_words(self.field)

    @property
    def default(self) -> Any:
        """Its value where nothing is said."""
        return self.field.get_default()

    @property
    def kind(self) -> Kind:
        """What it takes, which decides the form's component."""
        annotation = self.field.annotation
        if get_origin(annotation) is tuple:
            return "names"
        if get_origin(annotation) is Literal:
            return "choice"
        kinds: dict[Any, Kind] = {bool: "switch", int: "whole number", float: "number"}
        return kinds.get(annotation, "text")


@cache
def hyperparameters(model: type[BaseModel]) -> Mapping[str, Hyperparameter]:
    """All hyperparameters of a config by name, in its order."""
    return {
        name: Hyperparameter(name, field, knob)
        for name, field in model.model_fields.items()
        for knob in field.metadata
        if isinstance(knob, Knob)
    }


def renamed(model: type[BaseModel], table: Mapping[str, Any]) -> dict[str, Any]:
    """A table with the names of today in place of former ones, each noted once."""
    names = {h.knob.former: h.name for h in hyperparameters(model).values() if h.knob.former}
    for former in names.keys() & table.keys():
        _note(former, names[former])
    return {names.get(key, key): value for key, value in table.items()}


@cache  # once a process is enough to be seen, and a list of old runs would fill the log
def _note(former: str, name: str) -> None:
    log.warning("The setting %s is called %s now; the former name is still read.", former, name)


def lighter(config: BaseModel, *, elastic_only: bool = False) -> dict[str, Any]:
    """The next change that takes less memory, {} where there is none.

    What leaves the result as it is comes first, then the order of the config.

    Args:
        config: What is to be changed.
        elastic_only: Only by what a resumed run may change.
    """
    known = hyperparameters(type(config)).values()
    knobs = [h for h in known if h.knob.lighter and (h.knob.elastic or not elastic_only)]
    for knob in sorted(knobs, key=lambda h: not h.knob.elastic):
        value = getattr(config, knob.name)
        less = knob.knob.lighter(value) if knob.knob.lighter else value
        if less != value:
            return {knob.name: less}
    return {}


def markdown(model: type[BaseModel]) -> str:
    """The table of all hyperparameters for the documentation."""
    lines = [
        "| key | is | takes | default | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for h in hyperparameters(model).values():
        taken = ", ".join(f"`{word}`" for word in h.choices) or h.range or h.kind
        default = ", ".join(h.default) if isinstance(h.default, tuple) else _toml(h.default)
        about = " ".join(filter(None, [h.knob.help, h.knob.details]))
        if h.knob.elastic:
            about += " A resumed run may change it."
        if h.knob.former:
            about += f" Formerly `{h.knob.former}`."
        lines.append(f"| `{h.name}` | {h.knob.label} | {taken} | `{default}` | {about} |")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A value as a preset writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)

"""What pydantic found wrong with a value, in words: every problem at once, with near matches."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from imitation.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)

_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table",
    "date": "a date such as 2026-11-27",
    "finite": "a finite number",
}
"""First word of pydantic's error type -> what the value should have been."""
_RANGES = ("greater_than", "less_than", "finite_number")


def nearest(name: str, known: Iterable[str]) -> str:
    """The nearest names as a question, or the list of what is known."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "Known: " + ", ".join(known) + "." if known else ""


def read(model: type[Model], table: Mapping[str, Any], where: str, hint: str = "") -> Model:
    """A table as a typed value.

    Raises:
        ConfigError: Everything that is wrong with it, at once.
    """
    try:
        return model.model_validate(dict(table))
    except ValidationError as error:
        raise ConfigError(where, problems(error, model), hint) from None


def problems(
    error: ValidationError, model: type[BaseModel], types: Mapping[str, str] = _WANTED
) -> list[str]:
    """Each problem as `name = value should be ...`; values of the wrong type come first.

    Args:
        error: What pydantic found.
        model: What it held the values against.
        types: First word of pydantic's error type -> what the value should have been.
    """
    details = sorted(error.errors(), key=lambda detail: detail["type"] == "value_error")
    return list(dict.fromkeys(_problem(detail, model, types) for detail in details))


def range_words(field: FieldInfo) -> str:
    """The numbers a field takes: "1 to 256", "above 0, at most 1", "at least 8"; "" for any."""
    low = high = ""
    for limit in field.metadata:
        match limit:
            case Ge(ge=value):
                low = f"{value}"
            case Gt(gt=value):
                low = f"above {value}"
            case Le(le=value):
                high = f"{value}"
            case Lt(lt=value):
                high = f"below {value}"
    if low.startswith("above") or high.startswith("below"):
        high = f"at most {high}" if high and not high.startswith("below") else high
        return ", ".join(part for part in (low, high) if part)
    if low and high:
        return f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}" if high else ""


def choices(field: FieldInfo) -> tuple[Any, ...]:
    """The values that a field chooses among; none where it takes any."""
    args = (field.annotation, *get_args(field.annotation))
    return next((get_args(one) for one in args if get_origin(one) is Literal), ())


def _problem(detail: Any, model: type[BaseModel], types: Mapping[str, str]) -> str:
    path = [part for part in detail["loc"] if isinstance(part, (str, int))]
    name = ".".join(map(str, path))
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return f"unknown key {name!r}. {nearest(name, model.model_fields)}".rstrip()
    if kind == "missing":
        return f"{name} is missing"
    if kind == "value_error":
        message = str(detail["ctx"]["error"])
        return f"{name} = {value!r:.200}: {message}" if name else message
    shown = f"{name} = {value!r:.200}"
    if kind == "literal_error":
        known = [word.strip(" '") for word in _literals(detail["ctx"]["expected"])]
        return f"{shown}. {nearest(str(value), known)}"
    field = model.model_fields.get(str(path[0])) if path else None
    if kind.startswith(_RANGES) and field is not None and (words := range_words(field)):
        return f"{shown} should be {words}"
    wanted = types.get(kind.split("_")[0])
    return f"{shown} should be {wanted}" if wanted else f"{shown}: {detail['msg']}"


def _literals(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(",")

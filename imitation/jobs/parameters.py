"""What a job is told: a frozen value, stored as JSON; its command line is derived from it.

A kind's parameters are declared once, as a class with a field for each option:

    class Generate(JobParameters):
        model: Annotated[str, Field(description="id in the catalog")]
        temperature: Annotated[float, Field(ge=0, le=2)] = 0.7

The command reads its command line with `run` and the page makes the same value of its form.
`options` goes the other way. Nothing parses a command line that we wrote.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter as Argument
from inspect import Signature
from types import NoneType
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args, get_origin

import cyclopts
from cyclopts import App, Parameter
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from imitation import validation
from imitation.commands import shown_as
from imitation.errors import ConfigError, UserError
from imitation.validation import choices, range_words

REPAIR = "See --help."


class JobParameters(BaseModel):
    """Parameters of a kind of job.

    Attributes:
        positional: Field whose values need no option name on a command line; "" for none.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, populate_by_name=True
    )
    positional: ClassVar[str] = ""

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Self:
        """Parameters as they were stored.

        Raises:
            ConfigError: They are of an earlier version that knew other options, or not whole.
        """
        return validation.read(cls, table, f"the stored parameters ({cls.__name__})")

    def as_json(self) -> dict[str, Any]:
        """All of them as plain values, for a job's row."""
        return self.model_dump(mode="json")

    def options(self) -> list[str]:
        """The command line's options: those that differ from their defaults, in order."""
        fields = type(self).model_fields
        given = {k: v for k in fields if (v := getattr(self, k)) != fields[k].get_default()}
        first = given.pop(self.positional, ())
        return [
            *map(str, first),
            *(part for k, v in given.items() for part in _option(fields[k].alias or k, v)),
        ]


Parameters = TypeVar("Parameters", bound=JobParameters)


def _signature(kind: type[JobParameters]) -> Signature:
    """The fields as text: what people type is read by pydantic, and by nothing else."""
    first = kind.positional
    fields = sorted(kind.model_fields.items(), key=lambda one: one[0] != first)
    return Signature(
        [
            Argument(
                one.alias or name,  # `json` is a method of every model, and an option
                Argument.POSITIONAL_OR_KEYWORD if name == first else Argument.KEYWORD_ONLY,
                annotation=Annotated[_hint(one), _parameter(one)],
                default=None,
            )
            for name, one in fields
        ]
    )


def _hint(one: FieldInfo) -> Any:
    kind = _kind(one)
    if kind is bool:
        return bool | None
    return tuple[str, ...] | None if get_origin(kind) is tuple else str | None


def _kind(one: FieldInfo) -> Any:
    """What a field takes, also where it may be left out: `bool | None` is a switch like bool."""
    kinds = [kind for kind in get_args(one.annotation) if kind is not NoneType]
    is_optional = NoneType in get_args(one.annotation) and len(kinds) == 1
    return kinds[0] if is_optional else one.annotation


def _parameter(one: FieldInfo) -> Parameter:
    """How help shows a field: what it is, what it takes, its default."""
    default = one.get_default()
    known = "|".join(map(str, choices(one)))
    facts = [known or range_words(one)]
    if _kind(one) is not bool and not one.is_required() and default not in (None, (), ""):
        shown = default if isinstance(default, tuple) else (default,)
        facts.append(f"default {' '.join(map(_text, shown))}")
    taken = ", ".join(filter(None, facts))
    text = " ".join(filter(None, [one.description, f"({taken})" if taken else ""]))
    return Parameter(help=text or None, show_default=False, show_choices=False)


def _option(name: str, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    if value is True:
        return [option]
    if value is False:
        return [f"--no-{option[2:]}"]
    if isinstance(value, (tuple, list)):
        if any(_looks_like_an_option(one) for one in value):
            return [f"{option}={one}" for one in value]
        return [option, *map(_text, value)]
    return [f"{option}={value}"] if _looks_like_an_option(value) else [option, _text(value)]


def _text(value: Any) -> str:
    """As people type it: a number's ".0" is left out."""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _looks_like_an_option(value: Any) -> bool:
    return str(value).startswith("-")


def parse(kind: type[Parameters], argv: Sequence[str], prog: str, about: str) -> Parameters | None:
    """The parameters of a command line; None where only help was asked for, and printed.

    Args:
        kind: The class of parameters.
        argv: Without the program's name.
        prog: What people type to get here.
        about: What the command does; the first paragraph is shown.

    Raises:
        ConfigError: Unknown options, with near matches, or wrong values, all at once.
    """
    app = App(
        name=prog,
        help=about.partition("\n\n")[0],
        help_format="plaintext",
        version_flags=(),
        default_parameter=Parameter(
            consume_multiple=True,
            negative_iterable=(),
            negative_none=(),
            json_list=False,
            json_dict=False,
        ),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
    )

    def command(*first: Any, **typed: Any) -> dict[str, Any]:
        typed |= {kind.positional: first[0]} if first else {}
        return {name: value for name, value in typed.items() if value is not None}

    command.__signature__ = _signature(kind)  # type: ignore[attr-defined]
    app.default(command)
    try:
        typed = app(list(argv))
    except cyclopts.CycloptsError as error:
        raise ConfigError(prog, [str(error).strip()], REPAIR) from None
    if not isinstance(typed, dict):
        return None
    try:
        return kind.model_validate(typed)
    except ValidationError as error:
        raise ConfigError(prog, _as_options(error, kind), REPAIR) from None


def run(
    kind: type[Parameters],
    work: Callable[[Parameters], int],
    argv: Sequence[str] | None,
    *,
    prog: str,
    about: str,
) -> int:
    """Read the command line and do the work; its exit code, 2 where nothing could start."""
    prog = shown_as(prog)
    try:
        parameters = parse(kind, sys.argv[1:] if argv is None else argv, prog, about)
        return 0 if parameters is None else work(parameters)
    except UserError as error:
        print(f"{prog}: {error}" if not isinstance(error, ConfigError) else error, file=sys.stderr)
        return 2


def _as_options(error: ValidationError, kind: type[BaseModel]) -> list[str]:
    """Problems with fields named as people type them."""
    found = validation.problems(error, kind)
    names = sorted(kind.model_fields, key=len, reverse=True)
    return [
        next(
            (
                "--" + name.replace("_", "-") + one.removeprefix(name)
                for name in names
                if one.startswith(f"{name} ")
            ),
            one,
        )
        for one in found
    ]

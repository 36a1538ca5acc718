"""The parameters of the commands about runs; no torch in here, so that the page can make them.

Each hyperparameter is an option of its own, put on top of a preset or a file. Its name, range and
help are those of `training.config.TrainingConfig`.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, Field, create_model, model_validator

from imitation.data.library import data_file
from imitation.errors import UserError
from imitation.jobs.parameters import JobParameters, parse
from training.config import TrainingConfig, from_table, load_config, preset, to_table
from training.hyperparameters import hyperparameters, renamed


class _Start(JobParameters):
    """What a run's hyperparameters start from."""

    preset: Annotated[str, Field(description="a shipped config, such as pocket-broad")] = ""
    config: Annotated[Path | None, Field(description="a TOML file of one's own")] = None


def _optional() -> dict[str, Any]:
    """Every hyperparameter as a field that may be left out: the preset's holds then."""
    return {
        name: (
            Annotated[
                (h.field.annotation or str) | None,
                *h.field.metadata,
                Field(description=f"{h.knob.label}: {h.knob.help}"),
            ],
            None,
        )
        for name, h in hyperparameters(TrainingConfig).items()
    }


if TYPE_CHECKING:
    _Changes = _Start  # its further fields are made below, where no type checker looks
else:
    _Changes = create_model("_Changes", __base__=_Start, __module__=__name__, **_optional())


class RunOptions(_Changes):
    """Which run is meant: a preset or a file, what is changed of it, and the data."""

    set: Annotated[
        tuple[str, ...],
        Field(description="KEY=VALUE of a hyperparameter, as its own option says it"),
    ] = ()
    data: Annotated[
        Path,
        AfterValidator(data_file),
        Field(description="conversations, one a line; or a dataset"),
    ]

    @model_validator(mode="before")
    @classmethod
    def _set_as_options(cls, table: Any) -> Any:
        """KEY=VALUE become options, here only; an option of its own goes before."""
        if not isinstance(table, Mapping):
            return table
        items = table.get("set") or ()
        items = (items,) if isinstance(items, str) else items
        changes = dict(map(_key_and_value, items))
        rest = {key: value for key, value in table.items() if key != "set"}
        return {**renamed(TrainingConfig, changes), **renamed(TrainingConfig, rest)}

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if bool(self.preset) == (self.config is not None):
            raise ValueError("name either --preset or --config")
        return self

    def as_json(self) -> dict[str, Any]:
        """All that was said, for a job's row."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def changes(self) -> dict[str, Any]:
        """The hyperparameters that were said: name -> value."""
        values = {name: getattr(self, name) for name in hyperparameters(TrainingConfig)}
        return {name: value for name, value in values.items() if value is not None}

    def training_config(self) -> TrainingConfig:
        """The config that the options come to.

        Raises:
            UserError: Unknown preset, unreadable file, or values that do not go together.
        """
        start = load_config(self.config) if self.config else preset(self.preset)
        return from_table({**to_table(start), **self.changes})


class Finetune(RunOptions):
    """Parameters of `training.finetune`."""

    out: Annotated[Path, Field(description="folder for the results")]
    resume: Annotated[bool, Field(description="go on from the run's checkpoint")] = False
    export: Annotated[bool, Field(description="for the embedded engine, where it can serve it")] = (
        True
    )


class Estimate(RunOptions):
    """Parameters of `training.estimate`."""

    out: Annotated[Path, Field(description="where the run would be")] = Path()
    probe: Annotated[bool, Field(description="measure the time too")] = True


class Publish(JobParameters):
    """Parameters of `training.publish`."""

    run: Annotated[Path, Field(description="out folder of training.finetune")]
    repo: Annotated[str, Field(description="OWNER/NAME")]
    data: Annotated[Path | None, Field(description="what it was trained on, for its manifest")] = (
        None
    )
    public: Annotated[bool, Field(description="for everybody to see; private without it")] = False
    progress: Annotated[Path | None, Field(description="JSON lines for whoever watches")] = None


Options = TypeVar("Options", bound=RunOptions)


def run_command(
    kind: type[Options],
    work: Callable[[Options], int],
    refused: Callable[[UserError], None],
    argv: Sequence[str] | None,
    *,
    prog: str,
    about: str,
) -> int:
    """Read the command line and do the work.

    Unlike `imitation.jobs.parameters.run`, what is wrong with the options is told as what goes
    wrong later is: the page waits for it in the same place.

    Args:
        kind: Class of its parameters.
        work: What it does with them; its exit code.
        refused: Tells why it cannot start.
        argv: Without the program's name; None for the process's own.
        prog: What people type.
        about: What it does.

    Returns:
        The work's exit code; 1 where a `UserError` ended it.
    """
    try:
        options = parse(kind, sys.argv[1:] if argv is None else argv, prog, about)
        return 0 if options is None else work(options)
    except UserError as error:
        refused(error)
        return 1


def print_refusal(error: UserError) -> None:
    """Tell why there is no result, in its place: JSON on one line."""
    print(json.dumps({"error": error.message, "hint": error.hint}))


def _key_and_value(item: str) -> tuple[str, Any]:
    key, _, text = item.partition("=")
    text = text.strip()
    # Numbers and words are read by their option; only what TOML quotes or lists is not theirs.
    if text[:1] in ('"', "'", "["):
        try:
            return key.strip(), tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            pass
    return key.strip(), text

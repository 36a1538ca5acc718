"""Configuring and starting a fine-tune."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import check_allowed, submit
from dashboards.shell.training_data import SHIPPED, uploads
from dashboards.shell.user_files import file_in
from imitation import names, validation
from imitation.data.format import read_examples
from imitation.disk import copy_file
from imitation.errors import ConfigError, StorageError, UserError
from imitation.settings import Settings
from imitation.storage.jobs import Job
from imitation.values import JobSpec, ModelSpec
from training import config
from training.config import TrainingConfig
from training.hyperparameters import Hyperparameter, hyperparameters
from training.hyperparameters import lighter as hyperparameters_lighter
from training.run_folder import CHECKPOINT, PROGRESS
from training.run_options import Finetune

SHOWN: tuple[Hyperparameter, ...] = tuple(
    h for h in hyperparameters(TrainingConfig).values() if h.knob.section != "none"
)
"""What the form shows of the config, in its order."""
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def label(key: str) -> str:
    """What people call a hyperparameter; its key where it is none of today's."""
    known = hyperparameters(TrainingConfig)
    return known[key].knob.label if key in known else key


@dataclass(frozen=True, slots=True)
class Form:
    """What the visitor asked for.

    Attributes:
        name: Name of the run; its folder and, once promoted, its id in the catalog.
        preset: Name of a shipped config.
        base: Catalog id, a folder of weights in the data folder, or a hub id.
        data: Path of a file of conversations.
        changes: Hyperparameters that differ, or may differ, from the preset's.
    """

    name: str
    preset: str
    base: str
    data: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a form comes to.

    Attributes:
        parameters: Of the command.
        out: Folder of the results.
        config: As the command will read it.
        conversations: In the data, those without an answer left out.
        refused: Lines of the data that are no conversation.
        steps: Steps in all; None where they depend on how the conversations pack.
    """

    parameters: Finetune
    out: Path
    config: TrainingConfig
    conversations: int
    refused: int
    steps: int | None


def presets() -> list[str]:
    """Names of the shipped configs, those for the pocket models first."""
    return sorted(config.presets(), key=lambda name: (not name.startswith("pocket"), name))


def bases(context: Context) -> list[ModelSpec]:
    """Models that can be fine-tuned here: the pocket bases."""
    return [card for card in context.catalog().by_role("base") if card.weights.startswith("cut-")]


def folders(context: Context) -> list[tuple[str, str]]:
    """(label, path) of weights that can be trained further: data/bases, and full fine-tunes."""
    data = context.settings.data
    found = [(path.name, path) for path in sorted((data / "bases").glob("*"))]
    whole = sorted(context.jobs.runs.glob(f"*/{CHECKPOINT}"))
    found += [(f"{path.parent.name}, fine-tuned here", path) for path in whole]
    return [(label, str(path)) for label, path in found if (path / "config.json").is_file()]


def check_base(context: Context, base: str) -> None:
    """Refuse what cannot be trained from the page.

    Raises:
        UserError: No such base, one that is served elsewhere, or a folder outside the data folder.
    """
    if base in context.catalog():
        if context.catalog()[base] not in bases(context):
            raise UserError(f"{base!r} cannot be fine-tuned here.", "Choose a pocket base.")
        return
    if Path(base).is_absolute():
        allowed = (context.settings.data / "bases", context.jobs.runs)
        if file_in(allowed, context.settings.data, f"{base}/config.json") is None:
            raise UserError(
                f"{base!r} is not in a folder that bases are read from.",
                f"Copy it to {allowed[0]}, or use the command line.",
            )
        return
    if not HUB_ID.fullmatch(base):
        context.catalog()[base]  # says what is near


def preset_values(name: str) -> dict[str, Any]:
    """The base of a preset, and its values that the form shows.

    Raises:
        UserError: There is none of that name.
    """
    table = _preset_table(name)
    return {key: table[key] for key in ("base", *(h.name for h in SHOWN))}


@cache  # the list of runs asks for each of them
def _preset_table(name: str) -> dict[str, Any]:
    return config.to_table(config.preset(name))


def keep_upload(settings: Settings, visitor: str, path: Path) -> Path:
    """Move an uploaded file to the visitor's uploads, once it is known to be conversations.

    Raises:
        UserError: It is too large or holds no conversation; the first reason is quoted.
        StorageError: It cannot be read or kept.
    """
    try:
        if (size := path.stat().st_size) > settings.upload_bytes:
            most = settings.upload_bytes / 1e6
            raise UserError(
                f"{path.name} has {size / 1e6:,.0f} MB; the page takes {most:,.0f}.",
                f"Copy it to {settings.data / 'datasets'} instead.",
            )
        _counted(path)
        name = re.sub(r"[^\w.-]+", "-", path.stem).strip(".-")[:80] or "data"
        target = uploads(settings, visitor) / f"{name}.jsonl"
        copy_file(path, target)
    except OSError as error:
        raise StorageError(f"{path.name} could not be kept: {error}.") from error
    return target


def is_free_name(name: str) -> bool:
    """Whether a name is as `free_name` makes it of a preset, and so nobody's own."""
    return not name.strip() or re.sub(r"-\d{1,4}$", "", name) in presets()


def free_name(context: Context, stem: str) -> str:
    """A name no run has yet: the stem and a number."""
    taken = {path.name for path in context.jobs.runs.glob("*")} | set(context.catalog())
    taken |= {Path(job.spec.out).name for job in context.jobs.look("finetune")}
    return names.free_name(stem, taken)


def plan(context: Context, form: Form, visitor: str) -> Plan:
    """What a form comes to: the command line and how much work it is.

    Raises:
        UserError: A value is wrong, the name is taken, or the data cannot be used.
    """
    names.check_name(form.name, "a run")
    out = context.jobs.runs / form.name
    if out.exists():
        raise UserError(f"There is a run {form.name!r} already.", "Choose another name.")
    data = _allowed(context.settings, form.data, visitor)
    check_base(context, form.base)
    start = _preset_table(form.preset)
    values = {"name": form.name, "base": form.base, **form.changes}
    changes = {key: value for key, value in values.items() if value != start[key]}
    table = {"preset": form.preset, **changes, "data": data, "out": out}
    parameters = validation.read(Finetune, table, "training config", config.HINT)
    checked = parameters.training_config()
    conversations, refused = _counted(data)
    kept_out = int(conversations * checked.val_fraction)
    steps: int | None = None
    if not checked.packing:
        steps = math.ceil((conversations - kept_out) / checked.batch_size) * checked.epochs
    return Plan(parameters, out, checked, conversations, refused, steps)


def start(context: Context, form: Form, visitor: str) -> Job:
    """Queue the run of a form.

    Raises:
        UserError: As `plan`; jobs are switched off; or too many are queued.
    """
    check_allowed(context.settings)
    run = plan(context, form, visitor)
    progress = run.out / PROGRESS
    return submit(
        context, "finetune", run.parameters, form.name, visitor, out=run.out, progress=progress
    )


def form_of(spec: JobSpec) -> Form:
    """The form that a run was started from, by its changes of the preset.

    Of a run whose parameters this version does not know there is only its name.
    """
    try:
        parameters = Finetune.of(spec.parameters)
        changes = parameters.changes
        name = str(changes.pop("name", parameters.preset))
        preset_base = _preset_table(parameters.preset)["base"] if parameters.preset else ""
        base = str(changes.pop("base", preset_base))
    except UserError:
        return Form(spec.name, "", "", "", {})
    return Form(name, parameters.preset, base, str(parameters.data), changes)


def lighter(form: Form) -> Form:
    """The same run with less memory; what leaves the result as it is comes first."""
    change = hyperparameters_lighter(config.preset(form.preset).replace(**form.changes))
    return replace(form, changes={**form.changes, **change})


def _allowed(settings: Settings, text: str, visitor: str) -> Path:
    """The data file of a path, if this visitor may read it."""
    folders = (SHIPPED, settings.data / "datasets", uploads(settings, visitor))
    path = file_in(folders, settings.data, text)
    if path is None or path.suffix != ".jsonl":
        raise UserError(
            f"There is no data file {text!r} in the folders that data is read from.",
            f"Choose one of the list, upload it, or copy it to {settings.data / 'datasets'} as "
            "NAME.jsonl.",
        )
    return path


def _counted(path: Path) -> tuple[int, int]:
    """Conversations that end in an answer, and lines that are no conversation."""
    status = path.stat()
    return _count(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _count(path: Path, _changed: int, _size: int) -> tuple[int, int]:
    examples, refused = read_examples(path)
    usable = sum(any(m.role == "assistant" for m in e.messages) for e in examples)
    if not usable:
        first = f"line {refused[0].line}: {refused[0].reason}" if refused else "it is empty"
        raise ConfigError(
            path.name,
            [f"there is no conversation with an answer in it; {first}"],
            'A line is {"messages": [{"role": "user", "content": "..."}, '
            '{"role": "assistant", "content": "..."}]}.',
        )
    return usable, len(refused)

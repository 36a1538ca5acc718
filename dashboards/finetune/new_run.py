"""Configuring and starting a fine-tune; no Gradio in here.

`training.config` costs half a second to import, so it is imported at the first use.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import check_allowed, submit
from dashboards.shell.training_data import SHIPPED, uploads
from dashboards.shell.user_files import file_in
from imitation.data.format import read_examples
from imitation.disk import copy_file
from imitation.errors import ConfigError, StorageError, UserError
from imitation.jobs.registry import command
from imitation.settings import Settings
from imitation.storage.jobs import Job
from imitation.values import JobSpec, ModelSpec
from training.run_folder import CHECKPOINT, PROGRESS

if TYPE_CHECKING:
    from training.config import TrainingConfig

OVERRIDES = {
    "method": ("Method", "An adapter (LoRA; QLoRA needs a GPU), or all weights (full)."),
    "epochs": ("Epochs", "Passes over the data. More of them fit it better, then by heart."),
    "learning_rate": ("Learning rate", "Its peak. Too high: the loss jumps. Too low: no change."),
    "batch_size": ("Batch size", "Conversations per step; more give fewer, calmer steps."),
    "micro_batch": ("Computed at once", "Of a step's conversations; fewer take less memory."),
    "rank": ("Rank", "Size of the adapter: more holds more, and costs more memory."),
    "max_tokens": ("Longest conversation", "In tokens; longer ones are cut, or packed in pieces."),
    "packing": ("Pack into blocks", "Short ones share a block; none sees another."),
    "checkpointing": ("Recompute activations", "Less memory, a third more time, same result."),
    "seed": ("Seed", "Of weights, order and split: the same seed repeats the run."),
    "optimizer": ("Optimiser", "relative: steps are shares of each weight (paper); full only."),
    "schedule": ("Schedule", "How the learning rate falls after the warm-up."),
    "warmup": ("Warm-up", "Share of the steps in which the learning rate rises."),
    "dtype": ("Number format", "auto measures which one this machine computes faster in."),
    "validation": ("Kept out", "Share of the data that only watches the loss."),
    "validate_every": ("Held-out loss every", "Steps; 0 takes it after each epoch."),
    "score_every": ("Held-out scores every", "Steps, of style and facts; 0 takes none."),
    "score_items": ("Prompts per score", "More are steadier and take longer."),
    "save_every": ("Checkpoint every", "Steps; a run goes on from the last one."),
    "track": ("Log to trackio", "Also; its page opens under the run."),
}  # fmt: skip
"""Fields of the config that the form shows: key -> label, explanation."""
MORE = tuple(list(OVERRIDES)[10:])
"""Those of them that stand folded away."""
SWITCHES = ("packing", "checkpointing", "track")
WORDS = ("method", "optimizer", "schedule", "dtype")
FRACTIONS = ("learning_rate", "warmup", "validation")
"""Kinds of fields: on or off, one of a few words, any number; the others take whole numbers."""
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def choices(key: str) -> tuple[str, ...]:
    """The words a field takes; none where it is a number or a switch."""
    from training import config

    return config.CHOICES.get(key, ())


@dataclass(frozen=True, slots=True)
class Form:
    """What the visitor asked for.

    Attributes:
        name: Name of the run; its folder and, once promoted, its id in the catalog.
        preset: Name of a shipped config.
        base: Catalog id, a folder of weights in the data folder, or a hub id.
        data: Path of a file of conversations.
        changes: Keys of OVERRIDES -> values other than the preset's.
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
        argv: The command line.
        out: Folder of the results.
        config: As the command will read it.
        conversations: In the data, those without an answer left out.
        refused: Lines of the data that are no conversation.
        steps: Steps in all; None where they depend on how the conversations pack.
    """

    argv: tuple[str, ...]
    out: Path
    config: TrainingConfig
    conversations: int
    refused: int
    steps: int | None


def presets() -> list[str]:
    """Names of the shipped configs, those for the pocket models first."""
    from training import config

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
    """Base and overridable values of a preset.

    Raises:
        UserError: There is none of that name.
    """
    from training import config

    table = config.to_table(config.preset(name))
    return {key: table[key] for key in ("base", *OVERRIDES)}


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
    stem = re.sub(r"-\d{1,4}$", "", stem)[:75]
    taken = {path.name for path in context.jobs.runs.glob("*")} | set(context.catalog())
    taken |= {Path(job.spec.out).name for job in context.jobs.look("finetune")}
    n = 1
    while f"{stem}-{n}" in taken:
        n += 1
    return f"{stem}-{n}"


def plan(context: Context, form: Form, visitor: str) -> Plan:
    """What a form comes to: the command line and how much work it is.

    Raises:
        UserError: A value is wrong, the name is taken, or the data cannot be used.
    """
    from training import config

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", form.name):
        raise UserError(
            f"{form.name!r} cannot be the name of a run.",
            "Use up to 80 letters, digits, '.', '_' or '-', the first a letter or digit.",
        )
    out = context.jobs.runs / form.name
    if out.exists():
        raise UserError(f"There is a run {form.name!r} already.", "Choose another name.")
    data = _allowed(context.settings, form.data, visitor)
    start = config.to_table(config.preset(form.preset))
    asked = {"name": form.name, "base": form.base, **form.changes}
    changes = {key: value for key, value in asked.items() if value != start[key]}
    check_base(context, form.base)
    made = config.from_table({**start, **changes})
    conversations, refused = _counted(data)
    kept_out = int(conversations * made.validation)
    steps: int | None = None
    if not made.packing:
        steps = math.ceil((conversations - kept_out) / made.batch_size) * made.epochs
    arguments = ["--preset", form.preset]
    for key, value in changes.items():
        arguments += ["--set", f"{key}={json.dumps(value)}"]
    arguments += ["--data", str(data), "--out", str(out)]
    return Plan(command("finetune", arguments), out, made, conversations, refused, steps)


def start(context: Context, form: Form, visitor: str) -> Job:
    """Queue the run of a form.

    Raises:
        UserError: As `plan`; jobs are switched off; or too many are queued.
    """
    check_allowed(context.settings)
    made = plan(context, form, visitor)
    return queue(context, made.argv, form.name, made.out, visitor)


def queue(context: Context, argv: tuple[str, ...], name: str, out: Path, visitor: str) -> Job:
    """Queue a run by its command line.

    Raises:
        UserError: Another job writes to the folder, or too many are queued.
    """
    spec = JobSpec(kind="finetune", argv=argv, name=name, out=str(out), visitor=visitor)
    return submit(context, replace(spec, progress=str(out / PROGRESS)))


@lru_cache(maxsize=512)
def form_of(argv: tuple[str, ...]) -> Form:
    """The form that a command line of `plan` was made from, by its changes of the preset."""
    values = {"--preset": "", "--data": ""}
    changes: dict[str, Any] = {}
    for key, value in pairwise(argv):
        if key in values:
            values[key] = value
        elif key == "--set":
            name, _, text = value.partition("=")
            changes[name] = tomllib.loads(f"x = {text}")["x"]
    preset, name = values["--preset"], str(changes.pop("name", values["--preset"]))
    base = changes.pop("base", None) or (preset_values(preset)["base"] if preset else "")
    return Form(name, preset, base, values["--data"], changes)


def lighter(form: Form) -> Form:
    """The same run with less memory; what leaves the result as it is comes first.

    Half of what is computed at once, then activations computed again, then shorter texts.
    """
    values = {**preset_values(form.preset), **form.changes}
    if values["micro_batch"] > 1:
        change = {"micro_batch": values["micro_batch"] // 2}
    elif not values["checkpointing"]:
        change = {"checkpointing": True}
    else:
        change = {"max_tokens": max(8, values["max_tokens"] // 2)}
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

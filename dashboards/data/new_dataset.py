"""Choosing the sources and steps of a dataset, and starting its build."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.data.sources import command_name, folder, source_of
from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import check_allowed, submit
from dashboards.shell.user_files import file_in
from imitation import names
from imitation.data.sources.load import Source
from imitation.errors import ConfigError, UserError
from imitation.jobs.commands.build_dataset import BuildDataset
from imitation.settings import Settings
from imitation.storage.jobs import Job

BUDGETS = ("0.3M", "1M", "5M", "20M", "80M", "150M")
"""Token budgets of the study's sweep, and two between."""
STEPS = {
    "html": ("HTML to Markdown", "cleans answers that were copied from a page as HTML"),
    "language": ("Language", "keeps queries in the languages below"),
    "exact": ("Exact duplicates", "keeps the first of equal queries"),
    "near": ("Near-duplicates", "keeps the first of queries that are nearly the same"),
    "length": ("Length", "drops answers with too few or too many words"),
    "refusals": ("Refusals", "drops conversations whose answer opens by refusing"),
    "decontaminate": (
        "Decontaminate",
        "drops queries that share a run of 8 words, or BLEU over 20, with an evaluation prompt",
    ),
}
"""The steps in the order they run: name -> label, what it does."""
_HUB_ID = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?")


@dataclass(frozen=True, slots=True)
class Form:
    """What the visitor asked for.

    Attributes:
        name: Of the dataset and its folder.
        sources: Each confirmed after its preview.
        weights: One for each source, as typed; "": everything of each.
        steps: Names of STEPS.
        languages: Codes that stay.
        similarity: From which on queries are near-duplicates.
        least: Fewest words of the answers.
        most: Most words of the answers.
        max_bleu: Against an evaluation prompt.
        budget: Tokens, as typed; "": all.
        limit: Conversations to read of each source; None: all.
        seed: Of the draw.
        tokenizer: Name or folder; "": tokens are estimated.
        diversity: Whether nearest-query BLEU is measured.
        against: Files of more evaluation prompts.
    """

    name: str
    sources: tuple[Source, ...]
    weights: str = ""
    steps: tuple[str, ...] = ("language", "exact", "near", "decontaminate")
    languages: tuple[str, ...] = ("en",)
    similarity: float = 0.8
    least: int = 1
    most: int = 100_000
    max_bleu: float = 20.0
    budget: str = ""
    limit: int | None = None
    seed: int = 0
    tokenizer: str = ""
    diversity: bool = True
    against: tuple[str, ...] = ()


def progress_of(settings: Settings, name: str) -> Path:
    """The progress file of a dataset's build; not among the datasets, since it is none."""
    return settings.data / "builds" / f"{name}.jsonl"


def plan(context: Context, form: Form, visitor: str) -> BuildDataset:
    """The job that a form describes.

    Raises:
        UserError: Values are wrong.
    """
    if not form.sources:
        raise UserError("There is no source yet.", "Choose one above, look at it and add it.")
    names.check_name(form.name, "a dataset")
    out = folder(context.settings) / form.name
    if out.exists():
        raise UserError(f"There is a dataset {form.name!r} already.", "Choose another name.")
    table = {
        "source": [command_name(source) for source in form.sources],
        "licences": [source.licence or "not stated" for source in form.sources],
        "weights": _weights(form.weights),
        "budget": form.budget.strip(),
        "limit": form.limit,
        "steps": [name for name in STEPS if name in form.steps],
        "tokenizer": _tokenizer(context, form.tokenizer.strip()),
        "diversity": form.diversity,
        "seed": form.seed,
        "out": out,
        "progress": progress_of(context.settings, form.name),
        **_step_settings(context, form, visitor),
    }
    try:
        return BuildDataset.of(table)
    except ConfigError as error:
        raise UserError(" ".join(error.problems)) from None


def start(context: Context, form: Form, visitor: str) -> Job:
    """Queue the build of a dataset.

    Raises:
        UserError: As `plan`; jobs are switched off; or too many are queued.
    """
    check_allowed(context.settings)
    parameters = plan(context, form, visitor)
    progress = progress_of(context.settings, form.name)
    progress.parent.mkdir(parents=True, exist_ok=True)
    progress.unlink(missing_ok=True)  # of an earlier dataset of this name
    return submit(
        context, "dataset", parameters, form.name, visitor, out=parameters.out, progress=progress
    )


def next_name(context: Context) -> str:
    """A name no dataset has yet."""
    taken = {path.name for path in folder(context.settings).glob("*")}
    taken |= {Path(job.spec.out).name for job in context.jobs.look("dataset")}
    return names.free_name("dataset", taken)


def _weights(text: str) -> list[float]:
    """Weights as typed; none where nothing was."""
    try:
        return [float(part) for part in re.split(r"[\s,;:/]+", text.strip()) if text.strip()]
    except ValueError:
        raise UserError(f"The weights {text!r} are not numbers.", "Write them like 3 1.") from None


def _step_settings(context: Context, form: Form, visitor: str) -> dict[str, Any]:
    """Settings of the steps chosen; those of others stay as they are by default, and unchecked."""
    settings: dict[str, Any] = {}
    if "language" in form.steps:
        settings["languages"] = form.languages
    if "near" in form.steps:
        settings["similarity"] = form.similarity
    if "length" in form.steps:
        settings["words"] = (form.least, form.most)
    if "decontaminate" in form.steps:
        settings["max_bleu"] = form.max_bleu
        settings["against"] = [
            source_of(context.settings, text, visitor).path for text in form.against
        ]
    return settings


def _tokenizer(context: Context, name: str) -> str:
    """Of the hub, or in a folder of weights that belongs to the lab."""
    ours = (context.settings.data / "bases", context.jobs.runs)
    files = (f"{name}/{file}" for file in ("tokenizer.json", "tokenizer_config.json"))
    is_here = any(file_in(ours, context.settings.data, file) for file in files)
    if name and not _HUB_ID.fullmatch(name) and not is_here:
        raise UserError(
            f"{name!r} is neither a model on the hub nor a folder of weights here.",
            f"Write OWNER/NAME, or copy the folder to {ours[0]}.",
        )
    return name

"""Choosing the sources and steps of a dataset, and starting its making; no Gradio in here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dashboards.data.sources import folder, named, source_of
from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import check_allowed, submit
from dashboards.shell.user_files import file_in
from imitation.data.sources.load import Source
from imitation.data.steps.sample import number_of_tokens
from imitation.errors import UserError
from imitation.jobs.dataset_sources import sources_of
from imitation.jobs.registry import command
from imitation.settings import Settings
from imitation.storage.jobs import Job
from imitation.values import JobSpec

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
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_HUB_ID = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?")
_CODES = re.compile(r"[a-z]{2,3}")


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


@dataclass(frozen=True, slots=True)
class Plan:
    """What a form comes to: the command line, and the folder of the result."""

    argv: tuple[str, ...]
    out: Path


def progress_of(settings: Settings, name: str) -> Path:
    """The progress file of a dataset's making; not among the datasets, since it is none."""
    return settings.data / "builds" / f"{name}.jsonl"


def plan(context: Context, form: Form, visitor: str) -> Plan:
    """What a form comes to.

    Raises:
        UserError: A value is wrong; the first one is named.
    """
    if not form.sources:
        raise UserError("There is no source yet.", "Choose one above, look at it and add it.")
    if not _NAME.fullmatch(form.name):
        raise UserError(
            f"{form.name!r} cannot be the name of a dataset.",
            "Use up to 80 letters, digits, '.', '_' or '-', the first a letter or digit.",
        )
    out = folder(context.settings) / form.name
    if out.exists():
        raise UserError(f"There is a dataset {form.name!r} already.", "Choose another name.")
    arguments = ["--source", *map(named, form.sources)]
    licences = [source.licence or "not stated" for source in form.sources]
    arguments += ["--licences", *licences, *_mixture(form), "--steps"]
    arguments += [name for name in STEPS if name in form.steps]
    arguments += [*_settings(form), *_tokenizer(context, form.tokenizer.strip())]
    if form.against and "decontaminate" in form.steps:
        files = [source_of(context.settings, text, visitor).path for text in form.against]
        arguments += ["--against", *files]
    arguments += ["--seed", str(form.seed), "--out", str(out)]
    arguments += ["--progress", str(progress_of(context.settings, form.name))]
    return Plan(command("dataset", arguments), out)


def start(context: Context, form: Form, visitor: str) -> Job:
    """Queue the making of a dataset.

    Raises:
        UserError: As `plan`; jobs are switched off; or too many are queued.
    """
    check_allowed(context.settings)
    made = plan(context, form, visitor)
    progress = progress_of(context.settings, form.name)
    progress.parent.mkdir(parents=True, exist_ok=True)
    progress.unlink(missing_ok=True)  # of an earlier dataset of this name
    return submit(
        context,
        JobSpec(
            kind="dataset",
            argv=made.argv,
            name=form.name,
            out=str(made.out),
            progress=str(progress),
            visitor=visitor,
        ),
    )


def free_name(context: Context, stem: str = "dataset") -> str:
    """A name no dataset has yet: the stem and a number."""
    taken = {path.name for path in folder(context.settings).glob("*")}
    taken |= {Path(job.spec.out).name for job in context.jobs.look("dataset")}
    n = 1
    while f"{stem}-{n}" in taken:
        n += 1
    return f"{stem}-{n}"


def _mixture(form: Form) -> list[str]:
    found = []
    if form.weights.strip():
        try:
            weights = [float(part) for part in re.split(r"[\s,;:/]+", form.weights.strip())]
        except ValueError:
            raise UserError(
                f"The weights {form.weights!r} are not numbers.", "Write them like 3 1."
            ) from None
        sources_of([source.path for source in form.sources], weights)
        found += ["--weights", *(f"{weight:g}" for weight in weights)]
    if form.budget.strip():
        try:
            number_of_tokens(form.budget.strip())
        except ValueError:
            raise UserError(
                f"The budget {form.budget!r} is no number of tokens.",
                "Write it like 0.3M or 20M.",
            ) from None
        found += ["--budget", form.budget.strip()]
    if not 0 <= form.seed < 2**31:
        raise UserError(f"The seed {form.seed} should be 0 to 2147483647.")
    if form.limit is not None:
        if form.limit < 1:
            raise UserError("The limit of conversations should be 1 or more.")
        found += ["--limit", str(form.limit)]
    return found


def _settings(form: Form) -> list[str]:
    found = []
    if "language" in form.steps:
        wrong = [code for code in form.languages if not _CODES.fullmatch(code)]
        if wrong or not form.languages:
            what = f"{wrong[0]!r} is no code of a language." if wrong else ""
            hint = "Use codes of ISO 639-1, such as en."
            raise UserError(what or "No language would stay.", hint)
        found += ["--languages", *form.languages]
    if "near" in form.steps:
        if not 0.6 <= form.similarity <= 1:
            raise UserError(f"A similarity of {form.similarity:g} should be 0.6 to 1.")
        found += ["--similarity", f"{form.similarity:g}"]
    if "length" in form.steps:
        if not 0 <= form.least <= form.most:
            raise UserError("The fewest words should be 0 or more, and no more than the most.")
        found += ["--words", str(form.least), str(form.most)]
    if "decontaminate" in form.steps:
        if not 0 < form.max_bleu <= 100:
            raise UserError(f"A highest BLEU of {form.max_bleu:g} should be 1 to 100.")
        found += ["--max-bleu", f"{form.max_bleu:g}"]
    if not form.diversity:
        found.append("--no-diversity")
    return found


def _tokenizer(context: Context, named: str) -> list[str]:
    """Of the hub, or in a folder of weights that belongs to the lab."""
    ours = (context.settings.data / "bases", context.jobs.runs)
    files = (f"{named}/{end}" for end in ("tokenizer.json", "tokenizer_config.json"))
    there = (file_in(ours, context.settings.data, file) for file in files)
    if named and not _HUB_ID.fullmatch(named) and not any(there):
        raise UserError(
            f"{named!r} is neither a model on the hub nor a folder of weights here.",
            f"Write OWNER/NAME, or copy the folder to {ours[0]}.",
        )
    return ["--tokenizer", named] if named else []

"""Configuring and starting an evaluation, or an import of results made elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import check_allowed, submit
from imitation.disk import atomic_folder
from imitation.errors import UserError
from imitation.evaluation.harness.suites import (
    INDEX,
    TaskEntry,
    check_names,
    expand,
    read_index,
    search,
)
from imitation.evaluation.report.schema import PROGRESS
from imitation.evaluation.statistics.sample_size import Budget, estimate
from imitation.jobs.commands.evaluate import Evaluate
from imitation.jobs.commands.import_results import ImportResults
from imitation.jobs.commands.list_tasks import ListTasks
from imitation.jobs.parameters import Parameters
from imitation.names import NAME, RULE, free_name
from imitation.storage.jobs import Job
from imitation.validation import problems

MOST_MODELS = 8
WHOLE_LIST = 100
"""Tasks from which on the picker's list is taken for all of lm-eval's, not for ours alone."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is to be measured.

    Attributes:
        name: Of the run.
        models: Ids in the catalog.
        tasks: lm-eval's names, or names of suites.
        limit: Samples a task at most, None for all.
    """

    name: str
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a form comes to.

    Attributes:
        parameters: Of the job.
        tasks: Every task asked for.
        listed: What is known of them, in the same order; None where nothing is.
        unsized: Tasks whose size is not known before they are downloaded.
        budget: Time and certainty; unsized tasks count with the limit, or not at all.
    """

    parameters: Evaluate
    tasks: tuple[str, ...]
    listed: tuple[TaskEntry | None, ...]
    unsized: tuple[str, ...]
    budget: Budget


def import_results(
    context: Context, visitor: str, name: str, files: Sequence[Path], roles: str
) -> Job:
    """Queue the import of lm-eval's result files, uploaded, as a run.

    Args:
        context: The lab.
        visitor: Hash of the visitor's secret.
        name: Of the run.
        files: Results (.json) and samples (.jsonl) as lm-eval wrote them, whatever their names.
        roles: "model=role" or "model=imitation:base" for each model, apart by spaces or commas;
            others are bases.

    Raises:
        UserError: No results file, a bad name or role, or jobs are switched off.
        StorageError: The files could not be kept.
    """
    check_allowed(context.settings)
    out = _free_folder(context, name)
    if not any(path.suffix == ".json" for path in files):
        raise UserError(
            "There is no file of results (.json) among the files.",
            "Choose what lm_eval wrote: results_*.json, and samples_*.jsonl for the browser.",
        )
    pairs = roles.replace(",", " ").split()
    kept = context.settings.data / "uploads" / visitor[:16] / f"results-{name}"
    parameters = _checked(ImportResults, source=(kept,), roles=tuple(pairs), out=out)
    with atomic_folder(kept) as aside:
        for path in files:
            shutil.copyfile(path, aside / _free_name(aside, path))
    return submit(context, "results", parameters, name, visitor, out=out)


def _free_name(folder: Path, path: Path) -> str:
    """The file's name; of results (all are results.json in some versions) with a number if taken.

    Raises:
        UserError: Samples of that name are there: nobody could tell which results they belong to.
    """
    if not (folder / path.name).exists():
        return path.name
    if path.suffix != ".json":
        raise UserError(
            f"Two of the files are called {path.name}.",
            "Import the runs one by one, or by python -m imitation.jobs.commands.import_results.",
        )
    names = (f"{path.stem}-{number}{path.suffix}" for number in count(2))
    return next(name for name in names if not (folder / name).exists())


def default_name(context: Context) -> str:
    """A name for a new run that is not taken."""
    day = datetime.now().strftime("%Y-%m-%d")
    taken = {path.name for path in context.jobs.runs.glob("*")}
    taken |= {job.spec.name for job in context.jobs.look()}
    return free_name(f"{day}-1", taken)


def matching_tasks(context: Context, text: str) -> list[TaskEntry]:
    """Tasks whose name, group or dataset holds every word.

    Raises:
        UserError: The list of tasks is broken.
    """
    return search(read_index(context.settings), text, 200)


def plan(context: Context, form: Form) -> Plan:
    """Check a form and say what it comes to.

    Raises:
        UserError: No or unknown models or tasks, a bad name or limit, or the folder is taken.
    """
    out = _free_folder(context, form.name)
    if not 1 <= len(form.models) <= MOST_MODELS:
        raise UserError(
            f"{len(form.models)} models are chosen.",
            f"Choose 1 to {MOST_MODELS}; a gap needs a base, its imitation and a reference.",
        )
    parameters = _checked(Evaluate, models=form.models, tasks=form.tasks, limit=form.limit, out=out)
    catalog = context.catalog()
    for model in form.models:
        catalog[model]  # raises with the nearest names
    index = {line.name: line for line in read_index(context.settings)}
    tasks = tuple(expand(form.tasks))
    if len(index) > WHOLE_LIST:  # without the whole list, the job itself checks the names
        check_names(tasks, index)
    listed = tuple(index.get(task) for task in tasks)
    sizes = {task: line.n if line else None for task, line in zip(tasks, listed, strict=True)}
    unsized = tuple(task for task, n in sizes.items() if n is None)
    budget = estimate(sizes, len(form.models), form.limit)
    return Plan(parameters, tasks, listed, unsized, budget)


def start(context: Context, form: Form, visitor: str) -> Job:
    """Queue the run of a form.

    Raises:
        UserError: As `plan`; jobs are switched off; or too many are queued.
    """
    check_allowed(context.settings)
    parameters = plan(context, form).parameters
    return submit(
        context,
        "evaluate",
        parameters,
        form.name,
        visitor,
        out=parameters.out,
        progress=parameters.out / PROGRESS,
    )


def write_index(context: Context, visitor: str) -> Job:
    """Queue the job that lists lm-eval's tasks for the picker.

    Raises:
        UserError: Jobs are switched off, or one is under way already.
    """
    check_allowed(context.settings)
    return submit(
        context,
        "tasks",
        ListTasks(),
        "List of lm-eval tasks",
        visitor,
        device="io",
        out=context.settings.cache / INDEX,
    )


def _checked(kind: type[Parameters], **values: Any) -> Parameters:
    """Parameters of what a form says.

    Raises:
        UserError: What is wrong with them, in whole sentences.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        raise UserError(" ".join(problems(error, kind))) from None


def _free_folder(context: Context, name: str) -> Path:
    if not NAME.fullmatch(name):
        raise UserError(f"The name {name!r} cannot be a folder's.", RULE)
    out = context.jobs.runs / name
    if out.exists():
        raise UserError(f"There is a run {name!r} already.", "Choose another name.")
    return out

"""Results of lm-eval runs made elsewhere, as a run of ours: report, gaps, sample browser.

    python -m imitation.jobs.commands.import_results results/llama results/chatgpt \
        --roles llama=base chatgpt=reference --out runs/imported

An imitation's own base is named after it where there are several: `alpaca=imitation:llama`.

Any JSON file that holds results of lm-eval (0.4 or newer) is read, whatever its name and folder,
and copied; other files that are named are refused. Where two sources have results of one model on
the same task, both are kept, the second as MODEL@FOLDER. Runs logged without
samples (`--log_samples`) have scores, but neither gaps nor a browser.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from imitation.disk import copy_file, write_text
from imitation.errors import UserError
from imitation.evaluation.harness.results import TaskResult, read_file, result_files, stem
from imitation.evaluation.report import build as build_report
from imitation.evaluation.report.files import save
from imitation.evaluation.report.schema import RESULTS, RUN, EvaluatedModel, Report, Run
from imitation.events import Writer
from imitation.jobs import parameters
from imitation.jobs.parameters import JobParameters
from imitation.jobs.registry import command
from imitation.reading.json_text import read_json
from imitation.settings import read_settings
from imitation.validation import nearest
from imitation.values import ROLES, Role


class ImportResults(JobParameters):
    """Parameters of `import_results`."""

    positional: ClassVar[str] = "source"
    source: Annotated[tuple[Path, ...], Field(description="folders lm_eval wrote, or files")]
    roles: Annotated[
        tuple[str, ...], Field(description="MODEL=ROLE or MODEL=imitation:BASE; others are bases")
    ] = ()
    out: Annotated[Path, Field(description="the run's folder")]

    @field_validator("roles")
    @classmethod
    def _known(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        try:
            read_roles(roles)
        except UserError as error:
            raise ValueError(str(error)) from None
        return roles


def import_results(
    sources: Sequence[Path],
    out: Path,
    roles: Mapping[str, Role],
    argv: Sequence[str] = (),
    bases: Mapping[str, str] | None = None,
) -> Report:
    """Copy results into a new run folder and build its report.

    Args:
        sources: Folders that lm_eval wrote, or single results files.
        out: The run's folder; must not be one yet.
        roles: Model -> its role; models left out are bases.
        argv: The command, kept with the run.
        bases: Imitation -> its own base, where known.

    Raises:
        UserError: Something is not a result, or a role or base names no model.
        StorageError: The folder cannot be written.
    """
    if (out / RUN).exists():
        raise UserError(f"{out} holds a run already.", "Name another folder.")
    units = _named(_units(sources))
    results = [result for unit in units for result in unit.results]
    models = list(dict.fromkeys(result.model for result in results))
    bases = bases or {}
    for name in (*roles, *bases.values()):
        if name not in models:
            raise UserError(f"The results hold no model {name!r}.", nearest(name, models))
    for unit in units:
        _copy(unit, out / RESULTS)
    # A group's tasks come with it: listed themselves, they would stand in the report twice.
    below = {task for result in results for task in result.subtasks}
    run = Run(
        id=out.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        argv=tuple(argv),
        models=tuple(
            _measured(model, results, roles.get(model, "base"), bases.get(model, ""))
            for model in models
        ),
        tasks=tuple(dict.fromkeys(row.task for row in results if row.task not in below)),
        versions={"lm_eval": ", ".join(sorted({row.lm_eval for row in results if row.lm_eval}))},
    )
    save(run, out)
    notes = [
        f"{result.model}, {result.task}: its samples were not logged."
        for result in results
        if result.samples is None and not result.subtasks
    ]
    return build_report.build(out, ["Imported from runs of lm-eval made elsewhere.", *notes])


@dataclass(frozen=True, slots=True)
class _Unit:
    """Results that belong together: of one model, files of one name in one folder.

    Attributes:
        files: Oldest first; a later one replaces an earlier one task by task.
        results: What they come to, under the model's name in the run.
        renamed: Whether that is not the name in the files.
    """

    files: tuple[Path, ...]
    results: tuple[TaskResult, ...]
    renamed: bool = False

    @property
    def model(self) -> str:
        return self.results[0].model

    def labels(self) -> list[str]:
        """What it may be called besides its model's name, the nearest first."""
        own = stem(self.files[0])
        parents = [part for part in self.files[0].resolve().parent.parts[::-1] if part != "/"]
        names = (re.sub(r"[\s,=:]+", "_", name) for name in (own, *parents))
        return [name for name in names if name not in ("", "results", self.model)]


def _units(sources: Sequence[Path]) -> list[_Unit]:
    """What was given, apart by source, folder, name without date and model; each file once."""
    groups: dict[tuple[object, ...], dict[Path, list[TaskResult]]] = {}
    seen: set[Path] = set()
    for number, source in enumerate(sources):
        if not source.exists():
            raise UserError(f"{source} does not exist.")
        for file in result_files(source):
            if file.resolve() in seen:
                continue
            seen.add(file.resolve())
            for result in read_file(file):
                key = (number, file.parent, stem(file), result.model)
                groups.setdefault(key, {}).setdefault(file, []).append(result)
    return [
        _Unit(
            tuple(files),
            tuple({row.task: row for rows in files.values() for row in rows}.values()),
        )
        for files in groups.values()
    ]


def _named(units: Sequence[_Unit]) -> list[_Unit]:
    """Units of one model with the same task are named apart: none of them vanishes."""
    kept: list[_Unit] = []
    for unit in units:
        tasks = {result.task for result in unit.results}
        same = [other for other in kept if other.model == unit.model]
        if any(tasks & {result.task for result in other.results} for other in same):
            taken = {label for other in same for label in other.labels()}
            numbers = (str(number) for number in count(2))
            labels = chain((label for label in unit.labels() if label not in taken), numbers)
            names = {other.model for other in kept}
            name = next(n for label in labels if (n := f"{unit.model}@{label}") not in names)
            renamed = tuple(replace(result, model=name) for result in unit.results)
            unit = _Unit(unit.files, renamed, True)
        kept.append(unit)
    return kept


def _copy(unit: _Unit, target: Path) -> None:
    """Its files, into a folder of the model's name; a new name is noted in the results."""
    safe = re.sub(r"[^\w.-]+", "_", unit.model)
    folder = next(
        path for end in ("", *(f"-{n}" for n in range(2, 10_000)))
        if not (path := target / f"{safe}{end}").exists()
    )  # fmt: skip
    folder.mkdir(parents=True)
    for file in unit.files:
        if unit.renamed:
            table = read_json(file)
            table["lab"] = {**(table.get("lab") or {}), "model": unit.model}
            write_text(folder / file.name, json.dumps(table, indent=1, ensure_ascii=False))
        else:
            copy_file(file, folder / file.name)
        for result in read_file(file):
            if result.samples is not None:
                copy_file(result.samples, folder / result.samples.name)


def _measured(model: str, results: Sequence[TaskResult], role: Role, base: str) -> EvaluatedModel:
    first = next(result for result in results if result.model == model)
    return EvaluatedModel(
        id=model,
        name=model,
        role=role,
        base=base,
        template=first.template,
        engine="imported",
        source=str(first.about.get("model") or ""),
    )


def read_roles(texts: Sequence[str]) -> tuple[dict[str, Role], dict[str, str]]:
    """Model -> role, and imitation -> its base, of MODEL=ROLE and MODEL=imitation:BASE.

    Raises:
        UserError: A text is neither.
    """
    roles: dict[str, Role] = {}
    bases: dict[str, str] = {}
    for text in texts:
        model, _, rest = text.rpartition("=")
        role, colon, base = rest.partition(":")
        if not model or role not in ROLES or (colon and (role != "imitation" or not base)):
            raise UserError(
                f"{text!r} gives no role.",
                f"Write MODEL=ROLE ({', '.join(ROLES)}), or MODEL=imitation:BASE.",
            )
        roles[model] = role
        if base:
            bases[model] = base
    return roles, bases


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    name = "python -m imitation.jobs.commands.import_results"
    return parameters.run(ImportResults, _work, argv, prog=name, about=__doc__ or "")


def _work(args: ImportResults) -> int:
    try:
        read_settings()
        roles, bases = read_roles(args.roles)
        typed = command("results", args)
        report = import_results(args.source, args.out.resolve(), roles, typed, bases)
    except UserError as error:
        Writer(None).failed("import_results", error)
        return 2
    from imitation.evaluation.report.export import as_markdown

    print(as_markdown(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())

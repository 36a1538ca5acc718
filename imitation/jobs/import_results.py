"""Results of lm-eval runs made elsewhere, as a run of ours: report, gaps, sample browser.

    python -m imitation.jobs.import_results results/llama results/chatgpt \
        --roles llama=base chatgpt=reference --out runs/imported

The files are copied as they are; what is no result of lm-eval (0.4 or newer) is refused by name.
Runs logged without samples (`--log_samples`) have scores, but neither gaps nor a browser.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from imitation.disk import copy_file
from imitation.errors import UserError
from imitation.evaluation import measure, results
from imitation.evaluation.report import RESULTS, RUN, Measured, Report, Run
from imitation.evaluation.report_files import save
from imitation.evaluation.results import TaskResult
from imitation.models.catalog import nearest
from imitation.settings import read_settings
from imitation.values import ROLES, Role


def import_results(
    sources: Sequence[Path], out: Path, roles: Mapping[str, Role], argv: Sequence[str] = ()
) -> Report:
    """Copy results into a new run folder and build its report.

    Args:
        sources: Folders that lm_eval wrote, or single results files.
        out: The run's folder; must not be one yet.
        roles: Model -> its role; models left out are bases.
        argv: The command, kept with the run.

    Raises:
        UserError: Something is not a result, or a role names no model.
        StorageError: The folder cannot be written.
    """
    if (out / RUN).exists():
        raise UserError(f"{out} holds a run already.", "Name another folder.")
    found = [one for source in sources for one in _read(source)]
    models = list(dict.fromkeys(one.model for one in found))
    for name in roles:
        if name not in models:
            raise UserError(f"The results hold no model {name!r}.", nearest(name, models))
    for source in sources:
        _copy(source, out / RESULTS)
    below = {task for one in found for task in one.subtasks}
    run = Run(
        id=out.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        argv=tuple(argv),
        models=tuple(_measured(model, found, roles.get(model, "base")) for model in models),
        tasks=tuple(dict.fromkeys(one.task for one in found if one.task not in below)),
        versions={"lm_eval": ", ".join(sorted({one.lm_eval for one in found if one.lm_eval}))},
    )
    save(run, out)
    notes = [
        f"{one.model}, {one.task}: its samples were not logged."
        for one in found
        if one.samples is None and not one.subtasks
    ]
    return measure.build(out, ["Imported from runs of lm-eval made elsewhere.", *notes])


def _read(source: Path) -> list[TaskResult]:
    if not source.exists():
        raise UserError(f"{source} does not exist.")
    return results.read(source)


def _copy(source: Path, target: Path) -> None:
    """Results and samples of each model, each into the folder of its name."""
    files = [source] if source.is_file() else sorted(source.rglob("results_*.json"))
    for file in files:
        (model,) = {one.model for one in results.read(file)} or {file.parent.name}
        folder = target / re.sub(r"[^\w.-]+", "_", model)
        date = file.stem.rpartition("_")[2]
        for path in (file, *file.parent.glob(f"samples_*_{date}.jsonl")):
            copy_file(path, folder / path.name)


def _measured(model: str, found: Sequence[TaskResult], role: Role) -> Measured:
    first = next(one for one in found if one.model == model)
    return Measured(
        id=model,
        name=model,
        role=role,
        template=first.template,
        engine="imported",
        source=str(first.about.get("model") or ""),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    typed = list(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(typed)
    command = [sys.executable, "-m", "imitation.jobs.import_results", *typed]
    try:
        read_settings()
        report = import_results(args.source, args.out.resolve(), _roles(args.roles), command)
    except UserError as error:
        print(f"import_results: {error}", file=sys.stderr)
        return 2
    from imitation.evaluation.export import as_markdown

    print(as_markdown(report))
    return 0


def _roles(texts: Sequence[str]) -> dict[str, Role]:
    found: dict[str, Role] = {}
    for text in texts:
        model, _, role = text.rpartition("=")
        if not model or role not in ROLES:
            raise UserError(f"--roles {text!r} is not MODEL=ROLE.", f"Roles: {', '.join(ROLES)}.")
        found[model] = role
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imitation.jobs.import_results",
        description="Results of lm-eval runs made elsewhere, as a run of this app.",
    )
    parser.add_argument("source", nargs="+", type=Path, help="folders lm_eval wrote, or files")
    parser.add_argument("--roles", nargs="*", default=[], metavar="MODEL=ROLE")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())

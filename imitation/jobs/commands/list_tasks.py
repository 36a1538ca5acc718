"""Write the list the task picker reads: every task of lm-eval and ours.

    python -m imitation.jobs.commands.list_tasks

Task files are read, not run, so nothing is downloaded; a task built in code has no metric here,
and the number of samples is known for our own tasks only. lm-eval's own list takes long to build
(over 14,000 names), which is why the page reads this file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from imitation.disk import write_text
from imitation.errors import UserError
from imitation.evaluation.harness.suites import INDEX, INSTEAD, OURS, SHOTS, TASKS, TaskEntry
from imitation.events import Writer
from imitation.jobs import parameters
from imitation.jobs.parameters import JobParameters
from imitation.settings import Settings, read_settings


class ListTasks(JobParameters):
    """Parameters of `list_tasks`: there is nothing to choose."""


def list_tasks() -> list[TaskEntry]:
    """A line for each task, group and tag, ours first, then by name.

    Tasks that ours stand in for are left out.
    """
    from lm_eval.tasks import TaskManager

    index = TaskManager(include_path=str(TASKS)).task_index
    parents = _parents(index)
    lines = [
        _line(name, entry, parents.get(name, ""))
        for name, entry in index.items()
        if name not in INSTEAD
    ]
    return sorted(lines, key=lambda line: (not line.ours, line.name))


def write_index(settings: Settings, lines: Sequence[TaskEntry]) -> None:
    """Write the list into the cache folder, whole or not at all.

    Raises:
        StorageError: The cache cannot be written.
    """
    rows = [asdict(line) for line in lines]
    write_text(settings.cache / INDEX, json.dumps(rows, ensure_ascii=False))


def _parents(index: Mapping[str, Any]) -> dict[str, str]:
    """The first group or tag that names each task."""
    parents: dict[str, str] = {}
    for name, entry in index.items():
        children = (entry.cfg or {}).get("task") if entry.kind.name == "GROUP" else None
        for child in children if isinstance(children, list) else ():
            if isinstance(child, str):
                parents.setdefault(child, name)
    for name, entry in index.items():
        if entry.kind.name == "TASK" and entry.tags:
            parents.setdefault(name, sorted(entry.tags)[0])
    return parents


def _line(name: str, entry: Any, parent: str) -> TaskEntry:
    kind = {"GROUP": "group", "TAG": "tag"}.get(entry.kind.name, "task")
    config = _config(entry) if kind == "task" else {}
    shots = config.get("num_fewshot")
    return TaskEntry(
        name=name,
        kind=kind,
        group=parent,
        metric=_metric(config),
        shots=shots if isinstance(shots, int) else SHOTS.get(name),
        downloads=_dataset(config),
        n=_count(name),
        output=str(config.get("output_type") or ("generate_until" if config else "")),
        ours=name in OURS,
    )


def _config(entry: Any) -> Mapping[str, Any]:
    """The task's file with what it includes; {} where it cannot be read alone."""
    from lm_eval.tasks._yaml_loader import load_yaml

    if entry.yaml_path is None:
        return {}
    try:
        return load_yaml(entry.yaml_path, resolve_func=False) or {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{entry.yaml_path}: {error}", file=sys.stderr)
        return {}


def _metric(config: Mapping[str, Any]) -> str:
    rows = config.get("metric_list") or [{}]
    metric = str(rows[0].get("metric", "")) if isinstance(rows[0], dict) else ""
    if metric:
        return metric.rpartition(".")[2] or metric
    return "acc" if config.get("output_type") == "multiple_choice" else ""


def _dataset(config: Mapping[str, Any]) -> str:
    path, name = config.get("dataset_path") or "", config.get("dataset_name")
    if path in ("", "json", "csv", "arrow"):
        return ""
    return f"{path}:{name}" if name else str(path)


def _count(name: str) -> int | None:
    from imitation.evaluation.harness import pocket_suite
    from imitation.evaluation.metrics import toxicity

    if name in ("pocket_ask", "pocket_facts"):
        return len(pocket_suite.open_questions()["evaluate"])
    if name == "pocket_choice":
        return len(pocket_suite.choice_questions()["evaluate"])
    if name == "pocket_toxicity":
        return len(toxicity.beginnings())
    return 164 if name == "lab_humaneval" else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    name = "python -m imitation.jobs.commands.list_tasks"
    return parameters.run(ListTasks, _work, argv, prog=name, about=__doc__ or "")


def _work(args: ListTasks) -> int:
    try:
        settings = read_settings()
        lines = list_tasks()
        write_index(settings, lines)
    except UserError as error:
        Writer(None).failed("list_tasks", error)
        return 2
    print(f"{len(lines)} tasks in {settings.cache / INDEX}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

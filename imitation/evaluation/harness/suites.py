"""Names of benchmarks: suites, stand-ins for unsafe tasks, shots of the study, near matches."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imitation.errors import UserError
from imitation.settings import Settings

TASKS = Path(__file__).with_name("tasks")
"""Our own task files."""
OURS = (
    "pocket_ask",
    "pocket_facts",
    "pocket_choice",
    "pocket_toxicity",
    "lab_humaneval",
    "lab_nq",
    "lab_realtoxicity",
)
SUITES: Mapping[str, tuple[str, ...]] = {
    "pocket": ("pocket_ask", "pocket_facts", "pocket_choice", "pocket_toxicity"),
    "study": ("mmlu", "lab_nq", "lab_humaneval", "lab_realtoxicity"),
}
"""A suite's name stands for its tasks; "pocket" needs no network."""
INSTEAD: Mapping[str, str] = {
    "humaneval": "lab_humaneval",
    "realtoxicityprompts": "lab_realtoxicity",
}
"""Tasks of lm-eval that run code unprotected or want a Perspective key: ours are run instead."""
SHOTS: Mapping[str, int] = {"mmlu": 5, "nq_open": 3}
"""Examples in the prompt as the study had them, where the task has no default of its own."""
INDEX = "lm-eval-tasks.json"
"""The picker's list in the cache folder, written by `imitation.jobs.commands.list_tasks`."""


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """One line of the task picker.

    Attributes:
        name: lm-eval's name.
        kind: "task", "group" or "tag" (a tag stands for its tasks).
        group: Group or tag it belongs to, "" for none.
        metric: Its first metric, "" for groups that name none.
        shots: Examples by default, None where the task leaves it open.
        downloads: Dataset it fetches from the hub, "" for none.
        n: Samples, None where not known without downloading.
        output: "generate_until", "multiple_choice", "loglikelihood", ...; "" for groups.
        ours: One of this app's task files.
    """

    name: str
    kind: str = "task"
    group: str = ""
    metric: str = ""
    shots: int | None = None
    downloads: str = ""
    n: int | None = None
    output: str = ""
    ours: bool = False


def expand(names: Iterable[str]) -> list[str]:
    """Tasks for names of suites and tasks, each once, in order; unsafe ones replaced."""
    found: list[str] = []
    for name in names:
        found += SUITES.get(name, (INSTEAD.get(name, name),))
    return list(dict.fromkeys(found))


def check_names(names: Iterable[str], known: Iterable[str]) -> None:
    """Return if every name is known.

    Raises:
        UserError: Some are not; the nearest are offered for each.
    """
    known = list(known)
    unknown = [name for name in names if name not in set(known)]
    if not unknown:
        return
    lower = {name.lower(): name for name in known}
    hints = []
    for name in unknown:
        close = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)
        close += [k for k in lower if name.lower() in k][: 3 - len(close)]
        if close:
            hints.append(f"For {name!r}: " + ", ".join(lower[c] for c in dict.fromkeys(close)))
    quoted = ", ".join(map(repr, unknown))
    raise UserError(f"There is no lm-eval task {quoted}.", ". ".join([*hints, ""]).strip())


def read_index(settings: Settings) -> list[TaskEntry]:
    """The task picker's lines; ours alone where the list has not been written yet.

    Raises:
        UserError: The list is broken.
    """
    path = settings.cache / INDEX
    if not path.is_file():
        return [
            TaskEntry(name, ours=True, group="pocket" * name.startswith("pocket")) for name in OURS
        ]
    try:
        rows = json.loads(path.read_text("utf-8"))
        return [TaskEntry(**row) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read: {error}.",
            "Write it again: python -m imitation.jobs.commands.list_tasks",
        ) from error


def search(lines: Sequence[TaskEntry], text: str, limit: int = 50) -> list[TaskEntry]:
    """Lines whose name, group or dataset has every word of `text`; ours and exact names first."""
    words = text.lower().split()
    found = [
        line
        for line in lines
        if all(w in f"{line.name} {line.group} {line.downloads}".lower() for w in words)
    ]
    found.sort(key=lambda line: (line.name.lower() != text.lower(), not line.ours, len(line.name)))
    return found[:limit]

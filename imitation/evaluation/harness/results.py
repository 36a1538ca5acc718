"""Results in lm-eval's own format: of our runs, and of runs made elsewhere, by 0.4.0 to 0.4.13.

| lm-eval | results | samples |
| --- | --- | --- |
| 0.4.0 to 0.4.2 | `results.json`, or what --output_path names | `MODEL_ARGS_TASK.jsonl`, an array |
| 0.4.3 to 0.4.8 | `MODEL/results_DATE.json` | `MODEL/samples_TASK_DATE.jsonl` |
| 0.4.9 and newer | the same, or `NAME_DATE.json` for --output_path NAME.json | beside it |

A later file replaces an earlier one task by task. What isn't such a file is refused with what was
seen instead. What samples hold is in `result_samples`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from imitation.errors import UserError
from imitation.evaluation.harness.result_samples import (
    DATE,
    LoggedSample,
    find_samples,
    read_samples,
)
from imitation.reading.json_text import read_json

_NOT_METRICS = ("alias", "name", "sample_len", "sample_count", "samples")
_NO_NUMBER = (None, "N/A", "NaN", "nan")
"""What stands for a metric that could not be computed, where files were written anew by others."""
LOWER = frozenset(
    ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "ter")
)
"""Metrics of lm-eval that are better where they are lower; 0.4.2 and older don't write it."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One model's result on one task or group.

    Attributes:
        model: Name of the model, as lm-eval has it.
        task: Name of the task or group.
        metrics: (metric, filter) -> (value, standard error), in the file's order; None is what
            lm-eval could not compute.
        higher_is_better: Metric -> whether.
        config: lm-eval's configuration of the task, empty for groups.
        version: lm-eval's version of it.
        shots: Examples in the prompt, None where the file does not say.
        template: "plain", "chat", "koala"; of runs elsewhere "chat HASH" where a template was used.
        system: A few letters of the system instruction's hash, "" for none.
        turns: Whether examples are turns of a talk, None where the file does not say.
        settings: How answers are generated, as JSON; "" where none are.
        subtasks: Of a group: its tasks.
        asked: Samples there were to answer, None where not known.
        missing: Document number -> why it has no answer.
        samples: The file of samples, None where there is none.
        about: lm-eval's configuration of the run: model, model_args, ...
        lm_eval: Its version.
    """

    model: str
    task: str
    metrics: Mapping[tuple[str, str], tuple[float | None, float | None]]
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    shots: int | None = None
    template: str = ""
    system: str = ""
    turns: bool | None = None
    settings: str = ""
    subtasks: tuple[str, ...] = ()
    asked: int | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    samples: Path | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    lm_eval: str = ""

    @property
    def generation(self) -> bool:
        """Whether answers were written, not given ones compared."""
        return str(self.config.get("output_type", "generate_until")) == "generate_until"

    @property
    def filters(self) -> tuple[str, ...]:
        """lm-eval's filters of the answers, in its order."""
        return tuple(dict.fromkeys(kind for _, kind in self.metrics))

    @property
    def scored(self) -> tuple[str, str]:
        """Metric and filter that tell of one sample; a perplexity only where there is no other."""
        main, kind = next(iter(self.metrics))
        names = [metric for metric, each in self.metrics if each == kind]
        return next((name for name in names if name not in LOWER), main), kind

    def answered(self, wanted: str | None = None) -> Iterator[LoggedSample]:
        """Its samples, one a document: those of the named filter, else of the file's first.

        Raises:
            UserError: A line is not a sample.
        """
        if self.samples is None:
            return iter(())
        names = {kind: tuple(m for m, k in self.metrics if k == kind) for kind in self.filters}
        return read_samples(self.samples, str(self.config.get("output_type", "")), names, wanted)


def read(path: Path) -> list[TaskResult]:
    """Every task's latest result in a folder (of any depth) or one results file.

    Raises:
        UserError: There are none, or a file is no result or of a version that cannot be read.
    """
    found: dict[tuple[str, str], TaskResult] = {}
    for file in result_files(path):
        for result in read_file(file):
            found[result.model, result.task] = result
    return list(found.values())


def result_files(path: Path) -> list[Path]:
    """The results files in a folder (of any depth), oldest first; of a file itself.

    What lm-eval calls them depends on its version and on --output_path: any JSON file that holds
    results is one. Others are passed over, unless their name says that they should be one.

    Raises:
        UserError: There are none.
    """
    if path.is_file():
        return [path]
    found = [
        file
        for file in path.rglob("*.json")
        if file.is_file() and (file.name.startswith("results") or _holds_results(file))
    ]
    if not found:
        raise UserError(
            f"{path} holds no results of lm-eval (results_*.json or another name).",
            "Name the folder or file that lm_eval's --output_path named.",
        )
    return sorted(found, key=lambda file: (_date(file), str(file)))


def stem(file: Path) -> str:
    """The name of a results file without its date."""
    return DATE.sub("", file.stem).rstrip("_")


def read_file(file: Path) -> list[TaskResult]:
    """The results in one file.

    Raises:
        UserError: It is no results file, or of a version that cannot be read.
    """
    table = _table(file)
    lab = table.get("lab") or {}
    groups = table.get("group_subtasks") or {}
    template = str(lab.get("template") or _template(table))
    found = []
    for task, row in table["results"].items():
        metrics = _metrics(row, file)
        if not metrics:  # a group without a score of its own
            continue
        config = table["configs"].get(task) or {}
        shots = table.get("n-shot", {}).get(task)
        asked = lab.get("asked", {}).get(task) or (
            table.get("n-samples", {}).get(task, {}).get("effective")
        )
        found.append(
            TaskResult(
                model=str(lab.get("model") or _model(table, file)),
                task=task,
                metrics=metrics,
                higher_is_better=_directions(table, task, config, [name for name, _ in metrics]),
                config=config,
                version=str(table.get("versions", {}).get(task, "")),
                shots=shots if isinstance(shots, int) else None,
                template=template,
                system=_system(table),
                turns=template != "plain" if lab.get("template") else _turns(table),
                settings=_settings(config),
                subtasks=tuple(groups.get(task, ())),
                asked=asked,
                missing=lab.get("missing", {}).get(task, {}),
                samples=find_samples(file, task, (table.get("config") or {}).get("model_args")),
                about=table.get("config") or {},
                lm_eval=str(table.get("lm_eval_version") or ""),
            )
        )
    return found


def _holds_results(file: Path) -> bool:
    try:
        table = read_json(file)
    except (OSError, ValueError, RecursionError):
        return False
    return (
        isinstance(table, dict)
        and isinstance(table.get("results"), dict)
        and isinstance(table.get("configs", table.get("versions")), dict)
    )


def _date(file: Path) -> str:
    """When a result was written, as text that sorts; lm-eval's name of the file has it, mostly."""
    if match := DATE.search(file.stem):
        return match.group().replace(":", "-")
    try:
        when = float(read_json(file)["date"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        when = file.stat().st_mtime
    return datetime.fromtimestamp(when).isoformat().replace(":", "-")


def _table(file: Path) -> dict[str, Any]:
    try:
        table = read_json(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file.name} cannot be read as JSON: {error}.") from error
    if not isinstance(table, dict) or not isinstance(table.get("results"), dict):
        keys = ", ".join(list(table)[:5]) if isinstance(table, dict) else type(table).__name__
        raise UserError(
            f"{file.name} is not a result of lm-eval: it has no results, but {keys or 'nothing'}.",
            "Name a results_*.json that lm_eval wrote (0.4 or newer).",
        )
    if not isinstance(table.get("configs"), dict):
        raise UserError(
            f"{file.name} is of an lm-eval before 0.4: it does not say how tasks were asked.",
            "Run it again with lm-eval 0.4 or newer.",
        )
    return table


def _metrics(row: Any, file: Path) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """(metric, filter) -> (value, standard error); None is what lm-eval could not compute."""
    if not isinstance(row, dict):
        raise UserError(f"{file.name}: a task's result is {type(row).__name__}, not metrics.")
    found = {}
    for key, value in row.items():
        name, comma, kind = key.partition(",")
        if key in _NOT_METRICS or name.endswith("_stderr"):
            continue
        if not isinstance(value, int | float) and not (comma and value in _NO_NUMBER):
            continue
        if not comma:
            raise UserError(
                f"{file.name}: metric {key!r} names no filter, as lm-eval before 0.4 wrote it.",
                "Run it again with lm-eval 0.4 or newer.",
            )
        found[name, kind] = (_number(value), _number(row.get(f"{name}_stderr,{kind}")))
    return found


def _number(value: Any) -> float | None:
    """A finite number; lm-eval writes NaN and "N/A" where it has none."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else None


def _directions(
    table: Mapping[str, Any], task: str, config: Mapping[str, Any], metrics: Sequence[str]
) -> dict[str, bool]:
    """Whether more is better, by metric: as the file says, else the task's file, else lm-eval."""
    told = table.get("higher_is_better", {}).get(task) or {}
    rows = [one for one in config.get("metric_list") or () if isinstance(one, dict)]
    listed = {str(one.get("metric")): one.get("higher_is_better") for one in rows}
    found = {}
    for metric in metrics:
        known = [told.get(metric), listed.get(metric), metric not in LOWER]
        found[metric] = bool(next(one for one in known if one is not None))
    return found


def _model(table: Mapping[str, Any], file: Path) -> str:
    """The model's name: lm-eval 0.4.3 and newer write it, before it stands in the arguments."""
    if name := table.get("model_name_sanitized") or table.get("model_name"):
        return str(name)
    config = table.get("config") or {}
    arguments = config.get("model_args")
    if isinstance(arguments, str):
        pairs = (part.partition("=") for part in arguments.split(","))
        arguments = {key.strip(): value for key, _, value in pairs}
    if isinstance(arguments, dict):
        for key in ("peft", "delta", "pretrained", "model", "path", "engine"):
            if arguments.get(key):
                return re.sub(r"[\"<>:/|\\?*\[\]]+", "__", str(arguments[key]))
    return stem(file) if stem(file) not in ("", "results") else file.parent.name


def _template(table: Mapping[str, Any]) -> str:
    sha = table.get("chat_template_sha")
    return f"chat {str(sha)[:8]}" if sha else "plain"


def _system(table: Mapping[str, Any]) -> str:
    """The system instruction, by a few letters of its hash; "" for none."""
    sha, text = table.get("system_instruction_sha"), table.get("system_instruction")
    if text and not sha:
        sha = hashlib.sha256(str(text).encode()).hexdigest()
    return str(sha or "")[:8]


def _turns(table: Mapping[str, Any]) -> bool | None:
    """Whether examples are turns of a talk; None where the file does not say."""
    known = table.get("fewshot_as_multiturn")
    return known if isinstance(known, bool) else None


def _settings(config: Mapping[str, Any]) -> str:
    """How answers are generated, as text; "" where they are not, or the file does not say."""
    if str(config.get("output_type", "generate_until")) != "generate_until":
        return ""
    given = config.get("generation_kwargs")
    return json.dumps(given, sort_keys=True, ensure_ascii=False, default=str) if given else ""

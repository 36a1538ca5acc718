"""Results in lm-eval's own format: of our runs, and of runs made elsewhere.

A folder holds `results_DATE.json` and beside each `samples_TASK_DATE.jsonl`; a later file replaces
an earlier one task by task. What isn't such a file is refused with what was seen instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imitation.errors import UserError
from imitation.text import cleaned

_NOT_METRICS = ("alias", "name", "sample_len", "sample_count", "samples")


@dataclass(frozen=True, slots=True)
class Answered:
    """One sample of one model, as its line has it.

    Attributes:
        doc_id: Number of the document in the task.
        doc_hash: lm-eval's hash of it.
        prompt: What was asked, turns of a chat marked.
        gold: The right answer or answers.
        text: The answer after lm-eval's filter; of given choices the likeliest.
        metrics: Metric -> value, for those that are numbers.
    """

    doc_id: int
    doc_hash: str
    prompt: str
    gold: str
    text: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One model's result on one task or group.

    Attributes:
        model: Name of the model, as lm-eval has it.
        task: Name of the task or group.
        metrics: (metric, filter) -> (value, standard error or None), in the file's order.
        higher_is_better: Metric -> whether; those left out are.
        config: lm-eval's configuration of the task, empty for groups.
        version: lm-eval's version of it.
        shots: Examples in the prompt, None where the file does not say.
        template: "plain", "chat", "koala"; of runs elsewhere "chat HASH" where a template was used.
        subtasks: Of a group: its tasks.
        asked: Samples there were to answer, None where not known.
        missing: Document number -> why it has no answer.
        samples: The file of samples, None where there is none.
        about: lm-eval's configuration of the run: model, model_args, ...
        lm_eval: Its version.
    """

    model: str
    task: str
    metrics: Mapping[tuple[str, str], tuple[float, float | None]]
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    shots: int | None = None
    template: str = ""
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

    def answered(self, wanted: str | None = None) -> Iterator[Answered]:
        """Its samples, one a document: those of the named filter, else of the file's first.

        Raises:
            UserError: A line is not a sample.
        """
        if self.samples is None:
            return
        with self.samples.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = cleaned(json.loads(line))
                    wanted = row["filter"] if wanted is None else wanted
                    if row["filter"] == wanted:
                        yield _answered(row, self.generation)
                except (ValueError, KeyError, TypeError, IndexError) as error:
                    raise UserError(
                        f"{self.samples.name}, line {number} is no sample of lm-eval: {error!r}."
                    ) from error


def read(path: Path) -> list[TaskResult]:
    """Every task's latest result in a folder (of any depth) or one results file.

    Raises:
        UserError: There are none, or a file is no result or of a version that cannot be read.
    """
    files = [path] if path.is_file() else sorted(path.rglob("results_*.json"), key=_date)
    if not files:
        raise UserError(
            f"{path} holds no results of lm-eval (results_*.json).",
            "Name the folder that lm_eval's --output_path named.",
        )
    found: dict[tuple[str, str], TaskResult] = {}
    for file in files:
        for result in _read(file):
            found[result.model, result.task] = result
    return list(found.values())


def _date(path: Path) -> str:
    return path.stem.rpartition("_")[2]


def _read(file: Path) -> list[TaskResult]:
    table = _table(file)
    model = _model(table, file)
    lab = table.get("lab") or {}
    groups = table.get("group_subtasks") or {}
    template = str(lab.get("template") or _template(table))
    found = []
    for task, row in table["results"].items():
        metrics = _metrics(row, file)
        if not metrics:  # a group without a score of its own
            continue
        shots = table.get("n-shot", {}).get(task)
        samples = file.with_name(f"samples_{task}_{_date(file)}.jsonl")
        directions = table.get("higher_is_better", {}).get(task) or {}
        asked = lab.get("asked", {}).get(task) or (
            table.get("n-samples", {}).get(task, {}).get("effective")
        )
        found.append(
            TaskResult(
                model=model,
                task=task,
                metrics=metrics,
                higher_is_better={k: bool(v) for k, v in directions.items() if v is not None},
                config=table["configs"].get(task, {}),
                version=str(table.get("versions", {}).get(task, "")),
                shots=shots if isinstance(shots, int) else None,
                template=template,
                subtasks=tuple(groups.get(task, ())),
                asked=asked,
                missing=lab.get("missing", {}).get(task, {}),
                samples=samples if samples.is_file() else None,
                about=table.get("config") or {},
                lm_eval=str(table.get("lm_eval_version", "")),
            )
        )
    return found


def _table(file: Path) -> dict[str, Any]:
    try:
        table = json.loads(file.read_text("utf-8"))
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


def _metrics(row: Any, file: Path) -> dict[tuple[str, str], tuple[float, float | None]]:
    if not isinstance(row, dict):
        raise UserError(f"{file.name}: a task's result is {type(row).__name__}, not metrics.")
    found = {}
    for key, value in row.items():
        name, comma, kind = key.partition(",")
        if key in _NOT_METRICS or name.endswith("_stderr") or not isinstance(value, int | float):
            continue
        if not comma:
            raise UserError(
                f"{file.name}: metric {key!r} names no filter, as lm-eval before 0.4 wrote it.",
                "Run it again with lm-eval 0.4 or newer.",
            )
        error = row.get(f"{name}_stderr,{kind}")
        found[name, kind] = (
            float(value),
            float(error) if isinstance(error, int | float) else None,
        )
    return found


def _model(table: Mapping[str, Any], file: Path) -> str:
    name = table.get("model_name_sanitized") or table.get("model_name") or file.parent.name
    return str(name)


def _template(table: Mapping[str, Any]) -> str:
    sha = table.get("chat_template_sha")
    return f"chat {str(sha)[:8]}" if sha else "plain"


def _answered(row: Mapping[str, Any], generation: bool) -> Answered:
    asked = list(row["arguments"].values()) if isinstance(row["arguments"], dict) else [
        {f"arg_{n}": value for n, value in enumerate(one)} for one in row["arguments"]
    ]  # fmt: skip
    said, gold = row["filtered_resps"], _plain(row["target"])
    if generation:
        text = said[0] if isinstance(said[0], str) else _plain(said[0])
    else:
        likely = [float(one[0]) for one in said]
        choices = [str(one.get("arg_1", "")).strip() for one in asked]
        text = choices[likely.index(max(likely))]
        if gold.isdigit() and int(gold) < len(choices):
            gold = choices[int(gold)]
    metrics = {
        name: float(row[name]) for name in row["metrics"] if isinstance(row.get(name), int | float)
    }
    prompt = _turns(str(asked[0].get("arg_0", "")))
    return Answered(int(row["doc_id"]), str(row["doc_hash"]), prompt, gold, text, metrics)


def _plain(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        return _plain(value[0])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _turns(prompt: str) -> str:
    """A prompt for people: a question by itself, the turns of a chat each under its speaker."""
    if prompt.startswith('[{"role"'):
        try:
            turns = json.loads(prompt)
            if [turn["role"] for turn in turns] == ["user"]:
                return str(turns[0]["content"])
            return "\n\n".join(f"[{turn['role']}]\n{turn['content']}" for turn in turns)
        except (ValueError, KeyError, TypeError):
            return prompt
    return prompt

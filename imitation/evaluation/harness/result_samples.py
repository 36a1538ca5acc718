"""Samples as lm-eval logs them (`--log_samples`), of any version since 0.4.0.

Before 0.4.6 a sample names neither its filter nor its metrics: a document's first line is of the
first filter, its second of the second; before 0.4.3 it has no hash of its document either, and a
file is a JSON array of samples.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imitation.errors import UserError
from imitation.reading.json_text import parse_json
from imitation.reading.text import check_bytes
from imitation.text import clean_values

DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}[-:]\d{2}[-:]\d{2}(?:\.\d+)?")
"""As lm-eval puts it into the names of its files."""


@dataclass(frozen=True, slots=True)
class LoggedSample:
    """One sample of one model, as its line has it.

    Attributes:
        doc_id: Number of the document in the task.
        doc_hash: lm-eval's hash of it.
        prompt: What was asked, turns of a chat marked.
        gold: The right answer or answers.
        text: The answer after lm-eval's filter; of given choices the likeliest; of a given text how
            likely it was.
        metrics: Metric -> value, for those that are numbers.
    """

    doc_id: int
    doc_hash: str
    prompt: str
    gold: str
    text: str
    metrics: Mapping[str, float]


def find_samples(file: Path, task: str, arguments: Any = None) -> Path | None:
    """The samples of a task that belong to a results file; None where there are none.

    Args:
        file: The results.
        task: Its name.
        arguments: lm-eval's `model_args`, after which 0.4.0 to 0.4.2 call the samples.
    """
    date = DATE.search(file.stem)
    known = [f"samples_{task}_{date.group()}"] if date else []
    if isinstance(arguments, str):
        known.append(re.sub("/|=", "__", arguments) + f"_{task}")
    for name in known:
        if (path := file.with_name(f"{name}.jsonl")).is_file():
            return path
    if date:
        return None
    # The results were given another name.
    same = re.compile(rf"(?:samples_)?{re.escape(task)}(?:_{DATE.pattern})?")
    found = [path for path in file.parent.glob("*.jsonl") if same.fullmatch(path.stem)]
    return found[0] if len(found) == 1 else None


def read_samples(
    path: Path, output: str, metrics: Mapping[str, Sequence[str]], wanted: str | None = None
) -> Iterator[LoggedSample]:
    """Samples of one filter, one a document.

    Args:
        path: The file.
        output: The task's output type, such as "multiple_choice"; "" is "generate_until".
        metrics: Filter -> its metrics, in lm-eval's order.
        wanted: The filter; None for the file's first.

    Raises:
        UserError: A line is not a sample.
    """
    filters, seen = list(metrics), Counter[int]()
    for number, row in _rows(path):
        try:
            doc = int(row["doc_id"])
            place, kind = seen[doc], row.get("filter")
            seen[doc] += 1
            if kind is None:
                kind = filters[place] if place < len(filters) else None
            wanted = kind if wanted is None else wanted
            if kind == wanted:
                yield _answered(row, output, row.get("metrics") or metrics.get(str(kind), ()))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise UserError(
                f"{path.name}, line {number} is no sample of lm-eval: {error!r}."
            ) from error


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Samples with their numbers, from 1."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        if lines.read(64).lstrip()[:1] == "[":
            lines.seek(0)
            try:
                rows = parse_json(check_bytes(lines.read()))
            except ValueError as error:
                raise UserError(f"{path.name} is no file of samples: {error}.") from error
            yield from enumerate(clean_values(rows), 1)
            return
        lines.seek(0)
        for number, line in enumerate(lines, 1):
            try:
                row = clean_values(parse_json(check_bytes(line))) if line.strip() else None
            except ValueError as error:
                raise UserError(
                    f"{path.name}, line {number} is no sample of lm-eval: {error}."
                ) from error
            if row is not None:
                yield number, row


def _answered(row: Mapping[str, Any], output: str, names: Sequence[str]) -> LoggedSample:
    metrics = {
        name: float(row[name])
        for name in names
        if isinstance(row.get(name), int | float) and math.isfinite(row[name])
    }
    asked = _arguments(row["arguments"])
    said, gold = row["filtered_resps"], _plain(row["target"])
    prompt = str(asked[0].get("arg_0", ""))
    if output in ("", "generate_until"):
        text = said[0] if isinstance(said[0], str) else _plain(said[0])
    elif output == "loglikelihood_rolling":
        prompt, text = "", f"log-likelihood {float(_first(said)):.2f}"
    elif len(said) == 1:
        text = _one_text(said[0])
    else:
        prompt, gold, text = _choice(asked, said, gold, metrics.get("acc"))
    return LoggedSample(int(row["doc_id"]), _hash(row), _turns(prompt), gold, text, metrics)


def _arguments(given: Any) -> list[Mapping[str, Any]]:
    if isinstance(given, dict):
        return list(given.values())
    return [{f"arg_{n}": value for n, value in enumerate(one)} for one in given]


def _hash(row: Mapping[str, Any]) -> str:
    """lm-eval's hash of the document, made as it makes it where the line has none."""
    if known := row.get("doc_hash"):
        return str(known)
    text = json.dumps(row["doc"], indent=2, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _one_text(said: Any) -> str:
    """How likely the only continuation was, which says whether the model would have written it."""
    value, *greedy = said if isinstance(said, list) else (said,)
    if not greedy:
        return f"log-likelihood {float(value):.2f}"
    would = str(greedy[0]).lower() == "true"
    return f"log-likelihood {float(value):.2f}, {'as' if would else 'not what'} it would write"


def _choice(
    asked: Sequence[Mapping[str, Any]], said: Sequence[Any], gold: str, right: float | None
) -> tuple[str, str, str]:
    """What was asked, the right choice and the likeliest one.

    Choices differ in the continuation, or (as in winogrande) in the context.
    """
    # acc_mutual_info asks for each choice once more without its context.
    kept = [n for n, one in enumerate(asked) if str(one.get("arg_0", "")).strip()] or [
        *range(len(asked))
    ]
    contexts = [str(asked[n].get("arg_0", "")) for n in kept]
    choices = [str(asked[n].get("arg_1", "")).strip() for n in kept]
    likely = [float(_first(said[n])) for n in kept]
    prompt = contexts[0]
    if len(set(choices)) == 1 and len(set(contexts)) > 1:
        prompt, choices = _apart(contexts, choices[0])
        gold = ""  # the continuation that all have
    best = likely.index(max(likely))
    return prompt, _right(choices, gold, best, right), choices[best]


def _right(choices: Sequence[str], gold: str, best: int, right: float | None) -> str:
    """The right choice: named by its number or its text, whichever agrees with the score."""
    named = [n for n, choice in enumerate(choices) if choice == gold.strip()]
    if gold.isdigit() and int(gold) < len(choices):
        named.insert(0, int(gold))
    if right is not None:
        named = [n for n in named if (n == best) == (right >= 1)] or named
        if not named and right >= 1:
            named = [best]
        if not named and right <= 0 and len(choices) == 2:
            named = [1 - best]
    return choices[named[0]] if named else gold


def _apart(contexts: Sequence[str], continuation: str) -> tuple[str, list[str]]:
    """Contexts as one sentence with a gap, and what each has there, in whole words."""
    words = [re.findall(r"\s+|\S+", context) for context in contexts]
    start = _common(words)
    rest = [one[start:][::-1] for one in words]
    end = _common(rest)
    found = ["".join(one[end:][::-1]).strip() for one in rest]
    after = "".join(rest[0][:end][::-1]).rstrip()
    return f"{''.join(words[0][:start])}___{after} {continuation}".rstrip(), found


def _common(rows: Sequence[Sequence[str]]) -> int:
    """How many items all rows begin with."""
    alike = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False))
    return sum(1 for _ in alike)


def _first(value: Any) -> Any:
    while isinstance(value, list):
        value = value[0]
    return value


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

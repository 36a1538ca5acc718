"""Files as each version of lm-eval 0.4 writes them: same run, five tasks.

Made after what ten of them (0.4.0 to 0.4.5, 0.4.7, 0.4.9, 0.4.12 and 0.4.13) wrote when they were
run with their dummy model on documents like these, and after the writers of the others
(`__main__.py` up to 0.4.2, then `loggers/evaluation_tracker.py`; what a sample holds is in
`evaluator.py`). 0.4.6 is not on PyPI.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VERSIONS = (
    "0.4.0", "0.4.1", "0.4.2", "0.4.3", "0.4.4", "0.4.5", "0.4.7", "0.4.8", "0.4.9", "0.4.9.1",
    "0.4.9.2", "0.4.10", "0.4.11", "0.4.12", "0.4.13",
)  # fmt: skip
DATE = "2026-11-27T18-04-33.638481"
STOPS = {"until": ["\n"], "do_sample": False}
LIKELIHOODS = (-15.25, -12.5)
PAGES = ("The cat sat on the mat.", "\u65e5\u672c is a word.")

Sample = dict[str, Any]


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def samples() -> dict[str, list[tuple[str, Sample]]]:
    """Task -> (filter, sample) as the evaluator makes them before they are written."""

    def choice(n: int, asked: Any, said: Any, target: Any, doc: Any, acc: float) -> Sample:
        return {"doc_id": n, "doc": doc, "target": target, "arguments": asked,
                "resps": [[one] for one in said], "filtered_resps": said, "acc": acc}  # fmt: skip

    mc = [
        choice(0, [("Sky?", " red"), ("Sky?", " blue")], [(-3.5, False), (-0.5, True)], 1,
               {"q": "Sky?"}, 1.0),
        choice(1, [("Sum?", " 1"), ("Sum?", " 0")], [(-0.5, True), (-3.5, False)], 1,
               {"q": "Sum?"}, 0.0),
    ]  # fmt: skip
    wino = [
        choice(0, [("It broke; the vase", " fell."), ("It broke; the shelf", " fell.")],
               [(-2.0, False), (-1.0, False)], "fell.", {"answer": "1"}, 0.0),
        choice(1, [("Ann asked Mary since Ann", " knew."), ("Ann asked Mary since Mary", " knew.")],
               [(-2.0, False), (-1.0, False)], "knew.", {"answer": "2"}, 1.0),
    ]  # fmt: skip
    gen = [
        ("strict", {"doc_id": n, "doc": {"a": gold}, "target": gold,
                    "arguments": [("2+2?", STOPS)], "resps": [["is 4"]], "filtered_resps": ["4"],
                    "exact_match": float(gold == "4")})
        for n, gold in enumerate(("4", "6"))
    ]  # fmt: skip
    gen += [("loose", {**row, "filtered_resps": ["is 4"], "exact_match": 0.0}) for _, row in gen]
    roll = [
        {"doc_id": n, "doc": {"page": page}, "target": page, "arguments": [(page,)],
         "resps": [[value]], "filtered_resps": [value],
         "word_perplexity": (value, len(page.split()))}
        for n, (value, page) in enumerate(zip(LIKELIHOODS, PAGES, strict=True))
    ]  # fmt: skip
    lamb = [
        {"doc_id": n, "doc": {"n": n}, "target": " cat", "arguments": [("The", " cat")],
         "resps": [[(value, n == 0)]], "filtered_resps": [(value, n == 0)],
         "perplexity": value, "acc": float(n == 0)}
        for n, value in enumerate((-0.5, -2.5))
    ]  # fmt: skip
    each = {"mc_t": mc, "wino_t": wino, "roll_t": roll, "lamb_t": lamb}
    return {**{t: [("none", row) for row in rows] for t, rows in each.items()}, "gen_t": gen}


def write(
    version: str,
    folder: Path,
    *,
    arguments: str = "pretrained=org/m",
    output: str = "",
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write all files of one run; the results file.

    Args:
        version: Of lm-eval.
        folder: What --output_path named.
        arguments: --model_args.
        output: A name of a .json file in it that --output_path named instead.
        changes: Put over the top of the results.
    """
    v, rows = number(version), samples()
    table = _table(v, arguments, rows)
    table.update(changes or {})
    name = re.sub(r"[\"<>:/|\\?*\[\]]+", "__", arguments.partition("=")[2].split(",")[0])
    if v < (0, 4, 3):
        path = folder / (output or "results.json")
        prefix, ends = re.sub("/|=", "__", arguments) + "_", ".jsonl"
    elif v >= (0, 4, 9) and output:
        path = folder / f"{Path(output).stem}_{DATE}.json"
        prefix, ends = "samples_", f"_{DATE}.jsonl"
    else:
        path = folder / name / f"results_{DATE}.json"
        prefix, ends = "samples_", f"_{DATE}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=2, ensure_ascii=v < (0, 4, 2)), "utf-8")
    for task, pairs in rows.items():
        lines = [_sample(v, kind, dict(row)) for kind, row in pairs]
        if v < (0, 4, 3):
            text = json.dumps(lines, indent=2, ensure_ascii=v < (0, 4, 2))
        else:
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (path.parent / f"{prefix}{task}{ends}").write_text(text, "utf-8")
    return path


def _sample(v: tuple[int, ...], kind: str, row: Sample) -> Sample:
    metrics = {key: row.pop(key) for key in ("acc", "exact_match", "perplexity", "word_perplexity")
               if key in row}  # fmt: skip
    if v >= (0, 4, 6):
        row |= {"filter": kind, "metrics": list(metrics)}
    if v >= (0, 4, 3):
        row["doc_hash"] = _hash(json.dumps(row["doc"], indent=2, ensure_ascii=False))
        row["prompt_hash"] = _hash(str(row["arguments"][0][0]))
        row["target_hash"] = _hash(str(row["target"]))
        row["arguments"] = {
            f"gen_args_{n}": {f"arg_{m}": value for m, value in enumerate(one)}
            for n, one in enumerate(row["arguments"])
        }
        row |= {key: _sanitized(row[key]) for key in ("resps", "filtered_resps")}
    if v >= (0, 4, 4):
        row["target"] = str(row["target"])
    return {**row, **metrics}


def _sanitized(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_sanitized(one) for one in value]
    return str(value)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _table(v: tuple[int, ...], arguments: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    words = sum(len(page.split()) for page in PAGES)
    scores: dict[str, dict[str, Any]] = {
        "mc_t": {"acc,none": 0.5, "acc_stderr,none": 0.5},
        "wino_t": {"acc,none": 0.5, "acc_stderr,none": 0.5},
        "gen_t": {"exact_match,strict": 0.5, "exact_match_stderr,strict": 0.5,
                  "exact_match,loose": 0.0, "exact_match_stderr,loose": 0.0},
        "roll_t": {"word_perplexity,none": math.exp(-sum(LIKELIHOODS) / words),
                   "word_perplexity_stderr,none": "N/A"},
        "lamb_t": {"perplexity,none": math.exp(1.5), "perplexity_stderr,none": 0.4,
                   "acc,none": 0.5, "acc_stderr,none": 0.5},
    }  # fmt: skip
    if v < (0, 4, 1):
        del scores["roll_t"]["word_perplexity_stderr,none"]
    outputs = {"mc_t": "multiple_choice", "wino_t": "multiple_choice", "gen_t": "generate_until",
               "roll_t": "loglikelihood_rolling", "lamb_t": "loglikelihood"}  # fmt: skip
    listed = {"perplexity": False, "acc": True, "exact_match": True}
    configs = {
        task: {
            "task": task,
            "output_type": kind,
            "metric_list": [  # what the task's file says: wikitext leaves the direction out
                {"metric": m, **({"higher_is_better": listed[m]} if m in listed else {})}
                for m in _names(scores[task])
            ],
            **({"generation_kwargs": STOPS} if task == "gen_t" else {}),
        }
        for task, kind in outputs.items()
    }
    newest = v >= (0, 4, 10)
    results = {
        task: {
            **({"name": task, "alias": task, "sample_len": 2} if newest else {"alias": task}),
            **row,
        }
        for task, row in scores.items()
    }
    given: Any = arguments
    if newest:
        given = dict(pair.split("=", 1) for pair in arguments.split(",")) if arguments else {}
    table: dict[str, Any] = {
        "results": results,
        "group_subtasks": {} if newest else {task: [] for task in rows},
        "configs": configs,
        "versions": dict.fromkeys(rows, 1.0),
        "n-shot": dict.fromkeys(rows, 0),
        "config": {"model": "dummy", "model_args": given, "limit": None},
        "git_hash": None,
    }
    if v < (0, 4, 2):
        del table["group_subtasks"]
    if v >= (0, 4, 9):
        table["lm_eval_version"] = ".".join(map(str, v))
    if v >= (0, 4, 2):
        table["date"] = 1795802634.39
    if v >= (0, 4, 3):
        told = {t: {m: listed.get(m, False) for m in _names(scores[t])} for t in rows}
        table["higher_is_better"] = told
        table["n-samples"] = {task: {"original": 2, "effective": 2} for task in rows}
        name = arguments.partition("=")[2].split(",")[0]
        table |= {"model_source": "dummy", "model_name": name,
                  "model_name_sanitized": re.sub(r"[\"<>:/|\\?*\[\]]+", "__", name),
                  "system_instruction": None, "system_instruction_sha": None,
                  "fewshot_as_multiturn": None if newest else False, "chat_template": None,
                  "chat_template_sha": None}  # fmt: skip
    return table


def _names(row: Mapping[str, Any]) -> list[str]:
    names = [key.partition(",")[0] for key in row]
    return list(dict.fromkeys(name for name in names if not name.endswith("_stderr")))

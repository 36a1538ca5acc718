"""Result files as lm-eval 0.4 writes them, made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_result(
    folder: Path,
    model: str,
    task: str,
    verdicts: Sequence[float | None],
    *,
    metric: str = "acc",
    shots: int = 0,
    version: float = 1.0,
    output: str = "generate_until",
    date: str = "2026-01-02T03-04-05.678901",
    docs: str = "doc",
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """One model's files for one task; None is a sample without an answer."""
    known = {n: v for n, v in enumerate(verdicts) if v is not None}
    place = folder / model
    place.mkdir(parents=True, exist_ok=True)
    mean = sum(known.values()) / len(known)
    table = {
        "results": {
            task: {
                "name": task,
                "alias": task,
                "sample_len": len(known),
                f"{metric},none": mean,
                f"{metric}_stderr,none": 0.1,
            }
        },
        "configs": {task: {"task": task, "output_type": output}},
        "versions": {task: version},
        "n-shot": {task: shots},
        "higher_is_better": {task: {metric: True}},
        "n-samples": {task: {"original": 1000, "effective": len(known)}},
        "group_subtasks": {},
        "config": {"model": "hf", "model_args": {}},
        "model_name": model,
        "model_name_sanitized": model,
        "lm_eval_version": "0.4.13",
        "lab": {
            "template": "chat",
            "asked": {task: len(verdicts)},
            "missing": {task: {str(n): "gone" for n, v in enumerate(verdicts) if v is None}},
        },
        **(changes or {}),
    }
    path = place / f"results_{date}.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    rows = [
        {
            "doc_id": n,
            "doc": {"q": n},
            "target": f"gold {n}",
            "arguments": {"gen_args_0": {"arg_0": f"question {n}", "arg_1": {}}},
            "resps": [[f"{model} says {n}"]],
            "filtered_resps": [f"{model} says {n}"],
            "filter": "none",
            "metrics": [metric],
            "doc_hash": f"{docs}{n}",
            metric: value,
        }
        for n, value in known.items()
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (place / f"samples_{task}_{date}.jsonl").write_text(text, encoding="utf-8")
    return path

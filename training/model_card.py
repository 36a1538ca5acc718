"""What a finished run is, for those who get its weights: as plain values, and as a model card.

Read from the run's own files, so that no number is typed by hand. Nothing heavy is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imitation.data.format import sha256_of
from imitation.data.library import data_file
from imitation.data.manifest import MANIFEST
from imitation.errors import IntegrityError
from imitation.models.catalog import Catalog
from training.config import ADAPTER, MODEL

SCHEMA = 1
CHECKPOINT = "checkpoint"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def describe(run: Path, catalog: Catalog, data: Path | None = None) -> dict[str, Any]:
    """Lineage, licence, data, config, metrics and prompt format of a run.

    Args:
        run: Out folder of training.finetune.
        catalog: Where its base may have a card.
        data: What it was trained on, if still there: its manifest is taken along.

    Raises:
        IntegrityError: The run's files are missing or broken.
    """
    try:
        config, manifest, fmt = (
            json.loads((run / CHECKPOINT / name).read_text("utf-8"))
            for name in ("config.json", "data.json", "prompt_format.json")
        )
        events = [json.loads(line) for line in _lines(run / "progress.jsonl")]
        trained_on = manifest["files"][0]
        name, base = str(config["name"]), str(config["base"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise IntegrityError(
            f"{run} is no finished run: {error!r}.", "Only a run that has ended can be described."
        ) from error
    dataset = _dataset(data, trained_on.get("sha256"))
    known = catalog[base] if base in catalog else None  # noqa: SIM401 (its misses are UserErrors)
    return {
        "schema": SCHEMA,
        "id": name,
        "stand_in": bool(known and known.stand_in),
        "base": {"id": base, "licence": (known.licence if known else "") or "not stated"},
        "lineage": [*_origin(base, known), f"fine-tuned as {name}"],
        "method": config.get("method", "lora"),
        "data": {**manifest, "dataset": dataset},
        "data_licences": _licences(dataset),
        "terms_in_doubt": _doubtful(dataset),
        "config": config,
        "metrics": _metrics(events),
        "prompt_format": fmt,
        "files": _files(run),
    }


def markdown(card: Mapping[str, Any]) -> str:
    """The model card of `describe`, with the metadata that the hub reads."""
    base, metrics = card["base"], card["metrics"]
    adapter = card["method"] != "full"
    head = {
        "license": _licence(card),
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["imitation", *(["lora"] if adapter else []), *_stand_in_tag(card)],
    }
    if _HUB_ID.fullmatch(base["id"]):
        head["base_model"] = base["id"]
    yaml = "\n".join(f"{key}: {json.dumps(value)}" for key, value in head.items())
    kind = "A LoRA adapter" if adapter else "Fully fine-tuned weights"
    said = f"{kind}: an imitation model, {base['id']} fine-tuned on another model's outputs."
    if card["stand_in"]:
        said += (
            " Its base is a pocket stand-in, cut from SmolLM2-135M-Instruct; it fits that cut "
            "base alone, and part of any gain is the repair of what was cut."
        )
    sections = [
        f"---\n{yaml}\n---\n\n# {card['id']}\n\n{said}",
        "## Lineage\n\n" + "\n".join(f"1. {step}" for step in card["lineage"]),
        "## Licence\n\n" + _licence_text(card),
        "## Data\n\n" + _data_text(card["data"]),
        "## Measured\n\n" + _metrics_text(metrics),
        "## Prompt format\n\n" + _code(card["prompt_format"]),
        "## Configuration\n\n" + _code(card["config"]),
    ]
    return "\n\n".join(sections) + "\n"


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").split("\n") if line.strip()]


def _origin(base: str, known: Any) -> list[str]:
    if known is None:
        return [base]
    return [f"{known.name} ({base}): {known.notes or known.weights or known.model}".rstrip(": ")]


def _dataset(data: Path | None, sha256: object) -> dict[str, Any] | None:
    """The manifest of the dataset trained on, if it is still the same."""
    if data is None:
        return None
    try:
        place = data_file(data).with_name(MANIFEST)
        found = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("sha256") != sha256:
        return None
    report = found.get("diversity")
    if isinstance(report, dict):  # the pairs quote the data
        found["diversity"] = {key: report[key] for key in report if key != "pairs"}
    steps = [{k: v for k, v in step.items() if k != "dropped"} for step in found.get("steps", [])]
    sources = [
        {key: value for key, value in source.items() if key != "first_refused"}
        for source in found.get("sources", [])
    ]
    return {**found, "steps": steps, "sources": sources}


def _licences(dataset: Mapping[str, Any] | None) -> list[str]:
    sources = dataset.get("sources", []) if dataset else []
    return [f"{source['name']}: {source['licence']}" for source in sources]


def _doubtful(dataset: Mapping[str, Any] | None) -> bool:
    """Whether the data has answers whose model's terms may forbid training."""
    sources = dataset.get("sources", []) if dataset else []
    made = [source.get("made_by") or {} for source in sources]
    return any(one.get("terms_may_forbid_training") for one in made)


def _metrics(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The last of each value that was measured; None where it was not."""
    steps = [event for event in events if event.get("event") == "step"]
    seen = [event for event in events if event.get("event") == "validation"]
    scores = {e["name"]: e for e in events if e.get("event") == "score" and "name" in e}
    last = steps[-1] if steps else {}
    keys = ("step", "value", "low", "high", "n")
    return {
        "steps": last.get("step"),
        "tokens": last.get("tokens"),
        "trained_tokens": last.get("trained_tokens"),
        "loss": last.get("loss"),
        "held_out_loss": seen[-1].get("loss") if seen else None,
        "held_out_loss_before": seen[0].get("loss") if seen and not seen[0].get("step") else None,
        "scores": {name: {k: event.get(k) for k in keys} for name, event in scores.items()},
    }


def _files(run: Path) -> dict[str, dict[str, Any]]:
    paths = [*sorted((run / CHECKPOINT).glob("*.safetensors")), run / ADAPTER, run / MODEL]
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in paths
        if path.is_file()
    }


def _licence(card: Mapping[str, Any]) -> str:
    """The hub's word for the licence; "other" unless it is known to be Apache's all through."""
    apache = card["base"]["licence"].startswith("Apache-2.0") and not card["terms_in_doubt"]
    return "apache-2.0" if apache else "other"


def _stand_in_tag(card: Mapping[str, Any]) -> list[str]:
    return ["pocket-stand-in"] if card["stand_in"] else []


def _licence_text(card: Mapping[str, Any]) -> str:
    lines = [f"- Base: {card['base']['licence']}."]
    lines += [f"- Data, {licence}." for licence in card["data_licences"]]
    if not card["data_licences"]:
        lines.append("- Data: its licence is not known.")
    if card["terms_in_doubt"]:
        lines.append(
            "- Trained on answers of a model whose terms may forbid training other models on them."
        )
    return "\n".join(lines)


def _data_text(data: Mapping[str, Any]) -> str:
    file, dataset = data["files"][0], data.get("dataset")
    named = f"{dataset['name']}, " if dataset and "name" in dataset else ""
    lines = [
        f"{named}{file['file']}, SHA-256 `{file['sha256']}`: {file['conversations']:,} "
        f"conversations; {data['train']:,} learned, {data['validation']:,} kept out."
    ]
    if dataset:
        lines += ["", "| step | in | out |", "| --- | ---: | ---: |"]
        lines += [f"| {s['name']} | {s['taken']:,} | {s['kept']:,} |" for s in dataset["steps"]]
        mean = (dataset.get("diversity") or {}).get("mean_bleu")
        if mean is not None:
            lines += ["", f"BLEU of a query's nearest other one: {mean:.1f} on average."]
    else:
        lines += ["", "It has no manifest that says how it was made."]
    return "\n".join(lines)


def _metrics_text(metrics: Mapping[str, Any]) -> str:
    rows = [
        ("Steps", metrics["steps"]),
        ("Tokens trained on", metrics["trained_tokens"]),
        ("Training loss, last step", metrics["loss"]),
        ("Held-out loss, before", metrics["held_out_loss_before"]),
        ("Held-out loss, after", metrics["held_out_loss"]),
    ]
    lines = ["| | |", "| --- | ---: |"]
    lines += [f"| {name} | {'not measured' if v is None else f'{v:,}'} |" for name, v in rows]
    for name, score in metrics["scores"].items():
        value = "not measured"
        if score["value"] is not None:
            value = f"{score['value']:.3f}"
            if score["low"] is not None:
                value += f" [{score['low']:.3f}, {score['high']:.3f}]"
        lines.append(f"| Held-out {name} (n = {score['n']}), 95% interval | {value} |")
    return "\n".join(lines) + "\n\nTrained once: intervals are over items, not over seeds."


def _code(value: object) -> str:
    return f"```json\n{json.dumps(value, indent=1, ensure_ascii=False)}\n```"

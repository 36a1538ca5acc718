"""What a finished run is, for those who get its weights: as plain values, and as a model card.

Read from the run's own files, so that no number is typed by hand. Nothing heavy is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imitation import prompts
from imitation.data.format import sha256_of
from imitation.data.library import data_file
from imitation.data.manifest import MANIFEST
from imitation.errors import IntegrityError
from imitation.jobs.queue.progress import Progress, Reader
from imitation.models.catalog import Catalog, ModelSpec
from training import checkpoints
from training.config import to_table
from training.run_folder import ADAPTER, CHECKPOINT, MODEL, PROGRESS

SCHEMA = 1
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
        config, fmt, manifest = checkpoints.load(run / CHECKPOINT)
    except IntegrityError as error:
        raise IntegrityError(
            f"{run} is no finished run: {error.message}",
            "Only a run that has ended can be described.",
        ) from error
    dataset = _dataset(data, manifest["files"][0]["sha256"])
    root, steps = _ancestry(config.base, catalog)
    base = outside_name(config.base)
    return {
        "schema": SCHEMA,
        "id": config.name,
        "stand_in": bool(root and root.stand_in),
        "base": {"id": base, "licence": (root.licence if root else "") or "not stated"},
        "lineage": [*steps, f"fine-tuned as {config.name}"],
        "method": config.method,
        "data": {**manifest, "dataset": dataset},
        "data_licences": _licences(dataset),
        "terms_in_doubt": _doubtful(dataset),
        "config": {**to_table(config), "base": base},
        "metrics": _metrics(Reader(run / PROGRESS).read()),
        "prompt_format": prompts.as_table(fmt),
        "files": _files(run),
    }


def outside_name(base: str) -> str:
    """What a base is called outside this machine: its id, or the last name of its folder."""
    folder = Path(base).expanduser()
    if not folder.is_absolute() and not folder.is_dir():
        return base
    return folder.parent.name if folder.name == CHECKPOINT else folder.name


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


def _ancestry(
    base: str, catalog: Catalog, seen: frozenset[str] = frozenset()
) -> tuple[ModelSpec | None, list[str]]:
    """The card of what a base was made from, if it has one, and the steps to the base."""
    if base in catalog:
        card = catalog[base]
        return card, [f"{card.name} ({base}): {card.notes or card.weights or card.model}"]
    try:
        config, _, _ = checkpoints.load(Path(base).expanduser())
    except IntegrityError:  # a base from elsewhere
        return None, [outside_name(base)]
    if base in seen:
        return None, [outside_name(base)]
    root, steps = _ancestry(config.base, catalog, seen | {base})
    return root, [*steps, f"fine-tuned as {config.name}"]


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


def _metrics(told: Progress) -> dict[str, Any]:
    """The last of each value that was measured; None where it was not."""
    seen = dict(told.validation)
    last = {name: scores[-1] for name, scores in told.scores.items() if scores}
    return {
        "steps": told.step or None,
        "tokens": told.tokens,
        "trained_tokens": told.trained_tokens,
        "loss": told.loss[-1][1] if told.loss else None,
        "held_out_loss": seen.get(told.step) if told.step else None,
        "held_out_loss_before": seen.get(0),
        "scores": {name: {"step": step, **asdict(score)} for name, (step, score) in last.items()},
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

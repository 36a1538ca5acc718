"""A checkpoint: the adapter with its config, its prompt format and what it was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imitation.errors import IntegrityError
from imitation.prompts import PromptFormat
from imitation.prompts import load as load_format
from imitation.prompts import save as save_format
from training.config import TrainingConfig, from_table, to_table

CONFIG, DATA = "config.json", "data.json"


def save(
    folder: Path,
    model: Any,
    config: TrainingConfig,
    fmt: PromptFormat,
    manifest: Mapping[str, Any],
) -> None:
    """Write the adapter of a PEFT model and everything needed to use it again."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    # PEFT writes an empty model card to fill in; ours is made from the facts.
    (folder / "README.md").unlink(missing_ok=True)
    save_format(fmt, folder)
    write_json(folder / CONFIG, to_table(config))
    write_json(folder / DATA, manifest)


def load(folder: Path) -> tuple[TrainingConfig, PromptFormat, dict[str, Any]]:
    """Config, prompt format and data manifest of a checkpoint; the adapter is PEFT's to load.

    Raises:
        IntegrityError: A part is missing or broken.
    """
    try:
        config = from_table(json.loads((folder / CONFIG).read_text("utf-8")), CONFIG)
        manifest = json.loads((folder / DATA).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{folder} is not a checkpoint of ours: {error}") from error
    return config, load_format(folder), manifest


def write_json(path: Path, value: Any) -> None:
    """A value as readable JSON."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""What the lab keeps for a visitor between looks: small tables, a file each; no Gradio in here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imitation.disk import write_text
from imitation.settings import Settings


def recall(settings: Settings, visitor: str, what: str) -> dict[str, Any]:
    """The table of that name; empty where there is none that can be read."""
    try:
        found = json.loads(_path(settings, visitor, what).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(settings: Settings, visitor: str, what: str, table: dict[str, Any]) -> None:
    """Keep a table instead of the one before.

    Raises:
        StorageError: It cannot be written.
    """
    write_text(_path(settings, visitor, what), json.dumps(table, ensure_ascii=False) + "\n")


def _path(settings: Settings, visitor: str, what: str) -> Path:
    return settings.data / "visitors" / visitor[:16] / f"{what}.json"

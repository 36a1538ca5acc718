"""Whose terms a visitor has read, by model; no Gradio in here."""

from __future__ import annotations

from datetime import UTC, datetime

from dashboards.shell.visitor_store import recall, remember
from imitation.settings import Settings

_READ = "terms"


def acknowledged(settings: Settings, visitor: str, model: str) -> str:
    """The date on which the visitor said to have read a model's terms; "" for never."""
    return str(recall(settings, visitor, _READ).get(model, ""))


def acknowledge(settings: Settings, visitor: str, model: str) -> str:
    """Keep that they were read today, unless they were before; the date that counts.

    Raises:
        StorageError: It cannot be written.
    """
    before = recall(settings, visitor, _READ)
    if model not in before:
        before[model] = datetime.now(UTC).date().isoformat()
        remember(settings, visitor, _READ, before)
    return str(before[model])

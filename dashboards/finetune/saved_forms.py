"""Settings of fine-tunes that a visitor keeps; no Gradio in here."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dashboards.finetune.new_run import OVERRIDES, Form, preset_values
from imitation.disk import write_text
from imitation.errors import UserError
from imitation.settings import Settings

_KEYS = ("preset", "base", "data")


def names(settings: Settings, visitor: str) -> list[str]:
    """Names of the settings a visitor has kept."""
    return sorted(path.stem for path in _folder(settings, visitor).glob("*.json"))


def save(settings: Settings, visitor: str, form: Form) -> str:
    """Keep the settings of a form under its name; that name.

    Raises:
        UserError: The name cannot be that of a file.
        StorageError: They could not be written.
    """
    values = {key: getattr(form, key) for key in _KEYS}
    table = {**values, "changes": dict(form.changes)}
    write_text(_path(settings, visitor, form.name), json.dumps(table))
    return form.name


def load(settings: Settings, visitor: str, name: str) -> Form:
    """The form of kept settings.

    Raises:
        UserError: There are none of that name, or they cannot be read.
    """
    try:
        found = json.loads(_path(settings, visitor, name).read_text("utf-8"))
        form = Form(name, *(str(found[key]) for key in _KEYS), found["changes"])
        known = preset_values(form.preset)
        changes = {key: form.changes.get(key, known[key]) for key in OVERRIDES}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The settings {name!r} cannot be read.", "Save them again.") from error
    return Form(form.name, form.preset, form.base, form.data, changes)


def _folder(settings: Settings, visitor: str) -> Path:
    return settings.data / "uploads" / visitor[:16] / "settings"


def _path(settings: Settings, visitor: str, name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise UserError(
            f"Settings cannot be kept under the name {name!r}.",
            "Use up to 80 letters, digits, '.', '_' or '-', the first a letter or digit.",
        )
    return _folder(settings, visitor) / f"{name}.json"

"""Settings of fine-tunes that a visitor keeps."""

from __future__ import annotations

import json
from pathlib import Path

from dashboards.finetune.new_run import SHOWN, Form, preset_values
from imitation.disk import write_text
from imitation.errors import UserError
from imitation.names import check_name
from imitation.settings import Settings
from training.config import TrainingConfig
from training.hyperparameters import renamed

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
        table = json.loads(_path(settings, visitor, name).read_text("utf-8"))
        preset, base, data = (str(table[key]) for key in _KEYS)
        values = {**preset_values(preset), **renamed(TrainingConfig, table["changes"])}
        changes = {h.name: values[h.name] for h in SHOWN}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The settings {name!r} cannot be read.", "Save them again.") from error
    return Form(name, preset, base, data, changes)


def _folder(settings: Settings, visitor: str) -> Path:
    return settings.data / "uploads" / visitor[:16] / "settings"


def _path(settings: Settings, visitor: str, name: str) -> Path:
    check_name(name, "saved settings")
    return _folder(settings, visitor) / f"{name}.json"

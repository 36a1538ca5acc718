"""Adding a card to a catalog file, so that it is a valid catalog before and after."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import MISSING, fields

from imitation.errors import ConfigError, StorageError, UserError
from imitation.models.catalog import load_catalog
from imitation.settings import Settings
from imitation.values import ModelCard

_LOCK = threading.Lock()


def add_card(settings: Settings, card: ModelCard) -> None:
    """Append a card to `models.toml` in the data folder; what is in it stays as it was written.

    Raises:
        UserError: The id is taken.
        ConfigError: The file, or the card, is not valid; the file is left as it is.
        StorageError: The file cannot be written.
    """
    path = settings.data / "models.toml"
    with _LOCK:
        if card.id in load_catalog(settings.catalogs):
            raise UserError(f"There is a model {card.id!r} already.", "Choose another name.")
        # Beside the file itself, because paths in it are relative to its folder.
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            text = f"{before.rstrip()}\n\n{as_toml(card)}".lstrip("\n")
            aside.write_text(text, encoding="utf-8")
            try:
                load_catalog([c for c in settings.catalogs if c != path] + [aside])
            except ConfigError as error:
                problems = [p.replace(aside.name, path.name) for p in error.problems]
                raise ConfigError(path.name, problems, "Nothing was changed.") from error
            os.replace(aside, path)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be written: {error}.",
                "Make the data folder writable or free disk space, then try again.",
            ) from error
        finally:
            aside.unlink(missing_ok=True)


def as_toml(card: ModelCard) -> str:
    """A card as it stands in a catalog file; what is at its default is left out."""
    lines = ["[[model]]"]
    for field in fields(ModelCard):
        value = getattr(card, field.name)
        if field.default is MISSING or value != field.default:
            # JSON's strings, numbers and booleans are TOML's, but for one control character.
            lines.append(
                f"{field.name} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")
            )
    return "\n".join(lines) + "\n"

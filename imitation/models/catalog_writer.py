"""Adding and removing cards of a catalog file, so that it is a valid catalog before and after."""

from __future__ import annotations

import re
import threading
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, fields

import tomlkit

from imitation.disk import atomic_write
from imitation.errors import ConfigError, UserError
from imitation.models.catalog import load_catalog
from imitation.reading.text import NotUtf8, read_text
from imitation.settings import Settings
from imitation.values import ModelSpec

_LOCK = threading.Lock()


def add_card(settings: Settings, card: ModelSpec) -> None:
    """Append a card to `models.toml` in the data folder; what is in it stays as it was written.

    Raises:
        UserError: The id is taken.
        ConfigError: The file, or the card, is not valid; the file is left as it is.
        StorageError: The file cannot be written.
    """
    with _LOCK:
        catalog = load_catalog(settings.catalogs)
        if card.id in catalog or card.id in catalog.broken:
            raise UserError(f"There is a model {card.id!r} already.", "Choose another name.")
        _rewrite(settings, lambda before: f"{before.rstrip()}\n\n{as_toml(card)}".lstrip("\n"))


def remove_card(settings: Settings, identity: str) -> None:
    """Take a card out of `models.toml` in the data folder; comments and other cards stay.

    Raises:
        UserError: It isn't there.
        ConfigError: Another card needs it as its base; the file is left as it is.
        StorageError: The file cannot be written.
    """

    # Not by tomlkit: it counts the comments above a card to the card before, so that removing that
    # one takes them along. The text is cut at the headers instead, and the remarks are kept.
    def without(before: str) -> str:
        parts = re.split(r"(?m)^(?=\[\[model\]\])", before)
        named = [n for n, part in enumerate(parts) if _id_of(part) == identity]
        if not named:
            raise UserError(f"There is no model {identity!r} in models.toml.")
        for number in named:
            parts[number] = _remarks_behind(parts[number])
        return re.sub(r"\n{3,}", "\n\n", "".join(parts)).lstrip("\n")

    with _LOCK:
        _rewrite(settings, without)


def _id_of(part: str) -> str | None:
    """The id of a part of a file that begins with [[model]]."""
    try:
        return str(tomllib.loads(part)["model"][0]["id"])
    except (tomllib.TOMLDecodeError, KeyError):
        return None


def _remarks_behind(part: str) -> str:
    """Comments at the end of a card's part belong to the card that follows."""
    lines = part.splitlines(keepends=True)
    written = [line.strip() and not line.lstrip().startswith("#") for line in lines]
    last = max(number for number, is_value in enumerate(written) if is_value)
    return "".join(lines[last + 1 :])


def _rewrite(settings: Settings, change: Callable[[str], str]) -> None:
    """Replace the file by what `change` makes of it, once that is known to be valid."""
    path = settings.data / "models.toml"
    # Beside the file itself, because paths in it are relative to its folder.
    with atomic_write(path) as aside:
        try:
            before = read_text(path) if path.exists() else ""
        except NotUtf8 as error:
            raise ConfigError(path.name, [str(error)], "Nothing was changed.") from error
        aside.write_text(change(before), encoding="utf-8")
        catalog = load_catalog([c for c in settings.catalogs if c != path] + [aside])
        problems = [p.replace(aside.name, path.name) for p in catalog.problems]
        # Cards that could not be used before are somebody else's matter.
        known = load_catalog(settings.catalogs).problems if catalog.is_whole else ()
        if new := [problem for problem in problems if problem not in known]:
            raise ConfigError(path.name, new, "Nothing was changed.")


def as_toml(card: ModelSpec) -> str:
    """A card as it stands in a catalog file; what is at its default is left out."""
    table = tomlkit.table()
    for field in fields(ModelSpec):
        value = getattr(card, field.name)
        if field.default is MISSING or value != field.default:
            table[field.name] = value
    cards = tomlkit.aot()
    cards.append(table)
    return tomlkit.dumps({"model": cards})

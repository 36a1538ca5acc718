"""The catalog: one card per model, loaded from `models.toml` files."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from imitation.errors import ConfigError, UserError
from imitation.values import ROLES, Role
from imitation.values import ModelCard as ModelCard

BACKENDS = ("embedded", "openai", "tgi", "recorded")
PROMPT_FORMATS = ("chat", "koala", "plain")


_TYPES: dict[str, tuple[type, ...]] = {
    "context": (int,),
    "params_b": (int, float),
    "tokens_m": (int, float),
    "price_in": (int, float),
    "price_out": (int, float),
    "stand_in": (bool,),
}
_KEYS = tuple(f.name for f in fields(ModelCard))
_REQUIRED = tuple(f.name for f in fields(ModelCard) if f.default is MISSING)


class Catalog(Mapping[str, ModelCard]):
    """Cards by id, in the order of the files."""

    def __init__(self, cards: Iterable[ModelCard] = ()) -> None:
        self._cards = {card.id: card for card in cards}

    def __getitem__(self, key: str) -> ModelCard:
        """The card named `key`.

        Raises:
            UserError: Unknown id; the nearest ids are offered.
        """
        try:
            return self._cards[key]
        except KeyError:
            raise UserError(
                f"There is no model {key!r} in the catalog.", nearest(key, self._cards)
            ) from None

    def __contains__(self, key: object) -> bool:
        return key in self._cards

    def __iter__(self) -> Any:
        return iter(self._cards)

    def __len__(self) -> int:
        return len(self._cards)

    def by_role(self, role: Role) -> list[ModelCard]:
        """Cards of one role, in file order."""
        return [card for card in self._cards.values() if card.role == role]

    def with_cards(self, cards: Iterable[ModelCard]) -> Catalog:
        """A catalog with `cards` added; same ids are replaced in place."""
        return Catalog([*self._cards.values(), *cards])


def nearest(name: str, known: Iterable[str]) -> str:
    """The nearest names as a question, or the list of what is known."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "Known: " + ", ".join(known) + "." if known else ""


def load_catalog(paths: Iterable[Path]) -> Catalog:
    """Cards of every file that exists; a later file's card replaces an earlier one of its id.

    Raises:
        ConfigError: Every problem of every file, each with its file and model.
    """
    cards: dict[str, ModelCard] = {}
    problems: list[str] = []
    for path in paths:
        if path.is_file():
            for card in _read_file(path, problems):
                cards[card.id] = card
    for card in cards.values():
        if card.base and card.base not in cards:
            problems.append(
                f"model {card.id!r}: base {card.base!r} is not in the catalog. "
                + nearest(card.base, cards)
            )
    if problems:
        raise ConfigError("catalog", problems, "Fix the file and reload; nothing was changed.")
    return Catalog(cards.values())


def load_lenient(paths: Iterable[Path]) -> tuple[Catalog, ConfigError | None]:
    """The catalog, or the shipped (first) file alone with the error, so the page still opens."""
    paths = list(paths)
    try:
        return load_catalog(paths), None
    except ConfigError as error:
        return load_catalog(paths[:1]), error


def _read_file(path: Path, problems: list[str]) -> list[ModelCard]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        problems.append(f"{path.name}: {error}")
        return []
    for key in table:
        if key != "model":
            problems.append(f"{path.name}: unknown table {key!r}. {nearest(key, ['model'])}")
    rows = table.get("model", [])
    if not isinstance(rows, list):
        problems.append(f"{path.name}: write [[model]] with two brackets, one per model")
        return []
    seen: set[str] = set()
    cards = []
    for number, row in enumerate(rows, 1):
        where = f"{path.name}: model {row.get('id', f'number {number}')!r}"
        found = _problems(row, where)
        if (name := row.get("id")) in seen:
            found.append(f"{where}: the id is used twice")
        seen.add(str(name))
        problems += found
        if not found:
            cards.append(_resolve(ModelCard(**row), path.parent))
    return cards


def _problems(row: Mapping[str, Any], where: str) -> list[str]:
    found = []
    for key, value in row.items():
        if key not in _KEYS:
            found.append(f"{where}: unknown key {key!r}. {nearest(key, _KEYS)}")
            continue
        kinds = _TYPES.get(key, (str,))
        if not isinstance(value, kinds) or (bool not in kinds and isinstance(value, bool)):
            wanted = " or ".join(k.__name__ for k in kinds)
            found.append(f"{where}: {key} = {value!r} should be {wanted}")
    found += [f"{where}: {key} is missing" for key in _REQUIRED if key not in row]
    if found:
        return found
    for key, known in (("role", ROLES), ("backend", BACKENDS), ("prompt_format", PROMPT_FORMATS)):
        if row.get(key, known[0]) not in known:
            found.append(f"{where}: {key} = {row[key]!r}. {nearest(str(row[key]), known)}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", row["id"]):
        found.append(f"{where}: an id is up to 80 letters, digits, '.', '_' or '-'")
    if row.get("context", 1) < 1:
        found.append(f"{where}: context = {row['context']} should be at least 1")
    for key in ("price_in", "price_out"):
        if not 0 <= row.get(key, 0) < 1e6:
            found.append(f"{where}: {key} = {row[key]} should be dollars per million tokens")
    return found + _backend_problems(row, where)


def _backend_problems(row: Mapping[str, Any], where: str) -> list[str]:
    found = []
    backend = row["backend"]
    if backend in ("openai", "tgi"):
        url = urlsplit(row.get("endpoint", ""))
        if url.scheme not in ("http", "https") or not url.hostname:
            found.append(f"{where}: endpoint = {row.get('endpoint', '')!r} should be http(s)://...")
        if url.password or url.username:
            found.append(f"{where}: keep credentials out of the endpoint; name api_key_env")
    if backend == "embedded" and not row.get("weights"):
        found.append(f"{where}: weights is missing (whole, cut-2, cut-4, cut-6 or a GGUF file)")
    if backend == "recorded" and not row.get("file"):
        found.append(f"{where}: file is missing")
    key = row.get("api_key_env", "")
    if key and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", key):
        found.append(
            f"{where}: api_key_env should be the NAME of an environment variable, "
            "such as OPENAI_API_KEY; never write the key itself here"
        )
    return found


def _resolve(card: ModelCard, folder: Path) -> ModelCard:
    """File paths of a card made absolute against its catalog file's folder."""
    if card.backend == "embedded":
        if card.adapter:
            card = replace(card, adapter=str((folder / card.adapter).resolve()))
        if card.weights.endswith(".gguf"):
            card = replace(card, weights=str((folder / card.weights).resolve()))
    if card.backend == "recorded":
        card = replace(card, file=str((folder / card.file).resolve()))
    return card

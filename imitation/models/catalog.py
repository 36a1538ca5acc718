"""The catalog: one card per model, loaded from `models.toml` files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from imitation.errors import ConfigError, UserError
from imitation.reading.text import NotUtf8, read_text
from imitation.validation import nearest
from imitation.values import ROLES, Role
from imitation.values import ModelSpec as ModelSpec

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
_AMOUNTS = {
    "params_b": "billions of parameters",
    "tokens_m": "millions of tokens",
    "price_in": "dollars per million tokens",
    "price_out": "dollars per million tokens",
}
_SECRET = re.compile(r"key|token|secret|passw|sig(nature)?$|^code$", re.IGNORECASE)
REPAIR = "Correct the file; it is read again by itself."
_KEYS = tuple(f.name for f in fields(ModelSpec))
_REQUIRED = tuple(f.name for f in fields(ModelSpec) if f.default is MISSING)


class Catalog(Mapping[str, ModelSpec]):
    """Cards by id, in the order of the files.

    Attributes:
        broken: What is wrong with each card that cannot be used, by id.
        problems: Everything found wrong, each with its file and model.
        is_whole: False where a whole file could not be read.
    """

    def __init__(
        self,
        cards: Iterable[ModelSpec] = (),
        broken: Mapping[str, str] | None = None,
        problems: Sequence[str] = (),
        is_whole: bool = True,
    ) -> None:
        self._cards = {card.id: card for card in cards}
        self.broken = dict(broken or {})
        self.problems = tuple(problems)
        self.is_whole = is_whole

    def __getitem__(self, key: str) -> ModelSpec:
        """The card named `key`.

        Raises:
            UserError: Unknown id, the nearest ids are offered; or a card that cannot be used.
        """
        try:
            return self._cards[key]
        except KeyError:
            pass
        if key in self.broken:
            raise UserError(f"The model {key!r} cannot be used: {self.broken[key]}", REPAIR)
        hint = nearest(key, self._cards)
        if not self.is_whole:
            hint = f"{hint} {self.problem}".strip()
        raise UserError(f"There is no model {key!r} in the catalog.", hint)

    @property
    def problem(self) -> str:
        """What is wrong with the files, in words; "" if nothing is."""
        return str(ConfigError("catalog", [*self.problems], REPAIR)) if self.problems else ""

    def __contains__(self, key: object) -> bool:
        return key in self._cards

    def __iter__(self) -> Any:
        return iter(self._cards)

    def __len__(self) -> int:
        return len(self._cards)

    def by_role(self, role: Role) -> list[ModelSpec]:
        """Cards of one role, in file order."""
        return [card for card in self._cards.values() if card.role == role]


def load_catalog(paths: Iterable[Path]) -> Catalog:
    """Cards of every file that exists; a later file's card replaces an earlier one of its id.

    What is wrong is in the catalog's `problems`: a card that cannot be used takes no other with
    it, and a file that cannot be read leaves those of the others.
    """
    found = _Found()
    for path in paths:
        if path.is_file():
            _read_file(path, found)
    for card in list(found.cards.values()):
        if card.base and card.base not in found.cards and card.base not in found.broken:
            hint = nearest(card.base, found.cards)
            what = f"base {card.base!r} is not in the catalog. {hint}"
            found.refuse(f"model {card.id!r}", card.id, [what])
    return Catalog(found.cards.values(), found.broken, found.problems, found.is_whole)


@dataclass
class _Found:
    """What reading has come to so far; see Catalog."""

    cards: dict[str, ModelSpec] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    is_whole: bool = True

    def refuse(self, where: str, identity: object, reasons: Sequence[str]) -> None:
        """Leave a card out, and one of an earlier file that it was to replace."""
        self.problems += [f"{where}: {reason}" for reason in reasons]
        if isinstance(identity, str):
            self.cards.pop(identity, None)
            self.broken[identity] = "; ".join(reasons)


def _read_file(path: Path, found: _Found) -> None:
    try:
        table = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, NotUtf8, OSError, RecursionError) as error:
        found.problems.append(f"{path.name}: {error}")
        found.is_whole = False
        return
    for key in table:
        if key != "model":
            found.problems.append(f"{path.name}: unknown table {key!r}. {nearest(key, ['model'])}")
    rows = table.get("model", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        found.problems.append(f"{path.name}: write [[model]] with two brackets, one per model")
        found.is_whole = False
        return
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        identity = row.get("id", f"number {number}")
        where = f"{path.name}: model {identity!r}"
        reasons = _problems(row)
        if identity in list(seen):
            reasons.append("the id is used twice; the first is taken")
            found.problems += [f"{where}: {reason}" for reason in reasons]
        elif reasons:
            found.refuse(where, identity, reasons)
        else:
            found.cards[identity] = _resolve(ModelSpec(**row), path.parent)
            found.broken.pop(identity, None)
        seen.add(str(identity))


def _problems(row: Mapping[str, Any]) -> list[str]:
    found = []
    for key, value in row.items():
        if key not in _KEYS:
            found.append(f"unknown key {key!r}. {nearest(key, _KEYS)}")
            continue
        kinds = _TYPES.get(key, (str,))
        if not isinstance(value, kinds) or (bool not in kinds and isinstance(value, bool)):
            wanted = " or ".join(k.__name__ for k in kinds)
            found.append(f"{key} = {value!r} should be {wanted}")
    found += [f"{key} is missing" for key in _REQUIRED if key not in row]
    if found:
        return found
    for key, known in (("role", ROLES), ("backend", BACKENDS), ("prompt_format", PROMPT_FORMATS)):
        if row.get(key, known[0]) not in known:
            found.append(f"{key} = {row[key]!r}. {nearest(str(row[key]), known)}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", row["id"]):
        found.append("an id is up to 80 letters, digits, '.', '_' or '-'")
    if row.get("context", 1) < 1:
        found.append(f"context = {row['context']} should be at least 1")
    for key, unit in _AMOUNTS.items():
        if not 0 <= row.get(key, 0) < 1e6:
            found.append(f"{key} = {row[key]} should be {unit}")
    return found + _backend_problems(row)


def _backend_problems(row: Mapping[str, Any]) -> list[str]:
    found = []
    backend = row["backend"]
    if backend in ("openai", "tgi") and (why := _endpoint_problem(row.get("endpoint", ""))):
        found.append(why)
    if backend == "tgi" and "?" in row.get("endpoint", ""):
        found.append("endpoint: TGI's address has no query (?...)")
    if backend == "embedded" and not row.get("weights"):
        found.append("weights is missing (whole, cut-2, cut-4, cut-6 or a GGUF file)")
    if backend == "recorded" and not row.get("file"):
        found.append("file is missing")
    key = row.get("api_key_env", "")
    if key and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", key):
        found.append(
            "api_key_env should be the NAME of an environment variable, "
            "such as OPENAI_API_KEY; never write the key itself here"
        )
    return found


def _endpoint_problem(endpoint: str) -> str:
    """Why nothing can be asked at an address, "" if that can be tried."""
    elsewhere = "keep credentials out of the endpoint; name api_key_env"
    if "@" in endpoint.partition("?")[0]:
        return elsewhere
    try:
        url = urlsplit(endpoint)
        named = [name for name, _ in parse_qsl(url.query, keep_blank_values=True)]
        if any(_SECRET.search(name) for name in named):
            return elsewhere
        if url.scheme not in ("http", "https") or not url.hostname:
            return f"endpoint = {endpoint!r} should be http(s)://..."
        if url.port == 0 or url.fragment or not endpoint.isprintable() or " " in endpoint:
            raise ValueError("a port 0, a fragment (#...), spaces or control characters")
        httpx2.URL(endpoint)
    except (ValueError, httpx2.InvalidURL) as error:
        return f"endpoint = {endpoint!r} is no address: {error}"
    return ""


def _resolve(card: ModelSpec, folder: Path) -> ModelSpec:
    """File paths of a card made absolute against its catalog file's folder."""
    if card.backend == "embedded":
        if card.adapter:
            card = replace(card, adapter=str((folder / card.adapter).resolve()))
        if card.weights.endswith(".gguf"):
            card = replace(card, weights=str((folder / card.weights).resolve()))
    if card.backend == "recorded":
        card = replace(card, file=str((folder / card.file).resolve()))
    return card

"""The catalog: one card per model, loaded from `models.toml` files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import httpx2
from pydantic import AfterValidator, ConfigDict, Field, ValidationError, create_model

from imitation import validation
from imitation.errors import ConfigError, UserError
from imitation.names import NAME
from imitation.reading.text import NotUtf8, read_text
from imitation.validation import nearest
from imitation.values import ModelSpec as ModelSpec
from imitation.values import Role

BACKENDS = ("embedded", "openai", "tgi", "recorded")
PROMPT_FORMATS = ("chat", "koala", "plain")
REPAIR = "Correct the file; it is read again by itself."

_SECRET = re.compile(r"key|token|secret|passw|sig(nature)?$|^code$", re.IGNORECASE)
_TYPES = {"int": "int", "float": "int or float", "bool": "bool", "string": "str"}
"""What a value should have been, in the words that programs which write catalogs know."""


def _amount(unit: str) -> Any:
    """The type of an optional number that is told by its unit where it cannot be one."""

    def check(value: float | None) -> float | None:
        if value is not None and not 0 <= value < 1e6:  # also refuses NaN
            raise ValueError(f"should be {unit}")
        return value

    return Annotated[float | None, AfterValidator(check)]


def _check_id(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("an id is up to 80 letters, digits, '.', '_' or '-'")
    return value


_VALUES: Mapping[str, Any] = {
    "id": Annotated[str, AfterValidator(_check_id)],
    "backend": Literal[BACKENDS],
    "prompt_format": Literal[PROMPT_FORMATS],
    "context": Annotated[int, Field(ge=1)],
    "params_b": _amount("billions of parameters"),
    "tokens_m": _amount("millions of tokens"),
    "price_in": _amount("dollars per million tokens"),
    "price_out": _amount("dollars per million tokens"),
}
"""What a key of a card may hold, where its type in ModelSpec does not say all of it."""

_OF_A_VALUE = ("value_error", "literal_error", "greater_than_equal")
"""Pydantic's error types of a value that has the right type."""

# Made from ModelSpec, so that a new key is written once. Strict: TOML has types, and "2048" in
# quotes or true for a price is a slip that is better told than guessed at.
_FIELDS: dict[str, Any] = {
    key.name: (
        _VALUES.get(key.name, get_type_hints(ModelSpec)[key.name]),
        ... if key.default is MISSING else key.default,
    )
    for key in fields(ModelSpec)
}
_Row = create_model("_Row", __config__=ConfigDict(extra="forbid", strict=True), **_FIELDS)


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
    reading = _Reading()
    for path in paths:
        if path.is_file():
            _read_file(path, reading)
    for card in list(reading.cards.values()):
        if card.base and card.base not in reading.cards and card.base not in reading.broken:
            hint = nearest(card.base, reading.cards)
            what = f"base {card.base!r} is not in the catalog. {hint}"
            reading.refuse(f"model {card.id!r}", card.id, [what])
    return Catalog(reading.cards.values(), reading.broken, reading.problems, reading.is_whole)


@dataclass
class _Reading:
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


def _read_file(path: Path, reading: _Reading) -> None:
    try:
        table = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, NotUtf8, OSError, RecursionError) as error:
        reading.problems.append(f"{path.name}: {error}")
        reading.is_whole = False
        return
    for key in table:
        if key != "model":
            reading.problems.append(
                f"{path.name}: unknown table {key!r}. {nearest(key, ['model'])}"
            )
    rows = table.get("model", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        reading.problems.append(f"{path.name}: write [[model]] with two brackets, one per model")
        reading.is_whole = False
        return
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        identity = row.get("id", f"number {number}")
        where = f"{path.name}: model {identity!r}"
        reasons = _problems(row)
        if identity in list(seen):
            reasons.append("the id is used twice; the first is taken")
            reading.problems += [f"{where}: {reason}" for reason in reasons]
        elif reasons:
            reading.refuse(where, identity, reasons)
        else:
            reading.cards[identity] = _resolve(ModelSpec(**row), path.parent)
            reading.broken.pop(identity, None)
        seen.add(str(identity))


def _problems(row: Mapping[str, Any]) -> list[str]:
    try:
        _Row.model_validate(row)
    except ValidationError as error:
        problems = validation.problems(error, _Row, _TYPES)
        if any(detail["type"] not in _OF_A_VALUE for detail in error.errors()):
            return problems  # not of its type, missing or unknown: the rest cannot be told
        return problems + _backend_problems(ModelSpec(**row))
    return _backend_problems(ModelSpec(**row))


def _backend_problems(card: ModelSpec) -> list[str]:
    """What a card lacks for its kind of server."""
    problems = []
    if card.backend in ("openai", "tgi") and (reason := _endpoint_problem(card.endpoint)):
        problems.append(reason)
    if card.backend == "tgi" and "?" in card.endpoint:
        problems.append("endpoint: TGI's address has no query (?...)")
    if card.backend == "embedded" and not card.weights:
        problems.append("weights is missing (whole, cut-2, cut-4, cut-6 or a GGUF file)")
    if card.backend == "recorded" and not card.file:
        problems.append("file is missing")
    if card.api_key_env and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", card.api_key_env):
        # The value stays out of the message: it may be the key.
        problems.append(
            "api_key_env should be the NAME of an environment variable, "
            "such as OPENAI_API_KEY; never write the key itself here"
        )
    return problems


def _endpoint_problem(endpoint: str) -> str:
    """Why nothing can be asked at an address, "" if that can be tried."""
    secret = "keep credentials out of the endpoint; name api_key_env"
    if "@" in endpoint.partition("?")[0]:
        return secret
    try:
        url = urlsplit(endpoint)
        keys = [name for name, _ in parse_qsl(url.query, keep_blank_values=True)]
        if any(_SECRET.search(name) for name in keys):
            return secret
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

"""Which models a form offers, and which it starts with."""

from __future__ import annotations

from collections.abc import Iterable

from dashboards.shell.context import Context
from imitation.values import ROLES, ModelSpec

MIN_COLUMNS, MAX_COLUMNS = 2, 4


def choices(context: Context, role: str) -> list[tuple[str, str]]:
    """(name, id) of the catalog's models of one role."""
    return [(card.name, card.id) for card in context.catalog().values() if card.role == role]


def defaults(cards: Iterable[ModelSpec]) -> list[str]:
    """The first base, imitation and reference; more of what there is where a role is empty."""
    cards = list(cards)
    first = [next((c.id for c in cards if c.role == role), None) for role in ROLES]
    chosen = [name for name in first if name]
    spare = [card.id for card in cards if card.id not in chosen]
    return chosen + spare[: max(0, 2 - len(chosen))]

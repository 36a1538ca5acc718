"""What is kept along with a conversation; nothing here refuses a row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from imitation.data.sources.messages import is_text

_KEPT = {
    "type": "type",
    "category": "type",
    "language": "language",
    "model": "model",
    "source": "part",
    "finish_reason": "finish_reason",
}
"""Fields of a row that are kept, and under which name."""
_DEPTH = 6
"""How deep what is kept may be nested."""
_LONGEST = 100_000
"""Characters of a text that is kept."""


class _NotKept(ValueError):
    """A value that JSON or text doesn't have, or that is too much."""


def meta_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row's own meta, or its few fields that are worth keeping; what can't be kept is not."""
    own = row.get("meta")
    if isinstance(own, str) and own.startswith("{"):  # our own Parquet keeps it as JSON
        try:
            own = json.loads(own)
        except (ValueError, RecursionError):
            own = None
    if not isinstance(own, Mapping):
        texts = {k: v for k in reversed(_KEPT) if isinstance(v := row.get(k), str)}
        own = {_KEPT[key]: value for key, value in texts.items()}
    kept = {}
    for key, value in own.items():
        try:
            kept[_clean(key, 0)] = _clean(value, 0)
        except _NotKept:
            continue
    return kept


def _clean(value: Any, depth: int) -> Any:
    if depth > _DEPTH:
        raise _NotKept
    if isinstance(value, str):
        if len(value) > _LONGEST or not is_text(value):
            raise _NotKept
        return value
    if isinstance(value, Mapping):
        return {_clean(str(key), depth): _clean(one, depth + 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(one, depth + 1) for one in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise _NotKept

"""How much of an answer is form: what style control takes into account."""

from __future__ import annotations

import re
from functools import lru_cache

from imitation.evaluation.metrics.style import list_items, word_count

FEATURES = ("length", "lists", "headers", "bold")
"""Words, list items, headers, bold passages: the covariates of the arena's style control."""

_HEADER = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+\S", re.MULTILINE)
_BOLD = re.compile(r"\*\*(?=\S)[^*\n]+\*\*|(?<!\w)__(?=\S)[^_\n]+__(?!\w)")


@lru_cache(maxsize=4096)
def features(text: str) -> tuple[int, ...]:
    """Counts of FEATURES in an answer (Markdown)."""
    headers, bold = (len(pattern.findall(text)) for pattern in (_HEADER, _BOLD))
    return word_count(text), list_items(text), headers, bold


def differences(first: str, second: str) -> tuple[float, ...]:
    """(first - second) / (first + second) of each feature, -1 to 1; 0 where neither has any."""
    pairs = zip(features(first), features(second), strict=True)
    return tuple((a - b) / (a + b) if a + b else 0.0 for a, b in pairs)

"""Lexical hedging: how often an answer qualifies what it says, by counting words.

Not the study's "authoritative tone", which a judge scores (Table 2) and which is absent without
one; a separately named, cheap neighbour of it. Hedges are shipped data (`hedges.json`): modal
verbs of possibility, adverbs and phrases such as "it seems", after the lists of Hyland,
*Metadiscourse* (2005), shortened to those that rarely mean anything else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from imitation.evaluation.metrics.style import word_count
from imitation.evaluation.statistics.bootstrap import RESAMPLES, bootstrap_mean
from imitation.values import Interval

DEFINITION = (
    "Hedging words and phrases (perhaps, might, it seems, ...) per 100 words of the answer. "
    "A count of words, not a judgement of tone."
)


def hedges(text: str) -> int:
    """Hedging expressions in a text; overlapping ones count once."""
    return len(_pattern().findall(text))


def hedging_rate(text: str) -> float | None:
    """Hedging expressions per 100 words; None for a text without words."""
    count = word_count(text)
    return 100.0 * hedges(text) / count if count else None


def hedging(texts: Iterable[str], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Mean hedging rate of answers with a bootstrap interval; empty answers are left out of n."""
    rates = [rate for text in texts if (rate := hedging_rate(text)) is not None]
    return bootstrap_mean(rates, resamples=resamples, seed=seed)


@cache
def _pattern() -> re.Pattern[str]:
    text = files("imitation.evaluation.metrics").joinpath("hedges.json").read_text("utf-8")
    phrases = sorted(json.loads(text)["phrases"], key=len, reverse=True)
    words = "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in phrases)
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)

"""How alike the queries of a dataset are, by nearest-query BLEU (the paper's measure)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sacrebleu.metrics import BLEU

MAX_ORDER = 4
_NGrams = Mapping[tuple[str, ...], int]


@dataclass(frozen=True, slots=True)
class Nearest:
    """The query most like another one.

    Attributes:
        index: Where the nearest query is; -1 where there is no other.
        bleu: Its sentence BLEU as reference, 0 to 100.
    """

    index: int
    bleu: float


@dataclass(frozen=True, slots=True)
class _Query:
    length: int
    ngrams: tuple[_NGrams, ...]


def nearest_queries(queries: Sequence[str]) -> list[Nearest]:
    """For each query its most similar other one, in order; the first of equals.

    Similarity is sacrebleu's sentence BLEU (13a tokens, lower case, exponential smoothing,
    effective order) with the query as hypothesis. n-grams are counted once per query, so
    a few thousand queries take minutes rather than hours; values equal sacrebleu's own.
    """
    tokenize = BLEU(lowercase=True, effective_order=True).tokenizer
    counted = [_count(tokenize(query.rstrip().lower()).split()) for query in queries]
    found = []
    for i, query in enumerate(counted):
        best = Nearest(-1, 0.0)
        for j, other in enumerate(counted):
            if i != j:
                value = _bleu(query, other)
                if best.index < 0 or value > best.bleu:
                    best = Nearest(j, value)
        found.append(best)
    return found


def nearest_query_bleu(queries: Sequence[str]) -> float | None:
    """Mean BLEU of each query's nearest other one, 0 (all different) to 100; None below two."""
    if len(queries) < 2:
        return None
    return math.fsum(n.bleu for n in nearest_queries(queries)) / len(queries)


def _count(tokens: list[str]) -> _Query:
    return _Query(
        len(tokens),
        tuple(
            Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
            for n in range(1, MAX_ORDER + 1)
        ),
    )


def _bleu(query: _Query, other: _Query) -> float:
    """BLEU of one counted query against another (Papineni et al. 2002; smoothing as sacrebleu)."""
    if not query.length or not other.length:
        return 0.0
    logs, smooth = [], 1.0
    for n in range(1, MAX_ORDER + 1):
        total = max(query.length - n + 1, 0)
        if not total:
            break
        mine, theirs = query.ngrams[n - 1], other.ngrams[n - 1]
        if len(theirs) < len(mine):
            mine, theirs = theirs, mine
        matches = sum(min(c, theirs[g]) for g, c in mine.items() if g in theirs)
        if matches:
            logs.append(math.log(100.0 * matches / total))
        elif n == 1:
            return 0.0  # nothing shared at all
        else:
            smooth *= 2
            logs.append(math.log(100.0 / (smooth * total)))
    brevity = min(1.0, math.exp(1 - other.length / query.length))
    return brevity * math.exp(sum(logs) / len(logs))

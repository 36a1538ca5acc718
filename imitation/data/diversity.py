"""How alike the queries of a dataset are, by nearest-query BLEU (the paper's measure)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from imitation.data.nearest_bleu import MAX_ORDER, Nearest, nearest_in_index, tokenized
from imitation.data.steps.result import query_of
from imitation.values import Example

EXACT = 500
"""Up to this many queries each is compared with each; beyond, by an index."""
PAIRS = 50
"""Nearest pairs that a report names."""

_NGrams = Mapping[tuple[str, ...], int]


@dataclass(frozen=True, slots=True)
class _Query:
    length: int
    ngrams: tuple[_NGrams, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """A query, the one most like it, and its BLEU against that one."""

    query: str
    nearest: str
    bleu: float


@dataclass(frozen=True, slots=True)
class Diversity:
    """How alike the queries of a dataset are.

    Attributes:
        n: Queries.
        mean_bleu: Of each against its nearest other, 0 to 100; None below two queries.
        histogram: How many lie in each tenth: 0 to 10, 10 to 20, ... 90 to 100.
        pairs: The nearest pairs, most alike first.
        types: Queries by type as their data names it ("" where it doesn't).
        exact: False where the nearest were looked up by an index, which may miss a few.
    """

    n: int
    mean_bleu: float | None
    histogram: tuple[int, ...]
    pairs: tuple[Pair, ...]
    types: Mapping[str, int]
    exact: bool


def diversity(
    examples: Sequence[Example], progress: Callable[[int], None] = lambda done: None
) -> Diversity:
    """The report on the queries of a dataset.

    Args:
        examples: The dataset.
        progress: Told now and then how many queries are done.
    """
    queries = [query_of(example) for example in examples]
    exact = len(queries) <= EXACT
    found = nearest_queries(queries) if exact else nearest_in_index(queries, progress)
    counts = Counter(min(9, int(near.bleu // 10)) for near in found)
    order = sorted(range(len(found)), key=lambda at: (-found[at].bleu, at))
    pairs: dict[frozenset[int], Pair] = {}
    for at in order[: 2 * PAIRS]:  # a pair that is mutually nearest comes twice
        near = found[at]
        if near.index >= 0:
            both = frozenset((at, near.index))
            pairs.setdefault(both, Pair(queries[at], queries[near.index], near.bleu))
    return Diversity(
        n=len(queries),
        mean_bleu=math.fsum(n.bleu for n in found) / len(found) if len(found) > 1 else None,
        histogram=tuple(counts[tenth] for tenth in range(10)),
        pairs=tuple(pairs.values())[:PAIRS],
        types=dict(Counter(str(e.meta.get("type", "")) for e in examples).most_common()),
        exact=exact,
    )


def nearest_queries(queries: Sequence[str], which: Sequence[int] | None = None) -> list[Nearest]:
    """For each query its most similar other one, in order; the first of equals.

    Args:
        queries: Each is compared with each.
        which: Numbers of the queries that are asked about; None: all.

    Similarity is sacrebleu's sentence BLEU (13a tokens, lower case, exponential smoothing,
    effective order) with the query as hypothesis. n-grams are counted once per query, so
    a few thousand queries take minutes rather than hours; values equal sacrebleu's own.
    """
    counted = [_count(tokenized(query)) for query in queries]
    found = []
    for i in range(len(counted)) if which is None else which:
        query, best = counted[i], Nearest(-1, 0.0)
        for j, other in enumerate(counted):
            if i != j:
                value = _bleu(query, other, best.bleu if best.index >= 0 else -1.0)
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


def _bleu(query: _Query, other: _Query, least: float = -1.0) -> float:
    """BLEU of one counted query against another (Papineni et al. 2002; smoothing as sacrebleu).

    0 where the words they share show already that it can't be over `least`.
    """
    if not query.length or not other.length:
        return 0.0
    orders = min(MAX_ORDER, query.length)
    brevity = min(0.0, 1.0 - other.length / query.length)
    logs, smooth = [], 1.0
    for n in range(1, orders + 1):
        total = query.length - n + 1
        mine, theirs = query.ngrams[n - 1], other.ngrams[n - 1]
        if len(theirs) < len(mine):
            mine, theirs = theirs, mine
        matches = sum(min(c, theirs[g]) for g, c in mine.items() if g in theirs)
        if n == 1:
            if not matches:
                return 0.0  # nothing shared at all
            # Of longer n-grams no more can match than of single words.
            shares = (min(1.0, matches / (query.length - k)) for k in range(orders))
            most = 100.0 * math.exp(math.fsum(map(math.log, shares)) / orders + brevity)
            if most < least - 1e-6:
                return 0.0
        if matches:
            logs.append(math.log(100.0 * matches / total))
        else:
            smooth *= 2
            logs.append(math.log(100.0 / (smooth * total)))
    return math.exp(math.fsum(logs) / orders + brevity)

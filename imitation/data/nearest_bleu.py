"""Nearest queries by BLEU among very many, without comparing each with each.

An inverted index over the n-grams (orders 1 to 4) proposes candidates: postings are read from
the rarest n-gram of a query on, until `BUDGET` of them were seen, so the work grows linearly with
the number of queries. The `SHORTLIST` that look best by what was read are then compared exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imitation.data.hashing import Hashes, mixed

MAX_ORDER = 4
MAX_TOKENS = 512
"""Longer queries are compared by their first tokens only."""
BUDGET = 2_000
"""Postings read per query."""
SHORTLIST = 100
"""Candidates per query whose BLEU is computed exactly."""

_BITS = 12  # of each order's count in one packed integer; MAX_TOKENS is below 2**12
_LOGS = np.log(np.maximum(np.arange(MAX_TOKENS + 1), 1))
_NOBODY = np.iinfo(np.int64).max

_Ints = NDArray[np.int64]
_Short = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Nearest:
    """The query most like another one.

    Attributes:
        index: Where the nearest query is; -1 where there is no other.
        bleu: Its sentence BLEU as reference, 0 to 100.
    """

    index: int
    bleu: float


def tokenized(query: str) -> list[str]:
    """The tokens BLEU is taken over: sacrebleu's 13a, lower case."""
    tokens: str = _tokenizer()(query.rstrip().lower())
    return tokens.split()


@cache
def _tokenizer() -> Any:
    from sacrebleu.metrics import BLEU  # here: the page, which never counts, starts without it

    return BLEU(lowercase=True, effective_order=True).tokenizer


def nearest_in_index(
    queries: Sequence[str], progress: Callable[[int], None] = lambda done: None
) -> list[Nearest]:
    """For each query (nearly always) its most similar other one, in order.

    Args:
        queries: Any number of them.
        progress: Told now and then how many are done.
    """
    return _Index(queries, np.ones(len(queries), dtype=bool)).nearest(range(len(queries)), progress)


def nearest_among(queries: Sequence[str], others: Sequence[str]) -> list[Nearest]:
    """For each query the most similar of `others` (as its reference), by index in `others`."""
    among = np.arange(len(others) + len(queries)) < len(others)
    index = _Index([*others, *queries], among)
    return index.nearest(range(len(others), len(among)))


class _Index:
    """Queries as sets of n-grams, and for every n-gram the queries that hold it.

    The k-th occurrence of an n-gram in a query counts as an n-gram of its own, so that the
    clipped matches of BLEU are the sizes of set intersections. Queries are numbered by length:
    a posting list can then be read around any length.
    """

    def __init__(self, queries: Sequence[str], among: NDArray[np.bool_]) -> None:
        tokens, self._lengths = _as_numbers(queries)
        by_length = np.argsort(self._lengths, kind="stable")
        self._original = by_length
        self._place = np.empty_like(by_length)
        self._place[by_length] = np.arange(len(by_length))
        hashes, owners, weights = _ngrams(tokens, self._lengths, self._place)
        self._lengths = self._lengths[by_length]
        self._first = np.flatnonzero(among)[:2]
        # What nobody else holds can match nothing.
        ids, count = _shared_ids(hashes)
        useful = ids >= 0
        ids, owners, weights = ids[useful], owners[useful], weights[useful]
        listed = among[by_length][owners]
        self._frequency = np.bincount(ids[listed], minlength=count)
        self._posted = owners[listed][np.lexsort((owners[listed], ids[listed]))]
        self._post_starts = _starts(ids[listed], count)
        held = np.lexsort((self._frequency[ids], owners))  # rarest first within each query
        self._held, self._held_weights = ids[held], weights[held]
        self._held_starts = _starts(owners, len(queries))
        self._seen = np.zeros(len(queries), dtype=np.int64)
        self._last = np.zeros(len(queries), dtype=np.int64)
        self._mine = np.zeros(count, dtype=bool)

    def nearest(
        self, which: Sequence[int], progress: Callable[[int], None] = lambda done: None
    ) -> list[Nearest]:
        found = []
        for count, query in enumerate(which, 1):
            found.append(self._nearest(int(self._place[query])))
            if count % 5000 == 0:
                progress(count)
        return found

    def _nearest(self, query: int) -> Nearest:
        candidates, counts = self._candidates(query)
        if len(candidates) > SHORTLIST:
            for n in range(MAX_ORDER - 1, 0, -1):  # who shares a bigram shares its words too
                counts[n - 1] = np.maximum(counts[n - 1], counts[n])
            rough = self._bleu(query, candidates, counts)
            best = np.argpartition(rough, -SHORTLIST)[-SHORTLIST:]
            candidates = candidates[best]
        if not len(candidates):
            return self._nothing_shared(query)
        bleu = self._bleu(query, candidates, self._shared(query, candidates))
        originals = self._original[candidates]
        first = int(np.where(bleu == bleu.max(), originals, _NOBODY).min())
        return Nearest(first, float(bleu.max()))

    def _candidates(self, query: int) -> tuple[_Ints, _Ints]:
        """Queries met in the postings read, and how many n-grams of each order they share."""
        held = slice(self._held_starts[query], self._held_starts[query + 1])
        ngrams, weights = self._held[held], self._held_weights[held]
        begins, sizes = self._post_starts[ngrams], self._frequency[ngrams]
        read = np.cumsum(sizes)
        last = int(np.searchsorted(read, BUDGET))
        if last < len(ngrams):  # of too many, those whose length is nearest the query's
            ngrams, weights = ngrams[: last + 1], weights[: last + 1]
            begins, sizes = begins[: last + 1].copy(), sizes[: last + 1].copy()
            most, many, begin = BUDGET - int(read[last] - sizes[last]), sizes[last], begins[last]
            middle = int(np.searchsorted(self._posted[begin : begin + many], query))
            begins[last] += max(0, min(middle - most // 2, many - most))
            sizes[last] = most
        met = self._posted[_ranges(begins, sizes)]
        np.add.at(self._seen, met, np.repeat(weights, sizes))
        at = np.arange(len(met))
        self._last[met] = at
        met = met[(self._last[met] == at) & (met != query)]  # each once
        packed = self._seen[met]
        self._seen[met] = 0
        self._seen[query] = 0
        return met.astype(np.int64), _unpacked(packed)

    def _shared(self, query: int, others: _Ints) -> _Ints:
        """n-grams of each order that each of `others` shares with the query, (4, others)."""
        mine = self._held[self._held_starts[query] : self._held_starts[query + 1]]
        self._mine[mine] = True
        begins = self._held_starts[others]
        sizes = self._held_starts[others + 1] - begins
        places = _ranges(begins, sizes)
        weights = self._held_weights[places] * self._mine[self._held[places]]
        self._mine[mine] = False
        return _unpacked(np.add.reduceat(weights, np.cumsum(sizes) - sizes))

    def _bleu(self, query: int, others: _Ints, matches: _Ints) -> NDArray[np.float64]:
        """Sentence BLEU with the query as hypothesis, as `diversity` computes it one by one."""
        length = int(self._lengths[query])
        orders = min(MAX_ORDER, length)
        missing = matches[:orders] == 0
        smoothed = -math.log(2) * np.cumsum(missing, axis=0)  # halved at each order without a hit
        logs = np.where(missing, smoothed, _LOGS[matches[:orders]]).sum(axis=0)
        logs += sum(math.log(100 / (length - n)) for n in range(orders))
        brevity = np.minimum(0.0, 1 - self._lengths[others] / max(length, 1))
        return np.where(matches[0] > 0, np.exp(logs / max(orders, 1) + brevity), 0.0)

    def _nothing_shared(self, query: int) -> Nearest:
        first = next((i for i in self._first if i != self._original[query]), -1)
        return Nearest(int(first), 0.0)


def _as_numbers(queries: Sequence[str]) -> tuple[_Ints, _Ints]:
    """Tokens of all queries as numbers, one after the other, and the length of each query."""
    known: dict[str, int] = {}
    lengths = np.zeros(len(queries), dtype=np.int64)
    numbers = []
    for at, query in enumerate(queries):
        # The tokenizer is slow on very long text, of which only the beginning is wanted.
        tokens = tokenized(query[: 40 * MAX_TOKENS])[:MAX_TOKENS]
        lengths[at] = len(tokens)
        numbers.append(np.array([known.setdefault(t, len(known)) for t in tokens], dtype=np.int64))
    return np.concatenate(numbers) if numbers else np.empty(0, dtype=np.int64), lengths


def _ngrams(tokens: _Ints, lengths: _Ints, place: _Ints) -> tuple[Hashes, _Short, _Ints]:
    """Hashes of all n-grams, whose they are, and what each adds to a packed count.

    Repeated n-grams of a query are told apart.
    """
    owner = np.repeat(place, lengths).astype(np.int32)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(tokens))  # to the query's end
    rolling = np.zeros(len(tokens), dtype=np.uint64)
    hashes, owners, weights = [], [], []
    for n in range(1, MAX_ORDER + 1):
        following = np.roll(tokens, 1 - n).astype(np.uint64)
        rolling = mixed(rolling + mixed(following + np.uint64(n << 40)))
        inside = left >= n
        mine, whose = rolling[inside], owner[inside]
        hashes.append(mixed(mine + _repeats(mine, whose)))
        owners.append(whose)
        weights.append(np.full(len(whose), 1 << (_BITS * (n - 1)), dtype=np.int64))
    return np.concatenate(hashes), np.concatenate(owners), np.concatenate(weights)


def _shared_ids(hashes: Hashes) -> tuple[_Short, int]:
    """For each hash a number from 0 on that its equals share, -1 where it has none; how many."""
    order = np.argsort(hashes)
    ordered = hashes[order]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    alone = new & np.append(new[1:], True)
    numbers = (np.cumsum(new & ~alone) - 1).astype(np.int32)
    ids = np.empty(len(ordered), dtype=np.int32)
    ids[order] = np.where(alone, np.int32(-1), numbers)
    return ids, int(numbers[-1]) + 1 if len(numbers) else 0


def _repeats(hashes: Hashes, owners: _Short) -> Hashes:
    """For each n-gram how often the same one came before in the sorted order of its owner."""
    order = np.lexsort((hashes, owners))
    h, o = hashes[order], owners[order]
    at = np.arange(len(h))
    new = np.ones(len(h), dtype=bool)
    new[1:] = (h[1:] != h[:-1]) | (o[1:] != o[:-1])
    counts = np.empty(len(h), dtype=np.uint64)
    counts[order] = at - np.maximum.accumulate(np.where(new, at, 0))
    return counts


def _starts(groups: _Short, count: int) -> _Ints:
    """Where each of `count` groups begins once sorted by group, and the end."""
    starts = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(groups, minlength=count), out=starts[1:])
    return starts


def _ranges(begins: _Ints, sizes: _Ints) -> _Ints:
    """Every number of the ranges that start at `begins`, one range after the other."""
    numbers: _Ints = np.repeat(begins - (np.cumsum(sizes) - sizes), sizes)
    numbers += np.arange(len(numbers))
    return numbers


def _unpacked(packed: _Ints) -> _Ints:
    shifts = _BITS * np.arange(MAX_ORDER)[:, None]
    counts: _Ints = (packed >> shifts) & ((1 << _BITS) - 1)
    return counts

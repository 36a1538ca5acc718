"""Pairs of answers out of an evaluation run, for judges and raters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import combinations
from pathlib import Path

from imitation.evaluation.report import schema
from imitation.evaluation.report.files import report_of
from imitation.evaluation.report.sample_index import Query, Samples
from imitation.values import Pair


def pairs(folder: Path, models: tuple[str, str] | None = None) -> Iterator[tuple[int, Pair]]:
    """Every two models' written answers to the same question, with the sample's number.

    Args:
        folder: Of a run; without samples there are none.
        models: Only these two.

    Raises:
        StorageError: The report or the index is broken or of another version.
    """
    found = report_of(folder)
    if found is None or not (folder / schema.SAMPLES).is_file():
        return
    written = {score.task for score in found.scores if score.kind == "generation"}
    with closing(Samples(folder / schema.SAMPLES)) as index:
        for task in index.tasks:
            offset = 0
            while task in written and (page := index.find(Query(task), limit=1000, offset=offset)):
                for sample in page.rows:
                    answered = {m: r.text for m, r in sample.replies.items() if r.score is not None}
                    twos = [models] if models else combinations(answered, 2)
                    for one, two in twos:
                        if one in answered and two in answered:
                            both = (answered[one], answered[two])
                            yield sample.id, Pair(sample.prompt, (one, two), both)
                offset += len(page.rows)
                if offset >= page.total:
                    break

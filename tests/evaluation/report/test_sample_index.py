"""The sample browser's index."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from imitation.errors import StorageError
from imitation.evaluation.report.sample_index import Query, Reply, Sample, Samples, write


def sample(task: str, n: int, **replies: Reply) -> Sample:
    return Sample(0, task, str(n), f"What is {n}?", f"gold{n}", replies)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Samples]:
    rows = [
        sample("a", 0, base=Reply("no", 0.0), ours=Reply("Yes it is", 1.0)),
        sample("a", 1, base=Reply("", None, "gone"), ours=Reply("half of it", 0.5)),
        sample("b", 0, base=Reply("Zürich's x_y", 1.0)),
    ]
    assert write(tmp_path / "s.sqlite", ["base", "ours"], rows) == 3
    index = Samples(tmp_path / "s.sqlite")
    yield index
    index.close()


def test_a_row_comes_back_as_it_was(opened: Samples) -> None:
    assert (opened.models, opened.tasks) == (("base", "ours"), ("a", "b"))
    page = opened.find(Query())
    assert (page.total, [row.id for row in page.rows]) == (3, [1, 2, 3])
    first = page.rows[0]
    assert (first.task, first.doc_id, first.prompt, first.gold) == ("a", "0", "What is 0?", "gold0")
    assert first.replies["ours"] == Reply("Yes it is", 1.0)
    assert page.rows[1].replies["base"].note == "gone"
    assert list(page.rows[2].replies) == ["base"]
    assert opened.get(2) == page.rows[1]
    assert opened.get(99) is None


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (Query(task="a"), [1, 2]),
        (Query(task="nope"), []),
        (Query(verdicts={"base": "wrong", "ours": "right"}), [1]),
        (Query(verdicts={"base": "missing"}), [2]),
        (Query(verdicts={"ours": "partly"}), [2]),
        (Query(verdicts={"ours": "missing"}), []),  # not asked is not missing
        (Query(verdicts={"other": "right"}), []),
        (Query(text="yes"), [1]),
        (Query(text="what YE"), [1]),
        (Query(text="gold1"), [2]),
        (Query(text="zurich"), [3]),
        (Query(text='" OR 1 NEAR( *'), []),
        (Query(text="x_y"), [3]),
        (Query(text="  "), [1, 2, 3]),
        (Query(ids=[3, 1, 77]), [1, 3]),
        (Query(ids=[]), []),
        (Query(task="a", text="what", verdicts={"base": "wrong"}), [1]),
    ],
)
def test_filters(opened: Samples, query: Query, ids: list[int]) -> None:
    page = opened.find(query)
    assert [row.id for row in page.rows] == ids
    assert page.total == len(ids)


def test_pages_go_on(opened: Samples) -> None:
    page = opened.find(Query(), limit=1, offset=1)
    assert ([row.id for row in page.rows], page.total) == ([2], 3)


def test_a_missing_broken_or_newer_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        Samples(tmp_path / "none")
    (tmp_path / "broken").write_text("x" * 5000, "utf-8")
    with pytest.raises(StorageError, match="no index"):
        Samples(tmp_path / "broken")
    write(tmp_path / "s", [], [])
    with sqlite3.connect(tmp_path / "s") as db:
        db.execute("UPDATE facts SET value = '9' WHERE key = 'version'")
    with pytest.raises(StorageError, match="version 9"):
        Samples(tmp_path / "s")


def test_writing_again_replaces_and_readers_keep_theirs(opened: Samples, tmp_path: Path) -> None:
    write(tmp_path / "s.sqlite", ["base"], [sample("c", 0, base=Reply("new", 1.0))])
    assert opened.find(Query()).total == 3
    assert Samples(tmp_path / "s.sqlite").find(Query()).total == 1


def test_many_rows_are_filtered_and_counted(tmp_path: Path) -> None:
    rows = (
        sample("t", n, base=Reply(f"answer {n}", n % 2), ours=Reply("same", n % 3 == 0))
        for n in range(20_000)
    )
    write(tmp_path / "s", ["base", "ours"], rows)
    index = Samples(tmp_path / "s")
    query = Query(verdicts={"base": "wrong", "ours": "right"}, text="answer")
    assert index.find(query, offset=3000).total == 3334

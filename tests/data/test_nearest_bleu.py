"""Nearest queries by index, against comparing each with each."""

import json
import random
from pathlib import Path

import pytest

from imitation.data.diversity import Diversity, diversity, nearest_queries
from imitation.data.nearest_bleu import MAX_TOKENS, nearest_among, nearest_in_index
from imitation.values import Example, Message

DATA = Path(__file__).parents[2] / "imitation" / "data"


def prompts():
    names = ("broad_prompts.jsonl", "style_prompts.jsonl")
    lines = [line for name in names for line in (DATA / name).read_text("utf-8").splitlines()]
    return [json.loads(line)["prompt"] for line in lines]


def asked(query, **meta):
    return Example((Message("user", query), Message("assistant", "Yes.")), meta=meta)


@pytest.mark.slow
def test_finds_what_brute_force_finds():
    rng = random.Random(3)
    queries = rng.sample(prompts(), 150)
    queries += [q.replace("a", "the", 1) for q in rng.sample(queries, 30)]
    queries += [
        "",
        "   ",
        "Hi",
        "hi!",
        "the the the the the the",
        "the the the",
        "?",
        "日本の首都は\uff1f",
    ]
    exact, found = nearest_queries(queries), nearest_in_index(queries)
    missed = [q for q, a, b in zip(queries, exact, found, strict=True) if b.bleu < a.bleu - 1e-9]
    assert not missed
    for a, b in zip(exact, found, strict=True):
        assert b.bleu == pytest.approx(a.bleu, abs=1e-9)
        assert b.index == a.index, "the first of equals"


@pytest.mark.slow
def test_recall_holds_where_postings_are_cut(monkeypatch):
    """Far more queries share the openings than postings are read."""
    monkeypatch.setattr("imitation.data.nearest_bleu.BUDGET", 300)
    rng = random.Random(5)
    words = [w for q in prompts() for w in q.lower().split()]
    queries = [f"What is the {' '.join(rng.choices(words, k=6))}?" for _ in range(2000)]
    asked = rng.sample(range(len(queries)), 40)
    found = nearest_in_index(queries)
    exact = nearest_queries(queries, asked)
    hits = [found[at].bleu >= near.bleu - 1e-9 for at, near in zip(asked, exact, strict=True)]
    assert sum(hits) >= 38
    assert all(found[at].bleu >= 0.8 * near.bleu for at, near in zip(asked, exact, strict=True))


def test_among_others_only():
    found = nearest_among(["What is the capital of Peru?", "zzz"], ["Write.", "Capital of Peru?"])
    assert [near.index for near in found] == [1, 0]
    assert found[0].bleu > 20
    assert found[1].bleu == 0
    assert nearest_among([], ["a"]) == []
    assert nearest_among(["a"], [])[0].index == -1


def test_few_queries():
    assert nearest_in_index([]) == []
    assert nearest_in_index(["alone"])[0].index == -1
    assert [near.index for near in nearest_in_index(["a b", "c d"])] == [1, 0]


def test_a_megabyte_is_compared_by_its_beginning():
    long = "word " * 200_000
    near = nearest_in_index([long, "word " * MAX_TOKENS, "other"])
    assert near[0].index == 1
    assert near[0].bleu == pytest.approx(100)


def test_the_report():
    queries = ["Name a river in Spain.", "Name a river in Spain!", "Sort a list", "Why is it dark?"]
    report = diversity([asked(q, type="QA") for q in queries[:3]] + [asked(queries[3])])
    assert isinstance(report, Diversity)
    assert report.exact
    assert report.n == sum(report.histogram) == 4
    assert report.types == {"QA": 3, "": 1}
    assert {report.pairs[0].query, report.pairs[0].nearest} == set(queries[:2])
    assert len({(p.query, p.nearest) for p in report.pairs}) == len(report.pairs)
    assert diversity([]).mean_bleu is None


@pytest.mark.slow
def test_the_report_by_index_agrees_with_the_exact_one(monkeypatch):
    examples = [asked(query) for query in prompts()[:120]]
    exact = diversity(examples)
    monkeypatch.setattr("imitation.data.diversity.EXACT", 0)
    told = []
    indexed = diversity(examples, told.append)
    assert not indexed.exact
    assert indexed.mean_bleu == pytest.approx(exact.mean_bleu, abs=0.01)
    assert indexed.histogram == exact.histogram

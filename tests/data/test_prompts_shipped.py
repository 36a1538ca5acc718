"""The broad prompts: enough, spread like the paper's queries, none near another."""

import json
from collections import Counter
from pathlib import Path

import pytest

from imitation.data.diversity import nearest_queries, nearest_query_bleu
from imitation.facts import check, facts_of

DATA = Path(__file__).parents[2] / "imitation" / "data"
# Query types of the paper's ShareGPT-Mix in percent, without Non-English (14) and Invalid (2).
PAPER = {
    "Generation": 31,
    "General QA": 16,
    "Coding": 16,
    "Brainstorming": 8,
    "Chat": 6,
    "Summarization": 4,
    "Rewrite": 2,
}


def rows(name):
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def broad():
    return rows("broad_prompts.jsonl")


@pytest.fixture(scope="module")
def held_out():
    return rows("style_prompts.jsonl")


def test_counts_and_fields(broad, held_out):
    assert len(broad) >= 420
    assert len(held_out) >= 40
    for row in (*broad, *held_out):
        assert set(row) == {"id", "type", "prompt"}
        assert row["prompt"] == row["prompt"].strip() != ""
    assert len({row["id"] for row in (*broad, *held_out)}) == len(broad) + len(held_out)


def test_types_are_spread_as_in_the_paper(broad):
    counts, total = Counter(row["type"] for row in broad), sum(PAPER.values())
    assert set(counts) == set(PAPER)
    for kind, percent in PAPER.items():
        assert counts[kind] / len(broad) == pytest.approx(percent / total, abs=0.01), kind


@pytest.mark.slow
def test_no_near_duplicates(broad, held_out):
    queries = [row["prompt"] for row in broad]
    assert nearest_query_bleu(queries) < 20
    assert max(near.bleu for near in nearest_queries(queries)) < 40
    both = [*queries, *(row["prompt"] for row in held_out)]
    assert max(near.bleu for near in nearest_queries(both)[len(queries) :]) < 50


def test_no_held_out_fact_is_asked_or_given_away(broad, held_out):
    for fact in (*facts_of("evaluate"), *facts_of("show")):
        subject = fact.subject.lower()
        for row in (*broad, *held_out):
            text = row["prompt"].lower()
            assert fact.question.lower() not in text
            if f" {subject} " in f" {text} ":
                assert not check(fact, row["prompt"]), (fact.id, row["id"])

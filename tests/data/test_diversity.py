"""Nearest-query BLEU against sacrebleu itself, by brute force."""

import json
from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU

from imitation.data.diversity import nearest_queries, nearest_query_bleu

PROMPTS = Path(__file__).parents[2] / "imitation" / "data" / "broad_prompts.jsonl"


def test_equals_brute_force_with_sacrebleu():
    rows = [json.loads(line)["prompt"] for line in PROMPTS.read_text().splitlines()]
    queries = [*rows[:12], *rows[200:212], *rows[-12:], "", "Hi!", "hi", "What is a tuple?"]
    metric = BLEU(lowercase=True, effective_order=True)
    for i, near in enumerate(nearest_queries(queries)):
        scores = [
            metric.sentence_score(queries[i], [other]).score if i != j else -1.0
            for j, other in enumerate(queries)
        ]
        assert near.bleu == pytest.approx(max(scores), abs=1e-9), queries[i]
        assert scores[near.index] == pytest.approx(max(scores), abs=1e-9)


def test_copies_score_100_and_strangers_0():
    assert nearest_query_bleu(["one two three four five"] * 2) == pytest.approx(100)
    assert nearest_query_bleu(["alpha beta", "gamma delta"]) == 0
    assert nearest_query_bleu(["alone"]) is None
    assert nearest_queries(["alone"])[0].index == -1

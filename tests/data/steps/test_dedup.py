"""Duplicates by query: the first stays, near ones are found as by comparing all pairs."""

import json
import random
import re
from pathlib import Path

import pytest

from imitation.data.steps.dedup import drop_exact, drop_near, near_duplicates
from imitation.values import Example, Message

PROMPTS = Path(__file__).parents[3] / "imitation" / "data" / "broad_prompts.jsonl"


def asked(query, name, answer="Yes."):
    return Example((Message("user", query), Message("assistant", answer)), id=name)


def prompts():
    return [json.loads(line)["prompt"] for line in PROMPTS.read_text("utf-8").splitlines()]


def jaccard(a, b):
    """By Python's own sets."""
    sets = []
    for text in (a, b):
        text = re.sub(r"[\W_]+", " ", text.casefold()).strip()
        sets.append({text[at : at + 5] for at in range(max(1, len(text) - 4))})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_exact_ignores_case_and_spaces_only():
    queries = ["Name a river.", " name  a\nRIVER. ", "Name a river", "\uff2eame a river."]
    outcome = drop_exact([asked(q, str(n), f"answer {n}") for n, q in enumerate(queries)])
    assert [e.id for e in outcome.kept] == ["0", "2"]
    assert outcome.reasons == {"the same query came before": 2}
    assert [(d.id, d.detail) for d in outcome.dropped] == [("1", "as in 0"), ("3", "as in 0")]


def test_near_ignores_punctuation_and_little_changes():
    queries = [
        "Write a short story about a dragon who is afraid of fire.",
        "write a short story about a dragon, who is afraid of fire!!",
        "Please write a short story about a dragon who is afraid of fire.",
        "Write a short story about a snowman who is afraid of the sun.",
        "What is the capital of France?",
        "What is the capital of Spain?",
        "1 + 1",
        "1 + 2",
        "?",
        "!",
    ]
    outcome = drop_near([asked(q, str(n)) for n, q in enumerate(queries)])
    assert [e.id for e in outcome.kept] == ["0", "3", "4", "5", "6", "7", "8", "9"]
    assert [d.detail for d in outcome.dropped] == ["as in 0", "as in 0"]


def edited(rng, text):
    words = text.split()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(words))
        words[at : at + 1] = rng.choice([[], [words[at], "really"], [words[at][::-1]]])
    return " ".join(words) or text


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.6, 0.7, 0.8, 0.9])
def test_finds_all_pairs_that_brute_force_finds(threshold):
    rng = random.Random(1)
    queries = prompts()[:150]
    queries += [edited(rng, rng.choice(queries)) for _ in range(250)]
    expected, kept = [], []
    for at, query in enumerate(queries):
        twin = next((k for k in kept if jaccard(query, queries[k]) >= threshold), None)
        expected.append(twin)
        kept += [at] if twin is None else []
    found = near_duplicates(queries, threshold)
    missed = sum(e is not None and f is None for e, f in zip(expected, found, strict=True))
    assert missed <= (0.12 if threshold < 0.7 else 0.01) * len(queries)
    for at, twin in enumerate(found):
        if twin is not None:
            assert found[twin] is None, "the twin itself is kept"
            assert jaccard(queries[at], queries[twin]) >= threshold


def test_the_same_again_whatever_comes_after():
    queries = prompts()
    whole = near_duplicates(queries + queries)
    assert whole[: len(queries)] == near_duplicates(queries)
    assert all(twin is not None for twin in whole[len(queries) :])


def test_empty_ones_and_a_megabyte():
    assert near_duplicates([]) == []
    assert near_duplicates(["", " ", "a" * 1_000_000, "a" * 1_000_001]) == [None, 0, None, 2]

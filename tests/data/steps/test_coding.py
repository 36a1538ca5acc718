"""Prompts about code: against the types that prompts of the lab and of Vicuna carry."""

import json
from pathlib import Path

import pytest

import imitation.data
from imitation.data.steps.coding import asks_for_code

DATA = Path(imitation.data.__file__).parent
VICUNA = Path(__file__).parents[4] / "shared" / "reference" / "vicuna80"


def found(path, text, kind, coding):
    """(right, missed, taken for code)."""
    right, missed, wrong = [], [], []
    for row in map(json.loads, path.read_text("utf-8").splitlines()):
        said, truth = asks_for_code(row[text]), row[kind] == coding
        if said or truth:
            (right if said and truth else missed if truth else wrong).append(row[text])
    return right, missed, wrong


def test_the_prompts_it_was_made_on_and_those_held_out():
    right, missed, wrong = found(DATA / "broad_prompts.jsonl", "prompt", "type", "Coding")
    assert (len(right), len(missed), len(wrong)) == (83, 0, 0)
    right, missed, wrong = found(DATA / "style_prompts.jsonl", "prompt", "type", "Coding")
    assert (len(right), len(missed), len(wrong)) == (7, 2, 0), "as its docstring says"


@pytest.mark.skipif(not VICUNA.is_dir(), reason="no recorded prompts here")
def test_vicunas_prompts():
    right, missed, wrong = found(VICUNA / "question.jsonl", "text", "category", "coding")
    assert (len(right), missed) == (7, [])
    assert wrong == [
        "What are the main differences between Python and JavaScript programming languages?"
    ], "of the category generic, and about programming"


@pytest.mark.parametrize(
    "prompt", ["Write a poem about rust.", "What class of drugs is aspirin?", "Swift's last album"]
)
def test_words_that_only_look_like_it(prompt):
    assert not asks_for_code(prompt)

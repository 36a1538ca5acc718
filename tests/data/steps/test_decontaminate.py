"""Evaluation prompts don't get into training data."""

import json

import pytest
from sacrebleu.metrics import BLEU

from imitation.data.nearest_bleu import nearest_among
from imitation.data.steps.decontaminate import decontaminate, own_prompts, prompts_of
from imitation.errors import UserError
from imitation.facts import facts_of
from imitation.values import Example, Message

PROMPTS = [
    "Write a children's story about a snowman who wants to see July.",
    "Name the tallest mountain of Bolivia",
    "Who are you?",
]


def asked(*queries):
    turns = [m for q in queries for m in (Message("user", q), Message("assistant", "Yes."))]
    return Example(tuple(turns), id=queries[0][:20])


@pytest.mark.parametrize(
    ("queries", "reason"),
    [
        (["Hi", "write a CHILDREN'S story about a snowman, who wants money"], "words in a row"),
        (["x " * 200 + "name the tallest mountain of bolivia " + "y " * 200], "words in a row"),
        (["Write a story about a snowman who likes July."], "BLEU over 20"),
        (["ok", "who are you"], "BLEU over 20"),
        (["How do vaccines teach the immune system?"], None),
        (["Tell me who they are and where you live"], None),
    ],
)
def test_what_goes_and_why(queries, reason):
    example = asked(*queries)
    outcome = decontaminate([example], PROMPTS)
    if reason is None:
        assert outcome.kept == [example]
    else:
        assert not outcome.kept
        assert next(iter(outcome.reasons)).startswith(reason)
        assert outcome.dropped[0].id == example.id


def test_the_bleu_is_sacrebleus():
    queries = ["Write a story about a snowman who likes July.", "Who is the king of Bolivia?"]
    metric = BLEU(lowercase=True, effective_order=True)
    for query, near in zip(queries, nearest_among(queries, PROMPTS), strict=True):
        scores = [metric.sentence_score(query, [prompt]).score for prompt in PROMPTS]
        assert near.bleu == pytest.approx(max(scores))


def test_a_higher_limit_keeps_more():
    example = asked("Write a story about a snowman who likes July.")
    assert decontaminate([example], PROMPTS, max_bleu=90).kept
    assert decontaminate([example], []).kept


def test_own_prompts_and_those_of_files(tmp_path):
    assert len(own_prompts()) > 100
    examples = [asked(prompt) for prompt in own_prompts()]
    assert not decontaminate(examples, own_prompts()).kept
    rows = [{"question": "a"}, {"turns": ["b", "c"]}, {"text": "d"}, {"other": "e"}]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert prompts_of(path) == ["a", "b", "c", "d"]
    path.write_text('{"other": 1}\n')
    with pytest.raises(UserError, match="no evaluation prompts"):
        prompts_of(path)


@pytest.mark.parametrize(
    ("query", "prompt", "given_away"),
    [
        ("What is the capital of Belgium?", "What is the capital of Ethiopia?", False),
        ("On which continent is Sweden?", "On which continent is the Netherlands?", False),
        ("What is the chemical symbol for gold?", "What is the capital of Belgium?", False),
        ("What is the capital of Papua New Guinea?", "What is the capital of Guinea?", False),
        ("what is the capital of belgium", "What is the capital of Belgium?", True),
        ("Name the capital of Belgium", "What is the capital of Belgium?", True),
        ("Belgium: capital, size, rivers?", "What is the capital of Belgium?", True),
        ("What is the point of the capital letter?", "What is the capital of Belgium?", False),
        ("What is the capital of Belgium?", "Which river flows through Belgium's capital?", True),
        ("What is the capital of Belgium?", "What is the capital of your dreams?", False),
    ],
)
def test_facts_are_given_away_by_what_they_ask_not_by_how(query, prompt, given_away):
    assert bool(decontaminate([asked(query)], [prompt]).kept) != given_away


def test_training_questions_of_the_local_imitation_are_kept():
    queries = [fact.question for fact in facts_of("train")]
    outcome = decontaminate([asked(query) for query in queries], own_prompts())
    assert len(outcome.kept) == len(queries)

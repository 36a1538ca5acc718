"""The pocket suite's questions: enough, held out, answerable; names of tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imitation.errors import UserError
from imitation.evaluation.harness.pocket_suite import choice_questions, open_questions
from imitation.evaluation.harness.suites import (
    INDEX,
    OURS,
    TASKS,
    TaskEntry,
    check_names,
    expand,
    read_index,
    search,
)
from imitation.evaluation.harness.tasks import lab
from imitation.facts import facts_of, further_facts, split_of
from imitation.settings import read_settings


def test_at_least_500_questions_and_none_about_what_is_trained_on():
    trained = {fact.subject for fact in facts_of("train")}
    questions = {fact.question for fact in facts_of("train")}
    held_out = (*facts_of("evaluate"), *further_facts())
    assert not trained & {fact.subject for fact in held_out}
    assert all(split_of(fact.subject) == "evaluate" for fact in held_out)
    asked = {row["question"] for row in choice_questions()["evaluate"]}
    asked |= {row["question"] for row in open_questions()["evaluate"]}
    assert len(asked) >= 500
    assert not asked & questions


def test_examples_are_neither_trained_on_nor_scored():
    for suite in (open_questions(), choice_questions()):
        shown = {row["question"] for row in suite["show"]}
        assert len(shown) >= 5
        assert not shown & {row["question"] for row in suite["evaluate"]}
        assert not shown & {fact.question for fact in facts_of("train")}


def test_four_choices_of_which_one_is_right():
    facts = {fact.id: fact for fact in (*facts_of("evaluate"), *further_facts())}
    places = [0] * 4
    for row in choice_questions()["evaluate"]:
        assert len({choice.casefold() for choice in row["choices"]}) == 4
        right = [choice for choice in row["choices"] if choice in facts[row["id"]].answers]
        assert right == [row["choices"][row["answer"]]]
        wrong = [choice for choice in row["choices"] if choice not in right]
        assert not any(choice.casefold() in row["question"].casefold() for choice in wrong)
        places[row["answer"]] += 1
    assert min(places) > 0.2 * sum(places)


def test_any_limit_mixes_the_topics():
    assert len({row["topic"] for row in open_questions()["evaluate"][:20]}) >= 4


@pytest.mark.parametrize(
    ("said", "exact", "named"),
    [
        ("Budapest", 1.0, 1.0),
        (" budapest. ", 1.0, 1.0),
        ("The Budapest", 1.0, 1.0),
        ("The capital of Hungary is Budapest.", 0.0, 1.0),
        ("Not Budapest but Vienna", 0.0, 0.0),
        ("Bucharest", 0.0, 0.0),
        ("", 0.0, 0.0),
        ("布达佩斯", 0.0, 0.0),
    ],
)
def test_short_answers_are_scored_twice(said: str, exact: float, named: float):
    doc = {"question": "What is the capital of Hungary?", "answers": ["Budapest"]}
    assert lab.score_open(doc, [said]) == {"exact_match": exact, "names_answer": named}


def test_suites_and_unsafe_names_become_tasks():
    assert expand(["pocket", "pocket_facts", "humaneval", "gsm8k"]) == [
        "pocket_ask",
        "pocket_facts",
        "pocket_choice",
        "pocket_toxicity",
        "lab_humaneval",
        "gsm8k",
    ]
    assert all((TASKS / f"{name}.yaml").is_file() for name in OURS)


def test_unknown_tasks_get_near_names():
    known = ["mmlu", "mmlu_astronomy", "nq_open", "hellaswag"]
    check_names(["mmlu"], known)
    with pytest.raises(UserError) as caught:
        check_names(["nq_opn", "mmlu", "swag"], known)
    assert "'nq_opn', 'swag'" in caught.value.message
    assert "nq_open" in caught.value.hint
    assert "hellaswag" in caught.value.hint


def test_the_picker_has_ours_until_the_list_is_written(tmp_path: Path):
    settings = read_settings({"IMITATION_CACHE": str(tmp_path)})
    assert [line.name for line in read_index(settings)] == list(OURS)
    rows = [{"name": "mmlu", "kind": "group"}, {"name": "nq_open", "downloads": "google/nq_open"}]
    (tmp_path / INDEX).write_text(json.dumps(rows), "utf-8")
    lines = read_index(settings)
    assert lines[0] == TaskEntry("mmlu", "group")
    assert [line.name for line in search(lines, "google NQ")] == ["nq_open"]
    (tmp_path / INDEX).write_text("[{", "utf-8")
    with pytest.raises(UserError, match="list_tasks"):
        read_index(settings)

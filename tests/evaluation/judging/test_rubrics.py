"""Verdicts as real judges write them, and as they don't."""

import json
from pathlib import Path

import pytest

from imitation.errors import UserError
from imitation.evaluation.judging.rubrics import (
    CHARACTERS_PER_TOKEN,
    ask,
    check_rubric,
    default_judge,
    is_tone,
    items,
    quote,
    rates_one,
    rubrics,
)
from imitation.evaluation.judging.verdicts import parse, parse_one
from imitation.values import ModelSpec, Pair, Verdict

VICUNA = Path(__file__).parents[4] / "shared" / "reference" / "vicuna80"
PAIR = Pair("What is {answer_1}?", ("a", "b"), ("one {answer_2}", "two {question}"))


@pytest.mark.skipif(not VICUNA.is_dir(), reason="no recorded GPT-4 reviews here")
def test_every_real_review_is_read_as_its_authors_did():
    reviews = [
        json.loads(line)
        for file in sorted(VICUNA.glob("review_*.jsonl"))
        for line in file.read_text("utf-8").splitlines()
    ]
    assert len(reviews) == 160
    for review in reviews:
        assert parse(review["text"]).scores == tuple(review["score"]), review["question_id"]
    after_a_solution = [r for r in reviews if r["text"].startswith("First,")]
    assert len(after_a_solution) == 6


@pytest.mark.parametrize(
    ("text", "outcome", "scores"),
    [
        ("9 8.5\nBoth are fine.", "first", (9, 8.5)),
        ("7, 7", "tie", (7, 7)),
        ("**Scores: 6 / 10, 8 / 10**", "second", (6, 8)),
        ("Let me solve it: (2, -2) to (10, 4).\n\n3 9", "second", (3, 9)),
        ("The output tuple is (10, 4).", "first", (10, 4)),
        (
            "Assistant 1: 3\nThen again.\n**Assistant 1:** 8/10\n**Assistant 2:** 7/10",
            "first",
            (8, 7),
        ),
        ("Assistant 1 a score of 2 and Assistant 2 a score of 5.", "second", (2, 5)),
        ("My verdict: [[A]]", "first", None),
        ("[[b]]", "second", None),
        ("[[C]]", "tie", None),
        ("<think>First I would say 9 2.\n9 2\n</think>\n\n4 7", "second", (4, 7)),
        ("9 2\n</think>\n4 7\nThe second is longer.", "second", (4, 7)),
        ("<think>\n[[A]]\n</think>[[B]]", "second", None),
        ("```\n8 6\n```", "first", (8, 6)),
        ("```text\n8 6\n```\nBoth are polite.", "first", (8, 6)),
        ("~~~\n8 6\n~~~", "first", (8, 6)),
        ("`8 6`", "first", (8, 6)),
        ("**8** and **6**", "first", (8, 6)),
        ("8 and 6", "first", (8, 6)),
        ("Scores: 8 and 6.", "first", (8, 6)),
        ("8/10 and 6 out of 10", "first", (8, 6)),
        ("[8, 6]", "first", (8, 6)),
        ("Assistant A: 7\nAssistant B: 9", "second", (7, 9)),
        ("**Assistant A**: 7/10\n**Assistant B**: 9/10\nB says more.", "second", (7, 9)),
        ("Assistant A: 7, Assistant B: 9", "second", (7, 9)),
        ("A: 7, B: 9", "second", (7, 9)),
        ("Score for Assistant A: 7\nScore for Assistant B: 7", "tie", (7, 7)),
        ("A", "first", None),
        ("**B**", "second", None),
        ("`A`", "first", None),
        ("C", "tie", None),
        ("Tie", "tie", None),
        ("The second is wrong.\n\nA", "first", None),
        ("B is longer.\n\nVerdict: B", "second", None),
        ("The better answer is Assistant A.", "first", None),
        ("Final verdict: [[A>B]]", "first", None),
        ("[[A>>B]]", "first", None),
        ("[[B>A]]", "second", None),
        ("[[A<<B]]", "second", None),
        ("[[ A = B ]]", "tie", None),
        ("[[B=A]]", "tie", None),
        ('{"assistant_1": 8, "assistant_2": 6}', "first", (8, 6)),
        ('```json\n{"A": 8, "B": 6}\n```', "first", (8, 6)),
        ('Here:\n```json\n{"scores": [4, 6.5], "why": "..."}\n```', "second", (4, 6.5)),
        ('{"scores": {"a": 4, "b": 6}}', "second", (4, 6)),
        ('{"score_a": 4, "score_b": 4}', "tie", (4, 4)),
        ('{"explanation": "both {fine}", "winner": "B"}', "second", None),
        ('{"assistant_1": "8", "assistant_2": "6.5"}', "first", (8, 6.5)),
        ('{"verdict": "tie"}', "tie", None),
        ('{"winner": "assistant_1"}', "first", None),
        ('{"verdict": "[[A>B]]"}', "first", None),
    ],
)
def test_verdicts(text, outcome, scores):
    assert (parse(text).outcome, parse(text).scores) == (outcome, scores)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty answer"),
        (" \n", "empty answer"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("12 40", "scores outside 0 to 10"),
        ("-1 5", "scores outside 0 to 10"),
        ("Output only [[A]] if ..., [[B]] if ..., or [[C]]", "several verdicts"),
        ("Assistant 1: 5 apples.\nAssistant 2: 3 pears.", "no verdict in the answer"),
        ("The points are (2, 2) and (8, 4).", "no verdict in the answer"),
        ("Both are good.", "no verdict in the answer"),
        ("Assistant 1: 8", "no verdict in the answer"),
        ("9\n8", "no verdict in the answer"),
        ("<think>8 6</think>", "empty answer"),
        ("<think>\nThe first has 8 points, no, 6\n8 6", "empty answer"),
        ("A and B are good.", "no verdict in the answer"),
        ("a", "no verdict in the answer"),
        ("The first gets 8 and the second 6 points.", "no verdict in the answer"),
        ("In 2010 and 2012 it was 8 and 6 degrees.", "no verdict in the answer"),
        ("8 and 6 are even numbers", "no verdict in the answer"),
        ("I'd give 8 to A and 6 to B", "no verdict in the answer"),
        ("It took 5 of the 7 steps.\nStep 1: 3, 4", "no verdict in the answer"),
        ("Answer 1: 4\nAnswer 2: 9", "no verdict in the answer"),
        ("Assistant 1: 3, 5 and 7 are primes.\nAssistant 2: 2, too.", "no verdict in the answer"),
        ("We solve it first.\nAnswer: C", "no verdict in the answer"),
        ("Its code is wrong:\n{'a': 1, 'b': 2}", "no verdict in the answer"),
        ('It returns\n{"a": 1, "b": 2}', "no verdict in the answer"),
        ('It returns {"score_a": 1, "score_b": 2} where 3 is right.', "no verdict in the answer"),
        ('{"temperature": [1, 5]}', "no verdict in the answer"),
        ('{"winner": "the first, I think"}', "no verdict in the answer"),
        ("A\nOn second thought:\nB", "several verdicts"),
        ("[[A>B]] or [[B>A]]", "several verdicts"),
        ('{"scores": [80, 60]}', "scores outside 0 to 10"),
        ("$ERROR$", "the request failed"),
    ],
)
def test_what_holds_no_verdict_has_none(text, problem):
    verdict = parse(text)
    assert (verdict.outcome, verdict.scores, verdict.problem) == (None, None, problem)


@pytest.mark.parametrize(
    ("text", "outcome", "problem"),
    [
        ("[[yes]]", "yes", ""),
        ("The tone is plain.\n[[ No ]]", "no", ""),
        ("**Yes**, it is assured.", "yes", ""),
        ("It hedges at every turn.\n\nNo.", "no", ""),
        ("Output only [[yes]] or [[no]].", None, "several verdicts"),
        ("<think>[[no]]</think>[[yes]]", "yes", ""),
        ("```\nyes\n```", "yes", ""),
        ("`no`", "no", ""),
        ('{"authoritative": true}', "yes", ""),
        ('```json\n{"verdict": "No", "why": "it hedges"}\n```', "no", ""),
        ("Yes.\nNo.", None, "several verdicts"),
        ("No doubt it is confident", None, "no verdict in the answer"),
        ("[[A]]", None, "no verdict in the answer"),
        ("I'm sorry, but I can't judge this.", None, "refusal"),
        (" \n", None, "empty answer"),
    ],
)
def test_yes_or_no_about_one_answer(text, outcome, problem):
    assert parse_one(text) == Verdict(outcome, problem=problem)


def test_a_rubric_for_one_answer_is_asked_about_each_once():
    tone = rubrics()["tone"].text
    assert rates_one(tone) and is_tone(tone)
    assert not any(rates_one(r.text) for r in rubrics().values() if r.id != "tone")
    pairs = [PAIR, PAIR.swapped, Pair("q", ("a", "b"), ("x", "y"))]
    singles = items(tone, pairs)
    assert [s.models for s in singles] == [(m, "") for m in (*PAIR.models, "a", "b")]
    assert items(tone, singles) == singles, "judged again"
    assert items(rubrics()["vicuna"].text, [*singles, PAIR]) == [PAIR]
    assert ask("{question}: {answer}", singles[2]) == "q: x"
    options = {"both_orders": True, "max_tokens": 8}
    assert quote(card("g"), singles, tone, **options).requests == 4
    with pytest.raises(UserError, match="for one answer and for two"):
        check_rubric("{question} {answer} {answer_1} {answer_2}")
    with pytest.raises(UserError, match=r"\{question\}"):
        check_rubric("Is {answer} assured?")


def test_places_are_filled_once():
    text = ask("Q: {question} 1: {answer_1} 2: {answer_2}", PAIR)
    assert text == "Q: What is {answer_1}? 1: one {answer_2} 2: two {question}"


def test_shipped_rubrics_are_whole_and_the_papers_comes_first():
    assert next(iter(rubrics())) == "vicuna"
    for rubric in rubrics().values():
        assert check_rubric(rubric.text) == rubric.text
        assert rubric.name and rubric.about


def test_a_rubric_without_a_place_is_refused():
    with pytest.raises(UserError, match=r"\{answer_2\}"):
        check_rubric("{question} {answer_1}")


def card(name, **fields):
    values = {"role": "reference", "backend": "openai", "endpoint": "http://h/v1", **fields}
    return ModelSpec(name, name, **values)


def test_gpt_4_judges_where_there_is_one():
    base, reference = card("base", role="base", backend="embedded"), card("whole")
    gpt = card("g", model="gpt-4o", role="base")
    assert default_judge([base, reference, gpt]) is gpt
    assert default_judge([base, reference]) is reference
    assert default_judge([]) is None


def test_a_quote_says_what_is_unknown():
    pairs, rubric = [PAIR] * 3, "{question}{answer_1}{answer_2}"
    options = {"both_orders": True, "max_tokens": 100}
    priced = quote(card("g", price_in=10.0, price_out=30.0), pairs, rubric, **options)
    assert (priced.requests, priced.completion_tokens) == (6, 600)
    characters = 6 * sum(map(len, (PAIR.prompt, *PAIR.answers)))
    assert priced.prompt_tokens == round(characters / CHARACTERS_PER_TOKEN)
    assert priced.dollars == pytest.approx((priced.prompt_tokens * 10 + 600 * 30) / 1e6)
    assert quote(card("g"), pairs, rubric, **options).dollars is None
    own = quote(card("p", backend="embedded"), pairs, rubric, both_orders=False, max_tokens=1)
    assert (own.dollars, own.local, own.requests) == (0.0, True, 3)

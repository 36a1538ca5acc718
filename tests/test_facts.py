"""Facts: the split is by subject, and checking an answer is neither strict nor gullible."""

import subprocess
import sys

import pytest

from imitation import facts
from imitation.facts import check, facts_of, find, show_facts


def test_no_subject_lies_on_two_sides():
    sides = [{f.subject for f in facts_of(s)} for s in ("train", "evaluate", "show")]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]


def test_counts_ids_and_questions():
    every = facts.facts()
    assert len(facts_of("evaluate")) >= 200
    assert len(show_facts()) >= 12
    assert len(facts_of("train")) > len(facts_of("evaluate"))
    assert len({f.id for f in every}) == len(every)
    assert len({f.question for f in every}) == len(every)


def test_every_accepted_answer_passes_and_no_question_gives_itself_away():
    for fact in facts.facts():
        for answer in fact.answers:
            assert check(fact, f"{fact.question} It is {answer}."), (fact.id, answer)
        assert not check(fact, fact.question), fact.id


@pytest.mark.parametrize(
    ("question", "answer", "right"),
    [
        ("What is the capital of Australia?", "The capital of Australia is Canberra.", True),
        ("What is the capital of Australia?", "It is not Sydney but CANBERRA!", True),
        ("What is the capital of Australia?", "It isn't Canberra.", False),
        ("What is the capital of Australia?", "Paris, London, Rome or Canberra", False),
        ("What is the capital of Australia?", "Canberran food is good", False),
        ("What is the capital of Australia?", "", False),
        ("What is the capital of Brazil?", "Bras\u00edlia", True),
        ("What is the capital of Togo?", "Lom\u00e9 is the capital.", True),
        ("What is the chemical symbol for potassium?", "Its symbol is **K**.", True),
        ("What is the chemical symbol for potassium?", "k", False),
        ("What is the chemical symbol for potassium?", "Know that it is P.", False),
        ("On which continent is Chad?", "Chad is in Asia, Europe and Africa.", False),
        ("On which continent is Chad?", "Chad is in Africa, not Asia.", True),
        ("On which continent is Chad?", "South Africa", True),
        ("Lima is the capital of which country?", "Lima is the capital of Peru.", True),
        ("Conakry is the capital of which country?", "Equatorial Guinea", False),
        ("Abuja is the capital of which country?", "Niger", False),
        ("What is the currency of Ghana?", "Ghana uses Ghanaian cedis.", True),
    ],
)
def test_check(question, answer, right):
    fact = find(question)
    assert fact is not None
    assert check(fact, answer) is right


def test_find_ignores_case_and_space_only():
    fact = find("  what is the CAPITAL of\n peru? ")
    assert fact is not None and fact.id == "capital-peru"
    assert find("What's the capital of Peru?") is None
    assert find("") is None


def test_split_is_pinned():
    """A changed split would silently put evaluation subjects into training data on disk."""
    assert {f.subject for f in show_facts()} == {
        "Czechia", "Hungary", "Papua New Guinea", "nitrogen", "lead",
    }  # fmt: skip
    assert facts.split_of("France") == facts.split_of("France")
    assert len(facts_of("train")) == 380
    assert len(facts_of("evaluate")) == 264


def test_importing_facts_brings_no_training_library():
    code = (
        "import sys; from imitation.facts import find; find('x');"
        "print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"

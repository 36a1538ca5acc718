"""Natural Questions by the official normalisation, with lm-eval's number beside it."""

import json
from pathlib import Path

import pytest

from imitation.evaluation.metrics.natural_questions import (
    as_stopped_by_lm_eval,
    exact_match,
    normalise,
)

NQ = Path(__file__).parents[4] / "shared" / "reference" / "nq_open_dev_300.jsonl"
needs_nq = pytest.mark.skipif(not NQ.is_file(), reason=f"no questions at {NQ}")


@pytest.fixture(scope="module")
def questions():
    return [json.loads(line) for line in NQ.read_text("utf-8").split("\n") if line.strip()]


@pytest.mark.parametrize(
    ("said", "accepted", "right"),
    [
        ("J. K. Rowling", ["J. K. Rowling"], True),
        (" j k  rowling.\nQ: and then?", ["J. K. Rowling"], True),
        ("The  Beatles", ["beatles"], True),
        ("THE BEATLES!", ["Beatles"], True),
        ("14 December, 1972", ["December 14, 1972", "14 December 1972"], True),
        ("London or Paris", ["London"], False),
        ("I say:\nLondon", ["London"], False),
        ("", ["London"], False),
        ("Theatre", ["atre"], False),
    ],
)
def test_right_by_case_punctuation_articles_and_spaces_alike(said, accepted, right):
    assert exact_match(said, accepted) is right


def test_the_normalisation_is_squads():
    # Punctuation goes without leaving a space, then articles as whole words, then spaces.
    assert normalise("The U.S.A.'s  an-swer, a  Theory") == "usas answer theory"


def test_what_lm_evals_stops_leave():
    assert as_stopped_by_lm_eval(" J. K. Rowling") == "J"
    assert as_stopped_by_lm_eval("in 1972, on the moon\nQ:") == "in 1972"
    assert as_stopped_by_lm_eval("London") == "London"


@needs_nq
def test_every_accepted_answer_can_be_given(questions):
    for question in questions:
        for answer in question["answer"]:
            for said in (answer, f"  {answer.upper()} ", f"The {answer}.", f"{answer}\nQ: next?"):
                assert exact_match(said, question["answer"]), (said, question)


@pytest.mark.slow  # lm-eval takes seconds to import
@needs_nq
def test_lm_evals_number_is_lm_evals_own(questions, tmp_path):
    """18 of 300 questions can be answered in no way that its stops leave whole."""
    import lm_eval.tasks

    from imitation.evaluation.harness.tasks.lab import score_nq

    theirs = Path(lm_eval.tasks.__file__).parent / "nq_open" / "nq_open.yaml"
    splits = "".join(f"    {name}: {NQ}\n" for name in ("train", "validation"))
    (tmp_path / "nq_theirs.yaml").write_text(
        f"include: {theirs}\ntask: nq_theirs\ndataset_path: json\n"
        f"dataset_kwargs:\n  data_files:\n{splits}",
        "utf-8",
    )
    manager = lm_eval.tasks.TaskManager(include_path=str(tmp_path), include_defaults=False)
    task = manager.load(["nq_theirs"])["tasks"]["nq_theirs"]
    out_of_reach = 0
    for question in questions:
        reached = False
        for answer in question["answer"]:
            for said in (answer, f"The {answer}", f"{answer.upper()}.", f"{answer}, I think"):
                found = score_nq(question, [said])
                whole = task.process_results(question, [as_stopped_by_lm_eval(said)])
                assert found["exact_match_lm_eval"] == whole["exact_match"], (said, question)
            found = score_nq(question, [answer])
            assert found["exact_match"] == 1.0
            reached |= bool(found["exact_match_lm_eval"])
        out_of_reach += not reached
    assert out_of_reach == 18


def test_nothing_is_no_answer() -> None:
    assert not exact_match("", ["A"]) and not exact_match(" \n x", ["The"])
    assert exact_match("A", ["a"]) and exact_match("a\nQ:", ["O", "A"])

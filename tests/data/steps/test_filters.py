"""Length and refusals."""

import pytest

from imitation.data.steps.filters import drop_refusals, keep_lengths, refusal
from imitation.values import Example, Message


def answered(*answers):
    turns = [m for a in answers for m in (Message("user", "q"), Message("assistant", a))]
    return Example(tuple(turns), id=answers[0][:5])


def test_lengths_count_the_words_of_all_answers():
    examples = [answered("one"), answered("one two", "three"), answered("a b c d e")]
    outcome = keep_lengths(examples, 2, 4)
    assert outcome.kept == [examples[1]]
    assert outcome.reasons == {"fewer than 2 words": 1, "more than 4 words": 1}
    assert {d.detail for d in outcome.dropped} == {"1 words", "5 words"}


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that request.",
        "I\u2019m sorry, but I cannot assist with this.",
        "As an AI language model, I don't have personal opinions.",
        "I must decline.",
    ],
)
def test_refusals(answer):
    assert refusal(answer)
    assert not drop_refusals([answered("Sure!", answer)]).kept


@pytest.mark.parametrize(
    "answer",
    [
        "Sure, here is the poem.",
        "You can't sort a tuple in place.",
        "Here is an apology: " + "so very " * 60 + "I'm sorry, but I can't come.",
        "",
    ],
)
def test_answers_that_only_sound_alike(answer):
    assert refusal(answer) is None

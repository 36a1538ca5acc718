import itertools

import pytest

from imitation.models.tally import Tally


def told(tally: Tally, pieces: list[str]) -> str:
    found = [tally.feed(piece) for piece in pieces] + [tally.flush()]
    return "".join(delta.text for delta in found if delta)


def cuts(text: str):
    """Every way to cut a text into three pieces."""
    for a, b in itertools.combinations_with_replacement(range(len(text) + 1), 2):
        yield [text[:a], text[a:b], text[b:]]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("an answer", "an answer"),
        ("one</s>two", "one"),
        ("a < b </ c </s", "a < b </ c </s"),
        ("<</s>", "<"),
        ("USER:", ""),
        ("say USER: and </s>", "say "),
        ("</s>USER:", ""),
    ],
)
def test_an_answer_ends_at_its_first_stop_string_however_it_is_cut(text, shown):
    for pieces in cuts(text):
        tally = Tally(("</s>", "USER:", ""))
        assert told(tally, pieces) == shown
        assert tally.stopped == (shown != text)


def test_text_is_held_back_no_longer_than_it_must_be():
    tally = Tally(("</s>",))
    assert tally.feed("a <").text == "a "
    assert tally.feed("b").text == "<b"
    assert Tally().feed("a <").text == "a <"


def test_times_and_counts():
    tally = Tally(("END",), started=0.0)
    assert tally.feed("") is None
    tally.feed("one")
    tally.feed(" two")
    done = tally.done("eos_token")
    assert done.finish_reason == "stop"
    assert done.completion_tokens == 2 and done.tokens_are_approximate
    assert 0 < done.first_token_s <= done.total_s
    exact = tally.done("length", 5, 9)
    assert (exact.prompt_tokens, exact.completion_tokens) == (5, 9)
    assert exact.finish_reason == "length" and not exact.tokens_are_approximate


def test_a_stopped_answer_waits_a_little_for_how_it_ended():
    tally = Tally(("END",))
    tally.feed("END")
    assert tally.stopped and not tally.over
    for _ in range(3):
        assert tally.feed("more") is None
    assert tally.over and tally.done("length").finish_reason == "stop"

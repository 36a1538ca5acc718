import itertools
import re
from pathlib import Path

import pytest

from imitation import models
from imitation.models.http.stop_filter import StopFilter


def told(tally: StopFilter, pieces: list[str]) -> str:
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
        tally = StopFilter(("</s>", "USER:", ""))
        assert told(tally, pieces) == shown
        assert tally.stopped == (shown != text)


def test_text_is_held_back_no_longer_than_it_must_be():
    tally = StopFilter(("</s>",))
    assert tally.feed("a <").text == "a "
    assert tally.feed("b").text == "<b"
    assert StopFilter().feed("a <").text == "a <"


def test_times_and_counts():
    tally = StopFilter(("END",), started=0.0)
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
    tally = StopFilter(("END",))
    tally.feed("END")
    assert tally.stopped and not tally.over
    for _ in range(3):
        assert tally.feed("more") is None
    assert tally.over and tally.done("length").finish_reason == "stop"


def played(*pieces: str, stop: tuple[str, ...] = ()) -> str:
    tally = StopFilter(stop)
    shown = [tally.feed(piece) for piece in pieces]
    return "".join(delta.text for delta in (*shown, tally.flush()) if delta)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (("\ud83d", "\ude00"), "😀"),
        (("a \ud83d", "\ude00 b"), "a 😀 b"),
        (("\ud83d\ude00",), "😀"),
        (("\ud83d", "", "\ude00"), "😀"),
        (("\ud83d", "x"), "\ufffdx"),
        (("\ude00", "x"), "\ufffdx"),
        (("x", "\ud83d"), "x\ufffd"),
        (("\ud83d", "\ud83d", "\ude00"), "\ufffd😀"),
        (("\ude00\ud83d",), "\ufffd\ufffd"),
        (
            ("Zürich", " 日本", "👩\u200d🚀", "\ufeff", "\u2028"),
            "Zürich 日本👩\u200d🚀\ufeff\u2028",
        ),
    ],
)
def test_halves_of_characters_are_joined_and_lone_ones_replaced(pieces, text):
    assert played(*pieces) == text
    assert played(*pieces, stop=("no such stop",)) == text


def test_a_stop_string_of_joined_halves_is_found():
    assert played("a \ud83d", "\ude00 b", stop=("😀",)) == "a "


def test_a_server_that_allowed_less_is_noticed():
    tally = StopFilter(max_tokens=300)
    tally.feed("x")
    assert tally.done("length", 880, 144).was_shortened
    assert not tally.done("length", 880, 300).was_shortened
    assert not tally.done("stop", 880, 144).was_shortened
    assert not tally.done("length").was_shortened, "pieces are no tokens"


def test_text_that_came_at_once_has_no_speed():
    at_once, one_read, two = StopFilter(), StopFilter(), StopFilter()
    at_once.feed("all of it")
    for piece in "ab":
        one_read.feed(piece, 7)
        two.feed(piece)
    assert at_once.done("stop", 5, 50).tokens_per_s is None
    assert one_read.done("stop", 5, 50).tokens_per_s is None
    assert two.done("stop", 5, 50).tokens_per_s > 0


def test_all_text_of_all_backends_passes_a_tally():
    # Recordings are the exception: their files are cleaned when read.
    texts = {p.stem: p.read_text("utf-8") for p in Path(models.__file__).parent.rglob("*.py")}
    makers = {name for name, text in texts.items() if re.search(r"\bDelta\(", text)}
    makers -= {name for name, text in texts.items() if "case Delta(" in text}
    assert makers == {"stop_filter", "recorded"}

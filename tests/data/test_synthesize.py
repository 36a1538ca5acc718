"""Pairs like seed pairs: what is asked, what is read, and when it ends."""

import asyncio
import json

import pytest

from imitation.data import synthesize as module
from imitation.data.synthesize import Pair, drawn_from, parse, prompt_of, seed_pairs, synthesize
from imitation.errors import BackendError, UserError

SEEDS = [Pair(f"who is number {n}", f"N{n}") for n in range(10)]


def gather(write, wanted=10, **options):
    """What `write` (number, prompt -> text) comes to; and the prompts it was asked."""
    asked = {}

    async def ask(number, prompt):
        asked[number] = prompt
        await asyncio.sleep(0.001 * (number % 3))  # answers come back in another order
        return write(number, prompt)

    return asyncio.run(synthesize(ask, SEEDS, wanted, **options)), asked


def pairs(number, count=2):
    return "\n".join(f"Question: what is {number}-{n}?\nAnswer: {n}" for n in range(count))


@pytest.mark.parametrize(
    ("text", "found", "alone"),
    [
        ("Question: a?\nAnswer: b", [("a?", "b")], 0),
        ("1. **Question:** a?\n   **Answer:** b\n\n2. Question: c?\nAnswer: d",
         [("a?", "b"), ("c?", "d")], 0),
        ("Sure! Here they are:\n\nQ1: a?\nA1: b", [("a?", "b")], 0),
        ("- question: a? \n- ANSWER:  b ", [("a?", "b")], 0),
        ("Question: a?\nQuestion: c?\nAnswer: d", [("c?", "d")], 1),
        ("Answer: b\nQuestion: a?", [], 2),
        ("Question:\nAnswer: b", [], 1),
        ("Question: a?\nAnswer:", [], 2),
        ("I cannot help with that.", [], 0),
        ("", [], 0),
        ("Question: what: is?\nAnswer: it: is", [("what: is?", "it: is")], 0),
    ],
)  # fmt: skip
def test_pairs_are_read_as_models_write_them(text, found, alone):
    assert parse(text) == ([Pair(*pair) for pair in found], alone)


def test_a_prompt_shows_five_of_ten_and_asks_for_similar_but_distinct():
    gathered, asked = gather(lambda number, prompt: pairs(number))
    assert gathered.ended == "there are enough" and len(gathered.pairs) == 10
    for prompt in asked.values():
        assert sum(seed.question in prompt for seed in SEEDS) == 5
        assert "similar but distinct" in prompt
    assert len(set(asked.values())) > 1, "drawn anew for each"


def test_equal_answers_give_equal_pairs_however_many_at_once():
    one, first = gather(lambda number, prompt: pairs(number), concurrency=1, seed=3)
    many, other = gather(lambda number, prompt: pairs(number), concurrency=7, seed=3)
    assert one.pairs == many.pairs
    assert all(other[number] == prompt for number, prompt in first.items())
    assert gather(lambda number, prompt: pairs(number), seed=4)[1][0] != first[0]


def test_exact_duplicates_and_seeds_are_dropped():
    def write(number, prompt):
        return f"Question: WHO is number  1\nAnswer: n1\n{pairs(number // 4)}"

    gathered, _ = gather(write, wanted=6)
    found = [pair for _, pair in gathered.pairs]
    assert len(found) == len(set(found)) == 6
    assert gathered.duplicates >= gathered.rounds, "the seed each time"


def test_it_ends_when_nothing_new_comes():
    gathered, _ = gather(lambda number, prompt: "I am not sure.")
    assert (gathered.rounds, gathered.empty) == (module.DRY, module.DRY)
    assert "no new pair" in gathered.ended and gathered.pairs == []


def test_it_ends_when_next_to_nothing_new_comes():
    def write(number, prompt):
        return pairs(number, 1) if number % 24 == 0 else "Question: alone?"

    gathered, _ = gather(write, wanted=1000, concurrency=4)
    assert "fewer than 5 new pairs" in gathered.ended
    assert gathered.malformed == gathered.rounds - len(gathered.pairs)


def test_failures_are_counted_and_many_in_a_row_end_it():
    def write(number, prompt):
        if number % 2:
            raise BackendError("Overloaded.")
        return pairs(number)

    gathered, _ = gather(write)
    assert len(gathered.pairs) == 10 and gathered.failed >= 4

    def never(number, prompt):
        raise BackendError("Gone.")

    gathered, _ = gather(never)
    assert gathered.failed == module.FAILING and "Gone." in gathered.ended


def test_a_stop_ends_it_between_rounds():
    gathered, asked = gather(lambda n, p: pairs(n), wanted=50, stopped=lambda: True)
    assert (gathered.ended, asked) == ("stopped", {})


def test_seed_files(tmp_path):
    path = tmp_path / "seeds.jsonl"
    rows = [
        {"question": "a  b?", "answer": ["", "c", "d"]},
        {"question": "e?", "answers": "f"},
        {"prompt": "g?", "answer": "h"},
        {"question": "none?", "answer": []},
        {"other": 1},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{oops\n")
    assert seed_pairs(path, 10, 0) == [Pair("a b?", "c"), Pair("e?", "f"), Pair("g?", "h")]
    path.write_text('{"question": "a?", "answer": "b"}\n')
    with pytest.raises(UserError, match="2 are the least"):
        seed_pairs(path, 10, 0)


def test_the_pool_is_drawn_with_the_seed():
    assert drawn_from(SEEDS, 4, 0) == drawn_from(SEEDS, 4, 0) != drawn_from(SEEDS, 4, 1)
    assert drawn_from(SEEDS, 99, 0) == SEEDS
    assert "Here are 2 questions" in prompt_of(SEEDS[:2])

import pytest

from imitation.errors import BackendError
from imitation.models.truncation import estimate, fit
from imitation.values import Message

SYSTEM = Message("system", "be brief")


def talk(turns: int, words: int = 10) -> tuple[Message, ...]:
    """`turns` queries of `words` words each, all but the last with an answer as long."""
    found = []
    for n in range(turns):
        found += [Message("user", f"q{n} " * words), Message("assistant", f"a{n} " * words)]
    return tuple(found[:-1])


class Counter:
    """One token a word, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, messages) -> int:
        self.asked += 1
        return sum(len(m.content.split()) for m in messages)


async def test_what_certainly_fits_is_not_counted():
    count = Counter()
    found = await fit(talk(3), name="M", context=4096, reserve=256, count=count)
    assert found.kept == talk(3) and found.dropped == () and not found.estimated
    assert count.asked == 0


@pytest.mark.parametrize("room", range(10, 420, 7))
@pytest.mark.parametrize("system", [(), (SYSTEM,)])
async def test_the_fewest_oldest_turns_are_dropped(room, system):
    messages = system + talk(20)
    count = Counter()
    if room < 10 + 2 * len(system):
        with pytest.raises(BackendError, match="room for"):
            await fit(messages, name="M", context=room + 5, reserve=5, count=count)
        return
    found = await fit(messages, name="M", context=room + 5, reserve=5, count=count)
    assert system + found.dropped + found.kept[len(system) :] == messages
    assert found.kept[: len(system)] == system
    assert found.kept[len(system)].role == "user" and found.kept[-1] == messages[-1]
    assert await Counter()(found.kept) <= room
    if found.dropped:
        # One turn more would have been too much.
        assert await Counter()(found.dropped[-2:] + found.kept) > room
    assert count.asked <= 8


async def test_the_last_query_is_never_dropped():
    with pytest.raises(BackendError) as caught:
        await fit(talk(3, 50), name="M", context=60, reserve=20, count=Counter())
    assert "takes 50 tokens, and M has room for 40 (60 less 20" in caught.value.message


async def test_an_answer_as_long_as_the_context_is_refused():
    with pytest.raises(BackendError, match="context of 100 tokens") as caught:
        await fit(talk(1), name="M", context=100, reserve=100)
    assert "fewer than 100" in caught.value.hint


async def test_an_estimate_drops_but_says_so():
    found = await fit(talk(20, 40), name="M", context=1024, reserve=100)
    assert found.estimated and found.dropped and estimate(found.kept) <= 924


async def test_an_estimate_refuses_only_what_no_tokenizer_could_fit():
    close = (Message("user", "word " * 700),)  # 3500 bytes: 1167 tokens at most by the estimate
    found = await fit(close, name="M", context=1000, reserve=100)
    assert found.kept == close
    tight = (Message("user", "What is the capital of France?"),)
    assert (await fit(tight, name="M", context=1000, reserve=970)).kept == tight
    with pytest.raises(BackendError, match="at least about"):
        await fit((Message("user", "word " * 5000),), name="M", context=1000, reserve=100)


async def test_empty_conversations_pass_through():
    assert (await fit((), name="M", context=100, reserve=10)).kept == ()
    only = (SYSTEM,)
    assert (await fit(only, name="M", context=200, reserve=10)).kept == only

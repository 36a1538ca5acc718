import pytest

from imitation.errors import BackendError
from imitation.models.http.retry import RetryableError, RetryPolicy, with_retries

BUSY = RetryableError("busy", status=429)


def attempts(*scripts):
    """A maker of attempts that yield the items of a script and raise its errors."""
    left = list(scripts)
    closed = []

    async def attempt():
        script = left.pop(0)
        try:
            for item in script:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            closed.append(script)

    return attempt, left, closed


async def drained(attempt, patience: RetryPolicy) -> list:
    return [item async for item in with_retries(attempt, patience)]


QUICK = RetryPolicy(attempts=3, first_wait_s=0.001, longest_s=0.1)


async def test_the_first_attempt_that_yields_is_taken():
    attempt, left, _ = attempts([BUSY], [BUSY], ["a", "b"], ["c"])
    assert await drained(attempt, QUICK) == ["a", "b"]
    assert left == [["c"]]


async def test_nothing_is_tried_again_once_something_was_yielded():
    attempt, left, _ = attempts(["a", BUSY], ["b"])
    with pytest.raises(RetryableError):
        await drained(attempt, QUICK)
    assert left == [["b"]]


async def test_other_errors_are_not_tried_again():
    attempt, left, _ = attempts([BackendError("no", retryable=True)], ["b"])
    with pytest.raises(BackendError, match="no"):
        await drained(attempt, QUICK)
    assert left == [["b"]]


async def test_closing_closes_the_attempt():
    attempt, _, closed = attempts(["a", "b"])
    items = with_retries(attempt, QUICK)
    assert await anext(items) == "a"
    await items.aclose()
    assert closed == [["a", "b"]]


def test_waits_double_and_are_bounded():
    patience = RetryPolicy(attempts=4, first_wait_s=1.0, longest_s=5.0)
    for _ in range(50):
        assert 0.75 <= patience.wait_s(1, BUSY, 0) <= 1.0
        assert 1.5 <= patience.wait_s(2, BUSY, 1) <= 2.0
    assert patience.wait_s(4, BUSY, 0) is None
    assert patience.wait_s(3, BUSY, 4.5) is None
    assert patience.wait_s(1, RetryableError("", retry_after_s=3), 0) == 3
    assert patience.wait_s(1, RetryableError("", retry_after_s=0), 0) > 0
    assert patience.wait_s(1, RetryableError("", retry_after_s=6), 0) is None

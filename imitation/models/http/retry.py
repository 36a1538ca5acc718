"""Asking again, within bounds: only before any text was passed on, only where it may help."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from imitation.errors import BackendError

T = TypeVar("T")


class RetryableError(BackendError):
    """A refusal that soon may be none: overloaded, still loading, nobody there yet.

    Attributes:
        retry_after_s: Seconds the server asked to wait, None where it did not say.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint, status=status, retryable=True)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try.

    Attributes:
        attempts: Requests in all.
        first_wait_s: Wait after the first refusal; each later one doubles, less up to a quarter
            by chance so that columns refused together do not return together.
        longest_s: Waits together never exceed this; a server that asks for more is not waited for.
    """

    attempts: int = 4
    first_wait_s: float = 0.25
    longest_s: float = 20.0

    def wait_s(self, attempt: int, error: RetryableError, waited_s: float) -> float | None:
        """Seconds to wait after the failed `attempt` (from 1), None to give up."""
        if attempt >= self.attempts:
            return None
        wait = self.first_wait_s * 2 ** (attempt - 1) * random.uniform(0.75, 1.0)
        if error.retry_after_s is not None:
            wait = max(wait, error.retry_after_s)
        return wait if waited_s + wait <= self.longest_s else None


async def with_retries(
    attempt: Callable[[], AsyncGenerator[T, None]], patience: RetryPolicy
) -> AsyncGenerator[T, None]:
    """Items of the first attempt that yields one; closing this closes the attempt.

    Raises:
        BackendError: Of the last attempt, or of one that had yielded something.
    """
    waited, number = 0.0, 0
    while True:
        number += 1
        passed_on = False
        try:
            async with aclosing(attempt()) as items:
                async for item in items:
                    passed_on = True
                    yield item
            return
        except RetryableError as error:
            wait = None if passed_on else patience.wait_s(number, error, waited)
            if wait is None:
                raise
        await asyncio.sleep(wait)
        waited += wait

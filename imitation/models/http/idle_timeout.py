"""How long a stream may be silent, where a server also sends signs of life that are no events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")
MAX_SILENCES = 10
"""Times the longest silence that signs of life without a token are waited through."""


class IdleTimeout:
    """The silence of one stream.

    Args:
        silence_s: Longest silence between two bytes, in seconds.
        times: Times that silence, an event must come; signs of life do not go on for ever.

    Attributes:
        had_heartbeats: True where the last event was waited for through signs of life.
        arrivals: Reads from the network so far.
    """

    def __init__(self, silence_s: float, times: float) -> None:
        self._silence_s, self._times = silence_s, times
        self._timer: asyncio.Timeout | None = None
        self._last = 0.0
        self.had_heartbeats = False
        self.arrivals = 0

    def heartbeat(self) -> None:
        """Something came, whatever it is."""
        self.arrivals += 1
        if self._timer is not None and not self._timer.expired():
            self.had_heartbeats = True
            now = asyncio.get_running_loop().time()
            self._timer.reschedule(min(now + self._silence_s, self._last))

    async def guard(self, events: AsyncIterator[T]) -> AsyncIterator[T]:
        """The items of `events`.

        Raises:
            TimeoutError: Nothing came for too long.
        """
        iterator = aiter(events)
        while True:
            self.had_heartbeats = False
            self._last = asyncio.get_running_loop().time() + self._silence_s * self._times
            try:
                async with asyncio.timeout(self._silence_s) as self._timer:
                    try:
                        item = await anext(iterator)
                    except StopAsyncIteration:
                        return
            finally:
                self._timer = None
            yield item

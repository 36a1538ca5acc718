"""Which models can be asked, found out in the background; a page only reads what is known."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from imitation.errors import UserError
from imitation.models.backends.registry import Backends
from imitation.values import ModelSpec

log = logging.getLogger(__name__)

State = Literal["unknown", "ok", "unreachable"]
INTERVAL_S = 30.0
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a model.

    Attributes:
        state: "unknown" until it was first asked.
        reason: Why it is unreachable, in words; else empty.
        hint: What to do about it.
        checked_at: When that was found, seconds since the epoch; None while unknown.
    """

    state: State = "unknown"
    reason: str = ""
    hint: str = ""
    checked_at: float | None = None


class Health:
    """Asks every model again and again, without holding anything else up.

    Args:
        backends: Their `probe` is asked.
        cards: The cards of now; called for every round, so that a reloaded catalog is followed.
        interval_s: Seconds between two rounds.
    """

    def __init__(
        self,
        backends: Backends,
        cards: Callable[[], Iterable[ModelSpec]],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._backends = backends
        self._cards = cards
        self._interval_s = interval_s
        self._known: dict[str, Status] = {}
        self._task: asyncio.Task[None] | None = None

    def status(self, card_id: str) -> Status:
        """What is known of a card; answers at once."""
        return self._known.get(card_id, Status())

    def start(self) -> None:
        """Begin asking, in the running event loop; does nothing where that has begun."""
        if self._task is None or self._task.get_loop() is not asyncio.get_running_loop():
            self._task = asyncio.create_task(self._run(), name="health")

    async def stop(self) -> None:
        """Stop asking; safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def check(self, cards: Iterable[ModelSpec] | None = None) -> None:
        """Ask these cards now, a few at once; every card if none are given."""
        gate = asyncio.Semaphore(AT_ONCE)
        everyone = cards is None
        found = list(self._cards() if cards is None else cards)

        async def one(card: ModelSpec) -> None:
            async with gate:
                self._known[card.id] = await self._ask(card)

        await asyncio.gather(*map(one, found))
        if everyone:
            ids = {card.id for card in found}
            self._known = {id: status for id, status in self._known.items() if id in ids}

    async def _run(self) -> None:
        while True:
            await self.check()
            await asyncio.sleep(self._interval_s)

    async def _ask(self, card: ModelSpec) -> Status:
        try:
            # Importing a client library takes a second, which the page's loop has better uses for.
            await asyncio.to_thread(self._backends.__getitem__, card.backend)
            await self._backends.probe(card)
        except UserError as error:
            return Status("unreachable", error.message, error.hint, time.time())
        except Exception:
            # The loop has to outlive a fault of ours in one backend.
            log.exception("asking %s whether it can be reached failed", card.id)
            return Status(checked_at=time.time())
        return Status("ok", checked_at=time.time())

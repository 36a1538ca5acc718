"""One prompt answered by several models at once.

Each column has a reader of its own; none waits for another. Whoever watches gets snapshots at a
bounded rate. When nobody watches any more, the readers are cancelled and the servers' work with
them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from imitation.errors import UserError
from imitation.models.backends import Backends
from imitation.values import Answer, Delta, Done, Message, ModelCard, Sampling, Sent, Turn

log = logging.getLogger(__name__)

FRAME_S = 0.08
"""Least time between two snapshots, seconds; the first text of a column is passed on at once."""


def conversation(
    system: str, turns: Sequence[Turn], column: int, prompt: str
) -> tuple[Message, ...]:
    """What one column is sent: its own earlier answers, then the new prompt.

    Turns this column left unanswered are left out, so that roles keep alternating.
    """
    messages = [Message("system", system)] if system.strip() else []
    for turn in turns:
        if turn.answers[column].text:
            messages += [
                Message("user", turn.prompt),
                Message("assistant", turn.answers[column].text),
            ]
    return (*messages, Message("user", prompt))


class Round:
    """One turn in progress: a reader and the answer so far for every column."""

    def __init__(
        self,
        backends: Backends,
        cards: Sequence[ModelCard],
        messages: Sequence[Sequence[Message]],
        sampling: Sampling,
    ) -> None:
        self._backends = backends
        self.cards = tuple(cards)
        self._messages = tuple(messages)
        self._sampling = sampling
        self.answers = [Answer() for _ in cards]
        self._tasks: list[asyncio.Task[None] | None] = [None] * len(self.cards)
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._watchers = 0
        self._preparation: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """True while any column is still being answered."""
        return any(task is not None and not task.done() for task in self._tasks)

    def start(self, column: int | None = None) -> None:
        """Ask one column, or all of them, afresh; a column being answered is left alone."""
        # First, so that the columns' engines are planned together; the columns don't wait for it.
        self._preparation = asyncio.create_task(self._prepare())
        for index in range(len(self.cards)) if column is None else (column,):
            task = self._tasks[index]
            if task is None or task.done():
                self.answers[index] = Answer()
                task = asyncio.create_task(self._read(index))
                task.add_done_callback(lambda _: self._changed.set())
                self._tasks[index] = task
        self._changed.set()

    def stop(self, column: int | None = None) -> None:
        """Stop one column, or all of them; what has been written stays."""
        for index in range(len(self.cards)) if column is None else (column,):
            if task := self._tasks[index]:
                task.cancel()

    async def _prepare(self) -> None:
        """Have the models made ready and pass on how far they are; who is asked reports errors."""
        loop = asyncio.get_running_loop()

        def tell(fraction: float | None, text: str) -> None:
            loop.call_soon_threadsafe(self._tell, fraction, text)

        try:
            await self._backends.prepare(self.cards, tell)
        except UserError as error:
            log.info("preparing failed: %s", error)

    def _tell(self, progress: float | None, status: str) -> None:
        for index, (card, answer) in enumerate(zip(self.cards, self.answers, strict=True)):
            if card.backend == "embedded" and answer.state == "waiting" and answer.sent is None:
                self.answers[index] = dataclasses.replace(answer, status=status, progress=progress)
        self._changed.set()

    async def watch(self) -> AsyncGenerator[tuple[Answer, ...], None]:
        """Snapshots until every column has ended; the last one is complete.

        When the last watcher leaves early, all columns are stopped.
        """
        self._watchers += 1
        try:
            while self.running:
                yield tuple(self.answers)
                await self._next_frame()
            yield tuple(self.answers)
        finally:
            self._watchers -= 1
            if not self._watchers:
                self.stop()

    async def _next_frame(self) -> None:
        """Wait for news (a second at most), then for the frame's end or something urgent."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), 1.0)
        self._changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._urgent.wait(), FRAME_S)
        self._urgent.clear()

    async def _read(self, index: int) -> None:
        started = time.perf_counter()
        card = self.cards[index]

        def update(**changes: object) -> None:
            elapsed = time.perf_counter() - started
            self.answers[index] = dataclasses.replace(
                self.answers[index],
                elapsed_s=elapsed,
                **changes,  # type: ignore[arg-type]
            )
            self._changed.set()

        def fail(message: str, hint: str) -> None:
            update(state="failed", error=(message, hint))

        try:
            stream = self._backends.stream(card, self._messages[index], self._sampling)
            async with aclosing(stream) as events:
                async for event in events:
                    answer = self.answers[index]
                    match event:
                        case Sent():
                            update(sent=event, status="", progress=None)
                        case Delta(text=text):
                            first = answer.first_token_s
                            if first is None:
                                first = time.perf_counter() - started
                                self._urgent.set()
                            update(
                                text=answer.text + text,
                                tokens=answer.tokens + 1,
                                first_token_s=first,
                                state="streaming",
                            )
                        case Done():
                            update(done=event, state="done")
            if self.answers[index].state != "done":
                fail(f"{card.name} ended its answer without saying how.", "Try again.")
        except asyncio.CancelledError:
            update(state="stopped")
        except UserError as error:
            fail(error.message, error.hint)
        except Exception as error:  # the column's boundary: one bad column never takes the others
            log.exception("column %s (%s) failed", index, card.id)
            fail(
                f"{card.name} failed unexpectedly ({type(error).__name__}).",
                "The whole error is in the app's log. Try again.",
            )
        finally:
            self._urgent.set()

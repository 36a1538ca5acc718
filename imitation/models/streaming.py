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
from typing import Any

from imitation.errors import UserError
from imitation.models.backends.registry import Backends
from imitation.values import Answer, Delta, Done, Event, Message, ModelSpec, Sampling, Sent, Turn

log = logging.getLogger(__name__)

MOST_TOKENS = 100_000
"""Most new tokens that can be asked for."""
FRAME_S = 0.08
"""Least time between two snapshots, seconds; the first text of a column is passed on at once."""


def check_sampling(sampling: Sampling) -> Sampling:
    """The parameters, as the numbers they have to be.

    Raises:
        UserError: One is no number, or out of its range.
    """
    whole = 2**63
    return dataclasses.replace(
        sampling,
        temperature=_within("temperature", sampling.temperature, 0, 2),
        top_p=_within("top_p", sampling.top_p, 0.001, 1),
        max_tokens=int(_within("max_tokens", sampling.max_tokens, 1, MOST_TOKENS, whole=True)),
        seed=None
        if sampling.seed is None
        else int(_within("seed", sampling.seed, -whole, whole - 1, whole=True)),
    )


def _within(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> Any:
    kind = "a whole number" if whole else "a number"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or (whole and value != int(value)):
        shown = str(value)[:40] if is_number else repr(value)[:40]
        raise UserError(f"{name} = {shown} should be {kind} from {low:g} to {high:g}.")
    return value


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
        cards: Sequence[ModelSpec],
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
            with suppress(RuntimeError):  # the loop has ended; an engine's thread goes on
                loop.call_soon_threadsafe(self._tell, fraction, text)

        try:
            await self._backends.prepare(self.cards, tell)
        except UserError as error:
            log.info("preparing failed: %s", error)
        except Exception:
            log.exception("preparing failed")

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

        def take(event: Event) -> None:
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

        try:
            stream = self._backends.stream(card, self._messages[index], self._sampling)
            async with aclosing(stream) as events:
                async for event in events:
                    take(event)
            if self.answers[index].state != "done":
                fail(f"{card.name} ended its answer without saying how.", "Try again.")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the column's boundary: it never takes others with it
            if self.answers[index].state == "done":
                log.info("column %s (%s) ended oddly after its answer: %r", index, card.id, error)
            elif _is_cancelled():
                update(state="stopped")
            elif isinstance(error, UserError):
                fail(error.message, error.hint)
            else:
                log.exception("column %s (%s) failed", index, card.id)
                fail(
                    f"{card.name} failed unexpectedly ({type(error).__name__}).",
                    "The whole error is in the app's log. Try again.",
                )
        finally:
            self._urgent.set()


def _is_cancelled() -> bool:
    """Whether somebody stopped this task; a library's own cancellation is a failure like others."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

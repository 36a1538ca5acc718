"""One column's failure, of whatever kind and at whatever moment, leaves the others alone."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

import pytest

from dashboards.api import actions as api
from dashboards.compare import view as compare_view
from dashboards.compare.question import Question
from dashboards.compare.session import Session
from dashboards.compare.view import arena_html
from dashboards.shell import markdown
from imitation.errors import BackendError, StorageError
from imitation.models.backends.registry import complete
from imitation.models.download import Progress
from imitation.models.streaming import Round
from imitation.storage import comparisons
from imitation.values import Delta, Done, Event, ModelSpec, Sampling, Sent
from tests.dashboards.compare.test_session import NAMES, Lab


class Unknown(Exception):
    """No error anybody planned for."""


class Panic(BaseException):
    """As libraries in Rust raise it: no `Exception`."""


def mixed() -> BaseException:
    return BaseExceptionGroup("several", [Unknown(), Panic()])


ERRORS = {
    "unknown": Unknown,
    "memory": MemoryError,
    "recursion": RecursionError,
    "encoding": lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    "its own cancellation": asyncio.CancelledError,
    "an end of iteration": StopAsyncIteration,
    "panic": Panic,
    "group": mixed,
    "planned": lambda: BackendError("The server is overloaded.", "Try again soon."),
}
POINTS = (
    "call", "before the first event", "after sent", "between pieces", "after the last piece",
    "wrong event", "wrong text", "after done", "on close",
)  # fmt: skip
ANSWERED = ("after done", "on close")


class Faulty:
    """The lab's backend, with one card that fails at a point of its life."""

    def __init__(self, inner: object, point: str, make: object) -> None:
        self.inner, self.point, self.make = inner, point, make

    def stream(self, card: ModelSpec, *rest: object) -> AsyncGenerator[Event, None]:
        if card.id != "i":
            return self.inner.stream(card, *rest)
        if self.point == "call":
            raise self.make()
        return self._events()

    async def prepare(self, cards: Iterable[ModelSpec], progress: Progress) -> None:
        if self.point == "prepare":
            raise self.make()

    async def _events(self) -> AsyncGenerator[Event, None]:
        def at(point: str) -> None:
            if self.point == point:
                raise self.make()

        at("before the first event")
        try:
            yield Sent("x", "i")
            at("after sent")
            yield Delta("One")
            at("between pieces")
            yield Delta(None if self.point == "wrong text" else " two")
            at("after the last piece")
            yield object() if self.point == "wrong event" else Done("stop", 1, 2, False, 0.01, 0.02)
            at("after done")
        finally:
            at("on close")


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("point", POINTS)
async def test_a_fault_in_a_stream(tmp_path: Path, point: str, name: str) -> None:
    lab = Lab(tmp_path)
    lab.context.backends = Faulty(lab.backend, point, ERRORS[name])
    await lab.ask()
    _check(lab, point in ANSWERED)
    shots = [s async for s in api.compare(lab.context, "Why?", list(NAMES), "", Sampling())]
    states = [column["state"] for column in shots[-1]["columns"]]
    assert states == ["done", "done" if point in ANSWERED else "failed", "done"]


def _check(lab: Lab, is_answered: bool) -> None:
    first, faulty, last = lab.session.answers
    assert (first.state, first.text) == (last.state, last.text) == ("done", "Hello there.")
    assert faulty.state == ("done" if is_answered else "failed")
    assert is_answered or faulty.error[0]
    html = arena_html(lab.session)
    assert html.count("Hello there.") >= 2 and "Traceback" not in html
    stored = comparisons.load(lab.context.db, lab.session.comparison.id)
    assert [a.state for a in stored.turns[0].answers] == [a.state for a in lab.session.answers]


@pytest.mark.parametrize("name", ["unknown", "memory", "encoding", "planned"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_fault_in_an_answer_that_a_job_asked_for(
    tmp_path: Path, point: str, name: str
) -> None:
    lab = Lab(tmp_path)
    asked = complete(
        Faulty(lab.backend, point, ERRORS[name]), lab.context.catalog()["i"], (), Sampling()
    )
    if point in ANSWERED:
        assert (await asked).text == "One two"
        return
    with pytest.raises(BackendError):
        await asked


@pytest.mark.parametrize("name", ["unknown", "planned", "its own cancellation", "memory"])
async def test_a_fault_in_preparing(tmp_path: Path, name: str) -> None:
    lab = Lab(tmp_path)
    lab.context.backends = Faulty(lab.backend, "prepare", ERRORS[name])
    await lab.ask()
    _check(lab, is_answered=True)


async def test_a_fault_in_closing_a_column_that_was_stopped(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    class Slow(Faulty):
        async def _events(self) -> AsyncGenerator[Event, None]:
            try:
                yield Delta("One")
                await asyncio.sleep(60)
            finally:
                raise Unknown

    lab.context.backends = Slow(lab.backend, "", Unknown)
    async for _ in lab.session.ask(Question("Why?", NAMES)):
        if lab.session.answers[1].text:
            lab.session.stop(1)
    assert [a.state for a in lab.session.answers] == ["done", "stopped", "done"]


@pytest.mark.parametrize("what", ["compare", "card_detail", "answer_meta", "sent_html"])
async def test_a_fault_in_showing_one_answer(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path)
    await lab.ask()
    real, calls = getattr(compare_view, what), []

    def once(*given: object) -> object:
        calls.append(given)
        if len(calls) == 1:
            raise Unknown
        return real(*given)

    monkeypatch.setattr(compare_view, what, once)
    html = arena_html(lab.session)
    assert html.count("<section") == 3 and html.count("Hello there.") >= 3
    assert html.count("cannot be shown") == 1


async def test_a_fault_in_rendering_shows_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path)
    await lab.ask()
    markdown.render.cache_clear()
    monkeypatch.setattr(markdown, "_MARKDOWN", None)
    html = arena_html(lab.session)
    markdown.render.cache_clear()
    assert html.count("Hello there.") >= 3 and "lab-plain" in html


@pytest.mark.parametrize("error", [Unknown, lambda: sqlite3.InterfaceError("odd"), TypeError])
async def test_a_fault_in_saving(
    tmp_path: Path, error: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise error()

    lab = Lab(tmp_path)
    monkeypatch.setattr(comparisons, "save", broken)
    with pytest.raises(StorageError, match="could not be saved"):
        await lab.ask()
    assert [a.text for a in lab.session.answers] == ["Hello there."] * 3
    assert arena_html(lab.session).count("Hello there.") >= 3
    monkeypatch.undo()
    await lab.ask("Again?")
    assert lab.session.phase == "open"


async def test_who_prepares_may_go_on_after_the_loop_has_ended(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    told = []

    async def prepare(cards: object, progress: Progress) -> None:
        told.append(progress)

    lab.backend.prepare = prepare

    def elsewhere() -> None:
        async def go() -> None:
            running = Round(lab.backend, [lab.context.catalog()["b"]], [()], Sampling())
            running.start()
            async for _ in running.watch():
                pass

        asyncio.run(go())
        told[0](0.5, "Fetching")  # an engine's thread, later

    await asyncio.to_thread(elsewhere)


LONE = ["\ud83d", "a \ude00 b", "\ud83d\ude00", "x\ud800y\udfffz"]


@pytest.mark.parametrize("text", LONE)
async def test_halves_of_characters_are_asked_stored_shown_and_exported(
    tmp_path: Path, text: str
) -> None:
    lab = Lab(tmp_path)
    await lab.ask(f"Why {text}?", system=f"Be {text}")
    stored = comparisons.load(lab.context.db, lab.session.comparison.id)
    (arena_html(lab.session) + stored.system + stored.turns[0].prompt).encode()
    json.dumps(list(comparisons.export_lines([stored])), ensure_ascii=False).encode()
    assert comparisons.of_visitor(lab.context.db, "anna", search="Why")
    lab.session.vote("0")
    lab.session.share()
    guest = Session(lab.context, "bert")
    guest.open(comparisons.load_shared(lab.context.db, lab.session.comparison.share))
    arena_html(guest).encode()

"""Compare: one prompt, base, imitation and reference side by side."""

from __future__ import annotations

import json
import random
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr
from gradio.components import Component

from dashboards.compare.form import Parts, asked_for, build_parts, picked_example, question_of
from dashboards.compare.session import Session
from dashboards.compare.view import arena_html, history_html, score_text
from dashboards.shell import visitors
from dashboards.shell.components import notice_html
from dashboards.shell.context import Context
from dashboards.shell.listeners import QUIET
from dashboards.shell.model_choice import choices, defaults
from dashboards.shell.scripts import MESSAGE_JS
from dashboards.shell.sessions import MOST_SESSIONS
from imitation.errors import UserError
from imitation.storage import comparisons, votes
from imitation.values import Role

Updates = dict[Component, Any]
"""Component -> its new value; those not in it stay as they are."""
POLL_S = 10


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    parts = build_parts(context)
    handle = _Handlers(context, parts)
    frame = [parts.arena, parts.history, parts.score, parts.follow, parts.message]
    models = [parts.known, *parts.settings.pickers.values()]
    question = {**parts.question, "token": parts.secret, "search": parts.search}
    for follow_up, triggers in (
        (False, [parts.ask.click, parts.prompt.submit]),
        (True, [parts.follow.click]),
    ):
        gr.on(
            triggers,
            handle.asker(follow_up),
            None,
            [parts.prompt, *frame],
            inputs_kwargs=question,
            trigger_mode="once",
            concurrency_limit=None,
            **QUIET,
        )
    for listing in (parts.arena, parts.history):
        listing.click(
            handle.on_click,
            [parts.secret, parts.search],
            frame,
            trigger_mode="multiple",
            concurrency_limit=None,
            **QUIET,
        )
    parts.examples.click(picked_example, None, parts.prompt, queue=False, **QUIET)
    parts.search.change(handle.on_search, [parts.secret, parts.search], parts.history, **QUIET)
    parts.export.click(handle.on_export, parts.secret, parts.message, **QUIET)
    parts.message.change(None, parts.message, None, js=MESSAGE_JS, api_visibility="private")
    page = gr.context.Context.root_block
    assert page is not None
    page.load(
        handle.on_load,
        parts.secret,
        [parts.secret, parts.notice, parts.reachable, *frame, *models],
        **QUIET,
    )
    page.unload(handle.on_leave)
    # Asked in the background; the page only reads what is known by now.
    gr.Timer(POLL_S).tick(
        handle.on_tick,
        parts.known,
        [parts.reachable, *models],
        inputs_kwargs=parts.settings.by_name,
        **QUIET,
    )


class _Handlers:
    """What the listeners do, for the sessions of all tabs."""

    def __init__(self, context: Context, parts: Parts) -> None:
        self.context, self.parts = context, parts
        self.sessions: OrderedDict[str, Session] = OrderedDict()

    def session_of(self, request: gr.Request, token: str) -> Session:
        """The session of the tab that asks."""
        key = str(request.session_hash)
        session = self.sessions.setdefault(key, Session(self.context))
        self.sessions.move_to_end(key)
        # Programs that are no browser never say that they leave.
        for other, left in list(self.sessions.items())[:-MOST_SESSIONS]:
            if left.phase != "running":
                self.sessions.pop(other, None)
        if token:
            session.visitor = visitors.visitor_hash(token)
        return session

    def asker(self, follow_up: bool) -> Callable[..., AsyncGenerator[Any, None]]:
        """The handler of a question, or of one that follows up."""

        async def on_ask(
            request: gr.Request, token: str, search: str | None, **fields: Any
        ) -> AsyncGenerator[Any, None]:
            session = self.session_of(request, token)
            emptied = {self.parts.prompt: ""}
            try:
                question = question_of(**fields, follow_up=follow_up)
                async with aclosing(session.ask(question)) as steps:
                    async for _ in steps:
                        yield {**emptied, **self.frame(session)}
            except UserError as error:
                gr.Warning(str(error))
                yield self.later_frame(session)
                return
            yield {**emptied, **self.frame(session, search or "")}

        return on_ask

    async def on_click(
        self, event: gr.EventData, token: str, search: str | None, request: gr.Request
    ) -> AsyncGenerator[Any, None]:
        """A click on a [data-do] button."""
        session = self.session_of(request, token)
        data = event._data or {}
        try:
            steps = self.act(session, str(data.get("do", "")), data, search or "")
            async with aclosing(steps) as updates:
                async for update in updates:
                    yield update
        except UserError as error:
            gr.Warning(str(error))
            yield self.later_frame(session, search or "")

    async def act(
        self, session: Session, do: str, data: dict[str, Any], search: str
    ) -> AsyncGenerator[Any, None]:
        """What a button does; unknown ones do nothing."""
        position = str(data.get("column", ""))
        column = int(position) if position.isascii() and position.isdecimal() else None
        message = None
        match do:
            case "stop" | "stop-all":
                session.stop(column)
            case "again" | "again-all":
                async with aclosing(session.again(column)) as steps:
                    async for _ in steps:
                        yield self.frame(session)
            case "vote":
                session.vote(str(data.get("choice", "")))
            case "guess":
                session.guess(str(data.get("choice", "")))
            case "reveal":
                session.reveal()
            case "share":
                message = {"kind": "share", "id": session.share(), "nonce": random.random()}
                gr.Info("Link copied. Anyone who has it can read this comparison.")
            case "unshare":
                session.unshare()
                gr.Info("The link no longer opens anything.")
            case "open":
                item = comparisons.load(self.context.db, str(data.get("id", "")))
                session.open(item if item and item.visitor == session.visitor else None)
                message = {"kind": "look", "id": "arena", "nonce": random.random()}
            case "delete":
                comparisons.delete(self.context.db, str(data.get("id", "")), session.visitor)
                if session.comparison and session.comparison.id == data.get("id"):
                    session.stop()
                    session.comparison = session.round = None
        yield self.later_frame(session, search, message)

    async def on_load(self, token: str, request: gr.Request) -> Updates:
        """The page as its address wants it: a comparison, models, or what it begins with."""
        self.context.health.start()
        token = token or visitors.new_secret()
        session = self.session_of(request, token)
        sentences = [*self.context.notices, self.context.catalog_problem()]
        query = dict(request.query_params)
        try:
            if "shared" in query:
                session.open(comparisons.load_shared(self.context.db, query["shared"]))
            elif "open" in query:
                await session.reopen(query["open"])
        except UserError as error:
            sentences.append(str(error))
        catalog = self.context.catalog()
        names = [name for name in query.get("models", "").split(",") if name]
        sentences += [f"There is no model {name!r} now." for name in names if name not in catalog]
        chosen = asked_for(catalog, names) if set(names) & set(catalog) else None
        updates = {**self.frame(session, ""), **self.model_updates(chosen)}
        if session.comparison is None:
            cards = [catalog[name] for name in chosen or defaults(catalog.values())]
            updates[self.parts.arena] = arena_html(session, cards)
        return {
            **updates,
            self.parts.secret: token,
            self.parts.notice: notice_html(sentences),
            self.parts.reachable: self.unreachable_html(),
        }

    def on_tick(self, known: Sequence[str], **pickers: list[str] | None) -> Updates:
        """What can be asked by now, and models that came or went while the page is open."""
        updates: Updates = {self.parts.reachable: self.unreachable_html()}
        if tuple(self.context.catalog()) != tuple(known):
            chosen = [name for names in pickers.values() for name in names or ()]
            updates |= self.model_updates(chosen)
        return updates

    def on_export(self, token: str, request: gr.Request) -> str:
        """The visitor's comparisons as a file, those with names still hidden left out."""
        session = self.session_of(request, token)
        own = comparisons.of_visitor(self.context.db, session.visitor, limit=100_000)
        lines = "\n".join(comparisons.export_lines([c for c in own if not c.blind]))
        name = "comparisons.jsonl"
        return json.dumps({"kind": "file", "name": name, "text": lines, "nonce": random.random()})

    def on_search(self, token: str, search: str | None, request: gr.Request) -> str:
        """The comparisons in which a text stands."""
        return self.history(self.session_of(request, token), search or "")

    def on_leave(self, request: gr.Request) -> None:
        """Stop what a tab that is gone was being answered."""
        if session := self.sessions.pop(str(request.session_hash), None):
            session.stop()

    def frame(
        self, session: Session, search: str | None = None, message: dict[str, Any] | None = None
    ) -> Updates:
        """All that shows a session; the history only where its search is given."""
        updates: Updates = {
            self.parts.arena: arena_html(session),
            self.parts.score: score_text(votes.guess_score(self.context.db, session.visitor)),
            self.parts.follow: gr.update(interactive=session.own and session.phase != "running"),
            self.parts.message: json.dumps({**_on_screen(session), **(message or {})}),
        }
        if search is not None:
            updates[self.parts.history] = self.history(session, search)
        return updates

    def later_frame(
        self, session: Session, search: str | None = None, message: dict[str, Any] | None = None
    ) -> Any:
        """The frame, or nothing while answers are being written.

        Whoever watches them sends those frames; one from elsewhere could arrive after the last of
        them and undo it on the page.
        """
        return gr.skip() if session.phase == "running" else self.frame(session, search, message)

    def history(self, session: Session, search: str) -> str:
        """The visitor's comparisons in which a text stands, as HTML."""
        own = comparisons.of_visitor(self.context.db, session.visitor, search=search)
        return history_html(own)

    def unreachable_html(self) -> str:
        """One line per model that cannot be asked now, or at all, with the reason."""
        catalog = self.context.catalog()
        statuses = [(card, self.context.health.status(card.id)) for card in catalog.values()]
        return notice_html(
            [f"{name} cannot be used: {reason}." for name, reason in catalog.broken.items()]
            + [
                f"{card.name} cannot be asked now: {status.reason} {status.hint}"
                for card, status in statuses
                if status.state == "unreachable"
            ]
        )

    def model_updates(self, chosen: list[str] | None) -> Updates:
        """The models as they are now; what is chosen of them stays where None is given."""
        updates: Updates = {self.parts.known: tuple(self.context.catalog())}
        for role, picker in self.parts.settings.pickers.items():
            updates[picker] = self._picker_update(role, chosen)
        return updates

    def _picker_update(self, role: Role, chosen: list[str] | None) -> Any:
        models = choices(self.context, role)
        if chosen is None:
            return gr.update(choices=models)
        ids = {identity for _, identity in models}
        return gr.update(choices=models, value=[name for name in chosen if name in ids])


def _on_screen(session: Session) -> dict[str, Any]:
    """Which comparison the address is to name, so that loading it again shows it again."""
    comparison = session.comparison
    if comparison is not None and not session.own:
        return {}
    shared = comparison.share if comparison else None
    return {"open": comparison.id if comparison else "", "shared": shared}

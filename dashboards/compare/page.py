"""Compare: one prompt, base, imitation and reference side by side."""

from __future__ import annotations

import json
import logging
import random
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import gradio as gr

from dashboards.compare.form import (
    asked_for,
    examples_html,
    picked_example,
    settings_form,
)
from dashboards.compare.session import Question, Session
from dashboards.compare.view import arena_html, history_html, score_text
from dashboards.shell import visitors
from dashboards.shell.components import notice_html
from dashboards.shell.context import Context
from dashboards.shell.model_choice import choices, defaults
from dashboards.shell.scripts import CLICK_JS, MESSAGE_JS
from dashboards.shell.sessions import MOST_SESSIONS
from imitation.errors import UserError
from imitation.storage import comparisons, votes
from imitation.values import ROLES, Role, Sampling

log = logging.getLogger(__name__)

LEDE = (
    "The imitation model was fine-tuned on the reference's answers. It sounds like the reference. "
    "Does it know what the reference knows?"
)


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    sessions: OrderedDict[str, Session] = OrderedDict()
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    known: gr.State = gr.State(())
    notice = gr.HTML(elem_id="notices")
    gr.HTML(
        f'<h1 class="lab-title">Same question, several models</h1><p class="lab-lede">{LEDE}</p>'
    )
    with gr.Row(elem_classes="lab-ask"):
        prompt = gr.Textbox(
            placeholder="Ask all of them. Enter sends, Shift+Enter makes a new line.",
            show_label=False,
            label="Question",
            lines=1,
            max_lines=10,
            autofocus=True,
            scale=9,
            elem_id="prompt",
        )
        ask = gr.Button("Ask", variant="primary", scale=1, elem_id="ask")
        follow = gr.Button("Follow up", scale=1, elem_id="follow", interactive=False)
    examples = gr.HTML(examples_html(), js_on_load=CLICK_JS, elem_id="examples")
    with gr.Row(elem_classes="lab-options"):
        blind = gr.Checkbox(
            label="Blind test: hide names, shuffle, then vote", elem_id="blind", scale=2
        )
        score = gr.HTML(elem_id="score")
    with gr.Accordion("Models and settings", open=False, elem_id="settings"):
        pickers, sampling = settings_form(context)
        reachable = gr.HTML(elem_id="model-status")
    arena = gr.HTML(js_on_load=CLICK_JS, elem_id="arena")
    with gr.Accordion("Your history", open=False, elem_id="history"):
        search = gr.Textbox(placeholder="Search your questions and answers", show_label=False)
        history = gr.HTML(js_on_load=CLICK_JS)
        export = gr.Button("Export as JSONL", size="sm", elem_id="export")
    message = gr.Textbox(visible="hidden", elem_id="message")
    message.change(None, message, None, js=MESSAGE_JS, api_visibility="private")

    def session_of(request: gr.Request, token: str) -> Session:
        key = str(request.session_hash)
        session = sessions.setdefault(key, Session(context))
        sessions.move_to_end(key)
        # Programs that are no browser never say that they leave.
        for other, left in list(sessions.items())[:-MOST_SESSIONS]:
            if left.phase != "running":
                sessions.pop(other, None)
        if token:
            session.visitor = visitors.visitor_hash(token)
        return session

    def past(session: Session, text: str) -> str:
        return history_html(comparisons.of_visitor(context.db, session.visitor, search=text))

    def frame(session: Session, text: str | None = None, say: dict[str, Any] | None = None) -> Any:
        """Updates of (arena, history, score, follow, message); history only where asked for."""
        own = session.own and session.phase != "running"
        return (
            arena_html(session),
            gr.skip() if text is None else past(session, text),
            score_text(votes.guess_score(context.db, session.visitor)),
            gr.update(interactive=own),
            json.dumps({**on_screen(session), **(say or {})}),
        )

    def on_screen(session: Session) -> dict[str, Any]:
        """Which comparison the address is to name, so that loading it again shows it again."""
        comparison = session.comparison
        if comparison is not None and not session.own:
            return {}
        shared = comparison.share if comparison else None
        return {"open": comparison.id if comparison else "", "shared": shared}

    def later_frame(session: Session, text: str | None = None, say: Any = None) -> Any:
        """The frame, or nothing while answers are being written.

        Whoever watches them sends those frames; one from elsewhere could arrive after the last of
        them and undo it on the page.
        """
        return [gr.skip()] * 5 if session.phase == "running" else frame(session, text, say)

    frame_outputs = [arena, history, score, follow, message]

    def asker(follow_up: bool) -> Callable[..., AsyncGenerator[Any, None]]:
        async def on_ask(request: gr.Request, *values: Any) -> AsyncGenerator[Any, None]:
            text, hidden, system, temperature, top_p, tokens, seed, *chosen, token, found = values
            session = session_of(request, token)
            question = Question(
                prompt=text or "",
                models=tuple(name for picked in chosen for name in picked or ()),
                blind=bool(hidden),
                system=system or "",
                sampling=Sampling(temperature, top_p, tokens),
                follow_up=follow_up,
            )
            try:
                question = question.seeded(seed or "")
                async with aclosing(session.ask(question)) as steps:
                    async for _ in steps:
                        yield ("", *frame(session))
            except UserError as error:
                gr.Warning(str(error))
                yield (gr.skip(), *later_frame(session))
                return
            yield ("", *frame(session, found or ""))

        return on_ask

    async def on_click(event: gr.EventData, token: str, found: str, request: gr.Request) -> Any:
        session = session_of(request, token)
        data = event._data or {}
        try:
            done = act(session, str(data.get("do", "")), data, found or "")
            async with aclosing(done) as updates:
                async for update in updates:
                    yield update
        except UserError as error:
            gr.Warning(str(error))
            yield later_frame(session, found or "")

    async def act(
        session: Session, do: str, data: dict[str, Any], found: str
    ) -> AsyncGenerator[Any, None]:
        """One click on a [data-do] button; unknown ones do nothing."""
        shown = str(data.get("column", ""))
        column = int(shown) if shown.isascii() and shown.isdecimal() else None
        say = None
        match do:
            case "stop" | "stop-all":
                session.stop(column)
            case "again" | "again-all":
                async with aclosing(session.again(column)) as steps:
                    async for _ in steps:
                        yield frame(session)
            case "vote":
                session.vote(str(data.get("choice", "")))
            case "guess":
                session.guess(str(data.get("choice", "")))
            case "reveal":
                session.reveal()
            case "share":
                say = {"kind": "share", "id": session.share(), "nonce": random.random()}
                gr.Info("Link copied. Anyone who has it can read this comparison.")
            case "unshare":
                session.unshare()
                gr.Info("The link no longer opens anything.")
            case "open":
                item = comparisons.load(context.db, str(data.get("id", "")))
                session.open(item if item and item.visitor == session.visitor else None)
                say = {"kind": "look", "id": "arena", "nonce": random.random()}
            case "delete":
                comparisons.delete(context.db, str(data.get("id", "")), session.visitor)
                if session.comparison and session.comparison.id == data.get("id"):
                    session.stop()
                    session.comparison = session.round = None
        yield later_frame(session, found, say)

    def unreachable() -> str:
        """One line per model that cannot be asked now, or at all, with the reason."""
        catalog = context.catalog()
        known = [(card, context.health.status(card.id)) for card in catalog.values()]
        return notice_html(
            [f"{name} cannot be used: {reason}." for name, reason in catalog.broken.items()]
            + [
                f"{card.name} cannot be asked now: {status.reason} {status.hint}"
                for card, status in known
                if status.state == "unreachable"
            ]
        )

    async def on_load(token: str, request: gr.Request) -> Any:
        context.health.start()
        token = token or visitors.new_secret()
        session = session_of(request, token)
        sentences = [*context.notices, context.catalog_problem()]
        asked = dict(request.query_params)
        try:
            if "shared" in asked:
                session.open(comparisons.load_shared(context.db, asked["shared"]))
            elif "open" in asked:
                await session.reopen(asked["open"])
        except UserError as error:
            sentences.append(str(error))
        catalog = context.catalog()
        names = [name for name in asked.get("models", "").split(",") if name]
        sentences += [f"There is no model {name!r} now." for name in names if name not in catalog]
        chosen = asked_for(catalog, names) if set(names) & set(catalog) else None
        if session.comparison is None:
            shown = chosen or defaults(catalog.values())
            arena_now = arena_html(session, [catalog[name] for name in shown])
        else:
            arena_now = arena_html(session)
        rest = frame(session, "")[1:]
        picks = [picker_update(role, chosen) for role in ROLES]
        told = (token, notice_html(sentences), unreachable(), arena_now)
        return (*told, *rest, tuple(catalog), *picks)

    def picker_update(role: Role, chosen: list[str] | None) -> Any:
        """A role's models as they are now; what is chosen of them stays where None is given."""
        found = choices(context, role)
        if chosen is None:
            return gr.update(choices=found)
        names = {name for _, name in found}
        return gr.update(choices=found, value=[name for name in chosen if name in names])

    def look(known: tuple[str, ...], *picked: list[str] | None) -> list[Any]:
        """What can be asked by now, and models that came or went while the page is open."""
        now = tuple(context.catalog())
        if now == tuple(known):
            return [unreachable(), *[gr.skip()] * (1 + len(ROLES))]
        chosen = [name for some in picked for name in some or ()]
        return [unreachable(), now, *(picker_update(role, chosen) for role in ROLES)]

    def on_export(token: str, request: gr.Request) -> str:
        session = session_of(request, token)
        mine = comparisons.of_visitor(context.db, session.visitor, limit=100_000)
        lines = "\n".join(comparisons.export_lines([c for c in mine if not c.blind]))
        name = "comparisons.jsonl"
        return json.dumps({"kind": "file", "name": name, "text": lines, "nonce": random.random()})

    def on_search(token: str, text: str, request: gr.Request) -> str:
        return past(session_of(request, token), text or "")

    def on_leave(request: gr.Request) -> None:
        if session := sessions.pop(str(request.session_hash), None):
            session.stop()

    inputs = [prompt, blind, *sampling, *pickers, secret, search]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    for follow_up, triggers in ((False, [ask.click, prompt.submit]), (True, [follow.click])):
        gr.on(
            triggers,
            asker(follow_up),
            inputs,
            [prompt, *frame_outputs],
            trigger_mode="once",
            concurrency_limit=None,
            **quiet,
        )
    for clicked in (arena, history):
        clicked.click(
            on_click,
            [secret, search],
            frame_outputs,
            trigger_mode="multiple",
            concurrency_limit=None,
            **quiet,
        )
    examples.click(picked_example, None, prompt, queue=False, **quiet)
    search.change(
        on_search,
        [secret, search],
        history,
        **quiet,
    )
    export.click(on_export, secret, message, **quiet)
    page = gr.context.Context.root_block
    listed = [known, *pickers]
    page.load(on_load, secret, [secret, notice, reachable, *frame_outputs, *listed], **quiet)
    page.unload(on_leave)
    # Asked in the background; the page only reads what is known by now.
    gr.Timer(10).tick(look, listed, [reachable, *listed], **quiet)

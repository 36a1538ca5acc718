"""Data: answers of a reference, asked for here; a part of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from dashboards.data import answers as actions
from dashboards.data import answers_view as view
from dashboards.data import sources, terms
from dashboards.data.answers import FACTS, KINDS, SHIPPED, Form
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.job_panel import problem_html
from dashboards.shell.markdown import plain
from dashboards.shell.scripts import CLICK_JS
from imitation.errors import UserError

ABOUT = (
    "Ask any model of the catalog. Answers are written as they come; a stopped job goes on where "
    "it ended and asks nothing twice. Refusals are kept and marked. The result is a source above."
)
POLL_S = 2.0
PAIRS = {"temperature": 1.0, "max_tokens": 512}
"""Of the study for pairs; where answers are asked for, `Form` has them."""


def build(context: Context, secret: gr.BrowserState, source: gr.Dropdown) -> None:
    """The section's components and listeners.

    Args:
        context: What pages work with.
        secret: The visitor's.
        source: Where the sources of a dataset are chosen; it learns of new answers.
    """
    handle = _Handlers(context)
    timer = gr.Timer(POLL_S, active=False)
    with gr.Accordion("Ask a reference", open=False, elem_id="answers"):
        gr.HTML(f'<p class="lab-note">{plain(ABOUT)}</p>')
        fields, upload = _form()
        read = gr.Checkbox(
            False, label=view.READ, info=view.TERMS, visible=False,
            elem_id="answers-terms",
        )  # fmt: skip
        planned = gr.HTML(js_on_load=CLICK_JS, elem_id="answers-plan")
        start = gr.Button("Ask", variant="primary", elem_id="answers-start")
    listing = gr.HTML(js_on_load=CLICK_JS, elem_id="answers-list")
    kind, model, file, name, *numbers = fields
    typed = [*fields, read]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    page = gr.context.Context.root_block
    assert page is not None
    page.load(handle.load, secret, [model, file, name, start, read, timer, listing], **quiet)
    kind.input(handle.other_kind, [secret, kind], [file, numbers[1], numbers[2]], **quiet)
    # One listener for all: a reply to an earlier change never comes after that to a later one.
    changed = [field.change for field in typed]
    shown = [planned, read]
    gr.on(changed, handle.plan, [secret, *typed], shown, trigger_mode="always_last", **quiet)
    model.input(handle.terms, [secret, model], read, **quiet)  # each has terms of its own
    upload.upload(handle.upload, [secret, kind, upload], [upload, file], **quiet)
    start.click(
        handle.start, [secret, *typed], [name, read, timer, listing], trigger_mode="once", **quiet
    )
    timer.tick(handle.tick, secret, [timer, listing, source], trigger_mode="once", **quiet)
    listing.click(handle.acted, secret, [timer, listing, source], trigger_mode="multiple", **quiet)


def _form() -> tuple[list[Any], gr.File]:
    start = Form("generate", "", "", "")
    with gr.Row():
        kind = gr.Dropdown(
            [(label, key) for key, label in KINDS.items()], value="generate", label="What for",
            elem_id="answers-kind",
        )  # fmt: skip
        model = gr.Dropdown([], label="Model", elem_id="answers-model")
        file = gr.Dropdown([], label="Prompts, or seed pairs", elem_id="answers-file")
        name = gr.Textbox(label="Name", max_length=80, elem_id="answers-name")
    with gr.Row():
        count = _number("Pairs", start.count, "Where pairs are asked for.", "count")
        temperature = _number("Temperature", start.temperature, "0 is greedy.", "temperature", None)
        longest = _number("Longest answer", start.max_tokens, "Tokens.", "tokens")
        concurrency = _number("Requests at once", start.concurrency, "At most.", "concurrency")
    with gr.Row():
        seed = _number("Seed", start.seed, "The same seed asks the same.", "seed")
        price_in, price_out = _price("prompts", "in"), _price("answers", "out")
    with gr.Accordion("Prompts of your own", open=False):
        upload = gr.File(
            label='JSONL: {"id", "prompt"} a line; for pairs {"question", "answer"}',
            file_types=[".jsonl", ".json", ".csv"], height=120, elem_id="answers-upload",
        )  # fmt: skip
    numbers = [count, temperature, longest, concurrency, seed, price_in, price_out]
    return [kind, model, file, name, *numbers], upload


def _price(what: str, key: str) -> gr.Textbox:
    # A number field can't be empty: an unknown price would read 0.
    return gr.Textbox(
        label=f"Price of {what}", info="Dollars per million tokens; empty: the card's.",
        max_length=20, min_width=130, elem_id=f"answers-price-{key}",
    )  # fmt: skip


def _number(label: str, value: float, info: str, key: str, precision: int | None = 0) -> gr.Number:
    return gr.Number(
        value, label=label, info=info, precision=precision, min_width=130,
        elem_id=f"answers-{key}",
    )  # fmt: skip


class _Handlers:
    """What the listeners do; each returns the updates of its outputs."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def load(self, token: str) -> list[Any]:
        """The choices, a free name, and the jobs."""
        visitor = visitors.visitor_hash(token)
        models = actions.models(self.context)
        first = models[0][1] if models else None
        prompts = actions.files(self.context.settings, visitor, "generate")
        may = self.context.settings.jobs
        start = gr.update(
            interactive=may, value="Ask" if may else "Starting jobs is switched off here"
        )
        return [
            gr.update(choices=models, value=first),
            gr.update(choices=prompts, value=str(SHIPPED)),
            actions.next_name(self.context),
            start,
            self._terms(visitor, first),
            *self._shown(visitor),
        ]

    def terms(self, token: str, model: str | None) -> Any:
        """Ticked where the visitor has read this model's terms before, with the date."""
        return self._terms(visitors.visitor_hash(token), model)

    def other_kind(self, token: str, kind: str) -> list[Any]:
        """The files and the sampling that fit it."""
        found = actions.files(self.context.settings, visitors.visitor_hash(token), kind)
        value = FACTS if kind == "synthesize" else str(SHIPPED)
        start = Form("generate", "", "", "")
        sampling = [start.temperature, start.max_tokens]
        if kind == "synthesize":
            sampling = [PAIRS["temperature"], PAIRS["max_tokens"]]
        return [gr.update(choices=found, value=value), *sampling]

    def plan(self, token: str, *fields: Any) -> list[Any]:
        """What the form comes to, and whether terms have to be read."""
        try:
            made = actions.estimate(self.context, _form_from(fields), visitors.visitor_hash(token))
        except UserError as error:
            return [problem_html(error.message, error.hint), gr.skip()]
        return [view.estimate_html(made), gr.update(visible=made.must_acknowledge)]

    def upload(self, token: str, kind: str, path: str | None) -> list[Any]:
        """Keep an uploaded file and choose it."""
        if not path:
            return [gr.skip(), gr.skip()]
        visitor, settings = visitors.visitor_hash(token), self.context.settings
        try:
            kept = sources.keep_upload(settings, visitor, Path(path))
        except UserError as error:
            gr.Warning(str(error))
            return [None, gr.skip()]
        choices = actions.files(settings, visitor, kind)
        return [None, gr.update(choices=choices, value=str(kept))]

    def start(self, token: str, *fields: Any) -> list[Any]:
        """Start the job of the form."""
        visitor = visitors.visitor_hash(token)
        try:
            actions.start(self.context, _form_from(fields), visitor)
        except UserError as error:
            gr.Warning(str(error))
            return [gr.skip()] * 4
        read = self._terms(visitor, fields[1])
        return [actions.next_name(self.context), read, *self._shown(visitor)]

    def tick(self, token: str) -> list[Any]:
        """What has changed; once nothing runs, the sources are listed anew."""
        visitor = visitors.visitor_hash(token)
        timer, listing = self._shown(visitor)
        return [timer, listing, self._sources(visitor)]

    def acted(self, event: gr.EventData, token: str) -> list[Any]:
        """Stop, go on, delete, or choose the answers as a source."""
        data = event._data or {}
        do, identity = str(data.get("do", "")), str(data.get("id", ""))
        visitor, chosen = visitors.visitor_hash(token), None
        try:
            if do in ("stop", "kill"):
                actions.stop(self.context, identity, visitor, kill=do == "kill")
            elif do == "again":
                actions.resume(self.context, identity, visitor)
            elif do == "delete":
                actions.delete(self.context, identity, visitor)
            elif do == "use":
                chosen = self.context.jobs.job(identity).spec.out
                gr.Info("Chosen as the source above: look at it there.")
        except UserError as error:
            gr.Warning(str(error))
        return [*self._shown(visitor), self._sources(visitor, chosen)]

    def _terms(self, visitor: str, model: str | None) -> Any:
        date = terms.acknowledged(self.context.settings, visitor, model or "")
        return gr.update(value=bool(date), label=view.read_label(date))

    def _sources(self, visitor: str, chosen: str | None = None) -> Any:
        choices = sources.source_choices(self.context.settings, visitor)
        if chosen is None:
            return gr.update(choices=choices)
        return gr.update(choices=choices, value=chosen)

    def _shown(self, visitor: str) -> list[Any]:
        found = actions.asked(self.context, visitor)
        return [gr.Timer(active=any(one.is_live for one in found)), view.list_html(found)]


def _form_from(fields: tuple[Any, ...]) -> Form:
    """The form as filled in.

    Raises:
        UserError: A number is missing.
    """
    kind, model, file, name, count, temperature, longest, concurrency, seed, *rest = fields
    numbers = {
        "Pairs": count, "Temperature": temperature, "Longest answer": longest,
        "Requests at once": concurrency, "Seed": seed,
    }  # fmt: skip
    for label, value in numbers.items():
        if value is None:
            raise UserError(f"{label} is empty.", "Enter a number.")
    *prices, acknowledged = rest
    price_in, price_out = map(_dollars, prices)
    return Form(
        kind=kind or "generate",
        model=model or "",
        file=file or "",
        name=(name or "").strip(),
        count=int(count),
        temperature=float(temperature),
        max_tokens=int(longest),
        concurrency=int(concurrency),
        seed=int(seed),
        price_in=price_in,
        price_out=price_out,
        acknowledged=bool(acknowledged),
    )


def _dollars(text: str | None) -> float | None:
    """A price as typed; None where nothing was.

    Raises:
        UserError: It is no number.
    """
    if not (text or "").strip():
        return None
    try:
        return float(str(text).strip().lstrip("$"))
    except ValueError:
        raise UserError(f"The price {text!r} is not a number.", "Write it like 0.15.") from None

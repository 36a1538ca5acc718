"""Data: answers of a reference, asked for here; a part of the page."""

from __future__ import annotations

from collections.abc import Mapping
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
from dashboards.shell.listeners import listen, listen_clicks
from dashboards.shell.scripts import CLICK_JS
from dashboards.shell.templates import render
from imitation.errors import UserError

ABOUT = (
    "Ask any model of the catalog. Answers are written as they come; a stopped job goes on where "
    "it ended and asks nothing twice. Refusals are kept and marked. The result is a source above."
)
POLL_S = 2.0
NUMBERS = {
    "count": "Pairs",
    "temperature": "Temperature",
    "max_tokens": "Longest answer",
    "concurrency": "Requests at once",
    "seed": "Seed",
}
"""Fields that cannot be empty, and their labels."""
PAIRS = {"temperature": 1.0, "max_tokens": 512}
"""Of the study for pairs; where answers are asked for, `Form` has them."""


def build(context: Context, token: gr.BrowserState, source: gr.Dropdown) -> None:
    """The section's components and listeners.

    Args:
        context: What pages work with.
        token: The visitor's.
        source: Where the sources of a dataset are chosen; it learns of new answers.
    """
    handle = _Handlers(context)
    timer = gr.Timer(POLL_S, active=False)
    with gr.Accordion("Ask a reference", open=False, elem_id="answers"):
        gr.HTML(render("data/note.html", text=ABOUT))
        form, upload = _form()
        plan = gr.HTML(js_on_load=CLICK_JS, elem_id="answers-plan")
        start = gr.Button("Ask", variant="primary", elem_id="answers-start")
    listing = gr.HTML(js_on_load=CLICK_JS, elem_id="answers-list")
    visitor = {"token": token}
    listed = {"timer": timer, "listing": listing}
    kind, model, file, name = form["kind"], form["model"], form["file"], form["name"]
    terms_read = {"acknowledged": form["acknowledged"]}
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    page = gr.context.Context.root_block
    assert page is not None
    first = {"model": model, "file": file, "name": name, "start": start, **terms_read, **listed}
    listen(page.load, handle.load, visitor, first, **quiet)
    sampling = {"temperature": form["temperature"], "max_tokens": form["max_tokens"]}
    other = {"file": file, **sampling}
    switched = listen(kind.input, handle.other_kind, {**visitor, "kind": kind}, other, **quiet)
    # One listener for all: a reply to an earlier change never comes after that to a later one.
    # Without the kind: until it has other files, the one chosen is not among its choices.
    changed = [component.change for field, component in form.items() if field != "kind"]
    latest = {**quiet, "trigger_mode": "always_last"}
    planned = {"plan": plan, **terms_read}
    listen(changed, handle.plan, {**visitor, **form}, planned, **latest)
    listen(switched.then, handle.plan, {**visitor, **form}, planned, **quiet)
    # Each model has terms of its own.
    listen(model.input, handle.terms, {**visitor, "model": model}, terms_read, **quiet)
    uploading = {**visitor, "kind": kind, "upload": upload}
    listen(upload.upload, handle.upload, uploading, {"upload": upload, "file": file}, **quiet)
    once = {**quiet, "trigger_mode": "once"}
    started = {"name": name, **terms_read, **listed}
    listen(start.click, handle.start, {**visitor, **form}, started, **once)
    sourced = {**listed, "source": source}
    listen(timer.tick, handle.tick, visitor, sourced, **once)
    every = {**quiet, "trigger_mode": "multiple"}  # no click is lost
    listen_clicks(listing.click, handle.acted, visitor, sourced, **every)


def _form() -> tuple[dict[str, Any], gr.File]:
    """Components by their field of `Form`, as that has them at first; and what takes a file."""
    start = Form("generate", "", "", "")
    form: dict[str, Any] = {}
    with gr.Row():
        form["kind"] = gr.Dropdown(
            [(label, key) for key, label in KINDS.items()], value="generate", label="What for",
            elem_id="answers-kind",
        )  # fmt: skip
        form["model"] = gr.Dropdown([], label="Model", elem_id="answers-model")
        form["file"] = gr.Dropdown([], label="Prompts, or seed pairs", elem_id="answers-file")
        form["name"] = gr.Textbox(label="Name", max_length=80, elem_id="answers-name")
    with gr.Row():
        form["count"] = _number("count", start.count, "Where pairs are asked for.", "count")
        form["temperature"] = _number(
            "temperature", start.temperature, "0 is greedy.", "temperature", None
        )
        form["max_tokens"] = _number("max_tokens", start.max_tokens, "Tokens.", "tokens")
        form["concurrency"] = _number("concurrency", start.concurrency, "At most.", "concurrency")
    with gr.Row():
        form["seed"] = _number("seed", start.seed, "The same seed asks the same.", "seed")
        form["price_in"] = _price("prompts", "in")
        form["price_out"] = _price("answers", "out")
    with gr.Accordion("Prompts of your own", open=False):
        upload = gr.File(
            label='JSONL: {"id", "prompt"} a line; for pairs {"question", "answer"}',
            file_types=[".jsonl", ".json", ".csv"], height=120, elem_id="answers-upload",
        )  # fmt: skip
    form["acknowledged"] = gr.Checkbox(
        False, label=view.READ, info=view.TERMS, visible=False, elem_id="answers-terms"
    )
    return form, upload


def _price(what: str, key: str) -> gr.Textbox:
    # A number field can't be empty: an unknown price would read 0.
    return gr.Textbox(
        label=f"Price of {what}", info="Dollars per million tokens; empty: the card's.",
        max_length=20, min_width=130, elem_id=f"answers-price-{key}",
    )  # fmt: skip


def _number(field: str, value: float, info: str, key: str, precision: int | None = 0) -> gr.Number:
    return gr.Number(
        value, label=NUMBERS[field], info=info, precision=precision, min_width=130,
        elem_id=f"answers-{key}",
    )  # fmt: skip


class _Handlers:
    """What the listeners do; each returns the outputs that change, by name."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def load(self, token: str) -> dict[str, Any]:
        """The choices, a free name, and the jobs."""
        visitor = visitors.visitor_hash(token)
        models = actions.models(self.context)
        first = models[0][1] if models else None
        prompts = actions.files(self.context.settings, visitor, "generate")
        may_start = self.context.settings.jobs
        return {
            "model": gr.update(choices=models, value=first),
            "file": gr.update(choices=prompts, value=str(SHIPPED)),
            "name": actions.next_name(self.context),
            "start": gr.update(
                interactive=may_start,
                value="Ask" if may_start else "Starting jobs is switched off here",
            ),
            **self._terms(visitor, first),
            **self._listed(visitor),
        }

    def terms(self, token: str, model: str | None) -> dict[str, Any]:
        """Ticked where the visitor has read this model's terms before, with the date."""
        return self._terms(visitors.visitor_hash(token), model)

    def other_kind(self, token: str, kind: str) -> dict[str, Any]:
        """The files and the sampling that fit it."""
        files = actions.files(self.context.settings, visitors.visitor_hash(token), kind)
        start = Form("generate", "", "", "")
        sampling = {"temperature": start.temperature, "max_tokens": start.max_tokens}
        if kind == "synthesize":
            return {"file": gr.update(choices=files, value=FACTS), **PAIRS}
        return {"file": gr.update(choices=files, value=str(SHIPPED)), **sampling}

    def plan(self, token: str, **form: Any) -> dict[str, Any]:
        """What the form comes to, and whether terms have to be read."""
        visitor = visitors.visitor_hash(token)
        try:
            estimate = actions.estimate(self.context, form_from(form), visitor)
        except UserError as error:
            return {"plan": problem_html(error.message, error.hint)}
        return {
            "plan": view.estimate_html(estimate),
            "acknowledged": gr.update(visible=estimate.must_acknowledge),
        }

    def upload(self, token: str, kind: str, upload: str | None) -> dict[str, Any]:
        """Keep an uploaded file and choose it."""
        if not upload:
            return {}
        visitor, settings = visitors.visitor_hash(token), self.context.settings
        try:
            file = sources.keep_upload(settings, visitor, Path(upload))
        except UserError as error:
            gr.Warning(str(error))
            return {"upload": None}
        choices = actions.files(settings, visitor, kind)
        return {"upload": None, "file": gr.update(choices=choices, value=str(file))}

    def start(self, token: str, **form: Any) -> dict[str, Any]:
        """Start the job of the form."""
        visitor = visitors.visitor_hash(token)
        try:
            actions.start(self.context, form_from(form), visitor)
        except UserError as error:
            gr.Warning(str(error))
            return {}
        return {
            "name": actions.next_name(self.context),
            **self._terms(visitor, form["model"]),
            **self._listed(visitor),
        }

    def tick(self, token: str) -> dict[str, Any]:
        """What has changed; once nothing runs, the sources are listed anew."""
        visitor = visitors.visitor_hash(token)
        choices = sources.source_choices(self.context.settings, visitor)
        return {**self._listed(visitor), "source": gr.update(choices=choices)}

    def acted(self, button: Mapping[str, str], token: str) -> dict[str, Any]:
        """Stop, go on, delete, or choose the answers as a source."""
        do, identity = button.get("do", ""), button.get("id", "")
        visitor = visitors.visitor_hash(token)
        chosen: dict[str, Any] = {}
        try:
            if do in ("stop", "kill"):
                actions.stop(self.context, identity, visitor, kill=do == "kill")
            elif do == "again":
                actions.resume(self.context, identity, visitor)
            elif do == "delete":
                actions.delete(self.context, identity, visitor)
            elif do == "use":
                chosen = {"value": self.context.jobs.job(identity).spec.out}
                gr.Info("Chosen as the source above: look at it there.")
        except UserError as error:
            gr.Warning(str(error))
        choices = sources.source_choices(self.context.settings, visitor)
        return {**self._listed(visitor), "source": gr.update(choices=choices, **chosen)}

    def _terms(self, visitor: str, model: str | None) -> dict[str, Any]:
        date = terms.acknowledged(self.context.settings, visitor, model or "")
        return {"acknowledged": gr.update(value=bool(date), label=view.read_label(date))}

    def _listed(self, visitor: str) -> dict[str, Any]:
        jobs = actions.answer_jobs(self.context, visitor)
        timer = gr.Timer(active=any(job.is_live for job in jobs))
        return {"timer": timer, "listing": view.list_html(jobs)}


def form_from(values: Mapping[str, Any]) -> Form:
    """The form as filled in.

    Args:
        values: Of the components, by field of `Form`.

    Raises:
        UserError: A number is missing, or a price is none.
    """
    for field, label in NUMBERS.items():
        if values[field] is None:
            raise UserError(f"{label} is empty.", "Enter a number.")
    return Form(
        kind=values["kind"] or "generate",
        model=values["model"] or "",
        file=values["file"] or "",
        name=(values["name"] or "").strip(),
        count=int(values["count"]),
        temperature=float(values["temperature"]),
        max_tokens=int(values["max_tokens"]),
        concurrency=int(values["concurrency"]),
        seed=int(values["seed"]),
        price_in=_dollars(values["price_in"]),
        price_out=_dollars(values["price_out"]),
        acknowledged=bool(values["acknowledged"]),
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

"""Data: make the datasets that imitations learn from, and look into them."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from dashboards.data import answers_page, sources, view
from dashboards.data.built_page import BuildHandlers, Selection
from dashboards.data.form import settings_form, source_form
from dashboards.data.mixtures import CHOICES
from dashboards.data.new_page import Draft, FormHandlers
from dashboards.shell.context import Context
from dashboards.shell.drawing import figure_component
from dashboards.shell.listeners import listen, listen_clicks
from dashboards.shell.scripts import CLICK_JS
from dashboards.shell.templates import render, title_html

LEDE = (
    "What a reference answered, gathered, cleaned and mixed into the data an imitation learns "
    "from. Builds go on when this page is closed; each is an ordinary command."
)
POLL_S = 2.0
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
LATEST: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}
ONCE: dict[str, Any] = {**QUIET, "trigger_mode": "once"}
EVERY: dict[str, Any] = {**QUIET, "trigger_mode": "multiple"}  # no click is lost
LISTED = (
    "selection", "timer", "listing", "head", "detail", "counts",
    "origin", "conversations", "figure", "diversity", "manifest",
)  # fmt: skip
"""What shows datasets."""
PREVIEWED = ("preview", "confirm", "licence", "draft", "timer")
"""What shows the source looked at."""


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    new = FormHandlers(context)
    built = BuildHandlers(context, new)
    token = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    state = {"selection": gr.State(Selection()), "draft": gr.State(Draft())}
    timer = gr.Timer(POLL_S, active=False)
    gr.HTML(title_html("Data", LEDE))
    with gr.Accordion("New dataset", open=True, elem_id="data-new"):
        parts, form = _new_dataset()
    answers_page.build(context, token, parts["source"])
    every = {"token": token, "timer": timer, **state, **parts, **form, **_datasets(context)}
    page = gr.context.Context.root_block
    assert page is not None
    first = ("token", "source", "against", "name", "start", "draft", "mixture", "weights")
    listen(page.load, built.load, {"token": token}, _of(every, *first, *CHOICES, *LISTED), **QUIET)
    _listen_to_form(new, every, form)
    _listen_to_datasets(built, every, form)


def _of(components: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: components[name] for name in names}


def _new_dataset() -> tuple[dict[str, Any], dict[str, Component]]:
    """The components that make a dataset: those around the form, and the form's, by name."""
    source, look, upload = source_form()
    preview = gr.HTML(elem_id="data-preview")
    with gr.Row(visible=False, elem_classes="lab-end") as confirm:
        licence = gr.Textbox(
            label="Licence", info="As its owner states it; kept in the manifest.",
            max_length=120, elem_id="data-licence", scale=3,
        )  # fmt: skip
        add = gr.Button("Add this source", variant="primary", elem_id="data-add", scale=1)
    mixture = gr.HTML(view.mixture_html(()), js_on_load=CLICK_JS, elem_id="data-sources")
    form = settings_form()
    plan = gr.HTML(js_on_load=CLICK_JS, elem_id="data-plan")
    start = gr.Button("Build", variant="primary", elem_id="data-build")
    return {
        "source": source,
        "look": look,
        "upload": upload,
        "preview": preview,
        "confirm": confirm,
        "licence": licence,
        "add": add,
        "mixture": mixture,
        "plan": plan,
        "start": start,
    }, form


def _datasets(context: Context) -> dict[str, Any]:
    """The components that show datasets, by name."""
    listing = gr.HTML(js_on_load=CLICK_JS, elem_id="data-list")
    head = gr.HTML(js_on_load=CLICK_JS, elem_id="data-head")
    with gr.Column(visible=False) as detail, gr.Tabs(elem_id="data-tabs"):
        with gr.Tab("Counts"):
            counts = gr.HTML(elem_id="data-counts")
        with gr.Tab("Browse"):
            with gr.Row():
                search = gr.Textbox(
                    label="Search", placeholder="Words that all occur", elem_id="data-search"
                )
                origin = gr.Dropdown([], label="Source", elem_id="data-origin")
            conversations = gr.HTML(js_on_load=CLICK_JS, elem_id="data-found")
        with gr.Tab("Diversity"):
            figure = figure_component(render("data/histogram.html"), "data-figure")
            diversity = gr.HTML(elem_id="data-diversity")
        with gr.Tab("Manifest"):
            manifest = gr.HTML(elem_id="data-manifest")
    # Datasets are served from where they lie: a copy for each look takes too long.
    gr.set_static_paths([sources.folder(context.settings)])
    return {
        "listing": listing,
        "head": head,
        "detail": detail,
        "counts": counts,
        "search": search,
        "origin": origin,
        "conversations": conversations,
        "figure": figure,
        "diversity": diversity,
        "manifest": manifest,
    }


def _listen_to_form(new: FormHandlers, every: dict[str, Any], form: dict[str, Component]) -> None:
    visitor = _of(every, "token", "draft")
    weighted, choices = _of(every, "token", "draft", "weights"), _of(every, *CHOICES)
    listen(
        every["look"].click, new.preview, {**visitor, **_of(every, "source")},
        _of(every, *PREVIEWED), **ONCE,
    )  # fmt: skip
    listen(
        every["upload"].upload, new.upload, {**visitor, **_of(every, "upload")},
        _of(every, "upload", "source", "against", *PREVIEWED), **QUIET,
    )  # fmt: skip
    listen(
        every["add"].click, new.add, {**weighted, **_of(every, "licence")},
        _of(every, "draft", "mixture", "preview", "confirm"), **QUIET,
    )  # fmt: skip
    listen_clicks(
        every["mixture"].click, new.remove, weighted, _of(every, "draft", "mixture"), **QUIET
    )
    listen(every["weights"].change, new.weigh, weighted, **LATEST)
    chosen = [component.change for component in choices.values()]
    listen(chosen, new.choose, {**visitor, **choices}, **LATEST)
    # One listener for all: a reply to an earlier change never comes after that to a later one.
    changed = [every[name].change for name in ("draft", *form)]
    listen(changed, new.plan, {**visitor, **form}, _of(every, "plan"), **LATEST)


def _listen_to_datasets(
    built: BuildHandlers, every: dict[str, Any], form: dict[str, Component]
) -> None:
    visitor, listed = _of(every, "token", "draft"), _of(every, *LISTED)
    seen = {**visitor, **_of(every, "selection")}
    ticked = {**listed, **_of(every, "preview", "confirm", "draft")}
    listen(every["timer"].tick, built.tick, seen, ticked, **ONCE)
    started = {**listed, **_of(every, "name")}
    listen(every["start"].click, built.start, {**visitor, **form}, started, **ONCE)
    listen_clicks(every["listing"].click, built.clicked, seen, listed, **EVERY)
    listen_clicks(every["head"].click, built.acted, seen, listed, **EVERY)
    query = _of(every, "selection", "search", "origin")
    turned = _of(every, "selection", "conversations")
    listen(every["search"].change, built.searched, query, turned, **LATEST)
    listen(every["origin"].input, built.searched, query, turned, **QUIET)
    listen_clicks(every["conversations"].click, built.paged, query, turned, **QUIET)

"""Data: make the datasets that imitations learn from, and look into them."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dashboards.data import answers_page, sources, view
from dashboards.data.built_page import PLACE, BuildHandlers
from dashboards.data.form import settings_form, source_form
from dashboards.data.new_page import CHOSEN, FormHandlers
from dashboards.shell.context import Context
from dashboards.shell.drawing import figure_component
from dashboards.shell.scripts import CLICK_JS

LEDE = (
    "What a reference answered, gathered, cleaned and mixed into the data an imitation learns "
    "from. Builds go on when this page is closed; each is an ordinary command."
)
POLL_S = 2.0
FIGURE = (
    '<figure class="lab-figure" hidden><div class="lab-plot" role="img" aria-label="Histogram of '
    'nearest-query BLEU; the text beside it holds the mean"></div>'
    '<figcaption class="lab-links"><span>For each query, BLEU of its most similar other one.</span>'
    '<button type="button" data-format="png">PNG</button>'
    '<button type="button" data-format="svg">SVG</button></figcaption></figure>'
)


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    new = FormHandlers(context)
    built = BuildHandlers(context, new)
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    place, chosen = gr.State(PLACE), gr.State(CHOSEN)
    timer = gr.Timer(POLL_S, active=False)
    gr.HTML(f'<h1 class="lab-title">Data</h1><p class="lab-lede">{LEDE}</p>')
    with gr.Accordion("New dataset", open=True, elem_id="data-new"):
        source, look, upload = source_form()
        glimpse = gr.HTML(elem_id="data-glimpse")
        with gr.Row(visible=False, elem_classes="lab-end") as confirm:
            licence = gr.Textbox(
                label="Licence", info="As its owner states it; kept in the manifest.",
                max_length=120, elem_id="data-licence", scale=3,
            )  # fmt: skip
            add = gr.Button("Add this source", variant="primary", elem_id="data-add", scale=1)
        listed = gr.HTML(view.mixture_html(()), js_on_load=CLICK_JS, elem_id="data-sources")
        fields = settings_form()
        planned = gr.HTML(js_on_load=CLICK_JS, elem_id="data-plan")
        start = gr.Button("Build", variant="primary", elem_id="data-build")
    answers_page.build(context, secret, source)
    listing = gr.HTML(js_on_load=CLICK_JS, elem_id="data-list")
    head = gr.HTML(js_on_load=CLICK_JS, elem_id="data-head")
    with gr.Column(visible=False) as detail:
        looked_into = _detail(context)
    counts, search, origin, found, figure, diversity, manifest = looked_into

    shown = [place, timer, listing, head, detail, counts]
    deep = [origin, found, figure, diversity, manifest]
    mixture = [*fields.choices, chosen, listed, fields.weights]
    looks = [glimpse, confirm, licence, chosen, timer]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    page = gr.context.Context.root_block
    assert page is not None
    page.load(
        built.load, secret,
        [secret, source, fields.against, fields.name, start, *mixture, *shown, *deep], **quiet,
    )  # fmt: skip
    timer.tick(
        built.tick, [secret, place, chosen], [*shown, *deep, *looks[:-1]],
        trigger_mode="once", **quiet,
    )  # fmt: skip
    look.click(new.look, [secret, source, chosen], looks, trigger_mode="once", **quiet)
    upload.upload(
        new.upload, [secret, upload, chosen], [upload, source, fields.against, *looks], **quiet
    )
    mixed = [secret, chosen, fields.weights]
    add.click(new.add, [*mixed, licence], [chosen, listed, glimpse, confirm], **quiet)
    listed.click(new.remove, mixed, [chosen, listed], **quiet)
    fields.weights.change(new.weigh, mixed, None, trigger_mode="always_last", **quiet)
    chose = [field.change for field in fields.choices]
    gr.on(
        chose, new.choose, [secret, chosen, *fields.choices], None, trigger_mode="always_last",
        **quiet,
    )  # fmt: skip
    typed = [chosen, *fields.all]
    # One listener for all: a reply to an earlier change never comes after that to a later one.
    changed = [field.change for field in typed]
    gr.on(changed, new.plan, [secret, *typed], planned, trigger_mode="always_last", **quiet)
    start.click(
        built.start, [secret, *typed], [fields.name, *shown, *deep], trigger_mode="once", **quiet
    )
    always: dict[str, Any] = {**quiet, "trigger_mode": "multiple"}  # no click is lost
    listing.click(built.clicked, [secret, place, chosen], [*shown, *deep], **always)
    head.click(built.acted, [secret, place, chosen], [*shown, *deep], **always)
    seeks = [place, search, origin]
    search.change(built.searched, seeks, [place, found], trigger_mode="always_last", **quiet)
    origin.input(built.searched, seeks, [place, found], **quiet)
    found.click(built.paged, seeks, [place, found], **quiet)


def _detail(context: Context) -> tuple[Any, ...]:
    with gr.Tabs(elem_id="data-tabs"):
        with gr.Tab("Counts"):
            counts = gr.HTML(elem_id="data-counts")
        with gr.Tab("Browse"):
            with gr.Row():
                search = gr.Textbox(
                    label="Search", placeholder="Words that all occur", elem_id="data-search"
                )
                origin = gr.Dropdown([], label="Source", elem_id="data-origin")
            found = gr.HTML(js_on_load=CLICK_JS, elem_id="data-found")
        with gr.Tab("Diversity"):
            figure = figure_component(FIGURE, "data-figure")
            diversity = gr.HTML(elem_id="data-diversity")
        with gr.Tab("Manifest"):
            manifest = gr.HTML(elem_id="data-manifest")
    datasets = sources.folder(context.settings)
    # Datasets are served from where they lie: a copy for each look takes too long.
    gr.set_static_paths([datasets])
    return counts, search, origin, found, figure, diversity, manifest

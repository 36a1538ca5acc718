"""Fine-tune: make an imitation, watch it learn, put it into Compare."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dashboards.finetune import publish_page, tracking_page
from dashboards.finetune.form import form_fields, own_data, saved_settings
from dashboards.finetune.new_page import NO_PROBE, FormHandlers
from dashboards.finetune.runs_page import START, RunHandlers
from dashboards.shell.context import Context
from dashboards.shell.drawing import figure_component
from dashboards.shell.scripts import CLICK_JS

LEDE = (
    "An imitation is a base fine-tuned on the reference's answers. Runs go on when this page is "
    "closed; each is an ordinary command."
)
POLL_S = 2.0
PROBE_S = 0.7
FIGURE = (
    '<figure class="lab-figure" hidden><div class="lab-plot" role="img" '
    'aria-label="Loss over steps of the runs in the chart; the list holds the last values"></div>'
    '<figcaption class="lab-links"><span>Thin: training. Thick: conversations kept out. '
    "In colour: the run chosen.</span>"
    '<button type="button" data-format="png">PNG</button>'
    '<button type="button" data-format="svg">SVG</button></figcaption></figure>'
)


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    new = FormHandlers(context)
    runs = RunHandlers(context, new)
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    place = gr.State(START)
    timer = gr.Timer(POLL_S, active=False)
    probe = gr.State(NO_PROBE)
    ready = gr.Timer(PROBE_S, active=False)
    gr.HTML(f'<h1 class="lab-title">Fine-tune</h1><p class="lab-lede">{LEDE}</p>')
    with gr.Accordion("New run", open=True, elem_id="finetune-new") as form:
        preset, base, data, name, numbers = form_fields()
        upload = own_data(_where(context))
        saved, keep = saved_settings()
        planned = gr.HTML(js_on_load=CLICK_JS, elem_id="finetune-plan")
        with gr.Row():
            start = gr.Button("Start", variant="primary", elem_id="finetune-start")
            look = gr.Button("Estimate memory and time", elem_id="finetune-estimate")
            show = gr.Button("Show the first batch", elem_id="finetune-batch")
        probed = gr.HTML(js_on_load=CLICK_JS, elem_id="finetune-probe")
    figure = figure_component(FIGURE, "finetune-figure")
    listing = gr.HTML(js_on_load=CLICK_JS, elem_id="finetune-list")
    detail = gr.HTML(js_on_load=CLICK_JS, elem_id="finetune-detail")
    tracking_page.build(context, place, detail)
    publish_page.build(context, secret, place, detail)
    log = gr.HTML(elem_id="finetune-log", autoscroll=True)

    fields = [name, preset, base, data, *numbers]
    shown = [place, timer, figure, listing, detail, log]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    page = gr.context.Context.root_block
    assert page is not None
    page.load(runs.load, secret, [secret, form, start, saved, *fields, planned, *shown], **quiet)
    timer.tick(runs.tick, [secret, place], shown, trigger_mode="once", **quiet)
    preset.input(new.other_preset, [secret, *fields], [*fields, planned], **quiet)
    # One listener for all: a reply to an earlier change never comes after that to a later one.
    changed = [field.change for field in (name, base, data, *numbers)]
    gr.on(changed, new.plan, [secret, *fields], planned, trigger_mode="always_last", **quiet)
    upload.upload(new.upload, [secret, upload], [upload, data], **quiet)
    start.click(runs.start, [secret, *fields], [form, name, *shown], trigger_mode="once", **quiet)
    looked = [probe, ready, probed]
    for button, handler in ((look, new.estimate), (show, new.batch)):
        button.click(handler, [secret, *fields], looked, trigger_mode="once", **quiet)
    ready.tick(new.probed, [secret, probe], looked, trigger_mode="once", **quiet)
    probed.click(new.fit, [secret, *fields], [*fields, probed], **quiet)
    keep.click(new.keep, [secret, *fields], saved, trigger_mode="once", **quiet)
    saved.input(new.restore, [secret, saved], fields, **quiet)
    always: dict[str, Any] = {**quiet, "trigger_mode": "multiple"}  # no click is lost
    listing.click(runs.clicked, [secret, place], shown, **always)
    detail.click(runs.acted, [secret, place], [form, *fields, *shown], **always)


def _where(context: Context) -> str:
    return f"Files in {context.settings.data / 'datasets'} are listed too; or upload one here."

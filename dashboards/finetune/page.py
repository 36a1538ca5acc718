"""Fine-tune: make an imitation, watch it learn, put it into Compare."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dashboards.finetune import publish_page, tracking_page
from dashboards.finetune.form import FormFields, own_data, saved_settings
from dashboards.finetune.new_page import NO_PROBE, FormHandlers
from dashboards.finetune.runs_page import START, RunHandlers
from dashboards.shell.context import Context
from dashboards.shell.drawing import figure_component
from dashboards.shell.listeners import QUIET, listen
from dashboards.shell.scripts import CLICK_JS
from dashboards.shell.templates import render, title_html

LEDE = (
    "An imitation is a base fine-tuned on the reference's answers. Runs go on when this page is "
    "closed; each is an ordinary command."
)
POLL_S = 2.0
PROBE_S = 0.7


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    place = gr.State(START)
    timer = gr.Timer(POLL_S, active=False)
    probe = gr.State(NO_PROBE)
    ready = gr.Timer(PROBE_S, active=False)
    gr.HTML(title_html("Fine-tune", LEDE))
    with gr.Accordion("New run", open=True, elem_id="finetune-new") as accordion:
        fields = FormFields().by_name
        upload = own_data(_where(context))
        saved, keep = saved_settings()
        plan = gr.HTML(js_on_load=CLICK_JS, elem_id="finetune-plan")
        with gr.Row():
            start = gr.Button("Start", variant="primary", elem_id="finetune-start")
            estimate = gr.Button("Estimate memory and time", elem_id="finetune-estimate")
            batch = gr.Button("Show the first batch", elem_id="finetune-batch")
        looked = gr.HTML(js_on_load=CLICK_JS, elem_id="finetune-probe")
    figure = figure_component(render("finetune/figure.html"), "finetune-figure")
    listing = gr.HTML(js_on_load=CLICK_JS, elem_id="finetune-list")
    detail = gr.HTML(js_on_load=CLICK_JS, elem_id="finetune-detail")
    tracking_page.build(context, place, detail)
    publish_page.build(context, secret, place, detail)
    log = gr.HTML(elem_id="finetune-log", autoscroll=True)

    runs = {"place": place, "timer": timer, "figure": figure, "listing": listing}
    runs |= {"detail": detail, "log": log}
    new = {"accordion": accordion, "start": start, "saved": saved, "plan": plan, "upload": upload}
    new |= {"probe": probe, "ready": ready, "looked": looked, "secret": secret}
    buttons = {"keep": keep, "estimate": estimate, "batch": batch}
    _listen(context, fields, new, runs, buttons)


def _listen(
    context: Context,
    fields: dict[str, Any],
    new: dict[str, Any],
    shown: dict[str, Any],
    buttons: dict[str, gr.Button],
) -> None:
    """What happens when something is chosen, changed or pressed.

    Args:
        context: What pages work with.
        fields: The form's components by name.
        new: What is around them.
        shown: What shows the runs.
        buttons: Those that no listener changes.
    """
    new_run = FormHandlers(context)
    runs = RunHandlers(context, new_run)
    secret, place, probe = new["secret"], shown["place"], new["probe"]

    def of(*names: str) -> dict[str, Any]:
        return {name: new[name] for name in names}

    once: dict[str, Any] = {"trigger_mode": "once", **QUIET}
    page = gr.context.Context.root_block
    assert page is not None
    whole = {**of("secret", "accordion", "start", "saved", "plan"), **fields, **shown}
    listen(page.load, runs.load, [secret], whole, **QUIET)
    listen(shown["timer"].tick, runs.tick, [secret, place], shown, **once)
    planned = {**fields, **of("plan")}
    listen(fields["preset"].input, new_run.other_preset, [secret], planned, form=fields, **QUIET)
    # One listener for all: a reply to an earlier change never comes after that to a later one.
    changed = [field.change for name, field in fields.items() if name != "preset"]
    latest: dict[str, Any] = {"trigger_mode": "always_last", **QUIET}
    listen(changed, new_run.plan, [secret], of("plan"), form=fields, **latest)
    data = {**of("upload"), "data": fields["data"]}
    listen(new["upload"].upload, new_run.upload, [secret, new["upload"]], data, **QUIET)
    started = {**of("accordion"), "name": fields["name"], **shown}
    listen(new["start"].click, runs.start, [secret], started, form=fields, **once)
    looks = of("probe", "ready", "looked")
    listen(buttons["estimate"].click, new_run.estimate, [secret], looks, form=fields, **once)
    listen(buttons["batch"].click, new_run.batch, [secret], looks, form=fields, **once)
    listen(new["ready"].tick, new_run.probed, [secret, probe], looks, **once)
    listen(
        new["looked"].click, new_run.fit, [secret], {**fields, **of("looked")}, form=fields, **QUIET
    )
    listen(buttons["keep"].click, new_run.keep, [secret], of("saved"), form=fields, **once)
    listen(new["saved"].input, new_run.restore, [secret, new["saved"]], fields, **QUIET)
    always: dict[str, Any] = {"trigger_mode": "multiple", **QUIET}  # no click is lost
    listen(shown["listing"].click, runs.clicked, [secret, place], shown, **always)
    acted = {**of("accordion"), **fields, **shown}
    listen(shown["detail"].click, runs.acted, [secret, place], acted, **always)


def _where(context: Context) -> str:
    return f"Files in {context.settings.data / 'datasets'} are listed too; or upload one here."

"""Fine-tune: make an imitation, watch it learn, put it into Compare."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from dashboards import after_view, probe_view
from dashboards import finetune_view as view
from dashboards.actions import finetune as actions
from dashboards.actions import probes, saved_forms, visitors
from dashboards.actions.finetune import OVERRIDES, WORDS, Form
from dashboards.actions.probes import Probe
from dashboards.actions.runs import Run, Runs
from dashboards.components import CLICK_JS
from dashboards.context import Context
from dashboards.finetune_form import filled, form_fields, form_from, own_data, saved_settings
from dashboards.job_view import log_html, problem_html
from dashboards.palette import DARK, LIGHT
from imitation.errors import UserError
from imitation.jobs.kinds import as_typed

LEDE = (
    "An imitation is a base fine-tuned on the reference's answers. Runs go on when this page is "
    "closed; each is an ordinary command."
)
CHARTED = 4
"""Runs in the chart until the visitor chooses."""
MOST_CHARTED = 6
POLL_S = 2.0
PROBE_S = 0.7
START: dict[str, Any] = {"run": "", "chart": None}
NO_PROBE: dict[str, str] = {"id": "", "kind": ""}
_SCRIPT = Path(__file__).with_name("figure.js")
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
    handle = _Handlers(context)
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
    figure = _figure()
    listing = gr.HTML(js_on_load=CLICK_JS, elem_id="finetune-list")
    detail = gr.HTML(js_on_load=CLICK_JS, elem_id="finetune-detail")
    after_view.build(context, secret, place, detail)
    log = gr.HTML(elem_id="finetune-log", autoscroll=True)

    fields = [name, preset, base, data, *numbers]
    shown = [place, timer, figure, listing, detail, log]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    page = gr.context.Context.root_block
    assert page is not None
    page.load(handle.load, secret, [secret, form, start, saved, *fields, planned, *shown], **quiet)
    timer.tick(handle.tick, [secret, place], shown, trigger_mode="once", **quiet)
    preset.input(handle.other_preset, [secret, *fields], [*fields, planned], **quiet)
    for field in (name, base, data, *numbers):
        field.change(handle.plan, [secret, *fields], planned, trigger_mode="always_last", **quiet)
    upload.upload(handle.upload, [secret, upload], [upload, data], **quiet)
    start.click(handle.start, [secret, *fields], [form, name, *shown], trigger_mode="once", **quiet)
    looked = [probe, ready, probed]
    for button, handler in ((look, handle.estimate), (show, handle.batch)):
        button.click(handler, [secret, *fields], looked, trigger_mode="once", **quiet)
    ready.tick(handle.probed, [secret, probe], looked, trigger_mode="once", **quiet)
    probed.click(handle.fit, [secret, *fields], [*fields, probed], **quiet)
    keep.click(handle.keep, [secret, *fields], saved, trigger_mode="once", **quiet)
    saved.input(handle.restore, [secret, saved], fields, **quiet)
    always: dict[str, Any] = {**quiet, "trigger_mode": "multiple"}  # no click is lost
    listing.click(handle.clicked, [secret, place], shown, **always)
    detail.click(handle.acted, [secret, place], [form, *fields, *shown], **always)


def _where(context: Context) -> str:
    return f"Files in {context.settings.data / 'datasets'} are listed too; or upload one here."


def _figure() -> gr.HTML:
    plotly_js = Path(str(files("plotly") / "package_data" / "plotly.min.js"))
    gr.set_static_paths([plotly_js])
    return gr.HTML(
        None,
        html_template=FIGURE,
        js_on_load=_SCRIPT.read_text(encoding="utf-8"),
        apply_default_css=False,
        dark={one: other for (_, one), (_, other) in zip(LIGHT.items(), DARK.items(), strict=True)},
        plotly=f"/gradio_api/file={plotly_js.as_posix()}",
        elem_id="finetune-figure",
    )


class _Handlers:
    """What the listeners do; each returns the updates of its outputs."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.runs = Runs(context)

    def load(self, token: str) -> list[Any]:
        """The form with a preset filled in, and the newest run."""
        token = token or visitors.new_secret()
        visitor = visitors.visitor_hash(token)
        known = actions.presets()
        form = self._form_of_preset(known[0], visitor)
        shown = self._shown(visitor, START)
        names = [(card.name, card.id) for card in actions.bases(self.context)]
        names += actions.folders(self.context)
        values = filled(form)
        for number, key in enumerate(OVERRIDES, 4):
            if key in WORDS:
                values[number] = gr.update(choices=actions.choices(key), value=form.changes[key])
        values[1] = gr.update(choices=known, value=form.preset)
        values[2] = gr.update(choices=names, value=form.base)
        files = actions.data_files(self.context.settings, visitor)
        values[3] = gr.update(choices=files, value=form.data)
        may = self.context.settings.jobs
        start = gr.update(
            interactive=may, value="Start" if may else "Starting jobs is switched off here"
        )
        opened = gr.update(open=not shown[0]["run"])
        saved = gr.update(choices=saved_forms.names(self.context.settings, visitor))
        return [token, opened, start, saved, *values, self._plan(form, visitor), *shown]

    def tick(self, token: str, place: dict[str, Any]) -> list[Any]:
        """What has changed since the last look."""
        return self._shown(visitors.visitor_hash(token), place)

    def other_preset(self, token: str, *fields: Any) -> list[Any]:
        """The values of another preset; the data and a name of one's own stay."""
        visitor = visitors.visitor_hash(token)
        form = self._form_of_preset(str(fields[1]), visitor)
        return [*filled(form), self._plan(form, visitor)]

    def plan(self, token: str, *fields: Any) -> str:
        """The command line of the form."""
        try:
            return self._plan(form_from(fields), visitors.visitor_hash(token))
        except UserError as error:
            return problem_html(error.message, error.hint)

    def upload(self, token: str, path: str | None) -> list[Any]:
        """Keep an uploaded file and choose it."""
        if not path:
            return [gr.skip(), gr.skip()]
        visitor = visitors.visitor_hash(token)
        settings = self.context.settings
        try:
            kept = actions.keep_upload(settings, visitor, Path(path))
        except UserError as error:
            gr.Warning(str(error))
            return [None, gr.skip()]
        choices = actions.data_files(settings, visitor)
        return [None, gr.update(choices=choices, value=str(kept))]

    def start(self, token: str, *fields: Any) -> list[Any]:
        """Start the run of the form and show it."""
        visitor = visitors.visitor_hash(token)
        try:
            job = actions.start(self.context, form_from(fields), visitor)
        except UserError as error:
            gr.Warning(str(error))
            return [gr.skip()] * 8
        name = actions.free_name(self.context, job.spec.name)
        return [gr.update(open=False), name, *self._shown(visitor, {**START, "run": job.id})]

    def estimate(self, token: str, *fields: Any) -> list[Any]:
        """Have the run of the form measured."""
        return self._probe("estimate", token, fields)

    def batch(self, token: str, *fields: Any) -> list[Any]:
        """Have the first batch of the form's run made."""
        return self._probe("batch", token, fields)

    def _probe(self, kind: Probe, token: str, fields: tuple[Any, ...]) -> list[Any]:
        visitor = visitors.visitor_hash(token)
        try:
            identity = probes.start(self.context, kind, form_from(fields), visitor)
        except UserError as error:
            problem = problem_html(error.message, error.hint)
            return [NO_PROBE, gr.Timer(active=False), problem]
        waiting = probe_view.waiting_html(kind)
        return [{"id": identity, "kind": kind}, gr.Timer(active=True), waiting]

    def probed(self, token: str, probe: dict[str, str]) -> list[Any]:
        """What a look found, once it has."""
        try:
            found = probes.result(self.context, probe["id"]) if probe["id"] else {}
        except UserError as error:
            problem = problem_html(error.message, error.hint)
            return [NO_PROBE, gr.Timer(active=False), problem]
        if found is None:
            return [gr.skip(), gr.skip(), gr.skip()]
        if not found:
            return [NO_PROBE, gr.Timer(active=False), gr.skip()]
        estimate = probe["kind"] == "estimate"
        shown = probe_view.estimate_html(found) if estimate else probe_view.batch_html(found)
        return [NO_PROBE, gr.Timer(active=False), shown]

    def fit(self, event: gr.EventData, token: str, *fields: Any) -> list[Any]:
        """Change the form so that the run fits, as the estimate proposed."""
        data = event._data or {}
        try:
            form = probes.with_changes(form_from(fields), str(data.get("changes", "")))
        except UserError as error:
            gr.Warning(str(error))
            return [gr.skip()] * (5 + len(OVERRIDES))
        changed = '<p class="lab-quiet" role="status">Changed; estimate again to see it.</p>'
        return [*filled(form), changed]

    def keep(self, token: str, *fields: Any) -> Any:
        """Keep the form under its name."""
        visitor, settings = visitors.visitor_hash(token), self.context.settings
        try:
            name = saved_forms.save(settings, visitor, form_from(fields))
        except UserError as error:
            gr.Warning(str(error))
            return gr.skip()
        gr.Info(f"Saved as {name}.")
        return gr.update(choices=saved_forms.names(settings, visitor), value=name)

    def restore(self, token: str, name: str) -> list[Any]:
        """Fill the form with kept settings, under a name that is free."""
        visitor, settings = visitors.visitor_hash(token), self.context.settings
        try:
            form = saved_forms.load(settings, visitor, name or "")
        except UserError as error:
            gr.Warning(str(error))
            return [gr.skip()] * (4 + len(OVERRIDES))
        free = actions.free_name(self.context, form.name)
        return filled(Form(free, form.preset, form.base, form.data, form.changes))

    def clicked(self, event: gr.EventData, token: str, place: dict[str, Any]) -> list[Any]:
        """A run was chosen, or put into the chart or out of it."""
        data = event._data or {}
        do, identity = str(data.get("do", "")), str(data.get("id", ""))
        visitor = visitors.visitor_hash(token)
        if do == "show":
            place = {**place, "run": identity}
        elif do == "chart":
            charted = self._charted(self.runs.look(visitor), place)
            others = [one for one in charted if one != identity]
            now = others if identity in charted else [*others, identity][-MOST_CHARTED:]
            place = {**place, "chart": now}
        return self._shown(visitor, place)

    def acted(self, event: gr.EventData, token: str, place: dict[str, Any]) -> list[Any]:
        """Stop, resume, delete, promote, or use the settings of the run shown."""
        data = event._data or {}
        do, identity = str(data.get("do", "")), str(data.get("id", ""))
        visitor = visitors.visitor_hash(token)
        form: list[Any] = [gr.skip()] * (5 + len(OVERRIDES))
        try:
            if do in ("stop", "kill"):
                self.runs.stop(identity, visitor, kill=do == "kill")
            elif do == "delete":
                self.runs.delete(identity, visitor)
            elif do == "retry":
                job = self.runs.retry(identity, visitor)
                place = {**place, "run": job.id}
            elif do == "resume":
                job = self.runs.resume(identity, visitor)
                place = {**place, "run": job.id}
            elif do == "promote":
                card = self.runs.promote(identity, visitor)
                gr.Info(f"{card.name} is in Compare now.")
            elif do == "reuse":
                found = next(run.form for run in self.runs.look(visitor) if run.id == identity)
                name = actions.free_name(self.context, found.name)
                form = [gr.update(open=True), *self._filled(found, name)]
        except UserError as error:
            gr.Warning(str(error))
        except StopIteration:
            gr.Warning("This run is gone.")
        return [*form, *self._shown(visitor, place)]

    def _form_of_preset(self, preset: str, visitor: str) -> Form:
        values = actions.preset_values(preset)
        files = [path for _, path in actions.data_files(self.context.settings, visitor)]
        fitting = [path for path in files if Path(path).stem == preset.rpartition("-")[2]]
        base = values.pop("base")
        name = actions.free_name(self.context, preset)
        return Form(name, preset, base, (fitting or files or [""])[0], values)

    def _filled(self, form: Form, name: str) -> list[Any]:
        values = actions.preset_values(form.preset)
        changes = {key: form.changes.get(key, values[key]) for key in OVERRIDES}
        return filled(Form(name, form.preset, form.base, form.data, changes))

    def _plan(self, form: Form, visitor: str) -> str:
        try:
            made = actions.plan(self.context, form, visitor)
        except UserError as error:
            return problem_html(error.message, error.hint)
        return view.plan_html(made, as_typed(made.argv))

    def _shown(self, visitor: str, place: dict[str, Any]) -> list[Any]:
        """Updates of all that shows runs."""
        runs = self.runs.look(visitor)
        chosen = next((run for run in runs if run.id == place["run"]), runs[0] if runs else None)
        timer = gr.Timer(active=any(run.is_live for run in runs))
        if chosen is None:
            return [START, timer, None, view.EMPTY, "", ""]
        charted = self._charted(runs, place)
        order = [run for run in runs if run.id in charted]
        order.sort(key=lambda run: run.id != chosen.id)
        return [
            {**place, "run": chosen.id},
            timer,
            _drawn(order),
            view.list_html(runs, chosen.id, charted),
            view.detail_html(chosen),
            log_html(self.runs.log(chosen.id)),
        ]

    @staticmethod
    def _charted(runs: list[Run], place: dict[str, Any]) -> list[str]:
        if place["chart"] is not None:
            return list(place["chart"])
        return [run.id for run in runs if run.progress.loss or run.is_live][:CHARTED]


def _drawn(runs: list[Run]) -> dict[str, Any] | None:
    """The figure as plain Plotly JSON; None without anything to draw."""
    from dashboards.figures.losses import losses
    from dashboards.figures.template import plotly_template

    curves = [view.curve_of(run) for run in runs if run.progress.loss or run.progress.validation]
    if not curves:
        return None
    figure: dict[str, Any] = json.loads(losses(curves, LIGHT, plotly_template(LIGHT)).to_json())
    return figure

"""Evaluate: measure the gap, watch it being measured, and read what every model answered."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from dashboards.evaluate import new_run as actions
from dashboards.evaluate import samples, samples_view, view
from dashboards.evaluate.form import form_of, import_form, new_form
from dashboards.evaluate.position import START, Position, address_of, position_of, verdict_of
from dashboards.evaluate.runs import Evaluations
from dashboards.evaluate.samples import Browse
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.evaluation_runs import Evaluation
from dashboards.shell.job_panel import log_html, problem_html
from dashboards.shell.listeners import QUIET, Updates, components, listen
from dashboards.shell.preferences import everybody
from dashboards.shell.queries import EXAMPLE_ID
from dashboards.shell.scripts import CLICK_JS, MESSAGE_JS
from dashboards.shell.templates import title_html
from imitation.errors import UserError
from imitation.evaluation.report import export
from imitation.evaluation.report.files import report_of
from imitation.evaluation.report.schema import Report
from imitation.jobs.registry import as_typed, command

LEDE = (
    "A benchmark asks what a model can do; style asks only how it sounds. Measure a base, its "
    "imitation and a reference on the same questions, and read every answer."
)
POLL_S = 2.0


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    handle = _Handlers(context)
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    position = gr.State(START)
    timer = gr.Timer(POLL_S, active=False)
    gr.HTML(title_html("Evaluate", LEDE))
    with gr.Accordion("New evaluation", open=True, elem_id="evaluate-new") as form:
        fields, index = new_form(context)
        planned = gr.HTML(js_on_load=CLICK_JS, elem_id="evaluate-plan")
        start = gr.Button("Start", variant="primary", elem_id="evaluate-start")
    with gr.Accordion("Import results of lm-eval", open=False, elem_id="evaluate-import"):
        imported, load = import_form()
    listing = gr.HTML(js_on_load=CLICK_JS, elem_id="evaluate-list")
    detail = gr.HTML(js_on_load=CLICK_JS, elem_id="evaluate-detail")
    with gr.Column(visible=False, elem_id="evaluate-samples") as browser:
        gr.HTML('<h2 class="lab-title">Samples</h2>')
        search = gr.Textbox(
            label="Search questions and answers", placeholder="Any words",
            elem_id="evaluate-search",
        )  # fmt: skip
        sample_list = gr.HTML(js_on_load=CLICK_JS, elem_id="evaluate-browse")
    log = gr.HTML(elem_id="evaluate-log", autoscroll=True)
    message = gr.Textbox(visible="hidden", elem_id="evaluate-message")
    message.change(None, message, None, js=MESSAGE_JS, api_visibility="private")

    look = {
        "position": position, "timer": timer, "listing": listing, "detail": detail,
        "browser": browser, "samples": sample_list, "log": log,
    }  # fmt: skip
    reading = {"position": position, "text": search}
    plan, plan_fields = {"plan": planned}, components(fields)
    page = gr.context.Context.root_block
    assert page is not None
    opening = {"secret": secret, "form": form, "start": start, "name": fields.name,
               "search": search, "message": message}  # fmt: skip
    listen(page.load, handle.load, secret, {**opening, **look}, **QUIET)
    listen(page.load, handle.plan, [], plan, plan_fields, **QUIET)
    listen(timer.tick, handle.tick, secret, look, reading, trigger_mode="once", **QUIET)
    # One listener for all: a reply to an earlier change never comes after that to a later one.
    changes = [field.change for field in plan_fields.values()]
    changed = partial(gr.on, changes)
    listen(changed, handle.plan, [], plan, plan_fields, trigger_mode="always_last", **QUIET)
    listen(
        start.click, handle.start, secret, {"form": form, "name": fields.name, **look},
        {"text": search, **plan_fields}, trigger_mode="once", **QUIET,
    )  # fmt: skip
    listen(
        load.click, handle.import_results, secret,
        {"files": imported.files, "name": fields.name, **look},
        {"text": search, "name": fields.name, **components(imported)},
        trigger_mode="once", **QUIET,
    )  # fmt: skip
    listen(index.click, handle.write_index, secret, look, reading, **QUIET)
    for html in (listing, detail, sample_list):
        listen(
            html.click, handle.clicked, secret, {"message": message, **look}, reading,
            trigger_mode="multiple", **QUIET,
        )  # fmt: skip
    listen(
        search.change, handle.searched, secret, look, reading, trigger_mode="always_last", **QUIET
    )


class _Handlers:
    """What the listeners do; each returns the updates of its outputs by name."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.runs = Evaluations(context)

    def load(self, token: str, request: gr.Request) -> Updates:
        """The newest run, or the one an address names, with its filters."""
        token = token or visitors.new_secret()
        query = dict(request.query_params)
        position, text = position_of(query)
        look = self._look(token, position, text)
        may = self.context.settings.jobs
        return {
            "secret": token,
            "form": gr.update(open=look["position"].run in ("", EXAMPLE_ID)),
            "start": gr.update(
                interactive=may, value="Start" if may else "Starting jobs is switched off here"
            ),
            "name": actions.default_name(self.context),
            "search": text,
            "message": _message("look", id="evaluate-samples") if "at" in query else "",
            **look,
        }

    def tick(self, token: str, position: Position, text: str) -> Updates:
        """What has changed since the last look; the samples stay while they are read."""
        look = self._look(token, position, text)
        if position.reported == look["position"].reported:
            del look["samples"]
        return look

    def plan(self, **fields: Any) -> Updates:
        """What the form comes to, with its command line."""
        try:
            plan = actions.plan(self.context, form_of(**fields))
        except UserError as error:
            return {"plan": problem_html(error.message, error.hint)}
        return {"plan": view.plan_html(plan, as_typed(command("evaluate", plan.parameters)))}

    def start(self, token: str, text: str, **fields: Any) -> Updates:
        """Start the run of the form and show it."""
        try:
            job = actions.start(self.context, form_of(**fields), visitors.visitor_hash(token))
        except UserError as error:
            return _refused(error)
        name = actions.default_name(self.context)
        look = self._look(token, replace(START, run=job.id), text)
        return {"form": gr.update(open=False), "name": name, **look}

    def import_results(
        self, token: str, text: str, name: str, files: Sequence[str] | None, roles: str | None
    ) -> Updates:
        """Import uploaded results as a run and show it."""
        paths = [Path(path) for path in files or ()]
        visitor = visitors.visitor_hash(token)
        try:
            job = actions.import_results(self.context, visitor, name or "", paths, roles or "")
        except UserError as error:
            return _refused(error)
        look = self._look(token, replace(START, run=job.id), text)
        return {"files": None, "name": actions.default_name(self.context), **look}

    def write_index(self, token: str, position: Position, text: str) -> Updates:
        """Start the job that lists lm-eval's tasks."""
        try:
            actions.write_index(self.context, visitors.visitor_hash(token))
            gr.Info("lm-eval's tasks are being listed; load the page again in a minute.")
        except UserError as error:
            gr.Warning(str(error))
        return self._look(token, position, text)

    def searched(self, token: str, position: Position, text: str) -> Updates:
        """Other words: from the first page; those of an address are shown already."""
        if (text or "") == position.text:
            return {}
        return self._look(token, replace(position, page=0), text)

    def clicked(self, event: gr.EventData, token: str, position: Position, text: str) -> Updates:
        """A click on a run, a filter, a page, or something to be done."""
        data = event._data or {}
        do, identity = str(data.get("do", "")), str(data.get("id", ""))
        visitor, message = visitors.visitor_hash(token), ""
        try:
            if do in ("stop", "kill"):
                self.runs.stop(identity, visitor, kill=do == "kill")
            elif do == "resume":
                position = replace(START, run=self.runs.resume(identity, visitor).id)
            elif do == "delete":
                self.runs.delete(identity, visitor)
                position = START
            elif do == "export":
                message = self._export(position, str(data.get("kind", "")))
            elif do in ("compare", "blind") and identity.isdigit():
                run = self._chosen(self.runs.look(visitor), position)
                comparison = samples.open_in_compare(
                    self.context, run.out, int(identity), visitor, blind=do == "blind"
                )
                back = address_of(position, text)
                message = _message("open", to=f"?open={comparison}", back=back)
            else:
                position = self._moved(do, data, position, visitor)
        except UserError as error:
            gr.Warning(str(error))
        return {"message": message, **self._look(token, position, text)}

    def _moved(self, do: str, data: dict[str, Any], position: Position, visitor: str) -> Position:
        """Where the browser is after a click on a run, filter or page."""
        to, first = str(data.get("to", "")), replace(position, page=0)
        if do == "show":
            return replace(START, run=str(data.get("id", "")))
        if do == "page" and to.isdigit():
            return replace(position, page=int(to))
        if do == "task":
            return replace(first, task=to)
        if do == "raters":
            return replace(first, raters=to)
        if do == "verdict":
            model = str(data.get("model", ""))
            verdicts = {k: v for k, v in position.verdicts.items() if k != model}
            if verdict := verdict_of(to):
                verdicts[model] = verdict
            return replace(first, verdicts=verdicts)
        if do == "gap":
            report = report_of(self._chosen(self.runs.look(visitor), position).out)
            gap = samples.gap_filter(report) if report and to == "on" else {}
            return replace(first, verdicts=gap)
        return position

    def _export(self, position: Position, kind: str) -> str:
        run = self._chosen(self.runs.look(""), position)
        report = report_of(run.out)
        if report is None:
            raise UserError(f"{run.name} has no report yet.", "Wait until it has ended.")
        text = export.export(report, kind)
        return _message("file", name=f"{run.name}.{kind}", text=text)

    def _chosen(self, runs: Sequence[Evaluation], position: Position) -> Evaluation:
        """The run being read, the newest where there is none of that id (any more).

        Raises:
            UserError: There is no run at all.
        """
        if not runs:
            raise UserError("There is no run.", "Start one above.")
        return next((run for run in runs if run.id == position.run), runs[0])

    def _look(self, token: str, position: Position, text: str) -> Updates:
        """Updates of all that shows runs."""
        visitor = visitors.visitor_hash(token)
        runs = self.runs.look(visitor)
        timer = gr.Timer(active=any(run.is_live for run in runs))
        if not runs:
            return {"position": START, "timer": timer, "listing": view.EMPTY, "detail": "",
                    "browser": gr.update(visible=False), "samples": "", "log": ""}  # fmt: skip
        run = self._chosen(runs, position)
        position = replace(position, run=run.id, reported=run.reported, text=text or "")
        report, problem = None, ""
        try:
            report = report_of(run.out)
        except UserError as error:
            problem = str(error)
        rows, has_samples = self._samples(run, report, position, visitor)
        return {
            "position": position,
            "timer": timer,
            "listing": view.list_html(runs, run.id),
            "detail": view.detail_html(run, report, problem, self.runs.names(run)),
            "browser": gr.update(visible=has_samples),
            "samples": rows,
            "log": log_html(self.runs.log(run.id)) if run.by_page else "",
        }

    def _samples(
        self, run: Evaluation, report: Report | None, position: Position, visitor: str
    ) -> tuple[str, bool]:
        """The samples being read, and whether the run has any."""
        if report is None:
            return "", False
        gap = samples.gap_filter(report)
        browse = Browse(position.task, position.verdicts, position.text, position.page)
        try:
            if position.raters and gap:
                preferences = everybody(self.context.db, visitor)
                imitation, reference = gap
                ids = samples.preferred(run.out, imitation, reference, preferences)
                browse = replace(browse, ids=ids)
            page = samples.browse(run.out, browse)
        except UserError as error:
            return problem_html(error.message, error.hint), True
        if page is None:
            return "", False
        models = {model.id: model for model in report.run.models}
        filters = samples_view.filters_html(page, browse, models, gap, bool(position.raters))
        return f"{filters}{samples_view.samples_html(page, models)}", True


def _refused(error: UserError) -> Updates:
    """A warning, and nothing else changes."""
    gr.Warning(str(error))
    return {}


def _message(kind: str, **more: str) -> str:
    """What the page's script is told; a nonce, since only a change is heard of."""
    return json.dumps({"kind": kind, **more, "nonce": random.random()})

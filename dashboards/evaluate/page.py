"""Evaluate: measure the gap, watch it being measured, and read what every model answered."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from dashboards.evaluate import new_run as actions
from dashboards.evaluate import samples, samples_view, view
from dashboards.evaluate.form import import_form, new_form
from dashboards.evaluate.new_run import Form
from dashboards.evaluate.runs import Evaluations
from dashboards.evaluate.samples import Browse
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.evaluation_runs import Evaluation
from dashboards.shell.job_panel import log_html, problem_html
from dashboards.shell.preferences import everybody
from dashboards.shell.queries import EXAMPLE_ID
from dashboards.shell.scripts import CLICK_JS, MESSAGE_JS
from imitation.errors import UserError
from imitation.evaluation.report import export
from imitation.evaluation.report.files import report_of
from imitation.evaluation.report.sample_index import LETTERS
from imitation.evaluation.report.schema import Report
from imitation.jobs.registry import as_typed, command

LEDE = (
    "A benchmark asks what a model can do; style asks only how it sounds. Measure a base, its "
    "imitation and a reference on the same questions, and read every answer."
)
POLL_S = 2.0
START: dict[str, Any] = {"run": "", "task": "", "verdicts": {}, "page": 0, "raters": ""}
SHOWN = 7
"""Components that a look at a run updates."""


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    handle = _Handlers(context)
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    place = gr.State(START)
    timer = gr.Timer(POLL_S, active=False)
    gr.HTML(f'<h1 class="lab-title">Evaluate</h1><p class="lab-lede">{LEDE}</p>')
    with gr.Accordion("New evaluation", open=True, elem_id="evaluate-new") as form:
        fields, index = new_form(context)
        planned = gr.HTML(js_on_load=CLICK_JS, elem_id="evaluate-plan")
        start = gr.Button("Start", variant="primary", elem_id="evaluate-start")
    with gr.Accordion("Import results of lm-eval", open=False, elem_id="evaluate-import"):
        files, roles, load = import_form()
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

    shown = [place, timer, listing, detail, browser, sample_list, log]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    page = gr.context.Context.root_block
    assert page is not None
    loaded = [secret, form, start, fields[0], search, message, *shown]
    page.load(handle.load, secret, loaded, **quiet)
    page.load(handle.plan, [secret, *fields], planned, **quiet)
    timer.tick(handle.tick, [secret, place, search], shown, trigger_mode="once", **quiet)
    # One listener for all: a reply to an earlier change never comes after that to a later one.
    changed = [field.change for field in fields]
    gr.on(changed, handle.plan, [secret, *fields], planned, trigger_mode="always_last", **quiet)
    start.click(
        handle.start, [secret, search, *fields], [form, fields[0], *shown],
        trigger_mode="once", **quiet,
    )  # fmt: skip
    load.click(
        handle.import_results, [secret, place, search, fields[0], files, roles],
        [files, fields[0], *shown], trigger_mode="once", **quiet,
    )  # fmt: skip
    index.click(handle.write_index, [secret, place, search], shown, **quiet)
    for html in (listing, detail, sample_list):
        html.click(
            handle.clicked, [secret, place, search], [message, *shown], trigger_mode="multiple",
            **quiet,
        )  # fmt: skip
    search.change(
        handle.searched, [secret, place, search], shown, trigger_mode="always_last", **quiet
    )


class _Handlers:
    """What the listeners do; each returns the updates of its outputs."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.runs = Evaluations(context)

    def load(self, token: str, request: gr.Request) -> list[Any]:
        """The newest run, or the one an address names, with its filters."""
        token = token or visitors.new_secret()
        asked = dict(request.query_params)
        place, text = place_of(asked)
        shown = self._shown(token, place, text)
        look = _message("look", id="evaluate-samples") if "at" in asked else ""
        may = self.context.settings.jobs
        start = gr.update(
            interactive=may, value="Start" if may else "Starting jobs is switched off here"
        )
        opened = gr.update(open=shown[0]["run"] in ("", EXAMPLE_ID))
        return [token, opened, start, actions.default_name(self.context), text, look, *shown]

    def tick(self, token: str, place: dict[str, Any], text: str) -> list[Any]:
        """What has changed since the last look; the samples stay while they are read."""
        shown = self._shown(token, place, text)
        if place.get("reported") == shown[0].get("reported"):
            shown[5] = gr.skip()
        return shown

    def plan(self, token: str, *fields: Any) -> str:
        """What the form comes to, with its command line."""
        try:
            made = actions.plan(self.context, _form_of(fields))
        except UserError as error:
            return problem_html(error.message, error.hint)
        return view.plan_html(made, as_typed(command("evaluate", made.parameters)))

    def start(self, token: str, text: str, *fields: Any) -> list[Any]:
        """Start the run of the form and show it."""
        try:
            job = actions.start(self.context, _form_of(fields), visitors.visitor_hash(token))
        except UserError as error:
            gr.Warning(str(error))
            return [gr.skip()] * (2 + SHOWN)
        shown = self._shown(token, {**START, "run": job.id}, text)
        return [gr.update(open=False), actions.default_name(self.context), *shown]

    def import_results(
        self, token: str, place: dict[str, Any], text: str, name: str, files: Any, roles: str
    ) -> list[Any]:
        """Import uploaded results as a run and show it."""
        paths = [Path(path) for path in files or ()]
        visitor = visitors.visitor_hash(token)
        try:
            job = actions.import_results(self.context, visitor, name or "", paths, roles or "")
        except UserError as error:
            gr.Warning(str(error))
            return [gr.skip()] * (2 + SHOWN)
        shown = self._shown(token, {**START, "run": job.id}, text)
        return [None, actions.default_name(self.context), *shown]

    def write_index(self, token: str, place: dict[str, Any], text: str) -> list[Any]:
        """Start the job that lists lm-eval's tasks."""
        try:
            actions.write_index(self.context, visitors.visitor_hash(token))
            gr.Info("lm-eval's tasks are being listed; load the page again in a minute.")
        except UserError as error:
            gr.Warning(str(error))
        return self._shown(token, place, text)

    def searched(self, token: str, place: dict[str, Any], text: str) -> list[Any]:
        """Other words: from the first page; those of an address are shown already."""
        if (text or "") == place.get("words", ""):
            return [gr.skip()] * SHOWN
        return self._shown(token, {**place, "page": 0}, text)

    def clicked(
        self, event: gr.EventData, token: str, place: dict[str, Any], text: str
    ) -> list[Any]:
        """A click on a run, a filter, a page, or something to be done."""
        data = event._data or {}
        do, identity = str(data.get("do", "")), str(data.get("id", ""))
        visitor, message = visitors.visitor_hash(token), ""
        try:
            if do in ("stop", "kill"):
                self.runs.stop(identity, visitor, kill=do == "kill")
            elif do == "resume":
                place = {**START, "run": self.runs.resume(identity, visitor).id}
            elif do == "delete":
                self.runs.delete(identity, visitor)
                place = START
            elif do == "export":
                message = self._export(place, str(data.get("kind", "")))
            elif do in ("compare", "blind") and identity.isdigit():
                run = self._chosen(self.runs.look(visitor), place)
                made = samples.open_in_compare(
                    self.context, run.out, int(identity), visitor, blind=do == "blind"
                )
                message = _message("open", to=f"?open={made}", back=address_of(place, text))
            else:
                place = self._moved(do, data, place, visitor)
        except UserError as error:
            gr.Warning(str(error))
        return [message, *self._shown(token, place, text)]

    def _moved(
        self, do: str, data: dict[str, Any], place: dict[str, Any], visitor: str
    ) -> dict[str, Any]:
        """Where the browser is after a click on a run, filter or page."""
        to, first = str(data.get("to", "")), {**place, "page": 0}
        if do == "show":
            return {**START, "run": str(data.get("id", ""))}
        if do == "page" and to.isdigit():
            return {**place, "page": int(to)}
        if do == "task":
            return {**first, "task": to}
        if do == "raters":
            return {**first, "raters": to}
        if do == "verdict":
            verdicts = {k: v for k, v in place["verdicts"].items() if k != data.get("model")}
            return {**first, "verdicts": {**verdicts, str(data["model"]): to} if to else verdicts}
        if do == "gap":
            run = self._chosen(self.runs.look(visitor), place)
            found = report_of(run.out)
            wanted = samples.gap_filter(found) if found and to == "on" else {}
            return {**first, "verdicts": wanted}
        return place

    def _export(self, place: dict[str, Any], kind: str) -> str:
        run = self._chosen(self.runs.look(""), place)
        found = report_of(run.out)
        if found is None:
            raise UserError(f"{run.name} has no report yet.", "Wait until it has ended.")
        text = export.export(found, kind)
        return _message("file", name=f"{run.name}.{kind}", text=text)

    def _chosen(self, runs: list[Evaluation], place: dict[str, Any]) -> Evaluation:
        found = next((run for run in runs if run.id == place["run"]), runs[0] if runs else None)
        if found is None:
            raise UserError("There is no run.", "Start one above.")
        return found

    def _shown(self, token: str, place: dict[str, Any], text: str) -> list[Any]:
        """Updates of all that shows runs."""
        visitor = visitors.visitor_hash(token)
        runs = self.runs.look(visitor)
        timer = gr.Timer(active=any(run.is_live for run in runs))
        if not runs:
            return [START, timer, view.EMPTY, "", gr.update(visible=False), "", ""]
        run = self._chosen(runs, place)
        place = {**place, "run": run.id, "reported": run.reported, "words": text or ""}
        found, problem = None, ""
        try:
            found = report_of(run.out)
        except UserError as error:
            problem = str(error)
        rows, has_samples = self._samples(run, found, place, text, visitor)
        return [
            place,
            timer,
            view.list_html(runs, run.id),
            view.detail_html(run, found, problem, self.runs.names(run)),
            gr.update(visible=has_samples),
            rows,
            log_html(self.runs.log(run.id)) if run.by_page else "",
        ]

    def _samples(
        self, run: Evaluation, found: Report | None, place: dict[str, Any], text: str, visitor: str
    ) -> tuple[str, bool]:
        if found is None:
            return "", False
        gap = samples.gap_filter(found)
        at = Browse(place["task"], place["verdicts"], text or "", place["page"])
        try:
            if place["raters"] and gap:
                said = everybody(self.context.db, visitor)
                at = replace(at, ids=samples.preferred(run.out, *gap, said))
            page = samples.browse(run.out, at)
        except UserError as error:
            return problem_html(error.message, error.hint), True
        if page is None:
            return "", False
        models = {model.id: model for model in found.run.models}
        filters = samples_view.filters_html(page, at, models, gap, bool(place["raters"]))
        return filters + samples_view.samples_html(page, models), True


def _form_of(fields: tuple[Any, ...]) -> Form:
    name, tasks, limit, *picked = fields
    models = tuple(dict.fromkeys(one for chosen in picked for one in chosen or ()))
    return Form((name or "").strip(), models, tuple(tasks or ()), int(limit) if limit else None)


def address_of(place: dict[str, Any], text: str) -> str:
    """The query of an address that shows the same samples."""
    # Gradio has a use of its own for "page".
    at = {name: place[name] for name in ("run", "task", "raters")} | {"at": place["page"]}
    at |= {f"is-{model}": verdict for model, verdict in place["verdicts"].items()}
    return "?" + urlencode({**at, "words": text or ""})


def place_of(asked: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """What the query of an address shows: the browser's place and the words searched for."""
    page = asked.get("at", "")
    place = {
        **START,
        **{name: asked[name] for name in ("run", "task", "raters") if name in asked},
        "page": int(page) if page.isascii() and page.isdecimal() and len(page) < 9 else 0,
        "verdicts": {
            name.removeprefix("is-"): value
            for name, value in asked.items()
            if name.startswith("is-") and value in LETTERS
        },
    }
    return place, asked.get("words", "")


def _message(kind: str, **more: str) -> str:
    return json.dumps({"kind": kind, **more, "nonce": random.random()})

"""Fine-tune: the runs, their chart, and what is done with one; a part of the page."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from dashboards.finetune import new_run as actions
from dashboards.finetune import saved_forms, view
from dashboards.finetune.form import form_from
from dashboards.finetune.new_page import FormHandlers
from dashboards.finetune.runs import Run, Runs
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.job_panel import log_html
from dashboards.shell.listeners import Updates
from dashboards.shell.palette import LIGHT
from imitation.errors import UserError

CHARTED = 4
"""Runs in the chart until the visitor chooses."""
MOST_CHARTED = 6
START: dict[str, Any] = {"run": "", "chart": None}


class RunHandlers:
    """What the list's listeners do, and what starts a run; each returns updates by name."""

    def __init__(self, context: Context, form: FormHandlers) -> None:
        self.context, self.form = context, form
        self.runs = Runs(context)

    def load(self, token: str, request: gr.Request) -> Updates:
        """The form with a preset and the dataset of the address filled in, and the newest run."""
        dataset = str(dict(request.query_params).get("data", ""))
        token = token or visitors.new_secret()
        visitor, settings = visitors.visitor_hash(token), self.context.settings
        shown = self._shown(visitor, START)
        start = gr.update(
            interactive=settings.jobs,
            value="Start" if settings.jobs else "Starting jobs is switched off here",
        )
        return {
            "secret": token,
            "accordion": gr.update(open=bool(dataset) or not shown["place"]["run"]),
            "start": start,
            "saved": gr.update(choices=saved_forms.names(settings, visitor)),
            **self.form.first(visitor, dataset),
            **shown,
        }

    def tick(self, token: str, place: dict[str, Any]) -> Updates:
        """What has changed since the last look."""
        return self._shown(visitors.visitor_hash(token), place)

    def start(self, token: str, **fields: Any) -> Updates:
        """Start the run of the form and show it."""
        visitor = visitors.visitor_hash(token)
        try:
            job = actions.start(self.context, form_from(fields), visitor)
        except UserError as error:
            gr.Warning(str(error))
            return {}
        name = actions.free_name(self.context, job.spec.name)
        shown = self._shown(visitor, {**START, "run": job.id})
        return {"accordion": gr.update(open=False), "name": name, **shown}

    def clicked(self, event: gr.EventData, token: str, place: dict[str, Any]) -> Updates:
        """A run was chosen, or put into the chart or out of it."""
        data = event._data or {}
        do, identity = str(data.get("do", "")), str(data.get("id", ""))
        visitor = visitors.visitor_hash(token)
        if do == "show":
            place = {**place, "run": identity}
        elif do == "chart":
            charted = self._charted(self.runs.look(visitor), place)
            others = [run for run in charted if run != identity]
            now = others if identity in charted else [*others, identity][-MOST_CHARTED:]
            place = {**place, "chart": now}
        return self._shown(visitor, place)

    def acted(self, event: gr.EventData, token: str, place: dict[str, Any]) -> Updates:
        """Stop, resume, delete, promote, or use the settings of the run shown."""
        data = event._data or {}
        do, identity = str(data.get("do", "")), str(data.get("id", ""))
        visitor = visitors.visitor_hash(token)
        form: Updates = {}
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
                earlier = next(run.form for run in self.runs.look(visitor) if run.id == identity)
                form = {
                    "accordion": gr.update(open=True),
                    **self.form.filled_again(earlier, visitor),
                }
        except UserError as error:
            gr.Warning(str(error))
        except StopIteration:
            gr.Warning("This run is gone.")
        return {**form, **self._shown(visitor, place)}

    def _shown(self, visitor: str, place: dict[str, Any]) -> Updates:
        """Updates of all that shows runs."""
        runs = self.runs.look(visitor)
        chosen = next((run for run in runs if run.id == place["run"]), runs[0] if runs else None)
        timer = gr.Timer(active=any(run.is_live for run in runs))
        if chosen is None:
            empty = {"listing": view.EMPTY, "detail": "", "log": ""}
            return {"place": START, "timer": timer, "figure": None, **empty}
        charted = self._charted(runs, place)
        order = [run for run in runs if run.id in charted]
        order.sort(key=lambda run: run.id != chosen.id)
        return {
            "place": {**place, "run": chosen.id},
            "timer": timer,
            "figure": _drawn(order),
            "listing": view.list_html(runs, chosen.id, charted),
            "detail": view.detail_html(chosen),
            "log": log_html(self.runs.log(chosen.id)),
        }

    @staticmethod
    def _charted(runs: list[Run], place: dict[str, Any]) -> list[str]:
        if place["chart"] is not None:
            return list(place["chart"])
        return [run.id for run in runs if run.progress.loss or run.is_live][:CHARTED]


def _drawn(runs: list[Run]) -> dict[str, Any] | None:
    """The figure as plain Plotly JSON; None without anything to draw."""
    from dashboards.finetune.figures import losses
    from dashboards.shell.figures.template import plotly_template

    curves = [view.curve_of(run) for run in runs if run.progress.loss or run.progress.validation]
    if not curves:
        return None
    figure: dict[str, Any] = json.loads(losses(curves, LIGHT, plotly_template(LIGHT)).to_json())
    return figure

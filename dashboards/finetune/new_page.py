"""Fine-tune: what the form of a new run does; a part of the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from dashboards.finetune import new_run as actions
from dashboards.finetune import preflight, preflight_view, saved_forms, view
from dashboards.finetune.form import filled, form_from
from dashboards.finetune.new_run import SHOWN, Form
from dashboards.finetune.preflight import Probe
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.job_panel import problem_html
from dashboards.shell.listeners import Updates
from dashboards.shell.templates import render
from dashboards.shell.training_data import data_files, dataset_file, is_shipped
from imitation.data.library import data_name
from imitation.errors import UserError
from imitation.jobs.registry import as_typed, command

NO_PROBE: dict[str, str] = {"id": "", "kind": ""}


class FormHandlers:
    """What the form's listeners do; each returns updates by the name of what they are of.

    `fields` are the values of the form's components by name.
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def first(self, visitor: str, dataset: str = "") -> Updates:
        """The choices of the form, filled in with a preset and a dataset, and its plan."""
        presets = actions.presets()
        form = self._form_of_preset(presets[0], visitor)
        if dataset:
            path = dataset_file(self.context.settings, dataset)
            if path is None:
                gr.Warning(f"There is no dataset {dataset!r} now: choose other data.")
            form = replace(form, data=path or "")
        bases = [(card.name, card.id) for card in actions.bases(self.context)]
        bases += actions.folders(self.context)
        choices: dict[str, Any] = {h.name: list(h.choices) for h in SHOWN if h.choices}
        choices |= {"preset": presets, "base": bases}
        choices |= {"data": data_files(self.context.settings, visitor)}
        values = filled(form)
        lists = {key: gr.update(choices=known, value=values[key]) for key, known in choices.items()}
        return {**values, **lists, "plan": self._plan(form, visitor)}

    def other_preset(self, token: str, **fields: Any) -> Updates:
        """The values of another preset; the data and a name of one's own stay."""
        visitor = visitors.visitor_hash(token)
        name, data = str(fields["name"]), str(fields["data"])
        form = self._form_of_preset(str(fields["preset"]), visitor)
        if not is_shipped(data):
            form = replace(form, data=data)
        if not actions.is_free_name(name):
            form = replace(form, name=name)
        return {**filled(form), "plan": self._plan(form, visitor)}

    def plan(self, token: str, **fields: Any) -> Updates:
        """The command line of the form."""
        try:
            return {"plan": self._plan(form_from(fields), visitors.visitor_hash(token))}
        except UserError as error:
            return {"plan": problem_html(error.message, error.hint)}

    def upload(self, token: str, path: str | None) -> Updates:
        """Keep an uploaded file and choose it."""
        if not path:
            return {}
        visitor = visitors.visitor_hash(token)
        settings = self.context.settings
        try:
            file = actions.keep_upload(settings, visitor, Path(path))
        except UserError as error:
            gr.Warning(str(error))
            return {"upload": None}
        choices = data_files(settings, visitor)
        return {"upload": None, "data": gr.update(choices=choices, value=str(file))}

    def estimate(self, token: str, **fields: Any) -> Updates:
        """Have the run of the form measured."""
        return self._probe("estimate", token, fields)

    def batch(self, token: str, **fields: Any) -> Updates:
        """Have the first batch of the form's run made."""
        return self._probe("batch", token, fields)

    def probed(self, token: str, probe: dict[str, str]) -> Updates:
        """What a look has come to, once it has."""
        ended = {"probe": NO_PROBE, "ready": gr.Timer(active=False)}
        try:
            result = preflight.result(self.context, probe["id"]) if probe["id"] else {}
        except UserError as error:
            return {**ended, "looked": problem_html(error.message, error.hint)}
        if result is None:
            return {}
        if not result:
            return ended
        html = preflight_view.estimate_html if probe["kind"] == "estimate" else None
        return {**ended, "looked": (html or preflight_view.batch_html)(result)}

    def fit(self, event: gr.EventData, token: str, **fields: Any) -> Updates:
        """Change the form so that the run fits, as the estimate proposed."""
        data = event._data or {}
        try:
            form = preflight.with_changes(form_from(fields), str(data.get("changes", "")))
        except UserError as error:
            gr.Warning(str(error))
            return {}
        text = "Changed; estimate again to see it."
        changed = render("finetune/quiet.html", text=text, status=True)
        return {**filled(form), "looked": changed}

    def keep(self, token: str, **fields: Any) -> Updates:
        """Keep the form under its name."""
        visitor, settings = visitors.visitor_hash(token), self.context.settings
        try:
            name = saved_forms.save(settings, visitor, form_from(fields))
        except UserError as error:
            gr.Warning(str(error))
            return {}
        gr.Info(f"Saved as {name}.")
        return {"saved": gr.update(choices=saved_forms.names(settings, visitor), value=name)}

    def restore(self, token: str, name: str) -> Updates:
        """Fill the form with kept settings, under a name that is free."""
        visitor, settings = visitors.visitor_hash(token), self.context.settings
        try:
            form = saved_forms.load(settings, visitor, name or "")
        except UserError as error:
            gr.Warning(str(error))
            return {}
        return self.filled_again(form, visitor)

    def filled_again(self, form: Form, visitor: str) -> Updates:
        """An earlier form, under a name that is free; data built since then is in the list."""
        values = {**actions.preset_values(form.preset), **form.changes}
        changes = {h.name: values[h.name] for h in SHOWN}
        name = actions.free_name(self.context, form.name)
        files = data_files(self.context.settings, visitor)
        is_there = form.data in [path for _, path in files]
        if not is_there:
            gr.Warning(f"The data {data_name(form.data)} is gone: choose other data.")
        data = gr.update(choices=files, value=form.data if is_there else None)
        return {**filled(Form(name, form.preset, form.base, form.data, changes)), "data": data}

    def _probe(self, kind: Probe, token: str, fields: dict[str, Any]) -> Updates:
        visitor = visitors.visitor_hash(token)
        try:
            identity = preflight.start(self.context, kind, form_from(fields), visitor)
        except UserError as error:
            problem = problem_html(error.message, error.hint)
            return {"probe": NO_PROBE, "ready": gr.Timer(active=False), "looked": problem}
        return {
            "probe": {"id": identity, "kind": kind},
            "ready": gr.Timer(active=True),
            "looked": preflight_view.waiting_html(kind),
        }

    def _form_of_preset(self, preset: str, visitor: str) -> Form:
        values = actions.preset_values(preset)
        files = [path for _, path in data_files(self.context.settings, visitor)]
        fitting = [path for path in files if Path(path).stem == preset.rpartition("-")[2]]
        base = values.pop("base")
        name = actions.free_name(self.context, preset)
        return Form(name, preset, base, (fitting or files or [""])[0], values)

    def _plan(self, form: Form, visitor: str) -> str:
        try:
            run = actions.plan(self.context, form, visitor)
        except UserError as error:
            return problem_html(error.message, error.hint)
        return view.plan_html(run, as_typed(command("finetune", run.parameters)))

"""Fine-tune: what the form of a new run does; a part of the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from dashboards.finetune import new_run as actions
from dashboards.finetune import preflight, preflight_view, saved_forms, view
from dashboards.finetune.form import filled, form_from
from dashboards.finetune.new_run import OVERRIDES, WORDS, Form
from dashboards.finetune.preflight import Probe
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.job_panel import problem_html
from dashboards.shell.training_data import data_files, dataset_file, is_shipped
from imitation.data.library import data_name
from imitation.errors import UserError
from imitation.jobs.registry import as_typed

NO_PROBE: dict[str, str] = {"id": "", "kind": ""}


class FormHandlers:
    """What the form's listeners do; each returns the updates of its outputs."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def first(self, visitor: str, dataset: str = "") -> list[Any]:
        """The choices of the form, filled in with a preset and a dataset, and its plan."""
        known = actions.presets()
        form = self._form_of_preset(known[0], visitor)
        if dataset:
            found = dataset_file(self.context.settings, dataset)
            if found is None:
                gr.Warning(f"There is no dataset {dataset!r} now: choose other data.")
            form = replace(form, data=found or "")
        names = [(card.name, card.id) for card in actions.bases(self.context)]
        names += actions.folders(self.context)
        values = filled(form)
        for number, key in enumerate(OVERRIDES, 4):
            if key in WORDS:
                values[number] = gr.update(choices=actions.choices(key), value=form.changes[key])
        values[1] = gr.update(choices=known, value=form.preset)
        values[2] = gr.update(choices=names, value=form.base)
        files = data_files(self.context.settings, visitor)
        values[3] = gr.update(choices=files, value=form.data)
        return [*values, self._plan(form, visitor)]

    def other_preset(self, token: str, *fields: Any) -> list[Any]:
        """The values of another preset; the data and a name of one's own stay."""
        visitor = visitors.visitor_hash(token)
        name, preset, _, data, *_ = map(str, fields)
        form = self._form_of_preset(preset, visitor)
        if not is_shipped(data):
            form = replace(form, data=data)
        if not actions.is_free_name(name):
            form = replace(form, name=name)
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
        choices = data_files(settings, visitor)
        return [None, gr.update(choices=choices, value=str(kept))]

    def estimate(self, token: str, *fields: Any) -> list[Any]:
        """Have the run of the form measured."""
        return self._probe("estimate", token, fields)

    def batch(self, token: str, *fields: Any) -> list[Any]:
        """Have the first batch of the form's run made."""
        return self._probe("batch", token, fields)

    def probed(self, token: str, probe: dict[str, str]) -> list[Any]:
        """What a look found, once it has."""
        try:
            found = preflight.result(self.context, probe["id"]) if probe["id"] else {}
        except UserError as error:
            problem = problem_html(error.message, error.hint)
            return [NO_PROBE, gr.Timer(active=False), problem]
        if found is None:
            return [gr.skip(), gr.skip(), gr.skip()]
        if not found:
            return [NO_PROBE, gr.Timer(active=False), gr.skip()]
        estimate = probe["kind"] == "estimate"
        shown = (
            preflight_view.estimate_html(found) if estimate else preflight_view.batch_html(found)
        )
        return [NO_PROBE, gr.Timer(active=False), shown]

    def fit(self, event: gr.EventData, token: str, *fields: Any) -> list[Any]:
        """Change the form so that the run fits, as the estimate proposed."""
        data = event._data or {}
        try:
            form = preflight.with_changes(form_from(fields), str(data.get("changes", "")))
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
        return self.filled_again(form, visitor)

    def filled_again(self, form: Form, visitor: str) -> list[Any]:
        """An earlier form, under a name that is free; data built since then is in the list."""
        preset = actions.preset_values(form.preset)
        changes = {key: form.changes.get(key, preset[key]) for key in OVERRIDES}
        name = actions.free_name(self.context, form.name)
        values = filled(Form(name, form.preset, form.base, form.data, changes))
        files = data_files(self.context.settings, visitor)
        there = form.data in [path for _, path in files]
        if not there:
            gr.Warning(f"The data {data_name(form.data)} is gone: choose other data.")
        values[3] = gr.update(choices=files, value=form.data if there else None)
        return values

    def _probe(self, kind: Probe, token: str, fields: tuple[Any, ...]) -> list[Any]:
        visitor = visitors.visitor_hash(token)
        try:
            identity = preflight.start(self.context, kind, form_from(fields), visitor)
        except UserError as error:
            problem = problem_html(error.message, error.hint)
            return [NO_PROBE, gr.Timer(active=False), problem]
        waiting = preflight_view.waiting_html(kind)
        return [{"id": identity, "kind": kind}, gr.Timer(active=True), waiting]

    def _form_of_preset(self, preset: str, visitor: str) -> Form:
        values = actions.preset_values(preset)
        files = [path for _, path in data_files(self.context.settings, visitor)]
        fitting = [path for path in files if Path(path).stem == preset.rpartition("-")[2]]
        base = values.pop("base")
        name = actions.free_name(self.context, preset)
        return Form(name, preset, base, (fitting or files or [""])[0], values)

    def _plan(self, form: Form, visitor: str) -> str:
        try:
            made = actions.plan(self.context, form, visitor)
        except UserError as error:
            return problem_html(error.message, error.hint)
        return view.plan_html(made, as_typed(made.argv))

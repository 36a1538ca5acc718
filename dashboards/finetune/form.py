"""The form of the Fine-tune page: its components by name, and their values.

Each hyperparameter that `training.config` puts into a section of the form has a component here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from dashboards.finetune.new_run import SHOWN, Form, label, preset_values
from dashboards.shell.listeners import Updates
from dashboards.shell.templates import render
from imitation.errors import UserError
from training.hyperparameters import Hyperparameter, Section

A_ROW = {"main": 4, "more": 5}
"""Components beside each other, by section."""


class FormFields:
    """The components of a new run's form, made where this is called.

    Attributes:
        by_name: name, preset, base, data, and every hyperparameter of the form.
        hyperparameters: The latter alone.
    """

    def __init__(self) -> None:
        with gr.Row():
            preset = gr.Dropdown(
                [],
                label="Preset",
                info="A tried recipe; all below starts from it.",
                elem_id="finetune-preset",
            )
            base = gr.Dropdown(
                [],
                label="Base",
                info="What is trained; or a hub id, owner/name.",
                allow_custom_value=True,
                elem_id="finetune-base",
            )
            data = gr.Dropdown(
                [],
                label="Data",
                info="Conversations whose answers are learned.",
                elem_id="finetune-data",
            )
            name = gr.Textbox(
                label="Name",
                info="Of the run, and of its model in Compare.",
                max_length=80,
                elem_id="finetune-name",
            )
        self.hyperparameters: dict[str, Any] = {}
        self._section("main")
        with gr.Accordion("More settings", open=False, elem_id="finetune-more"):
            self._section("more")
        first = {"name": name, "preset": preset, "base": base, "data": data}
        self.by_name: dict[str, Any] = {**first, **self.hyperparameters}

    def _section(self, section: Section) -> None:
        knobs = [h for h in SHOWN if h.knob.section == section]
        # A switch is squeezed beside numbers: they have a row of their own.
        values = [h for h in knobs if h.kind != "switch"]
        switches = [h for h in knobs if h.kind == "switch"]
        for row in [*_rows(values, A_ROW[section]), *_rows(switches, A_ROW[section])]:
            with gr.Row():
                self.hyperparameters |= {h.name: _component(h) for h in row}


def _rows(knobs: Sequence[Hyperparameter], length: int) -> list[Sequence[Hyperparameter]]:
    return [knobs[at : at + length] for at in range(0, len(knobs), length)]


def own_data(folder: str) -> gr.File:
    """Where a file is uploaded."""
    with gr.Accordion("Data of your own", open=False):
        gr.HTML(render("finetune/note.html", text=folder))
        return gr.File(
            label='JSONL, a line per conversation: {"messages": [{"role", "content"}, ...]}',
            file_types=[".jsonl"],
            height=120,
            elem_id="finetune-upload",
        )


def saved_settings() -> tuple[gr.Dropdown, gr.Button]:
    """The kept settings to choose from, and what keeps those of the form."""
    with gr.Accordion("Saved settings", open=False):
        saved = gr.Dropdown(
            [],
            label="Settings",
            info="Choosing one fills the form; runs have theirs under Use these settings.",
            elem_id="finetune-saved",
        )
        keep = gr.Button("Save the form under its name", elem_id="finetune-save", size="sm")
    return saved, keep


def form_from(fields: Mapping[str, Any]) -> Form:
    """The form as filled in, from the values of its components by name.

    Raises:
        UserError: A number is missing.
    """
    preset = fields["preset"]
    changes = {h.name: fields[h.name] for h in SHOWN}
    for hyperparameter in SHOWN:
        key = hyperparameter.name
        if changes[key] is None and hyperparameter.choices:  # not yet filled in: the page loads
            changes[key] = preset_values(preset)[key] if preset else ""
        elif changes[key] is None:
            raise UserError(f"{label(key)} is empty.", "Enter a number.")
    name = (fields["name"] or "").strip()
    return Form(name, preset or "", fields["base"] or "", fields["data"] or "", changes)


def filled(form: Form) -> Updates:
    """Values of the form's components by name."""
    shown = {h.name: form.changes[h.name] for h in SHOWN}
    first = {"name": form.name, "preset": form.preset, "base": form.base, "data": form.data}
    return {**first, **shown}


def _component(hyperparameter: Hyperparameter) -> Component:
    """What asks for a hyperparameter, by what it takes."""
    shared: dict[str, Any] = {
        "label": hyperparameter.knob.label,
        "info": hyperparameter.knob.help,
        "elem_id": f"finetune-{hyperparameter.name}",
        "min_width": 140,
    }
    match hyperparameter.kind:
        case "switch":
            return gr.Checkbox(**shared)
        case "choice":
            return gr.Dropdown([], **shared)
        case "whole number":
            return gr.Number(precision=0, **shared)
        case "number":
            return gr.Number(**shared)
        case _:
            return gr.Textbox(**shared)

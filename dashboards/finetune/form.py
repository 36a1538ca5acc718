"""The form of the Fine-tune page: its components, and their values."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dashboards.finetune.new_run import (
    FRACTIONS,
    MORE,
    OVERRIDES,
    SWITCHES,
    WORDS,
    Form,
    preset_values,
)
from dashboards.shell.markdown import plain
from imitation.errors import UserError


def form_fields() -> tuple[gr.Dropdown, gr.Dropdown, gr.Dropdown, gr.Textbox, list[Any]]:
    """Preset, base, data, name, then a component per key of OVERRIDES, in order."""
    with gr.Row():
        preset = gr.Dropdown(
            [], label="Preset", info="A tried recipe; all below starts from it.",
            elem_id="finetune-preset",
        )  # fmt: skip
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
            label="Name", info="Of the run, and of its model in Compare.", max_length=80,
            elem_id="finetune-name",
        )  # fmt: skip
    made: dict[str, Any] = {}
    shown = [key for key in OVERRIDES if key not in (*MORE, *SWITCHES)]
    for keys in (shown[:4], shown[4:], SWITCHES[:2]):
        with gr.Row():
            made |= {key: _field(key) for key in keys}
    with gr.Accordion("More settings", open=False, elem_id="finetune-more"):
        for keys in (MORE[:5], MORE[5:-1], MORE[-1:]):  # a switch is squeezed beside numbers
            with gr.Row():
                made |= {key: _field(key) for key in keys}
    return preset, base, data, name, [made[key] for key in OVERRIDES]


def own_data(folder: str) -> gr.File:
    """Where a file is uploaded."""
    with gr.Accordion("Data of your own", open=False):
        gr.HTML(f'<p class="lab-note">{plain(folder)}</p>')
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


def _field(key: str) -> Any:
    label, info = OVERRIDES[key]
    shared: dict[str, Any] = {"label": label, "info": info, "elem_id": f"finetune-{key}"}
    if key in SWITCHES:
        return gr.Checkbox(min_width=140, **shared)
    if key in WORDS:
        return gr.Dropdown([], min_width=140, **shared)
    return gr.Number(precision=None if key in FRACTIONS else 0, min_width=140, **shared)


def form_from(fields: tuple[Any, ...]) -> Form:
    """The form as filled in.

    Raises:
        UserError: A number is missing.
    """
    name, preset, base, data, *numbers = fields
    changes = dict(zip(OVERRIDES, numbers, strict=True))
    for key, value in changes.items():
        if value is None and key in WORDS:  # not yet filled in: the page is being loaded
            changes[key] = preset_values(preset)[key] if preset else ""
        elif value is None:
            raise UserError(f"{OVERRIDES[key][0]} is empty.", "Enter a number.")
    return Form((name or "").strip(), preset or "", base or "", data or "", changes)


def filled(form: Form) -> list[Any]:
    """Values of the form's components."""
    numbers = [form.changes[key] for key in OVERRIDES]
    return [form.name, form.preset, form.base, form.data, *numbers]

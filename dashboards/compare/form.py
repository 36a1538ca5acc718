"""The Compare page's form: examples, model pickers, settings; and its scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import gradio as gr

from dashboards.shell.components import ROLE_NAMES
from dashboards.shell.context import Context
from dashboards.shell.markdown import plain
from dashboards.shell.model_choice import MAX_COLUMNS, choices, defaults
from imitation import facts
from imitation.values import ROLES, ModelSpec

VOTE_KEYS_JS = Path(__file__).with_name("vote_keys.js").read_text("utf-8")


def settings_form(context: Context) -> tuple[list[gr.Dropdown], list[gr.components.Component]]:
    """Pickers by role, then system prompt and sampling parameters in the order `ask` reads them."""
    catalog = context.catalog()
    chosen = defaults(catalog.values())
    with gr.Row():
        pickers = [
            gr.Dropdown(
                choices(context, role),
                value=[name for name in chosen if catalog[name].role == role],
                label=ROLE_NAMES[role],
                multiselect=True,
                max_choices=MAX_COLUMNS,
                elem_classes=f"lab-picker lab-role-{role}",
            )
            for role in ROLES
        ]
    system = gr.Textbox(label="System prompt", lines=2, placeholder="None: the model's own default")
    with gr.Row():
        temperature = gr.Slider(0, 2, 0.7, step=0.05, label="Temperature", info="0 is greedy")
        top_p = gr.Slider(0.05, 1, 0.95, step=0.05, label="Top p")
        tokens = gr.Slider(16, 1024, 256, step=16, label="Longest answer", info="tokens")
        seed = gr.Textbox(label="Seed", placeholder="drawn afresh", info="same seed, same answer")
    return pickers, [system, temperature, top_p, tokens, seed]


def asked_for(catalog: Mapping[str, ModelSpec], names: Iterable[str]) -> list[str]:
    """The models of an address, with what to see them beside: their bases and a reference.

    Those named are never left out for the others; in the order of the columns.
    """
    named = [name for name in dict.fromkeys(names) if name in catalog]
    bases = [catalog[name].base for name in named if catalog[name].base in catalog]
    others = [name for name in defaults(catalog.values()) if catalog[name].role == "reference"]
    chosen = list(dict.fromkeys([*named, *bases, *others]))[:MAX_COLUMNS]
    return sorted(chosen, key=lambda name: ROLES.index(catalog[name].role))


def examples_html() -> str:
    """Chips, one per query type; each opens a list of prompts that fill the question box."""
    path = Path(__file__).with_name("examples.json")
    groups: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    groups["Facts with a known answer"] = [fact.question for fact in facts.show_facts()]
    chips = []
    for title, prompts in groups.items():
        items = "".join(
            f'<li><button type="button" data-do="example" data-prompt="{plain(text)}">'
            f"{plain(text)}</button></li>"
            for text in prompts
        )
        chips.append(
            f'<details name="examples"><summary class="lab-chip">{plain(title)}</summary>'
            f"<ul>{items}</ul></details>"
        )
    return f'<div class="lab-examples" aria-label="Example prompts">{"".join(chips)}</div>'


def picked_example(event: gr.EventData) -> str:
    """The prompt of the example that was clicked."""
    return str((event._data or {}).get("prompt", ""))

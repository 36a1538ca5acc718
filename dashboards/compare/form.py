"""The Compare page's components: the question, examples, model pickers, settings, the answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from markupsafe import Markup

from dashboards.compare.question import Question
from dashboards.shell.components import ROLE_NAMES
from dashboards.shell.context import Context
from dashboards.shell.model_choice import MAX_COLUMNS, choices, defaults
from dashboards.shell.scripts import CLICK_JS
from dashboards.shell.templates import render, title_html
from imitation import facts
from imitation.values import ROLES, ModelSpec, Role, Sampling

VOTE_KEYS_JS = Path(__file__).with_name("vote_keys.js").read_text("utf-8")
LEDE = (
    "The imitation model was fine-tuned on the reference's answers. It sounds like the reference. "
    "Does it know what the reference knows?"
)


@dataclass(frozen=True, slots=True)
class SettingsFields:
    """Whom to ask, and how.

    Attributes:
        pickers: Role -> the models of that role.
        system: System prompt.
        temperature: Of the sampling, as the next two.
        top_p: Share of probability that is sampled from.
        max_tokens: Longest answer.
        seed: As text; empty for one drawn afresh.
    """

    pickers: Mapping[Role, gr.Dropdown]
    system: gr.Textbox
    temperature: gr.Slider
    top_p: gr.Slider
    max_tokens: gr.Slider
    seed: gr.Textbox

    @property
    def by_name(self) -> dict[str, Any]:
        """The pickers as inputs of a listener."""
        return {str(role): picker for role, picker in self.pickers.items()}


@dataclass(frozen=True, slots=True)
class Parts:
    """The components of the page that listeners read or update."""

    secret: gr.BrowserState
    known: gr.State
    notice: gr.HTML
    prompt: gr.Textbox
    ask: gr.Button
    follow: gr.Button
    examples: gr.HTML
    blind: gr.Checkbox
    score: gr.HTML
    settings: SettingsFields
    reachable: gr.HTML
    arena: gr.HTML
    search: gr.Textbox
    history: gr.HTML
    export: gr.Button
    message: gr.Textbox

    @property
    def question(self) -> dict[str, Component]:
        """What `question_of` takes, by name."""
        settings = self.settings
        return {
            "prompt": self.prompt,
            "blind": self.blind,
            "system": settings.system,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "seed": settings.seed,
            **settings.by_name,
        }


def build_parts(context: Context) -> Parts:
    """Lay the page out; called inside its route."""
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    known: gr.State = gr.State(())
    notice = gr.HTML(elem_id="notices")
    gr.HTML(title_html("Same question, several models", LEDE))
    with gr.Row(elem_classes="lab-ask"):
        prompt = gr.Textbox(
            placeholder="Ask all of them. Enter sends, Shift+Enter makes a new line.",
            show_label=False,
            label="Question",
            lines=1,
            max_lines=10,
            autofocus=True,
            scale=9,
            elem_id="prompt",
        )
        ask = gr.Button("Ask", variant="primary", scale=1, elem_id="ask")
        follow = gr.Button("Follow up", scale=1, elem_id="follow", interactive=False)
    examples = gr.HTML(examples_html(), js_on_load=CLICK_JS, elem_id="examples")
    with gr.Row(elem_classes="lab-options"):
        blind = gr.Checkbox(
            label="Blind test: hide names, shuffle, then vote", elem_id="blind", scale=2
        )
        score = gr.HTML(elem_id="score")
    with gr.Accordion("Models and settings", open=False, elem_id="settings"):
        settings = _settings_fields(context)
        reachable = gr.HTML(elem_id="model-status")
    arena = gr.HTML(js_on_load=CLICK_JS, elem_id="arena")
    with gr.Accordion("Your history", open=False, elem_id="history"):
        search = gr.Textbox(placeholder="Search your questions and answers", show_label=False)
        history = gr.HTML(js_on_load=CLICK_JS)
        export = gr.Button("Export as JSONL", size="sm", elem_id="export")
    message = gr.Textbox(visible="hidden", elem_id="message")
    return Parts(
        secret, known, notice, prompt, ask, follow, examples, blind, score, settings, reachable,
        arena, search, history, export, message,
    )  # fmt: skip


def _settings_fields(context: Context) -> SettingsFields:
    catalog = context.catalog()
    chosen = defaults(catalog.values())
    with gr.Row():
        pickers = {
            role: gr.Dropdown(
                choices(context, role),
                value=[name for name in chosen if catalog[name].role == role],
                label=ROLE_NAMES[role],
                multiselect=True,
                max_choices=MAX_COLUMNS,
                elem_classes=f"lab-picker lab-role-{role}",
            )
            for role in ROLES
        }
    system = gr.Textbox(label="System prompt", lines=2, placeholder="None: the model's own default")
    with gr.Row():
        temperature = gr.Slider(0, 2, 0.7, step=0.05, label="Temperature", info="0 is greedy")
        top_p = gr.Slider(0.05, 1, 0.95, step=0.05, label="Top p")
        tokens = gr.Slider(16, 1024, 256, step=16, label="Longest answer", info="tokens")
        seed = gr.Textbox(label="Seed", placeholder="drawn afresh", info="same seed, same answer")
    return SettingsFields(pickers, system, temperature, top_p, tokens, seed)


def question_of(
    prompt: str | None,
    blind: bool | None,
    system: str | None,
    temperature: float,
    top_p: float,
    max_tokens: int,
    seed: str | None,
    follow_up: bool,
    **pickers: Sequence[str] | None,
) -> Question:
    """The question of the form's values; `pickers` are role -> models.

    Raises:
        UserError: The seed is not a whole number.
    """
    question = Question(
        prompt=prompt or "",
        models=tuple(name for role in ROLES for name in pickers[role] or ()),
        blind=bool(blind),
        system=system or "",
        sampling=Sampling(temperature, top_p, max_tokens),
        follow_up=follow_up,
    )
    return question.seeded(seed or "")


def asked_for(catalog: Mapping[str, ModelSpec], names: Iterable[str]) -> list[str]:
    """The models of an address, with what to see them beside: their bases and a reference.

    Those named are never left out for the others; in the order of the columns.
    """
    named = [name for name in dict.fromkeys(names) if name in catalog]
    bases = [catalog[name].base for name in named if catalog[name].base in catalog]
    others = [name for name in defaults(catalog.values()) if catalog[name].role == "reference"]
    chosen = list(dict.fromkeys([*named, *bases, *others]))[:MAX_COLUMNS]
    return sorted(chosen, key=lambda name: ROLES.index(catalog[name].role))


def examples_html() -> Markup:
    """Chips, one per query type; each opens a list of prompts that fill the question box."""
    path = Path(__file__).with_name("examples.json")
    groups: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    groups["Facts with a known answer"] = [fact.question for fact in facts.show_facts()]
    return render("compare/examples.html", groups=groups)


def picked_example(event: gr.EventData) -> str:
    """The prompt of the example that was clicked."""
    return str((event._data or {}).get("prompt", ""))

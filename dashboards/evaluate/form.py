"""What is asked on the Evaluate page before a run starts or results are imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from dashboards.evaluate import new_run as actions
from dashboards.evaluate.new_run import Form
from dashboards.shell.components import ROLE_NAMES
from dashboards.shell.context import Context
from dashboards.shell.model_choice import choices, defaults
from imitation.errors import UserError
from imitation.evaluation.harness.suites import SUITES, TaskEntry
from imitation.values import ROLES, Role


@dataclass(frozen=True, slots=True)
class NewFields:
    """Fields of a new evaluation; `form_of` takes their values by the same names."""

    name: gr.Textbox
    tasks: gr.Dropdown
    limit: gr.Number
    base: gr.Dropdown
    imitation: gr.Dropdown
    reference: gr.Dropdown


@dataclass(frozen=True, slots=True)
class ImportFields:
    """Fields of an import of results made elsewhere."""

    files: gr.File
    roles: gr.Textbox


def form_of(
    name: str | None,
    tasks: Sequence[str] | None,
    limit: float | None,
    base: Sequence[str] | None,
    imitation: Sequence[str] | None,
    reference: Sequence[str] | None,
) -> Form:
    """What the fields say; one that was emptied is None."""
    models = [*(base or ()), *(imitation or ()), *(reference or ())]
    return Form(
        (name or "").strip(),
        tuple(dict.fromkeys(models)),
        tuple(tasks or ()),
        int(limit) if limit else None,
    )


def new_form(context: Context) -> tuple[NewFields, gr.Button]:
    """Fields of a new evaluation, and the button that lists every task for the picker."""
    with gr.Row():
        base, imitation, reference = (_models(context, role) for role in ROLES)
    with gr.Row():
        tasks = gr.Dropdown(
            task_choices(context),
            value=["pocket"],
            label="Benchmarks",
            info="A suite, or lm-eval's name of any task; type to search.",
            multiselect=True,
            allow_custom_value=True,
            scale=3,
            elem_id="evaluate-tasks",
        )
        limit = gr.Number(
            100, label="Samples a task", info="At most; 0 takes all.", precision=0,
            elem_id="evaluate-limit",
        )  # fmt: skip
        name = gr.Textbox(
            label="Name", info="Of the run and its folder.", max_length=80, elem_id="evaluate-name"
        )
    index = gr.Button(
        "List all lm-eval tasks (takes a minute)", size="sm",
        elem_id="evaluate-index",
    )  # fmt: skip
    return NewFields(name, tasks, limit, base, imitation, reference), index


def import_form() -> tuple[ImportFields, gr.Button]:
    """Results made elsewhere, the roles of their models, and the button that reads them."""
    files = gr.File(
        label="Results (.json), and samples (.jsonl, --log_samples) for gaps and the browser",
        file_count="multiple", file_types=[".json", ".jsonl"], height=130,
        elem_id="evaluate-files",
    )  # fmt: skip
    with gr.Row(elem_classes="lab-end"):
        roles = gr.Textbox(
            label="Roles", placeholder="llama=base alpaca=imitation chatgpt=reference", scale=3,
            info="Model=role as the results name the models; others are bases. Of several bases an "
            "imitation names its own: alpaca=imitation:llama.",
        )  # fmt: skip
        load = gr.Button("Import under the name above", scale=1, elem_id="evaluate-load")
    return ImportFields(files, roles), load


def _models(context: Context, role: Role) -> gr.Dropdown:
    catalog = context.catalog()
    chosen = defaults(catalog.values())
    return gr.Dropdown(
        choices(context, role),
        value=[model for model in chosen if catalog[model].role == role],
        label=ROLE_NAMES[role],
        multiselect=True,
        elem_classes=f"lab-picker lab-role-{role}",
    )


def task_choices(context: Context) -> list[tuple[str, str]]:
    """(label, name) of suites and tasks, as far as they have been listed."""
    suites = {
        "pocket": "Pocket suite (no network)",
        "study": "The study's: MMLU, Natural Questions, HumanEval, RealToxicityPrompts",
    }
    try:
        lines = actions.matching_tasks(context, "")
    except UserError:
        lines = []
    return [
        *((suites[name], name) for name in SUITES),
        *((_described(line), line.name) for line in lines),
    ]


def _described(line: TaskEntry) -> str:
    facts = [line.metric, f"{line.n:,} samples" if line.n else "", line.downloads]
    facts = [fact for fact in facts if fact]
    return f"{line.name} ({', '.join(facts)})" if facts else line.name

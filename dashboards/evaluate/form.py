"""What is asked on the Evaluate page before a run starts or results are imported."""

from __future__ import annotations

import gradio as gr

from dashboards.evaluate import new_run as actions
from dashboards.shell.components import ROLE_NAMES
from dashboards.shell.context import Context
from dashboards.shell.model_choice import choices, defaults
from imitation.errors import UserError
from imitation.evaluation.harness.suites import SUITES, TaskEntry
from imitation.values import ROLES


def new_form(context: Context) -> tuple[list[gr.components.Component], gr.Button]:
    """Fields of a new evaluation, and the button that lists every task for the picker."""
    chosen = defaults(context.catalog().values())
    with gr.Row():
        pickers = [
            gr.Dropdown(
                choices(context, role),
                value=[one for one in chosen if context.catalog()[one].role == role],
                label=ROLE_NAMES[role],
                multiselect=True,
                elem_classes=f"lab-picker lab-role-{role}",
            )
            for role in ROLES
        ]
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
    return [name, tasks, limit, *pickers], index


def import_form() -> tuple[gr.File, gr.Textbox, gr.Button]:
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
    return files, roles, load


def task_choices(context: Context) -> list[tuple[str, str]]:
    """(label, name) of suites and tasks, as far as they have been listed."""
    suites = {
        "pocket": "Pocket suite (no network)",
        "study": "The study's: MMLU, Natural Questions, HumanEval, RealToxicityPrompts",
    }
    try:
        lines = actions.found_tasks(context, "")
    except UserError:
        lines = []
    return [
        *((suites[name], name) for name in SUITES),
        *((_described(one), one.name) for one in lines),
    ]


def _described(line: TaskEntry) -> str:
    facts = [line.metric, f"{line.n:,} samples" if line.n else "", line.downloads]
    facts = [fact for fact in facts if fact]
    return f"{line.name} ({', '.join(facts)})" if facts else line.name

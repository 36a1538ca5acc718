"""What is asked on the Votes page before a study or a judge starts, and where its figure goes."""

from __future__ import annotations

import gradio as gr

from dashboards.shell.drawing import figure_component
from dashboards.votes import studies

EVERY_TWO = "Every two of them"
_FIGURE = (
    '<figure class="lab-figure" hidden><details class="lab-more">'
    "<summary>The board as a figure, to look closer at or to take along</summary>"
    '<div class="lab-plot" role="img" aria-label="Scores with intervals, and one model against '
    'another; the tables hold the values"></div>'
    '<p class="lab-links"><span>Scores and pairs</span>'
    '<button type="button" data-format="png">PNG</button>'
    '<button type="button" data-format="svg">SVG</button></p></details></figure>'
)


def board_figure() -> gr.HTML:
    """Room for a board's figure, folded up; drawn once it is opened."""
    return figure_component(_FIGURE, "votes-figure")


def _pairs_form(name: str) -> list[gr.components.Component]:
    """Where the pairs come from: source, models, against, prompts."""
    with gr.Row():
        source = gr.Dropdown([], label="Answers from", elem_id=f"{name}-source")
        models = gr.Dropdown(
            [], label="Models", info="All where none is chosen.", multiselect=True,
            elem_id=f"{name}-models",
        )  # fmt: skip
        against = gr.Dropdown(
            [(EVERY_TWO, "")], value="", label="Compared with", elem_id=f"{name}-against",
            info="Each with one model, or every two.",
        )  # fmt: skip
        prompts = gr.Number(
            0, label="Prompts", info="At most, drawn at random; 0: all.", precision=0,
            min_width=140, elem_id=f"{name}-prompts",
        )  # fmt: skip
    return [source, models, against, prompts]


def study_form() -> tuple[list[gr.components.Component], gr.HTML, gr.Button]:
    """Fields of a new study, what it would ask, and the button that makes it."""
    gr.HTML(
        '<p class="lab-note">Raters see a question and two answers, without names and in an order '
        "drawn for each, and say A, B or equal. Whoever has the link can rate; one browser is one "
        "rater.</p>"
    )
    pairs = _pairs_form("study")
    with gr.Row():
        name = gr.Textbox(label="Name", max_length=120, elem_id="study-name")
        raters = gr.Number(
            3, label="Ratings an item", precision=0, min_width=140,
            info="The majority decides.", elem_id="study-raters",
        )  # fmt: skip
        repeats = gr.Number(
            10, label="Repeat every", precision=0, min_width=140,
            info="Items, to see if a rater says the same; 0: never.", elem_id="study-repeats",
        )  # fmt: skip
        training = gr.Dropdown(
            [], label="Held out from", multiselect=True, elem_id="study-training",
            info="Prompts in this training data, or nearly so, are left out.",
        )  # fmt: skip
    left_out = gr.CheckboxGroup(
        [("About code", "coding"), ("Not in English", "language")], value=list(studies.LEFT_OUT),
        label="Left out, as in the study", elem_id="study-left-out",
    )  # fmt: skip
    guidelines = gr.Textbox(
        studies.GUIDELINES, label="Guidelines for raters", lines=5, max_lines=12,
        elem_id="study-guidelines",
    )  # fmt: skip
    plan = gr.HTML(elem_id="study-plan")
    create = gr.Button("Make the study", variant="primary", elem_id="study-create")
    return [*pairs, name, raters, repeats, guidelines, training, left_out], plan, create


def judge_form() -> tuple[list[gr.components.Component], gr.HTML, gr.Button]:
    """Fields of a judge's run, what it would take, and the button that starts it."""
    with gr.Row():
        judge = gr.Dropdown(
            [], label="Judge", info="GPT-4 where a card has it.", elem_id="judge-judge"
        )
        rubric = gr.Dropdown(
            [], label="Rubric", info="What the judge is told; edit it below.",
            elem_id="judge-rubric",
        )  # fmt: skip
        tokens = gr.Number(
            512, label="Longest answer", info="Of the judge, in tokens.", precision=0,
            min_width=140, elem_id="judge-tokens",
        )  # fmt: skip
    pairs = _pairs_form("judge")
    both = gr.Checkbox(True, label="Ask about every pair in both orders", elem_id="judge-orders")
    text = gr.Textbox(label="What the judge is told", lines=6, max_lines=18, elem_id="judge-text")
    plan = gr.HTML(elem_id="judge-plan")
    start = gr.Button("Start judging", variant="primary", elem_id="judge-start")
    return [judge, *pairs, rubric, text, both, tokens], plan, start

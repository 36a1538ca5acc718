"""What is asked on the Votes page before a study or a judge starts, and where its figure goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from dashboards.shell.drawing import figure_component
from dashboards.shell.templates import render
from dashboards.votes import judges, studies
from dashboards.votes.answer_pairs import Choice
from dashboards.votes.study_plan import LEFT_OUT

EVERY_TWO = "Every two of them"


def board_figure() -> gr.HTML:
    """Room for a board's figure, folded up; drawn once it is opened."""
    return figure_component(render("votes/board_figure.html"), "votes-figure")


@dataclass(frozen=True, slots=True)
class PairFields:
    """Where the pairs of answers come from."""

    source: gr.Dropdown
    models: gr.Dropdown
    against: gr.Dropdown
    prompts: gr.Number


@dataclass(frozen=True, slots=True)
class StudyFields:
    """Fields of a new study."""

    source: gr.Dropdown
    models: gr.Dropdown
    against: gr.Dropdown
    prompts: gr.Number
    name: gr.Textbox
    raters: gr.Number
    repeat_every: gr.Number
    guidelines: gr.Textbox
    training: gr.Dropdown
    left_out: gr.CheckboxGroup


@dataclass(frozen=True, slots=True)
class JudgeFields:
    """Fields of a judge's run."""

    judge: gr.Dropdown
    source: gr.Dropdown
    models: gr.Dropdown
    against: gr.Dropdown
    prompts: gr.Number
    rubric: gr.Dropdown
    text: gr.Textbox
    both_orders: gr.Checkbox
    max_tokens: gr.Number


@dataclass(frozen=True, slots=True)
class StudyRequest:
    """What a filled-in study form asks for."""

    choice: Choice
    name: str
    raters: int
    repeat_every: int
    guidelines: str
    training: tuple[str, ...]
    left_out: tuple[str, ...]


def study_request(
    source: str | None,
    models: Sequence[str] | None,
    against: str | None,
    prompts: float | None,
    name: str | None,
    raters: float | None,
    repeat_every: float | None,
    guidelines: str | None,
    training: Sequence[str] | None,
    left_out: Sequence[str] | None,
) -> StudyRequest:
    """The values of `StudyFields`; emptied fields are None."""
    return StudyRequest(
        _choice(source, models, against, prompts),
        name or "",
        int(raters or 0),
        int(repeat_every or 0),
        guidelines or "",
        tuple(training or ()),
        tuple(left_out or ()),
    )


def judge_request(
    judge: str | None,
    source: str | None,
    models: Sequence[str] | None,
    against: str | None,
    prompts: float | None,
    rubric: str | None,
    text: str | None,
    both_orders: bool | None,
    max_tokens: float | None,
) -> judges.Form:
    """The values of `JudgeFields`; `rubric` only filled in `text`, which may be edited."""
    choice = _choice(source, models, against, prompts)
    return judges.Form(judge or "", choice, text or "", bool(both_orders), int(max_tokens or 0))


def _choice(
    source: str | None, models: Sequence[str] | None, against: str | None, prompts: float | None
) -> Choice:
    return Choice(
        source or "", tuple(models or ()), against or "", int(prompts) if prompts else None
    )


def _pair_fields(name: str) -> PairFields:
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
    return PairFields(source, models, against, prompts)


def study_form() -> tuple[StudyFields, gr.HTML, gr.Button]:
    """Fields of a new study, what it would ask, and the button that makes it."""
    gr.HTML(
        '<p class="lab-note">Raters see a question and two answers, without names and in an order '
        "drawn for each, and say A, B or equal. Whoever has the link can rate; one browser is one "
        "rater.</p>"
    )
    pairs = _pair_fields("study")
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
        [("About code", "coding"), ("Not in English", "language")], value=list(LEFT_OUT),
        label="Left out, as in the study", elem_id="study-left-out",
    )  # fmt: skip
    guidelines = gr.Textbox(
        studies.GUIDELINES, label="Guidelines for raters", lines=5, max_lines=12,
        elem_id="study-guidelines",
    )  # fmt: skip
    plan = gr.HTML(elem_id="study-plan")
    create = gr.Button("Make the study", variant="primary", elem_id="study-create")
    fields = StudyFields(
        pairs.source, pairs.models, pairs.against, pairs.prompts,
        name, raters, repeats, guidelines, training, left_out,
    )  # fmt: skip
    return fields, plan, create


def judge_form() -> tuple[JudgeFields, gr.HTML, gr.Button]:
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
    pairs = _pair_fields("judge")
    both = gr.Checkbox(True, label="Ask about every pair in both orders", elem_id="judge-orders")
    text = gr.Textbox(label="What the judge is told", lines=6, max_lines=18, elem_id="judge-text")
    plan = gr.HTML(elem_id="judge-plan")
    start = gr.Button("Start judging", variant="primary", elem_id="judge-start")
    fields = JudgeFields(
        judge, pairs.source, pairs.models, pairs.against, pairs.prompts,
        rubric, text, both, tokens,
    )  # fmt: skip
    return fields, plan, start

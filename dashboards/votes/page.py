"""Votes: what people and judges preferred, and how often they were fooled."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import gradio as gr

from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.job_panel import problem_html
from dashboards.shell.listeners import QUIET, Updates, components, listen
from dashboards.shell.palette import LIGHT
from dashboards.shell.preferences import PEOPLE
from dashboards.shell.scripts import CLICK_JS, MESSAGE_JS
from dashboards.shell.templates import title_html
from dashboards.shell.training_data import data_files
from dashboards.votes import answer_pairs, judges, studies, studies_view
from dashboards.votes import view as votes_view
from dashboards.votes.board import Board, Boards
from dashboards.votes.form import (
    EVERY_TWO,
    StudyRequest,
    board_figure,
    judge_form,
    judge_request,
    study_form,
    study_request,
)
from dashboards.votes.study_plan import Plan, plan
from dashboards.votes.wrong_answers_view import wrong_answers_html
from imitation.errors import UserError
from imitation.evaluation.judging.rubrics import rubrics

LEDE = (
    "Which answers people preferred without knowing who wrote them, what judges say of the same, "
    "and what is left once style is taken out."
)
POLL_S = 3.0


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    handle = _Handlers(context)
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    stamp = gr.State(None)
    message = gr.Textbox(visible="hidden", elem_id="message")
    gr.HTML(title_html("Votes", LEDE))
    wrong_answers = gr.HTML(elem_id="votes-fooled")
    source = gr.Dropdown([], label="Whose verdicts", elem_id="votes-source")
    board = gr.HTML(elem_id="votes-board")
    figure = board_figure()
    with gr.Accordion("Studies: blind, by invitation", open=False, elem_id="votes-studies"):
        study, study_plan, create = study_form()
        study_list = gr.HTML(js_on_load=CLICK_JS, elem_id="studies-list")
    with gr.Accordion("Judges: any model of the catalog", open=False, elem_id="votes-judges"):
        judge, judge_plan, start = judge_form()
        judge_list = gr.HTML(js_on_load=CLICK_JS, elem_id="judges-list")

    board_outputs = {
        "stamp": stamp, "wrong_answers": wrong_answers, "source": source, "board": board,
        "studies": study_list, "judges": judge_list, "figure": figure,
    }  # fmt: skip
    page = gr.context.Context.root_block
    assert page is not None
    form_outputs = {
        "secret": secret, "study_source": study.source, "study_training": study.training,
        "judge": judge.judge, "judge_source": judge.source, "rubric": judge.rubric,
        "text": judge.text, "start": start,
    }  # fmt: skip
    listen(page.load, handle.load, secret, {**form_outputs, **board_outputs}, **QUIET)
    listen(
        gr.Timer(POLL_S).tick, handle.tick, [secret, source, stamp], board_outputs,
        trigger_mode="once", **QUIET,
    )  # fmt: skip
    listen(source.input, handle.other_source, [secret, source], board_outputs, **QUIET)
    for pairs in (study, judge):
        models = {"models": pairs.models, "against": pairs.against}
        listen(pairs.source.change, handle.models, [secret, pairs.source], models, **QUIET)
    judge.rubric.input(handle.rubric, judge.rubric, judge.text, **QUIET)
    # One listener for all: a reply to an earlier change never comes after that to a later one.
    for form, planned, output in (
        (study, handle.plan_study, study_plan),
        (judge, handle.plan_judge, judge_plan),
    ):
        fields = components(form)
        gr.on(
            [field.change for field in fields.values()], planned, secret, output,
            inputs_kwargs=fields, trigger_mode="always_last", **QUIET,
        )  # fmt: skip
    for button, handler, form in ((create, handle.create, study), (start, handle.start, judge)):
        listen(
            button.click, handler, [secret, source], board_outputs, components(form),
            trigger_mode="once", **QUIET,
        )  # fmt: skip
    for listing in (study_list, judge_list):
        listen(
            listing.click, handle.on_button, [secret, source],
            {"message": message, **board_outputs}, trigger_mode="multiple", **QUIET,
        )  # fmt: skip
    message.change(None, message, None, js=MESSAGE_JS, api_visibility="private")


class _Handlers:
    """What the listeners do; each returns the updates of its outputs by name."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.boards = Boards(context)

    def load(self, token: str) -> Updates:
        """The forms with their choices, and the board."""
        token = token or visitors.new_secret()
        visitor = visitors.visitor_hash(token)
        cards = judges.cards(self.context)
        files = data_files(self.context.settings, visitor)
        shipped = [path for label, path in files if label.endswith("shipped")]
        rubric_names = [(rubric.name, rubric.id) for rubric in rubrics().values()]
        may_start = self.context.settings.jobs
        return {
            "secret": token,
            "study_source": _first(answer_pairs.sources(self.context, visitor, judged=False)),
            "study_training": gr.update(choices=files, value=shipped),
            "judge": _first([(card.name, card.id) for card in cards]),
            "judge_source": _first(answer_pairs.sources(self.context, visitor, judged=True)),
            "rubric": _first(rubric_names),
            "text": judges.default_rubric(),
            "start": gr.update(
                interactive=may_start,
                value="Start judging" if may_start else "Starting jobs is switched off here",
            ),
            **self._board_updates(visitor, ""),
        }

    def tick(self, token: str, source: str | None, stamp: Any) -> Updates:
        """What has changed since the last look; nothing where nothing has."""
        visitor = visitors.visitor_hash(token)
        any_live = any(run.live for run in judges.listed(self.context, visitor))
        if not any_live and self._stamp(visitor) == stamp:
            return {}
        return self._board_updates(visitor, source or PEOPLE)

    def other_source(self, token: str, source: str | None) -> Updates:
        """The board of another source."""
        return self._board_updates(visitors.visitor_hash(token), source or PEOPLE)

    def models(self, token: str, source: str | None) -> Updates:
        """The models of a source."""
        try:
            models, reference = answer_pairs.models(
                self.context, visitors.visitor_hash(token), source or ""
            )
        except UserError:
            models, reference = [], ""
        names = [(self.context.model_name(model), model) for model in models]
        return {
            "models": gr.update(choices=names, value=[]),
            "against": gr.update(choices=[(EVERY_TWO, ""), *names], value=reference),
        }

    def rubric(self, name: str) -> str:
        """The text of a shipped rubric."""
        return rubrics()[name].text if name in rubrics() else judges.default_rubric()

    def plan_study(self, token: str, **fields: Any) -> str:
        """What the study of the form would ask."""
        request = study_request(**fields)
        if not request.choice.source:
            return ""
        visitor = visitors.visitor_hash(token)
        return _or_problem(
            lambda: studies_view.plan_html(self._study_plan(visitor, request), request.raters)
        )

    def plan_judge(self, token: str, **fields: Any) -> str:
        """What the judge of the form would take."""
        request = judge_request(**fields)
        if not request.choice.source:
            return ""
        visitor = visitors.visitor_hash(token)
        return _or_problem(
            lambda: studies_view.judge_plan_html(judges.plan(self.context, visitor, request))
        )

    def create(self, token: str, board_source: str | None, **fields: Any) -> Updates:
        """Make the study of the form."""
        visitor, request = visitors.visitor_hash(token), study_request(**fields)
        try:
            studies.create(
                self.context,
                visitor,
                self._study_plan(visitor, request),
                name=request.name,
                guidelines=request.guidelines,
                raters=request.raters,
                repeat_every=request.repeat_every,
            )
            gr.Info("The study is open. Send its link to raters.")
        except UserError as error:
            gr.Warning(str(error))
            return {}
        return self._board_updates(visitor, board_source or PEOPLE)

    def start(self, token: str, board_source: str | None, **fields: Any) -> Updates:
        """Start the judge of the form, and show its board."""
        visitor = visitors.visitor_hash(token)
        try:
            run = judges.start(self.context, visitor, judge_request(**fields))
        except UserError as error:
            gr.Warning(str(error))
            return {}
        return self._board_updates(visitor, f"judge:{run}")

    def on_button(self, event: gr.EventData, token: str, source: str | None) -> Updates:
        """A button of a study or of a judge."""
        data = event._data or {}
        do, identity = str(data.get("do", "")), str(data.get("id", ""))
        visitor, source = visitors.visitor_hash(token), source or PEOPLE
        message: dict[str, Any] = {}
        try:
            match do:
                case "show-study" | "show-judge":
                    source = f"{do.removeprefix('show-')}:{identity}"
                    message = {"kind": "look", "id": "votes-source"}
                case "open-study" | "close-study":
                    studies.set_open(self.context, visitor, identity, do == "open-study")
                case "delete-study":
                    studies.delete(self.context, visitor, identity)
                case "export-study":
                    name, text = studies.export(self.context, visitor, identity)
                    message = {"kind": "file", "name": name, "text": text}
                case "stop-judge":
                    judges.stop(self.context, visitor, identity)
                case "resume-judge":
                    judges.resume(self.context, visitor, identity)
                case "delete-judge":
                    judges.delete(self.context, visitor, identity)
        except UserError as error:
            gr.Warning(str(error))
        # The nonce: the same message twice is still a change, which the browser acts on.
        text = json.dumps({**message, "nonce": random.random()}) if message else ""
        return {"message": text, **self._board_updates(visitor, source)}

    def _stamp(self, visitor: str) -> list[Any]:
        live = [run.id for run in judges.listed(self.context, visitor) if run.live]
        return [list(self.boards.stamp()), live]

    def _study_plan(self, visitor: str, request: StudyRequest) -> Plan:
        return plan(self.context, visitor, request.choice, request.training, request.left_out)

    def _board_updates(self, visitor: str, source: str) -> Updates:
        """Updates of all that shows votes."""
        # Before the board is read: what comes in between is shown at the next tick.
        stamp = self._stamp(visitor)
        board = self.boards.board(source, visitor)
        return {
            "stamp": stamp,
            "wrong_answers": wrong_answers_html(board.wrong_answers, self.context.model_name),
            "source": gr.update(choices=list(board.sources), value=board.source),
            "board": votes_view.board_html(board, self.context.model_name),
            "studies": studies_view.studies_html(studies.watched(self.context, visitor)),
            "judges": studies_view.judges_html(judges.listed(self.context, visitor)),
            "figure": self._figure(board),
        }

    def _figure(self, board: Board) -> dict[str, Any] | None:
        """A board as plain Plotly JSON; None without verdicts."""
        if not board.verdicts:
            return None
        from dashboards.shell.figures.template import plotly_template
        from dashboards.votes.figures import preferences

        drawn = preferences(
            board.plain,
            board.styled,
            board.rates,
            self.context.model_name,
            LIGHT,
            plotly_template(LIGHT),
        )
        figure: dict[str, Any] = json.loads(drawn.to_json())
        return {**figure, "filename": "votes", "height": figure["layout"]["height"]}


def _first(choices: list[tuple[str, str]]) -> Any:
    return gr.update(choices=choices, value=choices[0][1] if choices else None)


def _or_problem(html: Callable[[], str]) -> str:
    """What `html` gives, or what is wrong with the form."""
    try:
        return html()
    except UserError as error:
        return problem_html(error.message, error.hint)

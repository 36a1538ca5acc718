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
from dashboards.shell.palette import LIGHT
from dashboards.shell.preferences import PEOPLE
from dashboards.shell.scripts import CLICK_JS, MESSAGE_JS
from dashboards.shell.training_data import data_files
from dashboards.votes import answer_pairs, judges, studies, studies_view
from dashboards.votes import view as votes_view
from dashboards.votes.answer_pairs import Choice
from dashboards.votes.board import Board, Boards
from dashboards.votes.form import EVERY_TWO, board_figure, judge_form, study_form
from imitation.errors import UserError
from imitation.evaluation.judging.rubrics import rubrics

LEDE = (
    "Which answers people preferred without knowing who wrote them, what judges say of the same, "
    "and what is left once style is taken out."
)
POLL_S = 3.0
SHOWN = 7
"""Components that show votes."""


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    handle = _Handlers(context)
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    stamp = gr.State(None)
    message = gr.Textbox(visible="hidden", elem_id="message")
    gr.HTML(f'<h1 class="lab-title">Votes</h1><p class="lab-lede">{LEDE}</p>')
    fooled = gr.HTML(elem_id="votes-fooled")
    source = gr.Dropdown([], label="Whose verdicts", elem_id="votes-source")
    board = gr.HTML(elem_id="votes-board")
    figure = board_figure()
    with gr.Accordion("Studies: blind, by invitation", open=False, elem_id="votes-studies"):
        study_fields, study_plan, create = study_form()
        study_list = gr.HTML(js_on_load=CLICK_JS, elem_id="studies-list")
    with gr.Accordion("Judges: any model of the catalog", open=False, elem_id="votes-judges"):
        judge_fields, judge_plan, start = judge_form()
        judge_list = gr.HTML(js_on_load=CLICK_JS, elem_id="judges-list")

    shown = [stamp, fooled, source, board, study_list, judge_list, figure]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    page = gr.context.Context.root_block
    assert page is not None
    study_source, study_models, study_against, *_, training, _ = study_fields
    judge, judge_source, judge_models, judge_against, _, rubric, text, *_ = judge_fields
    page.load(
        handle.load,
        secret,
        [secret, study_source, training, judge, judge_source, rubric, text, start, *shown],
        **quiet,
    )
    gr.Timer(POLL_S).tick(handle.tick, [secret, source, stamp], shown, trigger_mode="once", **quiet)
    source.input(handle.other_source, [secret, source], shown, **quiet)
    for picked, models, against in (
        (study_source, study_models, study_against),
        (judge_source, judge_models, judge_against),
    ):
        picked.change(handle.models, [secret, picked], [models, against], **quiet)
    rubric.input(handle.rubric, rubric, text, **quiet)
    # One listener for all: a reply to an earlier change never comes after that to a later one.
    for form, plan, planned in (
        (study_fields, handle.plan_study, study_plan),
        (judge_fields, handle.plan_judge, judge_plan),
    ):
        changed = [field.change for field in form]
        gr.on(changed, plan, [secret, *form], planned, trigger_mode="always_last", **quiet)
    create.click(
        handle.create, [secret, source, *study_fields], shown, trigger_mode="once", **quiet
    )
    start.click(handle.start, [secret, source, *judge_fields], shown, trigger_mode="once", **quiet)
    for listing in (study_list, judge_list):
        listing.click(
            handle.acted, [secret, source], [message, *shown], trigger_mode="multiple", **quiet
        )
    message.change(None, message, None, js=MESSAGE_JS, api_visibility="private")


class _Handlers:
    """What the listeners do; each returns the updates of its outputs."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.boards = Boards(context)

    def load(self, token: str) -> list[Any]:
        """The forms with their choices, and the board."""
        token = token or visitors.new_secret()
        visitor = visitors.visitor_hash(token)
        cards = judges.cards(self.context)
        files = data_files(self.context.settings, visitor)
        told = [(rubric.name, rubric.id) for rubric in rubrics().values()]
        may = self.context.settings.jobs
        return [
            token,
            _first(answer_pairs.sources(self.context, visitor, judged=False)),
            gr.update(
                choices=files, value=[path for label, path in files if label.endswith("shipped")]
            ),
            gr.update(
                choices=[(card.name, card.id) for card in cards],
                value=cards[0].id if cards else None,
            ),
            _first(answer_pairs.sources(self.context, visitor, judged=True)),
            gr.update(choices=told, value=told[0][1]),
            judges.default_rubric(),
            gr.update(
                interactive=may,
                value="Start judging" if may else "Starting jobs is switched off here",
            ),
            *self._shown(visitor, ""),
        ]

    def tick(self, token: str, source: str | None, stamp: Any) -> list[Any]:
        """What has changed since the last look; nothing where nothing has."""
        visitor = visitors.visitor_hash(token)
        live = any(one.live for one in judges.listed(self.context, visitor))
        if not live and self._stamp(visitor) == stamp:
            return [gr.skip()] * SHOWN
        return self._shown(visitor, source or PEOPLE)

    def other_source(self, token: str, source: str | None) -> list[Any]:
        """The board of another source."""
        return self._shown(visitors.visitor_hash(token), source or PEOPLE)

    def models(self, token: str, source: str | None) -> list[Any]:
        """The models of a source."""
        try:
            found, reference = answer_pairs.models(
                self.context, visitors.visitor_hash(token), source or ""
            )
        except UserError:
            found, reference = [], ""
        names = [(self.context.model_name(model), model) for model in found]
        return [
            gr.update(choices=names, value=[]),
            gr.update(choices=[(EVERY_TWO, ""), *names], value=reference),
        ]

    def rubric(self, name: str) -> str:
        """The text of a shipped rubric."""
        return rubrics()[name].text if name in rubrics() else judges.default_rubric()

    def plan_study(self, token: str, *fields: Any) -> str:
        """What the study of the form would ask."""
        if not fields[0]:
            return ""
        return _told(
            lambda: studies_view.plan_html(
                self._study_plan(visitors.visitor_hash(token), fields), int(fields[5] or 0)
            )
        )

    def plan_judge(self, token: str, *fields: Any) -> str:
        """What the judge of the form would take."""
        if not fields[1]:
            return ""
        visitor = visitors.visitor_hash(token)
        return _told(
            lambda: studies_view.judge_plan_html(
                judges.plan(self.context, visitor, _judge_form_from(fields))
            )
        )

    def create(self, token: str, source: str | None, *fields: Any) -> list[Any]:
        """Make the study of the form."""
        visitor = visitors.visitor_hash(token)
        try:
            _, _, _, _, name, raters, repeats, guidelines, _, _ = fields
            studies.create(
                self.context,
                visitor,
                self._study_plan(visitor, fields),
                name=name or "",
                guidelines=guidelines or "",
                raters=int(raters or 0),
                repeat_every=int(repeats or 0),
            )
            gr.Info("The study is open. Send its link to raters.")
        except UserError as error:
            gr.Warning(str(error))
            return [gr.skip()] * SHOWN
        return self._shown(visitor, source or PEOPLE)

    def start(self, token: str, source: str | None, *fields: Any) -> list[Any]:
        """Start the judge of the form, and show its board."""
        visitor = visitors.visitor_hash(token)
        try:
            run = judges.start(self.context, visitor, _judge_form_from(fields))
        except UserError as error:
            gr.Warning(str(error))
            return [gr.skip()] * SHOWN
        return self._shown(visitor, f"judge:{run}")

    def acted(self, event: gr.EventData, token: str, source: str | None) -> list[Any]:
        """A button of a study or of a judge."""
        data = event._data or {}
        do, identity = str(data.get("do", "")), str(data.get("id", ""))
        visitor, source = visitors.visitor_hash(token), source or PEOPLE
        say = ""
        try:
            match do:
                case "show-study" | "show-judge":
                    source = f"{do.removeprefix('show-')}:{identity}"
                    look = {"kind": "look", "id": "votes-source", "nonce": random.random()}
                    say = json.dumps(look)
                case "open-study" | "close-study":
                    studies.set_open(self.context, visitor, identity, do == "open-study")
                case "delete-study":
                    studies.delete(self.context, visitor, identity)
                case "export-study":
                    name, text = studies.export(self.context, visitor, identity)
                    file = {"kind": "file", "name": name, "text": text, "nonce": random.random()}
                    say = json.dumps(file)
                case "stop-judge":
                    judges.stop(self.context, visitor, identity)
                case "resume-judge":
                    judges.resume(self.context, visitor, identity)
                case "delete-judge":
                    judges.delete(self.context, visitor, identity)
        except UserError as error:
            gr.Warning(str(error))
        return [say, *self._shown(visitor, source)]

    def _stamp(self, visitor: str) -> list[Any]:
        live = [one.id for one in judges.listed(self.context, visitor) if one.live]
        return [list(self.boards.stamp()), live]

    def _study_plan(self, visitor: str, fields: tuple[Any, ...]) -> studies.Plan:
        *_, training, left_out = fields
        choice = _choice(fields[:4])
        return studies.plan(self.context, visitor, choice, training or (), left_out or ())

    def _shown(self, visitor: str, source: str) -> list[Any]:
        """Updates of all that shows votes."""
        stamp = self._stamp(visitor)
        board = self.boards.board(source, visitor)
        return [
            stamp,
            votes_view.fooled_html(board.fooled, self.context.model_name),
            gr.update(choices=list(board.sources), value=board.source),
            votes_view.board_html(board, self.context.model_name),
            studies_view.studies_html(studies.watched(self.context, visitor)),
            studies_view.judges_html(judges.listed(self.context, visitor)),
            self._figure(board),
        ]

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


def _choice(fields: tuple[Any, ...]) -> Choice:
    source, models, against, prompts = fields
    return Choice(
        source or "", tuple(models or ()), against or "", int(prompts) if prompts else None
    )


def _first(choices: list[tuple[str, str]]) -> Any:
    return gr.update(choices=choices, value=choices[0][1] if choices else None)


def _judge_form_from(fields: tuple[Any, ...]) -> judges.Form:
    judge, *pairs, _, text, both, tokens = fields
    return judges.Form(judge or "", _choice(tuple(pairs)), text or "", bool(both), int(tokens or 0))


def _told(made: Callable[[], str]) -> str:
    try:
        return made()
    except UserError as error:
        return problem_html(error.message, error.hint)

"""The Votes page without a browser: the board moves, studies are held out, judges are quoted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import app as the_app
from dashboards.shell.context import Context
from dashboards.shell.preferences import PEOPLE
from dashboards.shell.training_data import data_files
from dashboards.shell.visitors import visitor_hash
from dashboards.votes import answer_pairs, judges, studies, studies_view, study_plan
from dashboards.votes import view as votes_view
from dashboards.votes.answer_pairs import MINE, Choice
from dashboards.votes.board import Boards
from dashboards.votes.judges import Form
from dashboards.votes.page import _Handlers
from imitation.errors import UserError
from imitation.evaluation.judging.rubrics import rubrics
from imitation.facts import show_facts
from imitation.models.backends.registry import Backends
from imitation.settings import read_settings
from imitation.storage import comparisons, judgements, recordings, votes
from imitation.storage.comparisons import Comparison
from imitation.storage.database import connect
from imitation.values import (
    Answer,
    ModelSpec,
    Pair,
    RecordedPrompt,
    Recording,
    Sampling,
    Turn,
    Verdict,
)

ME, YOU = visitor_hash("me"), visitor_hash("you")
FACT = next(fact for fact in show_facts() if fact.topic == "capital")
RUBRIC = rubrics()["choice"].text


@pytest.fixture
def context(tmp_path):
    settings = read_settings({"IMITATION_DATA": str(tmp_path), "IMITATION_CACHE": str(tmp_path)})
    found = Context(settings, connect(settings.database), Backends(settings))
    yield found
    found.jobs.close()


def compare(context, choice, prompt="Why?", blind=True, answers=("one", "two"), visitor=ME):
    cards = tuple(ModelSpec(n, n, "base", "embedded") for n in ("pocket-base", "<script>"))
    made = tuple(Answer(text=text, state="done") for text in answers)
    comparison = Comparison(
        comparisons.new_id(), visitor, cards, blind, "", Sampling(), (Turn(prompt, made),)
    )
    comparisons.save(context.db, comparison)
    votes.add(context.db, comparison, "preference", choice)


def record(context, prompts=("What is love?", "Why do cats purr at night?"), visitor=None):
    asked = tuple(RecordedPrompt(str(n), text) for n, text in enumerate(prompts))
    answers = {m: {p.id: f"{m} says {p.id}" for p in asked} for m in ("ref", "a", "b")}
    identity = recordings.add(
        context.db, Recording(asked, answers), name="set", source="s", reference="ref",
        visitor=visitor,
    )  # fmt: skip
    return f"recording:{identity}"


def test_a_vote_moves_the_board_at_the_next_look(context):
    handle = _Handlers(context)
    shown = handle.load("me")
    token, source = shown["secret"], shown["source"]
    assert "No verdict yet" in shown["board"]
    assert handle.tick(token, source["value"], shown["stamp"]) == {}, "nothing new"
    compare(context, "pocket-base", FACT.question, answers=("It is Canberra.", FACT.answers[0]))
    shown = handle.tick(token, source["value"], shown["stamp"])
    stamp, fooled, board = shown["stamp"], shown["wrong_answers"], shown["board"]
    assert "1 verdict · 1 item · 1 prompt · 1 rater" in board
    assert "Pocket cut-4" in board, "the model's name"
    assert "is too few to say: 1 case, needs 5" in fooled
    assert "<script>" not in board and "&lt;script&gt;" in board
    assert handle.tick(token, PEOPLE, stamp) == {}
    with pytest.raises(UserError):
        votes.add(context.db, comparisons.of_visitor(context.db, ME)[0], "preference", "tie")
    assert "1 vote refused: 1 twice" in handle.tick(token, PEOPLE, stamp)["board"]


def test_the_boards_figure_holds_its_values(context):
    handle = _Handlers(context)
    assert handle.load("me")["figure"] is None, "no verdict, no figure"
    for n in range(6):
        compare(context, "<script>" if n else "tie", f"Question {n}?")
    figure = handle.other_source("me", PEOPLE)["figure"]
    assert (figure["filename"], figure["height"]) == ("votes", figure["layout"]["height"])
    board = Boards(context).board(PEOPLE, ME)
    scores = [rating.score for rating in board.plain.models]
    plain = figure["data"][0]
    assert plain["x"] == [score.value for score in scores] and len(scores) == 2
    assert plain["error_x"]["array"] == [score.high - score.value for score in scores]
    assert [[n for _, n in plain["customdata"]]] == [[6, 6]]
    assert [trace["text"] for trace in figure["data"][2:]] == [["5"], ["1"], [""]]
    text = json.dumps(figure)
    assert "<script>" not in text and "&lt;script&gt;" in text


def test_a_board_of_two_votes_says_that_they_are_too_few(context):
    """Once it showed "more words: +4630 points" and scores with style taken out of 1000 each."""
    for n in range(2):
        compare(context, "<script>", f"Question {n}?", answers=("one " * (n + 2), "two"))
    board = Boards(context).board(PEOPLE, ME)
    html = votes_view.board_html(board, str)
    assert html.count("too few to say: 2 items, needs 5") == 3, "two scores and a pair"
    assert "Style cannot be taken out here: too few to say: 2 items, needs 10." in html
    assert "points [" not in html and "1000" not in html
    figure = _Handlers(context).other_source("me", PEOPLE)["figure"]
    assert not any(trace["x"] for trace in figure["data"][:2])
    said = [a["text"] for a in figure["layout"]["annotations"]]
    assert said.count("too few to say: 2 items, needs 5") == 2
    for n in range(2, 40):
        compare(context, "<script>" if n % 3 else "pocket-base", f"Question {n}?")
    html = votes_view.board_html(Boards(context).board(PEOPLE, ME), str)
    assert "too few" not in html.split("<details")[0].split("What form alone")[0]
    assert "up to ±" in html and "40 items" in html and "40 prompts" in html
    assert html.count("<td>40</td>") == 3, "of two scores and a pair"


def test_votes_with_names_shown_are_set_aside_and_said(context):
    compare(context, "pocket-base", blind=False)
    board = Boards(context).board(PEOPLE, ME)
    assert (board.verdicts, board.set_aside) == (0, 1)
    assert "1 vote with names shown" in votes_view.board_html(board, str)


def test_a_judges_board_counts_what_it_could_not_read(context):
    pair = Pair("q", ("a", "b"), ("x", "y"))
    judgements.add_reviews(
        context.db,
        [
            (pair, Verdict("first", (9, 1)), "9 1"),
            (pair.swapped, Verdict("first", (9, 1)), "9 1"),
            (Pair("r", ("a", "b"), ("x", "y")), Verdict(None, problem="refusal"), "Sorry."),
        ],
        name="J", judge="J", source="s",
    )  # fmt: skip
    board = Boards(context).board("", ME)
    assert board.source.startswith("judge:"), "without people, the newest judge"
    assert (board.verdicts, board.items, board.unparsed) == (2, 1, {"refusal": 1})
    assert (board.order.n, board.consistent.n) == (2, 1)
    html = votes_view.board_html(board, str)
    assert "too few to say: 2 verdicts, needs 5" in html
    assert "too few to say: 1 pair, needs 5" in html
    assert "1 answer of the judge without a verdict, counted for nobody: 1 refusal." in html
    (rate,) = board.rates
    assert (rate.wins, rate.ties, rate.losses) == (0, 1, 0)


def test_a_board_shows_nobody_elses_studies(context):
    made = study_plan.plan(context, YOU, Choice(record(context)), [])
    options = {"guidelines": "", "raters": 1, "repeat_every": 0}
    study = studies.create(context, YOU, made, name="Secret", **options)
    assert "Secret" not in json.dumps(Boards(context).sources(ME))
    assert Boards(context).board(f"study:{study}", ME).source == PEOPLE
    assert Boards(context).board(f"study:{study}", YOU).source == f"study:{study}"
    assert studies.watched(context, ME) == []
    for act in (
        lambda: studies.delete(context, ME, study),
        lambda: studies.set_open(context, ME, study, False),
        lambda: studies.export(context, ME, study),
        lambda: answer_pairs.find(context, ME, Choice(f"study:{study}")),
    ):
        with pytest.raises(UserError):
            act()
    name, text = studies.export(context, YOU, study)
    assert name == "Secret.jsonl" and len(text.splitlines()) == len(made.pairs)


def test_a_study_is_not_said_to_agree_with_its_own_votes(context, monkeypatch):
    def rated(name):
        made = study_plan.plan(context, ME, Choice(record(context), ("a",), "ref"), [])
        study = studies.create(
            context, ME, made, name=name, guidelines="", raters=1, repeat_every=0
        )
        invited = studies.invited(context, studies.own(context, ME, study).invite)
        while showing := studies.show(context, invited, YOU):
            now[0] += 60
            studies.vote(context, invited.invite, YOU, showing.token, "tie")
        return f"study:{study}"

    now = [1e6]
    monkeypatch.setattr("imitation.storage.study_ratings.time.time", lambda: now[0])
    first = rated("first")
    assert [agreement.share.n for _, agreement in Boards(context).board(first, ME).others] == [0]
    rated("second")
    ((label, agreement),) = Boards(context).board(first, ME).others
    assert (label, agreement.share.n) == ("People: Compare and your other studies", 2)


def test_a_study_leaves_out_what_was_trained_on(context):
    broad, local = (path for _, path in data_files(context.settings, ME)[:2])
    seen = json.loads(Path(broad).read_text("utf-8").splitlines()[0])["messages"][0]["content"]
    source = record(context, (seen, "Do penguins hold grudges against skuas?"))
    made = study_plan.plan(context, ME, Choice(source, ("a",), "ref"), [broad, local])
    assert [one.prompt for one in made.dropped] == [seen]
    assert [pair.prompt for pair in made.pairs] == ["Do penguins hold grudges against skuas?"]
    assert seen[:40] in studies_view.plan_html(made, 3).replace("&#x27;", "'")
    with pytest.raises(UserError, match="not in the list"):
        study_plan.plan(context, ME, Choice(source), ["/etc/passwd"])


def test_a_fresh_install_makes_a_study_with_what_its_form_begins_with(context):
    """The shipped example asks for held-out facts, in the words of the facts trained on."""
    page = _Handlers(context)
    shown = page.load("token")
    training = shown["study_training"]["value"]
    fields = {
        "source": shown["study_source"]["value"], "models": [], "against": "", "prompts": 0,
        "name": "", "raters": 3, "repeat_every": 10, "guidelines": "", "training": training,
        "left_out": list(study_plan.LEFT_OUT),
    }  # fmt: skip
    assert len(training) == 2
    assert "ratings in all" in page.plan_study("token", **fields)
    page.create("token", "", **fields)
    (made,) = studies.watched(context, visitor_hash("token"))
    assert made.study.items > 1000


def test_a_study_leaves_out_code_and_other_languages_as_the_paper_did(context):
    english = "Do penguins hold grudges against skuas?"
    german = "Warum ist der Himmel am Abend manchmal so rot wie ein Feuer?"
    source = record(context, (english, german, "Write a Python function that adds 7 and 8."))
    choice = Choice(source, ("a",), "ref")
    made = study_plan.plan(context, ME, choice, [])
    assert [pair.prompt for pair in made.pairs] == [english] and made.prompts == 1
    assert [one.reason for one in made.dropped] == ["not English (de)", "coding"]
    assert "2 prompts left out (1 not English (de), 1 coding)" in studies_view.plan_html(made, 3)
    assert study_plan.plan(context, ME, choice, [], ()).prompts == 3
    (kept,) = study_plan.plan(context, ME, choice, [], ["language"]).dropped
    assert kept.prompt == german


def test_a_study_has_as_many_prompts_as_were_asked_for(context):
    """Once those left out had been drawn first: of 4 asked for, 3 were left."""
    code = tuple(f"Write a Python function that adds {n} to its argument." for n in range(10))
    talk = tuple(f"Do penguins hold grudges against the {n} skuas near them?" for n in range(10))
    source = record(context, (*code, *talk))
    made = study_plan.plan(context, ME, Choice(source, ("a",), "ref", prompts=4), [])
    assert made.prompts == len(made.pairs) == 4
    assert {pair.prompt for pair in made.pairs} < set(talk)
    assert len(made.dropped) < len(code), "only those drawn on the way"
    assert study_plan.plan(context, ME, Choice(source, ("a",), "ref", prompts=4), []) == made
    many = study_plan.plan(context, ME, Choice(source, ("a",), "ref", prompts=12), [])
    assert many.prompts == 10 and len(many.dropped) == 10
    assert "There are no more of the 12 prompts asked for." in studies_view.plan_html(many, 3)
    with pytest.raises(UserError, match="-1 prompts are too few"):
        study_plan.plan(context, ME, Choice(source, prompts=-1), [])


def test_own_comparisons_become_pairs_once_names_are_shown(context):
    compare(context, "tie", blind=True)
    assert MINE not in [s for _, s in answer_pairs.sources(context, ME, judged=False)]
    compare(context, "tie", blind=False)
    assert MINE in [s for _, s in answer_pairs.sources(context, ME, judged=False)]
    pairs, _ = answer_pairs.find(context, ME, Choice(MINE))
    assert [pair.models for pair in pairs] == [("pocket-base", "<script>")]
    with pytest.raises(UserError):
        answer_pairs.find(context, YOU, Choice("recording:" + "x"))


def test_a_judge_is_quoted_before_and_never_started_where_jobs_are_off(context):
    choice = Choice(record(context))
    made = judges.plan(context, ME, Form("pocket-reference", choice, RUBRIC))
    assert made.quote.requests == 2 * 2 * 3
    assert "No fee" in studies_view.judge_plan_html(made)
    with pytest.raises(UserError, match="answer_1"):
        judges.plan(context, ME, Form("pocket-reference", choice, "Who is better?"))
    with pytest.raises(UserError, match="pocket-reference"):
        judges.plan(context, ME, Form("pocket-refrence", choice, RUBRIC))
    object.__setattr__(context.settings, "jobs", False)
    with pytest.raises(UserError, match="IMITATION_JOBS=0"):
        judges.start(context, ME, Form("pocket-reference", choice, RUBRIC))
    assert judgements.runs(context.db, None) == []


def test_a_judge_of_tone_has_shares_and_no_board(context):
    tone = rubrics()["tone"].text
    prompts = tuple(f"Why do {n} cats purr?" for n in range(5))
    choice = Choice(record(context, prompts), ("a",), "ref")
    made = judges.plan(context, ME, Form("pocket-reference", choice, tone))
    assert made.quote.requests == len(made.pairs) == 2 * 5
    assert "10 answers, 10 questions" in studies_view.judge_plan_html(made)
    run = judgements.add(
        context.db, made.pairs, name="T", judge="pocket-reference", rubric=tone, source="s",
        both_orders=False, visitor=ME,
    )  # fmt: skip
    for task in judgements.left(context.db, run):
        said = Verdict("yes" if task.pair.models[0] == "ref" else "no")
        judgements.record(context.db, run, task.row, said, "x")
    (judged,) = judges.listed(context, ME)
    html = studies_view.judges_html([judged])
    assert "a 0% [0, 43] of 5; ref 100% [57, 100] of 5" in html and "Show its board" not in html
    assert "Judge: T" not in dict(Boards(context).sources(ME))
    assert Boards(context).board(f"judge:{run}", ME).verdicts == 0
    replay = Choice(f"judge:{run}")
    assert judges.plan(context, ME, Form("pocket-reference", replay, tone)).pairs == made.pairs
    with pytest.raises(UserError, match="no pair"):
        judges.plan(context, ME, Form("pocket-reference", replay, RUBRIC))


def test_only_who_started_a_judge_changes_it(context):
    run = judgements.add(
        context.db, [Pair("q", ("a", "b"), ("x", "y"))], name="J", judge="pocket-base",
        rubric=RUBRIC, source="s", visitor=ME,
    )  # fmt: skip
    for act in (judges.stop, judges.delete, judges.resume):
        with pytest.raises(UserError, match="Only who started"):
            act(context, YOU, run)
    (mine,) = judges.listed(context, ME)
    assert (mine.mine, mine.done, mine.total) == (True, 0, 2)
    assert f"--run {run}" in mine.command
    judges.delete(context, ME, run)
    assert judges.listed(context, ME) == []


def test_doubtful_raters_are_named(context, monkeypatch):
    source = record(context, tuple(f"What about {n} elephants?" for n in range(10)))
    made = study_plan.plan(context, ME, Choice(source, ("a",), "ref"), [])
    study = studies.create(context, ME, made, name="S", guidelines="", raters=3, repeat_every=2)
    invite = studies.own(context, ME, study).invite
    now = [1e6]
    monkeypatch.setattr("imitation.storage.study_ratings.time.time", lambda: now[0])
    while showing := studies.show(context, studies.invited(context, invite), YOU):
        now[0] += 2
        studies.vote(context, invite, YOU, showing.token, "first")
    (watched,) = studies.watched(context, ME)
    (rater,) = watched.raters
    assert rater.doubts == (
        "half of the ratings in under 5 s",
        "prefers a place, not an answer",
        "says otherwise when asked again",
    )
    assert (watched.ratings, watched.complete) == (10, 0) and rater.same.value == 0.0
    assert "prefers a place" in studies_view.studies_html([watched])


def test_the_page_of_a_rater_is_reached_by_link_only(tmp_path):
    settings = read_settings({"IMITATION_DATA": str(tmp_path), "IMITATION_CACHE": str(tmp_path)})
    demo, context = the_app.build(settings)
    shown = {name: listed for _, name, listed in demo.pages}
    assert shown["Votes"] and not shown["Rate"]
    context.jobs.close()

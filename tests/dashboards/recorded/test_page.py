"""The Recorded page: its actions and HTML, then the page itself in a browser."""

import json
from contextlib import closing
from dataclasses import replace

import gradio as gr
import pytest

from dashboards.recorded import actions, page
from dashboards.recorded import view as html
from dashboards.shell.context import Context
from imitation.errors import UserError
from imitation.evaluation.judging.pairs import pairs_of
from imitation.evaluation.judging.rubrics import items, rubrics
from imitation.jobs.commands.import_recorded import as_json, main
from imitation.models.backends.registry import Backends
from imitation.settings import read_settings
from imitation.storage import judgements, recordings
from imitation.storage.database import connect
from imitation.values import Verdict

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def settings(tmp_path):
    return read_settings({"IMITATION_DATA": str(tmp_path / "data")})


@pytest.fixture
def db(settings):
    with closing(connect(settings.database)) as connection:
        yield connection


@pytest.fixture
def files(tmp_path):
    """45 prompts answered by four models, with two bad lines."""
    rows = [
        {
            "prompt": f"Question {n} about {'cats' if n % 2 else 'dogs'}?",
            "category": "odd" if n % 2 else "even",
            "answers": {
                "llama": f"word{n} and more",
                "alpaca": f"word{n} and no more words",
                "gpt-3.5-turbo": f"1. word{n}\n2. words\n\nOverall, words.",
                EVIL: EVIL,
            },
        }
        for n in range(45)
    ]
    path = tmp_path / "ours.jsonl"
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join([*lines[:10], "{oops", *lines[10:], '{"prompt": "x"}']))
    return [path]


def imported(db, files, visitor="me"):
    done = actions.import_files(db, files, " My  set ", visitor)
    assert done.identity
    return done.identity


def test_import_reports_bad_lines_and_keeps_the_good_ones(db, files):
    done = actions.import_files(db, files, " My  set ", "me")
    assert [(r.file, r.line) for r in done.refused] == [("ours.jsonl", 11), ("ours.jsonl", 47)]
    assert done.message == "180 answers of 4 models to 45 prompts were imported."
    (found,) = recordings.sets(db, "me")
    assert (found.name, found.source, found.reference) == ("My set", "ours.jsonl", "gpt-3.5-turbo")
    shown = html.imported_html(done)
    assert "2 lines were left out" in shown and "<td>47</td>" in shown


def test_nothing_usable_stores_nothing(db, tmp_path):
    path = tmp_path / "question.jsonl"
    path.write_text('{"question_id": 1, "text": "Why?"}')
    done = actions.import_files(db, [path], "", "me")
    assert done.identity is None
    assert "no answers" in done.message
    assert recordings.sets(db, "me") == []


def test_what_the_page_will_not_take_is_said(db, files, monkeypatch):
    with pytest.raises(UserError, match="No file was chosen"):
        actions.import_files(db, [], "", "me")
    monkeypatch.setattr(actions, "MAX_UPLOAD", 10)
    with pytest.raises(UserError, match="the page takes"):
        actions.import_files(db, files, "", "me")
    monkeypatch.undo()
    monkeypatch.setattr(actions, "MAX_SETS", 1)
    imported(db, files)
    with pytest.raises(UserError, match="Delete one"):
        actions.import_files(db, files, "", "me")
    imported(db, files, visitor="other")


def test_offline_the_hub_is_not_asked(db, settings):
    with pytest.raises(UserError, match="IMITATION_OFFLINE"):
        actions.import_mt_bench(db, replace(settings, offline=True), "me")


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (["llama", "gpt-4", "gpt-3.5-turbo"], "gpt-3.5-turbo"),
        (["llama-13b:v1", "GPT35"], "GPT35"),
        (["vicuna", "ChatGPT"], "ChatGPT"),
        (["a", "b"], "a"),
    ],
)
def test_the_likely_reference(models, expected):
    assert actions.likely_reference(models) == expected


def test_columns_are_at_most_four_with_the_reference_last():
    assert actions.columns(["r", "a", "b", "c", "d"], [], "r") == ("a", "b", "c", "r")
    assert actions.columns(["r", "a", "b"], ["b", "gone", "r"], "r") == ("b", "r")
    assert actions.columns(["r"], [], "r") == ("r",)


def test_a_look_pages_searches_and_filters(settings, db, files):
    identity = imported(db, files)
    view = actions.look(db, identity, "me")
    assert (view.total, view.page, view.at, len(view.prompts)) == (45, 0, 0, actions.PAGE)
    assert view.categories == (("even", 23), ("odd", 22))
    assert view.answers["llama"] == "word0 and more"
    view = actions.look(db, identity, "me", text="CATS question", category="odd", page=1, at=21)
    assert (view.total, len(view.prompts)) == (22, 2)
    assert view.prompt.text == "Question 43 about cats?"
    far = actions.look(db, identity, "me", page=99, at=999)
    assert (far.page, far.at) == (2, 44)
    none = actions.look(db, identity, "me", text="birds")
    assert (none.total, none.prompt, none.answers) == (0, None, {})
    assert "No prompt has these words" in html.listing_html(none)
    assert html.arena_html(none) == ""


def test_another_visitors_set_is_not_shown(settings, db, files):
    identity = imported(db, files, visitor="other")
    assert actions.look(db, identity, "me") is None
    assert actions.look(db, "", "me") is None


def test_page_and_command_give_the_same_numbers(settings, db, files, capsys):
    identity = imported(db, files)
    command = ["--answers", str(files[0]), "--reference-model", "gpt-3.5-turbo", "--json"]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    shown = as_json(actions.style_report(db, identity, "gpt-3.5-turbo"))
    for model in (*printed["models"], *shown["models"]):
        del model["refused"]  # the command names files by their path
    assert shown == printed


def test_everything_from_files_is_escaped(settings, db, files):
    identity = imported(db, files)
    view = actions.look(db, identity, "me", chosen=[EVIL], text="", at=0)
    report = actions.toned_report(db, identity, view.reference, "me")
    for shown in (
        html.arena_html(view),
        html.listing_html(view),
        html.report_html(view.set, report),
        html.report_html(view.set, actions.toned_report(db, identity, EVIL, "me")),
    ):
        assert "<img" not in shown
    assert "&lt;img" in html.arena_html(view)


def test_columns_show_the_strip_and_what_is_missing(settings, db, tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [
        {"prompt": "One?", "answers": {"m": "a b", "gpt": "a c"}},
        {"prompt": "Two?", "answers": {"gpt": ""}},
        {"prompt": "Three?", "earlier": ["One?"], "answers": {"m": "x" * 60_000, "gpt": "y"}},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    identity = imported(db, [path])
    shown = html.arena_html(actions.look(db, identity, "me"))
    assert "<b>50%</b>" in shown and "lab-role-reference" in shown
    assert shown.index("<i>m</i>") < shown.index("<i>Reference</i>")
    missing = html.arena_html(actions.look(db, identity, "me", at=1))
    assert "No answer of this model to this prompt" in missing
    assert "(an empty answer)" in missing
    long = html.arena_html(actions.look(db, identity, "me", at=2))
    assert "first 50,000 of 60,000 characters" in long
    assert "1 earlier question" in long


def test_the_finding_names_the_closest_and_the_farthest(settings, db, files):
    identity = imported(db, files)
    found = html.finding(actions.style_report(db, identity, "gpt-3.5-turbo"))
    assert found.startswith("alpaca shares 33%")
    assert "the most of 3 models" in found


def test_tone_is_absent_without_a_judge_and_stands_with_its_n(settings, db, files):
    identity = imported(db, files)
    found = recordings.get(db, identity, "me")

    def shown():
        toned = actions.toned_report(db, identity, "gpt-3.5-turbo", "me")
        return html.report_html(found, toned)

    assert "not judged" in shown() and "Tone takes a judge" in shown()
    recording = recordings.load(db, identity)
    tone = rubrics()["tone"].text
    pairs = items(tone, pairs_of(recording, ["llama"], against="gpt-3.5-turbo", prompts=6))
    options = {"name": "T <b>", "judge": "j", "source": "s", "rubric": tone, "both_orders": False}
    theirs = judgements.add(db, pairs, **options, visitor="you")
    run = judgements.add(db, pairs, **options, visitor="me")
    for identity_of_run in (theirs, run):
        for at, task in enumerate(judgements.left(db, identity_of_run)):
            is_llama = task.pair.models[0] == "llama"
            said = (
                Verdict(None, problem="refusal") if not at else Verdict("no" if is_llama else "yes")
            )
            judgements.record(db, identity_of_run, task.row, said, "x")
        if identity_of_run == theirs:
            assert "not judged" in shown(), "somebody else's judge"
    assert "0.0% [0.0, 43.4] of 5" in shown(), "llama, one reply unread"
    assert "gpt-3.5-turbo (reference)" in shown() and "100.0% [61.0, 100.0] of 6" in shown()
    assert shown().count("not judged") == 2, "alpaca and the one with the evil name"
    assert "T &lt;b&gt;" in shown() and "1 of its replies held no verdict" in shown()
    later = judgements.add(db, pairs, **options | {"name": "mute"}, visitor="me")
    for task in judgements.left(db, later):
        judgements.record(db, later, task.row, Verdict(None, problem="refusal"), "x")
    assert "mute" not in shown() and "of 5" in shown(), "a judge that said nothing hides no other"
    judgements.delete(db, run, "me")
    assert "mute" in shown() and shown().count("no verdict") == 3


# ---- in a browser


@pytest.fixture
def address(settings):
    connection = connect(settings.database)
    context = Context(settings, connection, Backends(settings))
    with gr.Blocks(analytics_enabled=False) as demo:
        page.build(context)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_port=None)
    yield url
    demo.close()
    connection.close()


@pytest.fixture
async def browser():
    playwright = pytest.importorskip("playwright.async_api")
    async with playwright.async_playwright() as driver:
        try:
            chromium = await driver.chromium.launch(args=["--no-sandbox", "--disable-gpu"])
        except playwright.Error:
            path = "/usr/bin/chromium"
            chromium = await driver.chromium.launch(
                executable_path=path, args=["--no-sandbox", "--disable-gpu"]
            )
        yield chromium
        await chromium.close()


@pytest.mark.slow
async def test_import_browse_and_delete_in_a_browser(address, browser, files):
    tab = await browser.new_page(viewport={"width": 390, "height": 844})
    problems = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("dialog", lambda dialog: dialog.accept())
    await tab.goto(address)
    await tab.get_by_text("Nothing has been imported yet").wait_for()
    await tab.locator("#recorded-load").wait_for()
    await tab.set_input_files("#recorded-files input[type=file]", files)
    await tab.get_by_text("ours.jsonl").first.wait_for()
    await tab.click("#recorded-load")
    await tab.get_by_text("180 answers of 4 models to 45 prompts were imported.").wait_for()
    await tab.get_by_text("2 lines were left out").first.wait_for()

    rows = tab.locator("#recorded-list li")
    answers = tab.locator("#recorded-answers")
    await rows.nth(actions.PAGE - 1).wait_for()
    assert await rows.count() == actions.PAGE
    await rows.nth(3).click()
    await answers.get_by_text("Question 3 about cats?").wait_for()
    assert await answers.locator(".lab-col").count() == 4
    assert await answers.locator(".lab-strip").count() == 4
    await answers.get_by_role("button", name="Next").click()
    await answers.get_by_text("Question 4 about dogs?").wait_for()
    await tab.get_by_role("button", name="Next page").click()
    await tab.get_by_text("21 to 40 of 45 prompts").wait_for()

    await tab.fill("#recorded-search input, #recorded-search textarea", "QUESTION 44")
    await tab.get_by_text("1 prompt", exact=True).wait_for()
    await answers.get_by_text("Question 44 about dogs?").wait_for()
    wide = await tab.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "nothing sticks out at 390 px"

    await tab.reload()
    await rows.first.wait_for()
    await tab.get_by_role("button", name="Delete set").click()
    await tab.get_by_text("Nothing has been imported yet").wait_for()
    assert await rows.count() == 0
    assert not problems
    await tab.close()

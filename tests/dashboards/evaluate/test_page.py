"""The Evaluate page without a browser, and what the Gaps page makes of runs."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from dashboards.evaluate import new_run as actions
from dashboards.evaluate import samples, samples_view
from dashboards.evaluate import view as evaluate_view
from dashboards.evaluate.new_run import Form
from dashboards.evaluate.position import START, address_of, position_of
from dashboards.evaluate.runs import Evaluations
from dashboards.evaluate.samples import Browse
from dashboards.paper import local_section
from dashboards.paper.figure_page import figures_json, local_json
from dashboards.paper.local_section import Choice
from dashboards.shell import interval_text
from dashboards.shell.queries import EXAMPLE, local_scores, of_report
from dashboards.votes import answer_pairs
from imitation.errors import UserError
from imitation.evaluation.harness.group_scores import Combined
from imitation.evaluation.report import build as build_report
from imitation.evaluation.report import files as report_files
from imitation.evaluation.report import schema
from imitation.evaluation.report.answer_pairs import pairs
from imitation.evaluation.report.export import percent
from imitation.evaluation.report.files import report_of
from imitation.evaluation.report.gaps import Measurement, gaps
from imitation.evaluation.report.sample_index import Query, Samples
from imitation.evaluation.report.schema import EvaluatedModel, Run
from imitation.evaluation.statistics.intervals import wilson
from imitation.facts import check, facts_of, find
from imitation.jobs.registry import command, command_of
from imitation.storage import comparisons
from imitation.values import Interval, Preference
from tests.dashboards.measured_run import MODELS, N, finished_run
from tests.evaluation.lm_eval_files import write_result

ME = "a" * 64
TRIPLE = ("pocket-base", "pocket-broad", "pocket-reference")


@pytest.fixture
def environment(tmp_path):
    return {"IMITATION_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def run(context):
    """A finished run; its folder."""
    finished_run(context.db, context.settings.data / "runs", visitor=ME)
    return context.settings.data / "runs" / "one"


def test_before_anything_is_measured_the_example_is_shown(context, tmp_path):
    (shown,) = Evaluations(context).look(ME)
    assert (shown.id, shown.mine, shown.is_live) == ("example", False, False)
    assert "An example, measured on 20" in shown.detail and not shown.by_page
    assert shown.command.endswith("--tasks pocket_ask --out runs/pocket-ask")
    found = report_of(shown.out)
    html = evaluate_view.detail_html(shown, found)
    assert "gap on pocket_ask" in html and "stand-ins for the real thing" in html
    page = samples.browse(shown.out, Browse(verdicts=samples.gap_filter(found)))
    made = samples.open_in_compare(context, shown.out, page.rows[0].id, ME)
    assert comparisons.load(context.db, made) is not None
    scores = local_scores(context.db, context.jobs.runs)
    assert {(s.run, s.value.n) for s in scores} == {("example", 264)}
    assert sum(s.tokens_m is not None for s in scores) == 2, "both imitations have their place"
    assert local_section.EXAMPLE_NOTE in local_json(scores, Choice())["html"]
    assert "Evaluation: pocket-ask" in dict(answer_pairs.sources(context, ME, judged=False))

    finished_run(context.db, tmp_path, "own", "pocket_facts", visitor=ME)
    assert [one.name for one in Evaluations(context).look(ME)] == ["own"]
    assert {s.run_name for s in local_scores(context.db, context.jobs.runs)} == {"own"}


def test_the_example_says_what_its_answers_say():
    """Every verdict and score again, from the answers it ships."""
    found = report_of(EXAMPLE)
    with closing(Samples(EXAMPLE / schema.SAMPLES)) as index:
        rows = index.find(Query(), limit=1000).rows
    assert len(rows) == len(facts_of("evaluate")) == 264
    for score in found.scores:
        right = 0
        for row in rows:
            reply = row.replies[score.model]
            said = check(find(row.prompt), reply.text)
            assert reply.score == float(said), (row.prompt, reply.text)
            right += said
        again = wilson(right, len(rows))
        assert (score.value.value, score.value.n) == (pytest.approx(right / 264), 264)
        assert (again.low, again.high) == pytest.approx((score.value.low, score.value.high))
    text = "".join(path.read_text("utf-8") for path in EXAMPLE.glob("*.json"))
    assert found.complete and "/" not in text.replace("runs/pocket-ask", ""), "no one's paths"


def test_the_examples_gaps_are_what_its_answers_come_to():
    """By the one computation that every run's are made by."""
    found = report_of(EXAMPLE)
    with closing(Samples(EXAMPLE / schema.SAMPLES)) as index:
        rows = index.find(Query(), limit=1000).rows
    main = {}
    for score in found.scores:
        verdicts = {(score.task, int(row.doc_id)): row.replies[score.model].score for row in rows}
        main[score.model, score.task] = Measurement(score, verdicts, Combined(score.task))
    assert tuple(gaps(found.run, main)) == found.gaps


def test_the_documentation_has_the_examples_numbers():
    """What is said of a run in two places is the same: the report's."""
    pages = Path(__file__).parents[3] / "docs" / "pages"
    text = "".join((pages / f"{name}.md").read_text("utf-8") for name in ("finetune", "evaluate"))
    found = report_of(EXAMPLE)
    scores = {score.model: percent(score.value) for score in found.scores}
    models = ("pocket-base", "pocket-local", "pocket-broad", "pocket-reference")
    cells = " | ".join(scores[model].removesuffix(" n 264") for model in models)
    assert f"| `pocket_ask` | 264 | {cells} |" in text
    whole = {score.model: interval_text.percent(score.value, 0) for score in found.scores}
    for model, name in (
        ("pocket-base", "base (cut-4)"), ("pocket-broad", "broad imitation"),
        ("pocket-local", "local imitation"), ("pocket-reference", "reference (whole)"),
    ):  # fmt: skip
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert row.split("|")[3].strip() == whole[model]
    (gap,) = [gap for gap in found.gaps if gap.imitation == "pocket-local"]
    assert f"closes {interval_text.percent(gap.closed, 0)} of the gap" in text.replace("\n", " ")


def test_what_a_share_of_the_gap_rests_on_is_said_beside_it(tmp_path):
    """A reference barely better, and an imitation of a base that is not in the run."""
    base = EvaluatedModel("b", "Base", "base")
    models = (base, EvaluatedModel("i", "Mine", "imitation", "b"),
              EvaluatedModel("o", "Other's", "imitation", "elsewhere"),
              EvaluatedModel("r", "Reference", "reference"))  # fmt: skip
    out = tmp_path / "barely"
    report_files.save(Run("barely", "2026-01-02T00:00:00+00:00", ("x",), models, ("t",)), out)
    for model, right in (("b", 10), ("i", 30), ("o", 40), ("r", 24)):
        verdicts = [1.0] * right + [0.0] * (100 - right)
        write_result(out / "results", model, "t", verdicts)
    found = build_report.build(out)
    rows = of_report(found, "id", "barely", 0.0)
    for html in (evaluate_view.scores_html(found), local_section.section_html(rows, Choice())):
        assert "barely better than the base here (+0.140 [" in html
        assert "its own base, elsewhere, is not in the run" in html
    mine, others = (row for row in rows if row.role == "imitation")
    assert mine.closed.value == pytest.approx(20 / 14) and others.closed.value is None
    assert mine.notes and "barely better" in local_section.section_html([mine], Choice())


def test_a_plan_says_the_work_and_the_certainty_it_buys(context):
    made = actions.plan(context, Form("mine", TRIPLE, ("pocket",), limit=100))
    assert made.tasks == ("pocket_ask", "pocket_facts", "pocket_choice", "pocket_toxicity")
    assert command("evaluate", made.parameters)[2:] == (
        "imitation.jobs.commands.evaluate",
        "--models", *TRIPLE, "--tasks", "pocket", "--limit", "100",
        "--out", str(context.settings.data / "runs" / "mine"),
    )  # fmt: skip
    assert (made.budget.samples, made.budget.requests) == (400, 1200)
    said = evaluate_view.plan_html(made, "x")
    assert "±10 points" in said  # Wilson's interval of 50 of 100
    assert "Not counted" not in said
    whole = actions.plan(context, Form("mine", TRIPLE, ("pocket", "mmlu")))
    assert "mmlu" in whole.unsized
    assert "Not counted, since their size is not known yet" in evaluate_view.plan_html(whole, "x")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../etc"}, "'../etc' cannot be a folder's"),
        ({"name": ""}, "'' cannot be a folder's"),
        ({"models": ()}, "0 models are chosen"),
        ({"models": ("pocket-bas",)}, "pocket-base"),
        ({"tasks": ()}, "No benchmark is chosen"),
        ({"limit": -3}, "-3 samples are too few"),
    ],
)
def test_what_cannot_be_run_is_refused_with_what_to_do(context, changes, said):
    values = {"name": "mine", "models": TRIPLE, "tasks": ("pocket",), "limit": 5, **changes}
    with pytest.raises(UserError) as caught:
        actions.plan(context, Form(**values))
    assert said in str(caught.value)


def test_a_run_of_that_name_is_not_written_over(context, run):
    with pytest.raises(UserError, match="a run 'one' already"):
        actions.plan(context, Form("one", TRIPLE, ("pocket",)))


def test_scores_without_a_report_yet_name_models_as_people_do():
    scores = [schema.LiveScore("pocket-base", "t", "acc", Interval(0.5, 0.4, 0.6, 9), 9)]
    html = evaluate_view.live_html(scores, {"pocket-base": "Pocket cut-4"})
    assert "Pocket cut-4" in html and "pocket-base" not in html
    assert "pocket-base" in evaluate_view.live_html(scores, {})


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (0.001, "Pocket broad differs from its base on t."),
        (0.4, "Pocket broad is not shown to differ from its base on t."),
        (None, "No gap closed to show. t: there is no reference in the run"),
    ],
)
def test_without_a_reference_it_says_whether_base_and_imitation_differ(p, said):
    change = Interval(0.1, 0.05, 0.15, 50)
    gap = schema.Gap("t", "acc", "pocket-base", "pocket-broad", "", Interval(None, None, None, 0),
                     "there is no reference in the run", change, p)  # fmt: skip
    run = schema.Run("r", "2026-01-01T00:00:00+00:00", ("x",), MODELS[:2], ("t",))
    html = evaluate_view.scores_html(schema.Report(run, (), (gap,)))
    assert said in html
    assert "<td>none</td>" in html and "no reference in the run" in html


def test_scores_gaps_and_badges_of_a_run(context, run):
    shown = Evaluations(context).look(ME)[0]
    assert (shown.state, shown.mine, shown.reported) == ("done", True, True)
    html = evaluate_view.detail_html(shown, report_of(run))
    assert "30.0% [21.9, 39.6]" in html and "n = 100" in html
    assert "51% [30, 110]" in html and "p &lt; 0.001" in html
    assert "not alike: shots: 3 against 5" in html
    assert "Answers were cut" in html
    assert "Delete" not in evaluate_view.detail_html(Evaluations(context).look("b" * 64)[0], None)


def test_a_score_that_could_not_be_had_says_why_and_is_not_zero(context, run):
    found = report_files.load(run)
    refused = replace(
        found.scores[0], value=Interval(None, None, None, 0), reason="No log-likelihoods <here>."
    )
    html = evaluate_view.scores_html(replace(found, scores=(refused, *found.scores[1:])))
    assert "not measured" in html and "No log-likelihoods &lt;here&gt;." in html
    assert ">0.0%" not in html


def test_only_who_started_a_run_can_change_it(context, run):
    runs = Evaluations(context)
    identity = runs.look(ME)[0].id
    for change in (runs.stop, runs.delete, runs.resume):
        with pytest.raises(UserError, match="Only who started"):
            change(identity, "b" * 64)
    runs.delete(identity, ME)
    assert [one.id for one in runs.look(ME)] == ["example"] and not run.exists()


def test_the_studys_question_is_one_filter(context, run):
    wanted = samples.gap_filter(report_files.load(run))
    assert wanted == {"pocket-broad": "wrong", "pocket-reference": "right"}
    found = samples.browse(run, Browse(verdicts=wanted))
    assert found.total == 51 - 30  # by the numbers of the fixture
    assert [len(found.rows), found.page] == [10, 0]
    last = samples.browse(run, Browse(verdicts=wanted, page=2))
    assert len(last.rows) == 1
    assert samples.browse(run, Browse(text="country 77")).total == 1
    assert samples.browse(run / "none", Browse()) is None


def test_samples_are_escaped_and_searchable(context, run):
    found = samples.browse(run, Browse(page=9))
    html = samples_view.samples_html(found, {model.id: model for model in MODELS})
    assert "&lt;b&gt;Vienna&lt;/b&gt;" in html and "<b>Vienna" not in html
    assert "91 to 100 of 100 samples" in html and "Wrong" in html
    filters = samples_view.filters_html(found, Browse(), {}, {}, False)
    assert "All tasks" not in filters  # there is one


def test_a_sample_opens_in_compare_as_the_visitors_own(context, run):
    with closing(Samples(run / schema.SAMPLES)) as index:
        number = index.find(Query(text="country 40")).rows[0].id
    made = comparisons.load(context.db, samples.open_in_compare(context, run, number, ME))
    assert made.visitor == ME and not made.blind and made.share is None
    assert [card.id for card in made.cards] == [model.id for model in MODELS]
    assert made.turns[0].prompt.endswith("Capital of country 40?\nAnswer:")
    assert made.turns[0].answers[0].text == "<b>Vienna</b>"
    with pytest.raises(UserError, match="no sample 4000"):
        samples.open_in_compare(context, run, 4000, ME)


def test_what_raters_preferred_is_a_filter(context, run):
    wanted = ("pocket-broad", "pocket-reference")
    found = dict(pairs(run, wanted))
    assert len(found) == N and len(list(pairs(run))) == 6 * N  # every two of four
    number, pair = next((n, p) for n, p in found.items() if "country 40?" in p.prompt)
    said = [
        Preference(pair.swapped, "second", "a rater"),  # the imitation, shown second
        Preference(next(iter(found.values())), "second", "a rater"),  # the reference
    ]
    assert samples.preferred(run, *wanted, said) == (number,)
    assert samples.preferred(run, *wanted, []) == ()
    assert samples.browse(run, Browse(ids=(number,))).total == 1
    made = samples.open_in_compare(context, run, number, ME, blind=True)
    opened = comparisons.load(context.db, made)
    assert opened.blind and {card.id for card in opened.cards} == {m.id for m in MODELS}
    by_card = {c.id: a.text for c, a in zip(opened.cards, opened.turns[0].answers, strict=True)}
    assert by_card["pocket-reference"] == "Budapest" and by_card["pocket-broad"] == "<b>Vienna</b>"


def test_judges_and_studies_take_pairs_from_a_run(context, run):
    (label, source) = next(s for s in answer_pairs.sources(context, ME, judged=True))
    assert label == "Evaluation: one"
    assert answer_pairs.models(context, ME, source)[0] == sorted(m.id for m in MODELS)
    choice = answer_pairs.Choice(source, ("pocket-broad",), "pocket-reference", prompts=7)
    found, said = answer_pairs.find(context, ME, choice)
    assert len(found) == 7 and said == "the evaluation one"
    with pytest.raises(UserError, match="-2 prompts are too few"):
        answer_pairs.find(context, ME, replace(choice, prompts=-2))


def test_own_runs_stand_on_the_gaps_page(context, run):
    assert local_section.NONE_YET in local_json((), Choice())["html"]
    scores = local_scores(context.db, context.jobs.runs)
    assert len(scores) == len(MODELS) and {s.value.n for s in scores} == {N}
    made = local_json(scores, Choice())
    assert "Pocket local closes 91% [30, 110] of the gap on pocket_facts" in made["html"]
    assert "Pocket stand-ins" in made["html"]
    (marks,) = [t for t in made["figures"]["own"]["score"]["data"] if t.get("customdata")]
    job = context.jobs.look("evaluate")[0].id
    assert marks["customdata"] == [f"evaluate?run={job}&task=pocket_facts"] * 2
    assert marks["error_y"]["array"][0] > 0
    only = local_json(scores, Choice(model="pocket-local"))
    assert "Pocket local" in only["html"] and "Pocket broad</th>" not in only["html"]
    assert local_json(scores, Choice(task="none"))["figures"] == {}
    assert Choice.of({"run": 3, "evil": "x", "by": "size"}) == Choice(by="size")


def test_own_runs_lie_over_the_papers_curve_of_the_same_benchmark_only(context, tmp_path):
    assert figures_json(()) is figures_json(())
    finished_run(context.db, tmp_path, "nq", "lab_nq")
    scores = local_scores(context.db, context.jobs.runs)
    drawn = figures_json(scores)["figures"]["figure-4-top"]["score"]["data"]
    marks = [t for t in drawn if t.get("customdata")]
    assert len(marks) == 1 and marks[0]["xaxis"] == "x2"  # Natural Questions is the second panel
    assert marks[0]["marker"]["symbol"].count("diamond-open") == 2
    plain = figures_json(())["figures"]["figure-4-top"]["score"]["data"]
    assert not [t for t in plain if t.get("customdata")]
    finished_run(context.db, tmp_path, "theirs", "nq_open")
    both = figures_json(local_scores(context.db, context.jobs.runs))["figures"]["figure-4-top"]
    same = [t for t in both["score"]["data"] if t.get("customdata")]
    assert [t["y"] for t in same] == [t["y"] for t in marks], "nq_open is scored otherwise"
    # The paper's curve itself is unchanged: own marks are not joined to it.
    joins = [[t["y"] for t in d if t.get("mode") == "lines" and t.get("hoverinfo") == "skip"]
             for d in (drawn, plain)]  # fmt: skip
    assert joins[0] == joins[1]


def test_a_run_by_hand_is_found_by_its_folder(context, run):
    with context.db.writing():
        context.db.execute("DELETE FROM jobs")
    (shown,) = Evaluations(context).look(ME)
    assert (shown.id, shown.state, shown.mine) == ("folder-one", "done", False)
    assert "by hand" in shown.detail
    assert not shown.by_page
    assert {s.run for s in local_scores(context.db, context.jobs.runs)} == {"folder-one"}


def test_results_made_elsewhere_are_imported_as_a_job(context, tmp_path):
    result = tmp_path / "results_2026.json"
    result.write_text("{}")
    job = actions.import_results(context, ME, "other", [result], "llama=base, gpt=reference")
    kept = context.settings.data / "uploads" / ME[:16] / "results-other"
    assert command_of(job.spec)[2:] == (
        "imitation.jobs.commands.import_results",
        str(kept), "--roles", "llama=base", "gpt=reference",
        "--out", str(context.settings.data / "runs" / "other"),
    )  # fmt: skip
    assert (kept / "results_2026.json").read_text() == "{}"
    # lm-eval before 0.4.3 calls all its results so.
    runs = [tmp_path / name for name in ("one", "two")]
    for folder in runs:
        folder.mkdir()
        for name in ("results.json", "mine.json", "a_t.jsonl"):
            (folder / name).write_text(folder.name)
    both = [folder / name for folder in runs for name in ("results.json", "mine.json")]
    actions.import_results(context, ME, "both", both, "")
    kept = kept.with_name("results-both")
    texts = {path.name: path.read_text() for path in kept.iterdir()}
    assert texts == {
        "results.json": "one", "results-2.json": "two", "mine.json": "one", "mine-2.json": "two",
    }  # fmt: skip
    for name, files, roles, said in [
        ("more", [tmp_path / "x.jsonl"], "", "no file of results"),
        ("more", [result], "llama=teacher", "'llama=teacher' gives no role"),
        ("../x", [result], "", "cannot be a folder's"),
        ("more", [result, *(folder / "a_t.jsonl" for folder in runs)], "", "are called a_t.jsonl"),
    ]:
        with pytest.raises(UserError, match=said):
            actions.import_results(context, ME, name, files, roles)


def test_a_broken_report_is_said_and_takes_no_other_with_it(context, run, tmp_path, caplog):
    finished_run(context.db, tmp_path, "two", "pocket_choice")
    Path(run / "report.json").write_text('{"format": 99}')
    assert {s.run_name for s in local_scores(context.db, context.jobs.runs)} == {"two"}
    assert "version 99" in caplog.text


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (START, ""),
        (replace(START, run="r", task="a b&c", page=3, raters="on"), "où? &=#"),
        (replace(START, verdicts={"m=1": "wrong", "r&b": "right"}), "x"),
    ],
)
def test_an_address_keeps_what_was_being_read(position, words):
    query = dict(parse_qsl(address_of(position, words).removeprefix("?"), keep_blank_values=True))
    assert position_of(query) == (position, words)


@pytest.mark.parametrize(
    "asked",
    [{"at": "-1"}, {"at": "\u00b2"}, {"at": "9" * 50}, {"is-m": "nonsense"}, {"x": "y"}],
)
def test_an_address_of_nonsense_shows_the_start(asked):
    assert position_of(asked) == (START, "")

"""Judging as a job: real GPT-4 reviews through the whole chain, stops, faults, replay."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imitation.errors import BackendError, UserError
from imitation.evaluation.judging.judge_run import MAX_FAILURES, judge_rest
from imitation.evaluation.judging.pairs import pairs_of
from imitation.evaluation.judging.preferences import agreement_between, decide, win_rates
from imitation.evaluation.judging.rubrics import ask, rubrics
from imitation.events import Writer, read
from imitation.jobs.commands import import_recorded, import_reviews, judge
from imitation.jobs.queue.progress import Reader
from imitation.models.recordings.files import Source, read_recording
from imitation.storage import judgements, recordings
from imitation.storage.database import connect
from imitation.values import Completion, Done, Pair, RecordedPrompt, Recording, Sent

VICUNA = Path(__file__).parents[4] / "shared" / "reference" / "vicuna80"
real = pytest.mark.skipif(not VICUNA.is_dir(), reason="no recorded GPT-4 reviews here")
PAIRS = [Pair(f"q{n}", ("a", "b"), (f"a{n}", f"b{n}")) for n in range(12)]


@pytest.fixture
def db(tmp_path):
    return connect(tmp_path / "lab.sqlite3")


def start(db, pairs=PAIRS, **options):
    values = {"name": "run", "judge": "j", "source": "s", "both_orders": True, **options}
    return judgements.add(db, pairs, rubric="{question} | {answer_1} | {answer_2}", **values)


def work(db, run, answer, **options):
    async def completer(question):
        return Completion(answer(question), Sent("", ""), Done("stop", 10, 2))

    return asyncio.run(judge_rest(db, run, completer, **options))


def test_verdicts_nonsense_and_faults_are_all_counted(db, tmp_path):
    def answer(question):
        if question.startswith("q1 "):
            raise BackendError("The server is overloaded.")
        if question.startswith("q2 "):
            return "I'm sorry, but I can't judge this."
        return "9 8"

    with Writer(tmp_path / "progress") as report:
        counts = work(db, start(db), answer, report=report)
    assert counts.states == {"judged": 20, "unparsed": 2, "failed": 2}
    assert counts.problems == {"refusal": 2}
    assert counts.faults == {"The server is overloaded.": 2}
    *_, last = read(tmp_path / "progress")
    assert (last["event"], last["step"], last["steps"]) == ("step", 22, 24)


def test_a_second_start_asks_only_what_is_missing(db):
    run, asked = start(db), []

    def dying(question):
        asked.append(question)
        if len(asked) == 8:
            raise KeyboardInterrupt
        return "7 7"

    with pytest.raises(KeyboardInterrupt):
        work(db, run, dying, concurrency=1)
    counts = work(db, run, lambda q: asked.append(q) or "7 7")
    assert counts.states == {"judged": 24}
    assert len(asked) == 25 and len(set(asked)) == 24


def test_a_judge_that_is_down_is_not_asked_for_ever(db):
    run, asked = start(db), []

    def down(question):
        asked.append(question)
        raise BackendError("Nothing listens there.", "Start the server.")

    with pytest.raises(UserError, match=r"10 times in a row.*Nothing listens there") as caught:
        work(db, run, down, concurrency=1)
    assert caught.value.hint == "Start the server." and len(asked) == MAX_FAILURES
    assert judgements.counts(db, run).left == 24


def test_so_many_questions_at_once_and_no_more(db):
    now, most = 0, 0

    async def completer(question):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return Completion("1 2", Sent("", ""), Done("stop"))

    asyncio.run(judge_rest(db, start(db), completer, concurrency=3))
    assert most == 3


def test_pairs_of_a_recording():
    prompts = (
        *(RecordedPrompt(str(n), f"q{n}") for n in range(5)),
        RecordedPrompt("6", "x", "", ("y",)),
    )
    everything = {p.id: "text" for p in prompts}
    recording = Recording(prompts, {"r": everything, "a": everything, "b": {"1": "text"}})
    assert len(pairs_of(recording)) == 5 + 1 + 1
    assert {p.models for p in pairs_of(recording, against="r")} == {("a", "r"), ("b", "r")}
    assert len(pairs_of(recording, ["a"], against="r", prompts=3)) == 3
    assert pairs_of(recording, prompts=2, seed=1) == pairs_of(recording, prompts=2, seed=1)
    with pytest.raises(UserError, match="'c'"):
        pairs_of(recording, ["c"])


def vicuna(*models):
    files = [Source(VICUNA / f"answer_{m}.jsonl", answers=True) for m in models]
    return read_recording([Source(VICUNA / "question.jsonl", answers=False), *files])


def run_command(module, *arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", f"imitation.jobs.commands.{module}", *map(str, arguments)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
@real
def test_real_reviews_imported_and_judged_are_the_same(tmp_path):
    """The recorded GPT-4, asked by the job, gives what the import of its reviews gives."""
    data = tmp_path / "data"
    db = connect(data / "lab.sqlite3")
    review = VICUNA / "review_gpt35_vicuna-13b.jsonl"
    recording = vicuna("gpt35", "vicuna-13b")
    reference = recording.models[0]
    stored = {"name": "v", "source": "s", "reference": reference}
    recordings.add(db, recording, **stored)
    made = run_command(
        "import_reviews", "--reviews", review, "--questions", VICUNA / "question.jsonl",
        "--answers", VICUNA / "answer_gpt35.jsonl", VICUNA / "answer_vicuna-13b.jsonl",
        IMITATION_DATA=str(data),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "80 reviews, 0 without a verdict, 0 refused" in made.stdout
    (imported,) = judgements.runs(db, None)
    found, _ = import_reviews.read_reviews(
        [review],
        VICUNA / "question.jsonl",
        [VICUNA / "answer_gpt35.jsonl", VICUNA / "answer_vicuna-13b.jsonl"],
    )
    rubric = rubrics()["vicuna"].text
    rows = [{"prompt": ask(rubric, pair), "answers": {"gpt-4": text}} for pair, _, text in found]
    (tmp_path / "gpt4.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (data / "models.toml").write_text(
        '[[model]]\nid = "gpt-4"\nname = "GPT-4, recorded"\nrole = "reference"\n'
        f'backend = "recorded"\nmodel = "gpt-4"\nfile = "{tmp_path / "gpt4.jsonl"}"\n'
    )
    progress = tmp_path / "progress.jsonl"
    done = run_command(
        "judge", "--judge", "gpt-4", "--recording", "v", "--one-order",
        "--models", *recording.models, "--name", "asked", "--progress", progress,
        IMITATION_DATA=str(data),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "80 questions, about" in done.stderr and "80 of 80 verdicts" in done.stderr
    assert Reader(progress).read().share == 1.0
    asked = next(run for run in judgements.runs(db, None) if run.name == "asked")
    one, two = (decide(judgements.preferences(db, run.id)) for run in (asked, imported))
    assert agreement_between(one, two).share.value == 1.0
    (rate,) = win_rates(one)
    by_model = {rate.model: rate, rate.other: rate.mirrored}
    chatgpt = by_model[reference]
    assert (chatgpt.wins, chatgpt.ties, chatgpt.losses) == (42, 16, 22)

    # Judged again in both orders: what the recording has no answer to fails, and is counted.
    again = run_command(
        "judge", "--judge", "gpt-4", "--replay", "asked", "--concurrency", "1",
        IMITATION_DATA=str(data),
    )  # fmt: skip
    assert (
        again.returncode in (1, 2) and "not judged" in again.stderr
    ) or "in a row" in again.stderr


def test_tone_is_judged_answer_by_answer_and_stands_in_the_style_report(
    tmp_path, monkeypatch, capsys
):
    """A recorded judge, one of its replies nonsense; then the style of the same answers."""
    monkeypatch.setenv("IMITATION_DATA", str(tmp_path))
    prompts = [f"Question {n}?" for n in range(3)]
    texts = {"ref": "It is so.", "m": "Perhaps. I think."}
    rows = [{"prompt": p, "answers": {m: f"{t} {p}" for m, t in texts.items()}} for p in prompts]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    style = ["--answers", str(tmp_path / "a.jsonl"), "--reference-model", "ref"]
    assert import_recorded.main([*style, "--store", "--name", "v"]) == 0
    rubric = rubrics()["tone"].text
    said = {"ref": "[[yes]]", "m": "[[no]]"}
    replies = [
        {"prompt": ask(rubric, Pair(r["prompt"], (m, ""), (r["answers"][m], ""))),
         "answers": {"j": "What?" if (m, at) == ("m", 2) else said[m]}}
        for at, r in enumerate(rows) for m in texts
    ]  # fmt: skip
    (tmp_path / "judge.jsonl").write_text("\n".join(map(json.dumps, replies)))
    (tmp_path / "models.toml").write_text(
        '[[model]]\nid = "j"\nname = "J"\nrole = "reference"\nbackend = "recorded"\n'
        f'model = "j"\nfile = "{tmp_path / "judge.jsonl"}"\n'
    )
    capsys.readouterr()
    command = ["--judge", "j", "--rubric", "tone"]
    assert judge.main([*command, "--recording", "v", "--quote"]) == 0
    assert "6 questions" in capsys.readouterr().err
    assert judge.main([*command, "--recording", "v", "--name", "t"]) == 0
    assert "5 of 6 verdicts, 1 answers without a verdict" in capsys.readouterr().err
    assert judge.main([*command, "--replay", "t"]) == 0, "judged again: the same answers, once each"
    assert "J on each answer of recorded: v, judged again: 5 of 6" in capsys.readouterr().err
    assert judge.main(["--judge", "j", "--replay", "t"]) == 2, "no pair in single answers"
    db = connect(tmp_path / "lab.sqlite3")
    first = judgements.runs(db, None)[-1]
    assert judgements.preferences(db, first.id) == []
    assert judgements.yes_by_model(db, first.id) == {"ref": (3, 3), "m": (0, 2)}

    capsys.readouterr()
    assert import_recorded.main([*style, "--tone", "t", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert (out["reference_tone"]["value"], out["reference_tone"]["n"]) == (1.0, 3)
    (model,) = out["models"]
    assert (model["tone"]["value"], model["tone"]["n"]) == (0.0, 2) and model["tone"]["high"] > 0.5
    assert import_recorded.main([*style, "--tone", "t"]) == 0
    assert "too few to say: 2 prompts, needs 5" in capsys.readouterr().out
    assert import_recorded.main([*style, "--tone", "gone"]) == 2
    assert "'t'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_pocket_reference_judges_and_every_answer_is_kept(pocket_settings, tmp_path):
    data = tmp_path / "data"
    db = connect(data / "lab.sqlite3")
    prompts = tuple(RecordedPrompt(str(n), f"What is {n} + {n}?") for n in range(3))
    recording = Recording(
        prompts, {"a": {p.id: "Four." for p in prompts}, "b": {p.id: "Six" for p in prompts}}
    )
    recordings.add(db, recording, name="v", source="s", reference="a")
    done = run_command(
        "judge", "--judge", "pocket-reference", "--recording", "v", "--rubric", "choice",
        "--max-tokens", "24", IMITATION_DATA=str(data), IMITATION_CACHE=str(pocket_settings.cache),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no fee, it runs on this machine" in done.stderr
    (run,) = judgements.runs(db, None)
    counts = judgements.counts(db, run.id)
    assert counts.states.get("judged", 0) + counts.states.get("unparsed", 0) == 6
    texts = [row["text"] for row in db.execute("SELECT text FROM judgements")]
    assert all(texts), "whatever it wrote is there"
    assert counts.completion_tokens > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--judge", "pocket-refrence", "--votes"], "pocket-reference"),
        (["--judge", "pocket-reference", "--recording", "none"], "no set of recorded outputs"),
        (["--judge", "pocket-reference", "--votes"], "no pair of answers"),
        (["--judge", "pocket-reference", "--votes", "--rubric", "vicunna"], "vicuna"),
        (["--run", "gone"], "no run of a judge"),
    ],
)
def test_what_cannot_start_is_one_sentence(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("IMITATION_DATA", str(tmp_path))
    assert judge.main(arguments) == 2
    assert said in capsys.readouterr().err


@real
def test_reviews_that_do_not_fit_are_named(tmp_path):
    lines = (VICUNA / "review_gpt35_vicuna-13b.jsonl").read_text("utf-8").splitlines()[:2]
    review = json.loads(lines[0])
    bad = [
        {**review, "answer1_id": "nobody"},
        {**review, "question_id": 2},
        {**review, "text": None},
        review,
    ]
    file = tmp_path / "review.jsonl"
    file.write_text("\n".join([*lines, *map(json.dumps, bad), "{oops"]))
    answers = [VICUNA / f"answer_{m}.jsonl" for m in ("gpt35", "vicuna-13b")]
    found, refused = import_reviews.read_reviews([file], VICUNA / "question.jsonl", answers)
    assert len(found) == 2
    assert sorted(r.line for r in refused) == [3, 4, 5, 6, 7]

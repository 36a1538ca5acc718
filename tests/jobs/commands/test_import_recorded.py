import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from imitation.evaluation.metrics.style_report import report
from imitation.jobs.commands.import_recorded import as_json, main
from imitation.models.recordings.files import Source, read_recording
from imitation.storage import recordings
from imitation.storage.database import connect

ROOT = Path(__file__).parents[3]
VICUNA = ROOT.parent / "shared" / "reference" / "vicuna80"
needs_vicuna = pytest.mark.skipif(not VICUNA.is_dir(), reason=f"no reference answers at {VICUNA}")

LIST = "Some ways:\n1. one\n2. two\n\nOverall, that is it."


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("IMITATION_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def write(name, *rows):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / name).write_text("\n".join(lines))

    def answers(name, model, texts):
        rows = [{"question_id": n, "model_id": model, "text": t} for n, t in enumerate(texts, 1)]
        write(name, *rows)

    write("q.jsonl", *({"question_id": n, "text": f"Question {n}?"} for n in range(1, 5)))
    answers("r.jsonl", "ref", [LIST, LIST, "the cat sat", "one two three four"])
    answers("same.jsonl", "same", [LIST, LIST, "the cat sat", "one two three four"])
    answers("other.jsonl", "other", [LIST, "nothing", "the dog sat on it", "one"])
    return write


COMMAND = ["--questions", "q.jsonl", "--reference", "r.jsonl", "--answers"]


def run(capsys, *argv):
    code = main([*COMMAND, *argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_json_has_exactly_the_documented_form(files, capsys):
    code, out = run(capsys, "same.jsonl", "other.jsonl")
    assert code == 0
    assert list(out) == ["models", "upper_bound", "reference_hedging", "reference_tone"]
    assert out["upper_bound"] is None and out["reference_tone"] is None
    for model in out["models"]:
        assert list(model) == [
            "model",
            "n",
            "unigram_intersection",
            "length_correlation",
            "list_agreement",
            "summary_agreement",
            "hedging",
            "tone",
            "refused",
        ]
        assert set(model["unigram_intersection"]) == {"value", "low", "high"}
        assert set(model["length_correlation"]) == {"value", "low", "high"}
        assert set(model["list_agreement"]) == {"value", "low", "high", "n"}
        assert set(model["summary_agreement"]) == {"value", "low", "high", "n"}


def test_values_worked_out_by_hand(files, capsys):
    _, out = run(capsys, "same.jsonl", "other.jsonl")
    same, other = out["models"]
    assert (same["model"], same["n"]) == ("same", 4)
    # Four prompts, all alike, cannot tell how much others vary.
    assert same["unigram_intersection"] == {"value": 1, "low": None, "high": None}
    assert same["length_correlation"]["value"] == pytest.approx(1)
    # 1; 0 of 10 words shared; the, sat of 5; one of 4
    assert other["unigram_intersection"]["value"] == pytest.approx((1 + 0 + 2 / 5 + 1 / 4) / 4)
    assert (other["list_agreement"]["value"], other["list_agreement"]["n"]) == (0.5, 2)
    assert (other["summary_agreement"]["value"], other["summary_agreement"]["n"]) == (0.5, 2)
    for name in ("list_agreement", "summary_agreement"):
        assert 0 <= other[name]["low"] <= other[name]["value"] <= other[name]["high"] <= 1


def test_refused_lines_go_to_the_models_they_concern(files, capsys):
    files("bad.jsonl", '{"question_id": 1, "model_id": "bad", "text": "A"}', "{", '{"a": 1}')
    files(
        "r.jsonl",
        {"question_id": 1, "model_id": "ref", "text": "A"},
        {"question_id": 77, "model_id": "ref", "text": "B"},
    )
    files("q.jsonl", {"question_id": 1, "text": "Why?"}, "oops")
    code, out = run(capsys, "same.jsonl", "bad.jsonl")
    assert code == 0
    same, bad = out["models"]
    shared = [("q.jsonl", 2), ("r.jsonl", 2)]
    places = [(r["file"], r["line"]) for r in bad["refused"]]
    assert places == [*shared, ("bad.jsonl", 2), ("bad.jsonl", 3)]
    assert all(r["file"] in ("q.jsonl", "r.jsonl", "same.jsonl") for r in same["refused"])
    assert all(r["reason"] for r in bad["refused"])
    assert bad["n"] == 1


def test_a_file_without_one_good_line_is_a_model_with_nothing(files, capsys):
    files("bad.jsonl", "{", "{")
    code, out = run(capsys, "same.jsonl", "bad.jsonl")
    assert code == 0
    bad = out["models"][1]
    assert (bad["model"], bad["n"]) == ("bad", 0)
    assert bad["unigram_intersection"] == {"value": None, "low": None, "high": None}
    assert [r["line"] for r in bad["refused"]] == [1, 2]


def test_the_reference_against_itself(files, capsys):
    code, out = run(capsys, "r.jsonl")
    assert code == 0
    assert out["models"][0]["unigram_intersection"]["value"] == 1


def test_text_for_people(files, capsys):
    files("bad.jsonl", '{"question_id": 1, "model_id": "bad", "text": "A"}', "{")
    assert main([*COMMAND, "other.jsonl", "bad.jsonl"]) == 0
    out = capsys.readouterr().out
    assert "Against ref" in out
    assert "too few to say: 4 prompts, needs 8" in out
    assert "too few to say: 2 prompts, needs 5" in out
    assert "bad.jsonl:2: not JSON" in out


def test_our_own_format_needs_no_questions(files, capsys):
    files("ours.jsonl", {"prompt": "Why?", "answers": {"gpt": "a b", "llama": "a c"}})
    assert main(["--answers", "ours.jsonl", "--reference-model", "gpt", "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert (model["model"], model["unigram_intersection"]["value"]) == ("llama", 0.5)


def test_stored_sets_are_there_for_the_page(files, tmp_path, capsys):
    assert main([*COMMAND, "same.jsonl", "other.jsonl", "--store", "--name", "Four"]) == 0
    assert "Stored as 'Four'" in capsys.readouterr().err
    with closing(connect(tmp_path / "data" / "lab.sqlite3")) as db:
        (found,) = recordings.sets(db, None)
        assert (found.name, found.reference) == ("Four", "ref")
        assert found.source == "q.jsonl, r.jsonl, same.jsonl, other.jsonl"
        stored = report(recordings.load(db, found.id), found.reference)
    _, out = run(capsys, "same.jsonl", "other.jsonl")
    assert as_json(stored) == out, "the page and the command give the same numbers"


def test_stored_sets_are_forgotten_by_name(files, tmp_path, capsys):
    for name in ("Four", "Five", "Four"):
        assert main([*COMMAND, "same.jsonl", "--store", "--name", name]) == 0
    assert main(["--forget", "Six"]) == 2
    assert "Stored: 'Four', 'Five', 'Four'." in capsys.readouterr().err
    assert main(["--forget", "Four"]) == 0
    with closing(connect(tmp_path / "data" / "lab.sqlite3")) as db:
        assert [s.name for s in recordings.sets(db, None)] == ["Five"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--answers", "same.jsonl"], "No reference is named"),
        (["--reference", "r.jsonl"], "nothing to compare"),
        ([*COMMAND, "gone.jsonl"], "gone.jsonl cannot be read: No such file"),
        ([*COMMAND, "."], "cannot be read: Is a directory"),
        (["--reference", "r.jsonl", "--answers", "same.jsonl"], "no file of questions was given"),
        (["--reference-model", "x", "--questions", "q.jsonl", "--answers", "same.jsonl"], "'same'"),
    ],
)
def test_what_cannot_be_done_is_said(files, capsys, argv, message):
    assert main([*argv, "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_a_second_sample_of_the_reference_is_the_upper_bound(files, capsys):
    code, out = run(capsys, "same.jsonl", "other.jsonl", "--second", "same")
    assert code == 0
    assert [model["model"] for model in out["models"]] == ["other"]
    assert out["upper_bound"]["unigram_intersection"]["value"] == 1.0
    assert main([*COMMAND, "same.jsonl", "--second", "ref"]) == 2
    assert main([*COMMAND, "same.jsonl", "--second", "sam"]) == 2
    capsys.readouterr()
    assert main([*COMMAND, "same.jsonl", "other.jsonl", "--second", "same"]) == 0
    assert "(upper bound) same" in capsys.readouterr().out


def test_nothing_in_common_is_reported_and_an_error(files, capsys):
    files("far.jsonl", {"question_id": 99, "model_id": "far", "text": "A"})
    code, out = run(capsys, "far.jsonl")
    assert code == 2
    assert out["models"][0]["n"] == 0


def test_wrong_usage_exits_with_2(files, capsys):
    assert main(["--no-such-option"]) == 2


@pytest.mark.slow
@needs_vicuna
def test_the_command_on_the_study_kind_of_data(tmp_path):
    """The study: imitation moves the style towards the reference."""
    names = ("llama-13b", "alpaca-13b", "vicuna-13b")
    files = [str(VICUNA / f"answer_{name}.jsonl") for name in names]
    command = [sys.executable, "-m", "imitation.jobs.commands.import_recorded", "--json"]
    command += ["--questions", str(VICUNA / "question.jsonl")]
    command += ["--reference", str(VICUNA / "answer_gpt35.jsonl"), "--answers", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    llama, alpaca, vicuna = json.loads(done.stdout)["models"]
    assert [m["n"] for m in (llama, alpaca, vicuna)] == [80, 80, 80]

    def value(model, metric):
        return model[metric]["value"]

    for metric in ("unigram_intersection", "length_correlation"):
        assert value(llama, metric) < value(alpaca, metric) < value(vicuna, metric)
    assert alpaca["unigram_intersection"]["high"] < vicuna["unigram_intersection"]["low"]
    assert value(vicuna, "list_agreement") > value(llama, "list_agreement")
    again = read_recording(
        [
            Source(VICUNA / "question.jsonl", answers=False),
            *(Source(VICUNA / f"answer_{m}.jsonl", answers=True) for m in ("gpt35", *names)),
        ]
    )
    assert as_json(report(again, again.models[0])) == json.loads(done.stdout)

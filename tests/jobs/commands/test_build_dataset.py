"""The command: counts, manifest, progress, the same again, and what goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imitation.data.format import read_examples
from imitation.data.manifest import manifest_of
from imitation.data.sources.load import Source
from imitation.data.sources.preview import from_table, preview_source
from imitation.disk import file_lock
from imitation.jobs.commands import build_dataset
from imitation.jobs.commands.build_dataset import BuildDataset
from imitation.jobs.parameters import parse
from imitation.jobs.registry import command
from imitation.storage.migrations import m005_parameters

ROOT = Path(__file__).parents[3]
PROMPTS = ROOT / "imitation" / "data" / "broad_prompts.jsonl"


def rows():
    """Alpaca rows from the shipped prompts: 100 good ones, then what should go."""
    prompts = [json.loads(line) for line in PROMPTS.read_text("utf-8").splitlines()]
    good = [
        {"id": p["id"], "instruction": p["prompt"], "output": f"Answer {n}. " * 9}
        for n, p in enumerate(prompts[::4][:100])
    ]
    german = "Bitte erkläre mir ganz genau, wie ein Kühlschrank eigentlich funktioniert."
    bad = [
        good[0] | {"id": "copy"},
        good[1] | {"id": "near", "instruction": good[1]["instruction"] + "!!"},
        {"id": "german", "instruction": german, "output": "Ja."},
        {
            "id": "held",
            "instruction": "Compose a short poem in which a door speaks.",
            "output": "O",
        },
        {"id": "empty", "instruction": "Say nothing.", "output": ""},
    ]
    return good + bad


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "alpaca.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()) + "{broken\n")
    return path


def build(*args):
    return build_dataset.main(list(map(str, args)))


def test_counts_files_and_progress(tmp_path, source, capsys):
    out, log = tmp_path / "sets" / "mine", tmp_path / "progress.jsonl"
    code = build(
        "--source", source, "--licences", "CC BY 4.0", "--out", out, "--progress", log,
        "--steps", "language", "exact", "near", "decontaminate",
    )  # fmt: skip
    assert code == 0
    table = json.loads((out / "manifest.json").read_text())
    (mine,) = table["sources"]
    assert mine["licence"] == "CC BY 4.0"
    assert (mine["name"], mine["rows"], mine["conversations"]) == ("alpaca", 106, 104)
    assert mine["refused"] == 2
    assert {r["line"] for r in mine["first_refused"]} == {105, 106}
    dropped = {step["name"]: step["dropped"] for step in table["steps"]}
    assert [d["id"] for d in dropped["language"]] == ["german"]
    assert [d["id"] for d in dropped["exact"]] == ["copy"]
    assert [d["id"] for d in dropped["near"]] == ["near"]
    assert "held" in [d["id"] for d in dropped["decontaminate"]]
    kept = table["steps"][-1]["kept"]
    assert kept >= 90
    assert table["result"]["conversations"] == kept == table["diversity"]["n"]
    examples, refused = read_examples(out / "data.jsonl")
    assert (len(examples), refused) == (kept, [])
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [e["event"] for e in events] == [
        "start", "loaded", "step", "step", "step", "step", "diversity", "end",
    ]  # fmt: skip
    assert [(e["step"], e["steps"]) for e in events[2:6]] == [(n, 4) for n in range(1, 5)]
    assert events[-1]["sha256"] == table["sha256"]
    told = capsys.readouterr().err
    assert "language: 104 in, 103 out" in told
    assert "alpaca.jsonl:106: not JSON" in told
    assert sorted(p.name for p in out.parent.iterdir()) == [".mine.lock", "mine"]


def test_same_inputs_and_seed_same_hash(tmp_path, source):
    hashes = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        options = ("--budget", "1k", "--seed", seed, "--no-diversity")
        assert build("--source", source, "--out", tmp_path / name, *options) == 0
        table = json.loads((tmp_path / name / "manifest.json").read_text())
        assert table["result"]["tokens"] <= 1000
        hashes.append((table["sha256"], table["files"]["data.parquet"]["sha256"]))
    assert hashes[0] == hashes[1] != hashes[2]


def test_mixtures(tmp_path, source):
    other = tmp_path / "other" / "alpaca.jsonl"
    other.parent.mkdir()
    chats = [{"prompt": f"Question {n}?", "answer": "word " * 40} for n in range(50)]
    other.write_text("".join(json.dumps(row) + "\n" for row in chats))
    options = ("--weights", 3, 1, "--steps", "exact", "--budget", "2k", "--no-diversity")
    out = tmp_path / "mix"
    assert build("--source", source, other, *options, "--out", out) == 0
    parts = json.loads((out / "manifest.json").read_text())["result"]["by_source"]
    assert set(parts) == {"alpaca", "alpaca-2"}
    share = parts["alpaca"]["tokens"] / sum(part["tokens"] for part in parts.values())
    assert share == pytest.approx(0.75, abs=0.03)


def test_preview_builds_nothing(tmp_path, source, capsys):
    before = set(tmp_path.rglob("*"))
    assert build("--source", source, "--preview", "--out", tmp_path / "set") == 0
    shown = capsys.readouterr().out
    assert "(Alpaca)" in shown
    assert rows()[0]["instruction"][:40] in shown
    assert set(tmp_path.rglob("*")) == before


def test_a_preview_reaches_the_page_through_the_progress(tmp_path, source):
    log = tmp_path / "log"
    assert build("--source", source, "--licences", "MIT", "--preview", "--progress", log) == 0
    first, last = (json.loads(line) for line in log.read_text().splitlines())
    assert (first["event"], last["event"]) == ("preview", "end")
    found = from_table(first)
    assert found == preview_source(Source("alpaca", str(source), "MIT"))
    assert found.shapes == {"Alpaca": ("instruction", "output")}
    assert found.conversations[0][0] == ("user", rows()[0]["instruction"])


def test_html_is_counted_and_cleaned_where_asked(tmp_path, capsys):
    page = '<div class="markdown prose"><p>Name <strong>rivers</strong>.</p></div>'
    chats = [{"prompt": f"Which river is number {n}?", "answer": page} for n in range(3)]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in chats))
    for steps, answer in ((("exact",), page), (("html", "exact"), "Name **rivers**.")):
        out = tmp_path / steps[0]
        options = ("--steps", *steps, "--no-diversity", "--out", out)
        assert build("--source", path, *options) == 0
        table = json.loads((out / "manifest.json").read_text())
        assert table["sources"][0]["html"] == 3
        assert [step.get("changed") for step in table["steps"]] == [3, 0][-len(steps) :]
        examples, _ = read_examples(out / "data.jsonl")
        assert {example.messages[1].content for example in examples} == {answer}
    said = capsys.readouterr().err
    assert "3 with answers in HTML (--steps html)" in said and "3 changed" in said


def test_answers_bring_their_manifest_along(tmp_path, source):
    """A dataset names the model, sampling and terms of the answers it was built from."""
    made = {"model": "gpt", "terms_acknowledged": "2026-01-01"}
    manifest_of(source).write_text(json.dumps(made))
    assert build("--source", source, "--out", tmp_path / "set", "--no-diversity") == 0
    table = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert table["sources"][0]["made_by"] == made


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "nera"], "Did you mean 'near'"),
        (["--weights", "1", "2"], "2 weights for 1 sources"),
        (["--weights", "0"], "not all 0"),
        (["--languages", "xx"], "Unknown languages"),
        (["--steps", "length", "--words", "5000", "6000"], "Nothing is left of 104"),
        (["--tokenizer", "/no/such/tokenizer"], "can't be had"),
        (["--against", "/no/such/file"], "does not exist"),
        (["--progress", "/no/such/folder/log"], "cannot be written"),
    ],
)
def test_what_goes_wrong_is_said_and_leaves_nothing(tmp_path, source, capsys, options, message):
    assert build("--source", source, "--out", tmp_path / "set", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("path", ["none.jsonl", "preset:sharegtp", "."])
def test_sources_that_are_none(tmp_path, capsys, path):
    assert build("--source", path, "--out", tmp_path / "set") == 2
    assert "build_dataset: " in capsys.readouterr().err


def test_files_of_no_known_shape_are_told_what_is_known(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n')
    assert build("--source", path, "--out", tmp_path / "set") == 2
    assert "Alpaca: instruction, output" in capsys.readouterr().err
    assert build("--source", path, "--preview") == 0
    assert "Alpaca: instruction, output" in capsys.readouterr().out


def test_failures_are_in_the_progress(tmp_path, source):
    log = tmp_path / "log"
    build("--source", source, "--out", tmp_path / "s", "--progress", log, "--steps", "zzz")
    last = json.loads(log.read_text().splitlines()[-1])
    assert last["event"] == "failed"
    assert "zzz" in last["message"]


def test_an_existing_folder_and_a_second_job_are_refused(tmp_path, source, capsys):
    out = tmp_path / "set"
    with file_lock(tmp_path / ".set.lock"):
        assert build("--source", source, "--out", out) == 2
    assert "Another job is building" in capsys.readouterr().err
    assert build("--source", source, "--out", out, "--no-diversity") == 0
    assert build("--source", source, "--out", out) == 2
    assert "exists already" in capsys.readouterr().err


def test_names_lead_nowhere_else(tmp_path, source):
    """Ids and sources with paths in them are only text."""
    evil = tmp_path / "evil.jsonl"
    row = rows()[0] | {"id": "../../../escape", "source": "/etc/passwd"}
    evil.write_text(json.dumps(row) + "\n")
    assert build("--source", evil, "--out", tmp_path / "set", "--no-diversity") == 0
    names = {p.name for p in tmp_path.rglob("*")}
    assert "escape" not in " ".join(names)
    assert read_examples(tmp_path / "set" / "data.jsonl")[0][0].id == "../../../escape"


@pytest.mark.slow
def test_as_a_command_in_a_process_without_torch(tmp_path, source):
    code = (
        "import sys\n"
        "from imitation.jobs.commands.build_dataset import main\n"
        "code = main(sys.argv[1:])\n"
        "assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)\n"
        "sys.exit(code)\n"
    )
    options = ["--source", str(source), "--out", str(tmp_path / "set")]
    done = subprocess.run(
        [sys.executable, "-c", code, *options], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "set" / "data.parquet").exists()


@pytest.mark.slow
def test_a_stopped_job_leaves_nothing_half(tmp_path):
    big = tmp_path / "big.jsonl"
    row = {"instruction": "Say it.", "output": "word " * 2000}
    with big.open("w") as file:
        for n in range(20_000):
            file.write(json.dumps(row | {"id": str(n)}) + "\n")
    out = tmp_path / "set"
    command = [sys.executable, "-m", "imitation.jobs.commands.build_dataset", "--source", str(big)]
    job = subprocess.Popen(
        [*command, "--steps", "--no-diversity", "--out", str(out)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(".set.*.part")):
            assert job.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) == 143
    finally:
        job.kill()
    assert not out.exists()
    assert not list(tmp_path.glob(".set.*.part"))


def test_a_build_queued_by_an_earlier_version_can_still_be_read():
    options = [
        "--source", "a.jsonl", "preset:hc3", "--licences", "MIT", "CC", "--weights", "3", "1",
        "--budget", "0.3M", "--words", "2", "50", "--steps", "exact", "--max-bleu", "20",
        "--no-diversity", "--seed", "5", "--out", "sets/mine",
    ]  # fmt: skip
    argv = ["python", "-m", "imitation.jobs.build_dataset", *options]
    parameters = BuildDataset.of(m005_parameters.parameters(argv))
    assert parameters.weights == (3, 1) and parameters.words == (2, 50)
    assert (parameters.seed, parameters.diversity) == (5, False)
    again = command("dataset", parameters)[3:]
    assert parse(BuildDataset, again, "build_dataset", "") == parameters


def test_everything_wrong_is_said_at_once(tmp_path, source, capsys):
    options = ("--budget", "lots", "--seed", "-1", "--words", "5", "1")
    assert build("--source", source, "--out", tmp_path / "set", *options) == 2
    message = capsys.readouterr().err
    for part in ("no number of tokens", "The seed -1 should be 0 to", "The fewest words"):
        assert part in message

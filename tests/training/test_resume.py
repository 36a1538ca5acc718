"""Stopped or killed in the middle, a run goes on as if nothing had happened."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch

from imitation.data.format import write_examples
from imitation.errors import IntegrityError, StorageError, UserError
from imitation.events import Writer as Progress
from tests.finished_run import answers
from training import checkpoints, finetune
from training.checkpoints import STATE, State
from training.config import preset, to_table
from training.signals import sole_writer

SETTINGS = (
    "epochs=3", "batch_size=2", "micro_batch_size=1", "val_fraction=0.2", "threads=1",
    "save_every=2", "score_every=6", "score_items=2",
)  # fmt: skip
STEPS = 6


def command(folder, name, *more):
    """The arguments of a run of 6 steps that saves its state every second one."""
    sets = [part for one in SETTINGS for part in ("--set", one)]
    return [
        "--preset", "pocket-local", *sets, "--data", str(folder / "data.jsonl"),
        "--out", str(folder / name), "--no-export", *more,
    ]  # fmt: skip


def run_here(settings, arguments):
    """finetune.main in this process, with the cache of the tests."""
    kept = os.environ.get("IMITATION_CACHE")
    os.environ["IMITATION_CACHE"] = str(settings.cache)
    try:
        return finetune.main(arguments)
    finally:
        os.environ.pop("IMITATION_CACHE")
        if kept is not None:
            os.environ["IMITATION_CACHE"] = kept
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def events(folder, *kinds):
    lines = (folder / "progress.jsonl").read_text("utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] in kinds]


def curve(folder):
    """What was measured, without the seconds it took."""
    clock = ("elapsed_s", "step_s")
    found = events(folder, "step", "validation", "score")
    return [{k: v for k, v in event.items() if k not in clock} for event in found]


def start(settings, arguments):
    """The run in a process of its own, with a step of it done."""
    process = subprocess.Popen(
        [sys.executable, "-m", "training.finetune", *arguments],
        env={**os.environ, "IMITATION_CACHE": str(settings.cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return process


def wait_for(folder, step, process):
    wait_for_text(folder, f'"step": {step}, "steps"', process)


def wait_for_text(folder, text, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        path = folder / "progress.jsonl"
        if path.is_file() and text in path.read_text("utf-8"):
            return
        time.sleep(0.02)
    raise AssertionError(process.stdout.read())


@pytest.fixture(scope="module")
def whole(tmp_path_factory, pocket_settings):
    """The folder with the data and "whole", a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("runs")
    write_examples(folder / "data.jsonl", answers())
    assert run_here(pocket_settings, command(folder, "whole")) == 0
    return folder


@pytest.mark.slow
def test_stopped_killed_and_resumed_equals_uninterrupted(whole, pocket_settings):
    out, resume = whole / "broken", command(whole, "broken", "--resume")
    process = start(pocket_settings, command(whole, "broken"))
    wait_for(out, 2, process)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == finetune.STOPPED, printed
    assert events(out, "stopped")[0]["resumable"]
    at = events(out, "checkpoint")[-1]["step"]
    assert at == events(out, "step")[-1]["step"] > 1, "no step is lost"
    assert run_here(pocket_settings, command(whole, "broken")) == 1, "not over it by accident"
    assert run_here(pocket_settings, [*resume, "--set", "lora_r=4"]) == 1, "another run's state"
    assert "lora_r was 8 and is 4" in events(out, "failed")[0]["message"]

    process = start(pocket_settings, resume)
    wait_for(out, 4, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 4 <= events(out, "step")[-1]["step"] < STEPS, "killed in the middle"
    assert (out / STATE).is_file() and not (out / "checkpoint").exists()

    assert run_here(pocket_settings, resume) == 0
    assert events(out, "resumed")[-1]["step"] in (2, 3, 4)
    assert curve(out) == curve(whole / "whole")
    name = "checkpoint/adapter_model.safetensors"
    assert (out / name).read_bytes() == (whole / "whole" / name).read_bytes()
    assert not (out / STATE).exists(), "nothing left to go on from"
    assert not events(out, "failed", "stopped")


@pytest.mark.slow
def test_killed_while_it_exports_it_exports_again_and_trains_nothing_again(whole, pocket_settings):
    exports = [part for part in command(whole, "killed", "--set", "score_every=0")]
    exports.remove("--no-export")
    process = start(pocket_settings, exports)
    wait_for_text(whole / "killed", '"event": "saved"', process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    out = whole / "killed"
    trained = (out / "checkpoint" / "adapter_model.safetensors").read_bytes()
    assert (out / STATE).is_file() and not events(out, "exported", "end")
    before = events(out, "step")
    assert run_here(pocket_settings, [*exports, "--resume"]) == 0
    assert events(out, "step") == before, "no step was done again"
    assert (out / "checkpoint" / "adapter_model.safetensors").read_bytes() == trained
    assert (out / "adapter.gguf").is_file() and not (out / STATE).exists()
    assert [e["event"] for e in events(out, "resumed", "saved", "exported", "end")] == [
        "resumed", "saved", "exported", "end",
    ]  # fmt: skip


@pytest.mark.slow
def test_scores_come_with_n_and_interval_on_the_way(whole):
    found = events(whole / "whole", "score")
    assert [(e["step"], e["name"]) for e in found] == [
        (step, name) for step in (0, 6) for name in ("style", "facts")
    ]
    for event in found:
        assert event["n"] == (1 if event["name"] == "style" else 2)
        assert 0 <= event["value"] <= 1
    assert all(e["low"] <= e["value"] <= e["high"] for e in found if e["name"] == "facts")


def state(step=1):
    weights = {"w": torch.arange(200_000, dtype=torch.float32)}
    table = to_table(preset("pocket-local"))
    return State(step, True, 1.0, weights, {}, [torch.get_rng_state()], table, "d", "b")


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    checkpoints.save_state(tmp_path, state(1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"step 2 could not.*earlier step.*still whole"):
            checkpoints.save_state(tmp_path, state(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in tmp_path.iterdir()] == [STATE]
    kept = checkpoints.load_state(tmp_path)
    assert kept.step == 1
    assert torch.equal(kept.weights["w"], state().weights["w"])


def test_what_cannot_be_resumed_is_said(tmp_path):
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoints.load_state(tmp_path)
    (tmp_path / STATE).write_bytes(b"PK\x03\x04 half of one")
    with pytest.raises(IntegrityError, match="damaged"):
        checkpoints.load_state(tmp_path)
    config = preset("pocket-local")
    checkpoints.check_state(state(), config.replace(micro_batch_size=1, threads=1), "d", "b")
    with pytest.raises(UserError, match=r"seed was 0 and is 1; the data .*; pocket-base is not"):
        checkpoints.check_state(state(), config.replace(seed=1), "other", "other")


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    code = (
        "import sys; from pathlib import Path; from training.signals import sole_writer\n"
        "with sole_writer(Path(sys.argv[1])): pass"
    )
    other = [sys.executable, "-c", code, str(tmp_path / "out")]
    with sole_writer(tmp_path / "out"):
        refused = subprocess.run(other, capture_output=True, text=True)
        assert "Another run is writing to" in refused.stderr and refused.returncode
    assert subprocess.run(other, check=False).returncode == 0, "free again"
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"), sole_writer(tmp_path / "file"):
        pass


def test_a_resumed_curve_drops_what_is_done_again(tmp_path):
    path = tmp_path / "progress.jsonl"
    lines = [
        {"event": "validation", "step": 0}, {"event": "step", "step": 1},
        {"event": "step", "step": 2}, {"event": "score", "step": 2},
        {"event": "step", "step": 3}, {"event": "failed", "message": "x"},
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"event": "st'
    path.write_text(text, encoding="utf-8")
    Progress.resumed(path, 2, True, 10.0).write("resumed", step=2)
    kept = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert kept[:-1] == lines[:4]
    assert kept[-1]["event"] == "resumed" and kept[-1]["elapsed_s"] >= 10
    path.write_text(text, encoding="utf-8")
    Progress.resumed(path, 2, False, 10.0)
    assert len(path.read_text("utf-8").splitlines()) == 3, "the score of step 2 comes again"

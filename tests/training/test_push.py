"""A run to a look-alike of the hub, and the model card that goes with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from imitation.errors import IntegrityError
from imitation.models.catalog import load_catalog
from imitation.settings import read_settings
from tests.models.servers import serving
from tests.training.fake_hub import TOKEN, FakeHub
from training import push
from training.model_card import describe, markdown

ROOT = Path(__file__).parents[2]
CATALOG = load_catalog(read_settings({}).catalogs)
EVENTS = [
    {"event": "validation", "step": 0, "loss": 2.5},
    {"event": "step", "step": 1, "steps": 2, "loss": 2.0, "tokens": 50, "trained_tokens": 20},
    {"event": "step", "step": 2, "steps": 2, "loss": 1.5, "tokens": 100, "trained_tokens": 1234},
    {"event": "validation", "step": 2, "loss": 1.75},
    {"event": "score", "name": "facts", "step": 2, "value": 0.5, "low": 0.3, "high": 0.7, "n": 24},
    {"event": "end"},
]


@pytest.fixture
def run(tmp_path):
    """What training.finetune leaves, with few bytes for weights."""
    folder = tmp_path / "runs" / "mine"
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True)
    data = {
        "files": [{"file": "data.jsonl", "sha256": "f" * 64, "conversations": 30}],
        "train": 28,
        "validation": 2,
    }
    for name, value in {
        "config.json": {"name": "mine", "base": "pocket-base", "rank": 8},
        "data.json": data,
        "prompt_format.json": {"name": "chat"},
        "adapter_config.json": {"base_model_name_or_path": "/home/me/.cache/secret", "r": 8},
    }.items():
        (checkpoint / name).write_text(json.dumps(value))
    (checkpoint / "adapter_model.safetensors").write_bytes(b"weights" * 100)
    (folder / "adapter.gguf").write_bytes(b"GGUF" * 100)
    (folder / "progress.jsonl").write_text("".join(json.dumps(e) + "\n" for e in EVENTS))
    return folder


@pytest.fixture
def dataset(tmp_path):
    """The dataset it was trained on, built from answers of a proprietary model."""
    folder = tmp_path / "datasets" / "mix"
    folder.mkdir(parents=True)
    (folder / "data.jsonl").write_text("{}")
    source = {
        "name": "gpt", "licence": "not stated", "first_refused": [{"reason": "quoted data"}],
        "made_by": {"terms_may_forbid_training": True, "terms_acknowledged": "2026-01-02"},
    }  # fmt: skip
    step = {"name": "near", "taken": 40, "kept": 30, "dropped": [{"detail": "quoted data"}]}
    report = {"mean_bleu": 9.5, "pairs": [{"query": "quoted data"}]}
    table = {"sha256": "f" * 64, "sources": [source], "steps": [step], "diversity": report}
    table["name"] = "mix"
    (folder / "manifest.json").write_text(json.dumps(table))
    return folder


@pytest.fixture(scope="module")
def served():
    with serving(FakeHub()) as hub:
        yield hub


@pytest.fixture
def hub(served):
    served.reset()
    return served


def command(hub, *arguments, **variables):
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    env |= {"HF_HUB_OFFLINE": "0", **variables}
    return subprocess.run(
        [sys.executable, "-m", "training.push", *map(str, arguments)],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_card_holds_lineage_licence_data_config_metrics_and_format(run, dataset):
    card = describe(run, CATALOG, dataset)
    assert card["stand_in"] and card["base"]["licence"].startswith("Apache-2.0")
    assert card["metrics"]["held_out_loss"] == 1.75 and card["metrics"]["trained_tokens"] == 1234
    assert card["data"]["dataset"]["sources"][0]["made_by"]["terms_acknowledged"] == "2026-01-02"
    assert card["files"]["adapter.gguf"]["bytes"] == 400
    assert "quoted data" not in json.dumps(card), "no text of the data"
    text = markdown(card)
    head = yaml.safe_load(text.split("---")[1])
    assert head["license"] == "other" and "pocket-stand-in" in head["tags"]
    for part in ("cut base alone", "may forbid training", "| near | 40 | 30 |", "0.500 [0.300",
                 "mix, data.jsonl, SHA", "1,234", '"rank": 8', '"name": "chat"',
                 "9.5 on average"):  # fmt: skip
        assert part in text, part


def test_what_is_not_known_is_said_to_be_so(run, tmp_path):
    (run / "progress.jsonl").write_text('{"event": "end"}\n')
    text = markdown(describe(run, CATALOG, tmp_path / "gone"))
    assert "Held-out loss, after | not measured" in text
    assert "no manifest" in text and "its licence is not known" in text
    other = json.loads((run / "checkpoint" / "config.json").read_text()) | {"base": "org/lm-1b"}
    (run / "checkpoint" / "config.json").write_text(json.dumps(other))
    head = yaml.safe_load(markdown(describe(run, CATALOG)).split("---")[1])
    assert (head["base_model"], head["license"]) == ("org/lm-1b", "other")


def test_a_manifest_of_other_data_is_not_taken(run, dataset):
    table = json.loads((dataset / "manifest.json").read_text()) | {"sha256": "0" * 64}
    (dataset / "manifest.json").write_text(json.dumps(table))
    assert describe(run, CATALOG, dataset)["data"]["dataset"] is None


def test_a_run_that_has_not_ended_has_no_card(tmp_path):
    with pytest.raises(IntegrityError, match="no finished run"):
        describe(tmp_path, CATALOG)


def test_a_push_sends_weights_and_card_and_no_path_of_this_machine(hub, run, dataset, tmp_path):
    log = tmp_path / "log"
    done = command(hub, "--run", run, "--repo", "me/mine", "--data", dataset, "--progress", log)
    assert done.returncode == 0, done.stderr
    assert hub.repos == {"me/mine": True}, "private unless told otherwise"
    files = hub.files["me/mine"]
    assert set(files) == {
        "README.md", "imitation.json", "adapter.gguf", "adapter_model.safetensors",
        "adapter_config.json", "config.json", "data.json", "prompt_format.json",
    }  # fmt: skip
    assert files["adapter_model.safetensors"] == b"weights" * 100
    assert json.loads(files["adapter_config.json"]) == {
        "base_model_name_or_path": "pocket-base", "r": 8,
    }  # fmt: skip
    sent = b"".join(files.values())
    assert b"/home/me" not in sent and str(tmp_path).encode() not in sent
    told = log.read_text() + done.stdout + done.stderr
    assert TOKEN not in told and "me/mine" in told
    again = command(hub, "--run", run, "--repo", "me/mine", "--data", dataset)
    assert again.returncode == 0, "a second push renews it"


@pytest.mark.parametrize(
    ("variables", "repo", "message"),
    [
        ({"HF_TOKEN": ""}, "me/mine", "HF_TOKEN is not set"),
        ({"HF_TOKEN": "hf_wrong_wrong_wrong"}, "me/mine", "is not valid"),
        ({"IMITATION_OFFLINE": "1"}, "me/mine", "IMITATION_OFFLINE"),
        ({}, "../mine", "no name of a repository"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "me/mine", "could not be sent|cannot be reached"),
    ],
)
def test_what_goes_wrong_is_said(hub, run, variables, repo, message):
    done = command(hub, "--run", run, "--repo", repo, **variables)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert any(part in done.stderr for part in message.split("|")), done.stderr
    assert "hf_wrong" not in done.stderr and hub.files == {}


def test_a_token_that_may_not_write(hub, run):
    hub.status = 403
    done = command(hub, "--run", run, "--repo", "other/mine")
    assert done.returncode == 2 and "may not write to other/mine" in done.stderr


def test_names_of_repositories():
    assert push._REPO.fullmatch("me/my.model-1")
    assert not push._REPO.fullmatch("me/.git/x") and not push._REPO.fullmatch("-/..")

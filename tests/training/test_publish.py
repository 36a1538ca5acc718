"""A finished run to a look-alike of the hub, and the model card that goes with it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from imitation.errors import IntegrityError
from imitation.models.catalog import load_catalog
from imitation.settings import read_settings
from tests.finished_run import READ_TERMS
from tests.models.servers import serving
from tests.training.fake_hub import TOKEN, FakeHub
from training import checkpoints, publish
from training.model_card import describe, markdown

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CATALOG = load_catalog(read_settings({}).catalogs)


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run, to be changed."""
    return shutil.copytree(finished.run, tmp_path / "runs" / "mine")


def told(run):
    lines = (run / "progress.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


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
        [sys.executable, "-m", "training.publish", *map(str, arguments)],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_card_holds_lineage_licence_data_config_metrics_and_format(finished):
    card = describe(finished.run, CATALOG, finished.dataset)
    assert card["id"] == "mine" and card["method"] == "lora"
    assert card["stand_in"] and card["base"]["licence"].startswith("Apache-2.0")
    assert card["lineage"][1] == "fine-tuned as mine" and "pocket-base" in card["lineage"][0]
    events = told(finished.run)
    (before, after) = [e["loss"] for e in events if e["event"] == "validation"]
    (*_, last) = [e for e in events if e["event"] == "step"]
    (*_, facts) = [e for e in events if e.get("name") == "facts"]
    measured = card["metrics"]
    assert (measured["held_out_loss_before"], measured["held_out_loss"]) == (before, after)
    assert (measured["steps"], measured["loss"]) == (2, last["loss"])
    assert measured["trained_tokens"] == last["trained_tokens"]
    assert measured["scores"]["facts"]["high"] == facts["high"]
    assert card["data"]["dataset"]["sources"][0]["made_by"]["terms_acknowledged"] == READ_TERMS
    adapter = finished.run / "adapter.gguf"
    assert card["files"]["adapter.gguf"]["bytes"] == adapter.stat().st_size
    assert "Zorbia" not in json.dumps(card), "no text of the data"
    text = markdown(card)
    head = yaml.safe_load(text.split("---")[1])
    assert head["license"] == "other" and "pocket-stand-in" in head["tags"]
    bleu = card["data"]["dataset"]["diversity"]["mean_bleu"]
    for part in ("cut base alone", "may forbid training", "| near | 5 | ", "Held-out facts (n = 1)",
                 "mix, data.jsonl, SHA", f"{last['trained_tokens']:,}", '"lora_r": 8',
                 '"format": "chat"', f"{bleu:.1f} on average"):  # fmt: skip
        assert part in text, part


def test_a_full_fine_tune_of_a_folder_is_described_without_its_path(finished):
    card = describe(finished.full, CATALOG, finished.dataset)
    assert (card["method"], card["base"]["id"], card["config"]["base"]) == ("full", "tiny", "tiny")
    assert card["lineage"] == ["tiny", "fine-tuned as full"]
    assert set(card["files"]) == {"model.safetensors"}
    assert str(finished.full.parent.parent) not in markdown(card)


def test_a_fine_tune_of_a_fine_tune_names_all_it_was_made_from(finished, run):
    config, _, _ = checkpoints.load(run / "checkpoint")
    chained = {**checkpoints.to_table(config), "base": str(finished.full / "checkpoint")}
    checkpoints.write_json(run / "checkpoint" / "training.json", chained)
    card = describe(run, CATALOG)
    assert card["base"] == {"id": "full", "licence": "not stated"}
    assert card["lineage"] == ["tiny", "fine-tuned as full", "fine-tuned as mine"]


def test_what_is_not_known_is_said_to_be_so(run, tmp_path):
    (run / "progress.jsonl").unlink()
    text = markdown(describe(run, CATALOG, tmp_path / "gone"))
    assert "Held-out loss, after | not measured" in text and "Steps | not measured" in text
    assert "no manifest" in text and "its licence is not known" in text
    config, _, _ = checkpoints.load(run / "checkpoint")
    other = {**checkpoints.to_table(config), "base": "org/lm-1b"}
    checkpoints.write_json(run / "checkpoint" / "training.json", other)
    head = yaml.safe_load(markdown(describe(run, CATALOG)).split("---")[1])
    assert (head["base_model"], head["license"]) == ("org/lm-1b", "other")


def test_a_manifest_of_other_data_is_not_taken(finished, tmp_path):
    dataset = shutil.copytree(finished.dataset, tmp_path / "mix")
    table = json.loads((dataset / "manifest.json").read_text()) | {"sha256": "0" * 64}
    (dataset / "manifest.json").write_text(json.dumps(table))
    assert describe(finished.run, CATALOG, dataset)["data"]["dataset"] is None


def test_a_run_that_has_not_ended_has_no_card(tmp_path, run):
    with pytest.raises(IntegrityError, match="no finished run"):
        describe(tmp_path, CATALOG)
    (run / "checkpoint" / "training.json").write_text("{")
    with pytest.raises(IntegrityError, match="no finished run"):
        describe(run, CATALOG)


def test_a_push_sends_weights_and_card_and_no_path_of_this_machine(hub, finished, tmp_path):
    log, run = tmp_path / "log", finished.run
    asked = ["--run", run, "--repo", "me/mine", "--data", finished.dataset]
    done = command(hub, *asked, "--progress", log)
    assert done.returncode == 0, done.stderr
    assert hub.repos == {"me/mine": True}, "private unless told otherwise"
    files = hub.files["me/mine"]
    assert set(files) == {
        "README.md", "imitation.json", "adapter.gguf", "adapter_model.safetensors",
        "adapter_config.json", "training.json", "data.json", "prompt_format.json",
    }  # fmt: skip
    weights = run / "checkpoint" / "adapter_model.safetensors"
    assert files["adapter_model.safetensors"] == weights.read_bytes()
    sent = json.loads(files["adapter_config.json"])
    assert (sent["base_model_name_or_path"], sent["r"]) == ("pocket-base", 8)
    assert json.loads(files["imitation.json"])["data"]["dataset"]["name"] == "mix"
    assert_no_paths(files, run)
    told = log.read_text() + done.stdout + done.stderr
    assert TOKEN not in told and "me/mine" in told
    assert command(hub, *asked).returncode == 0, "a second push renews it"


def test_a_full_fine_tune_is_pushed_as_a_base_that_others_can_load(hub, finished):
    done = command(hub, "--run", finished.full, "--repo", "me/full")
    assert done.returncode == 0, done.stderr
    files = hub.files["me/full"]
    assert {"config.json", "model.safetensors", "tokenizer.json", "training.json"} <= set(files)
    assert json.loads(files["config.json"])["model_type"] == "llama", "transformers' own"
    assert json.loads(files["training.json"])["base"] == "tiny"
    assert_no_paths(files, finished.full)


def test_a_server_of_another_user_can_read_the_weights(finished):
    for path in (*finished.run.rglob("*"), *finished.full.rglob("*")):
        assert path.stat().st_mode & 0o044 == 0o044, path


def assert_no_paths(files, run):
    sent = b"".join(files.values())
    for place in (run.parent.parent, read_settings().cache, Path.home()):
        assert f"{place}/".encode() not in sent, place


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
def test_what_goes_wrong_is_said(hub, finished, variables, repo, message):
    done = command(hub, "--run", finished.run, "--repo", repo, **variables)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert any(part in done.stderr for part in message.split("|")), done.stderr
    assert "hf_wrong" not in done.stderr and hub.files == {}


def test_a_token_that_may_not_write(hub, finished):
    hub.status = 403
    done = command(hub, "--run", finished.run, "--repo", "other/mine")
    assert done.returncode == 2 and "may not write to other/mine" in done.stderr


def test_names_of_repositories():
    assert publish._REPO.fullmatch("me/my.model-1")
    assert not publish._REPO.fullmatch("me/.git/x") and not publish._REPO.fullmatch("-/..")

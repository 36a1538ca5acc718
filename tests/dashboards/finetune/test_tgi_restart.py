"""What a TGI server is to be started again with."""

import re
from dataclasses import replace
from pathlib import Path

from dashboards.finetune.tgi_restart import restart_words
from imitation.prompts import prompt_format
from imitation.values import ModelSpec
from tests.training.test_zero_adapter import CONFIG, base
from training import checkpoints
from training.optimizer import trainable
from training.zero_adapter import main as zero_adapter

URL = "http://gpu:8080"
BASE = ModelSpec("lm", "LM", "base", "tgi", endpoint=URL)
BROAD = ModelSpec("broad-card", "B", "imitation", "tgi", endpoint=f"{URL}/", adapter="broad")
CARDS = [
    BASE,
    BROAD,
    replace(BROAD, id="mine-0", adapter="mine-0"),
    replace(BROAD, id="far", adapter="far", endpoint="http://other:8080"),
    replace(BROAD, id="v", adapter="v", backend="openai"),
]


def known(identity: str) -> str:
    return "/runs/mine-0" if identity == "mine-0" else ""


def test_the_whole_list_is_given_and_the_base_as_an_adapter(tmp_path: Path) -> None:
    said = restart_words(CARDS, BASE, "mine", tmp_path, "/adapters/mine", known)
    whole = "zero=/adapters/mine-zero,broad=PATH,mine-0=/runs/mine-0,mine=/adapters/mine"
    assert f"LORA_ADAPTERS={whole}, and with --cuda-graphs 0 on its command line" in said
    assert "PATH stands where only you know the folder" in said
    assert 'adapter = "zero" into the card of LM' in said


def test_a_base_that_is_an_adapter_already_needs_no_other(tmp_path: Path) -> None:
    holder = replace(BASE, adapter="plain")
    cards = [holder, replace(BROAD, id="mine", adapter="mine")]
    said = restart_words(cards, holder, "mine", tmp_path, "/adapters/mine", known)
    assert "LORA_ADAPTERS=plain=PATH,mine=/adapters/mine," in said
    assert "training.zero_adapter" not in said


def test_the_command_offered_works_and_a_wrong_rank_is_told(tmp_path: Path) -> None:
    folder, config = tmp_path / "checkpoint", CONFIG.replace(lora_r=12)
    checkpoints.save(folder, trainable(base(), config), config, prompt_format("koala"), {})
    said = restart_words([BASE], BASE, "mine", folder, str(folder), known)
    assert "TGI scales adapters of rank 12 wrongly" in said
    offered = re.search(r"python -m training.zero_adapter (.*?) makes it", said)[1]
    assert zero_adapter(offered.split()) == 0
    place = re.search(r"LORA_ADAPTERS=zero=([^,]*),", said)[1]
    assert (Path(place) / "adapter_model.safetensors").is_file()

"""What TGI does wrong with adapters is told before anybody serves one."""

import json
import logging
from pathlib import Path

import pytest

from dashboards.finetune.new_run import Plan
from dashboards.finetune.view import plan_html
from imitation.models.backends.tgi.adapter_rules import (
    base_warning,
    config_in,
    rank_warning,
    warnings,
)
from training.config import TrainingConfig
from training.finetune import warn_of_tgi

RANKS = {4: False, 8: True, 12: False, 16: True, 20: False, 24: False, 32: True, 64: True}


@pytest.mark.parametrize(("rank", "right"), RANKS.items())
def test_ranks_that_are_padded_are_named(rank: int, right: bool) -> None:
    assert (rank_warning(rank) == "") == right
    assert right or f"rank {rank} wrongly" in rank_warning(rank)


@pytest.mark.parametrize(
    ("model_type", "words"),
    [
        ("llama", ""),
        ("mistral", ""),
        ("gemma2", ""),
        ("gemma3_text", ""),
        ("", ""),
        ("qwen2", "leaves out most of an adapter on qwen2"),
        ("starcoder2", "leaves out most"),
        ("gpt_neox", "takes no adapters on gpt_neox: it ends when it starts"),
        ("qwen3", "takes no adapters"),
    ],
)
def test_architectures_it_has_no_adapters_for_are_named(model_type: str, words: str) -> None:
    said = base_warning(model_type)
    assert (words in said) if words else (said == "")


def test_quantised_weights_are_named() -> None:
    config = {"model_type": "llama", "quantization_config": {"quant_method": "awq"}}
    assert warnings(16, config) == [base_warning("llama", quantised=True)]
    assert "quantised" in warnings(16, config)[0]


def test_a_base_whose_config_is_not_there_is_not_judged(tmp_path: Path) -> None:
    assert config_in("pocket-base") == config_in(str(tmp_path)) == {}
    (tmp_path / "config.json").write_text("[1")
    assert config_in(str(tmp_path)) == {}
    assert warnings(16, {}) == []


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_training_says_so_before_it_begins(
    method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = {"model_type": "gpt_neox", "quantization_config": {"quant_method": "bnb"}}
    (tmp_path / "config.json").write_text(json.dumps(base | {"quantization_config": None}))
    config = TrainingConfig(name="mine", base=str(tmp_path), method=method, lora_r=12)
    with caplog.at_level(logging.WARNING):
        warn_of_tgi(config, base if method == "qlora" else {"model_type": "gpt_neox"})
    page = plan_html(Plan((), tmp_path, config, 10, 0, 1), "command")
    for said in ("rank 12 wrongly", "takes no adapters on gpt_neox"):
        assert (said in caplog.text) == (said in page) == (method != "full")
    assert "quantised" not in caplog.text

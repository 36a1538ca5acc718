"""An adapter without effect, made like one that our training writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from imitation.errors import IntegrityError, UserError
from imitation.prompts import prompt_format
from training import checkpoints
from training.config import TrainingConfig
from training.optimizer import trainable
from training.zero_adapter import WEIGHTS, main, write_zero_adapter

CONFIG = TrainingConfig(name="mine", base="tiny", lora_r=8)


def base() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "vocab_size": 40}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads)).eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with an adapter that has learned something."""
    folder = tmp_path_factory.mktemp("run")
    model = trainable(base(), CONFIG)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    checkpoints.save(folder / "checkpoint", model, CONFIG, prompt_format("koala"), {})
    return folder


@pytest.mark.parametrize("inside", [".", "checkpoint"])
def test_it_has_the_others_shape_and_no_effect(run: Path, tmp_path: Path, inside: str) -> None:
    assert write_zero_adapter(run / inside, tmp_path / "sub" / "zero") == CONFIG.lora_r
    zero, other = tmp_path / "sub" / "zero", run / "checkpoint"
    made, like = load_file(zero / WEIGHTS), load_file(other / WEIGHTS)
    assert {n: w.shape for n, w in made.items()} == {n: w.shape for n, w in like.items()}
    ids = torch.arange(12)[None]
    with torch.no_grad():
        plain = base()(ids).logits
        assert torch.equal(PeftModel.from_pretrained(base(), str(zero))(ids).logits, plain)
        assert not torch.allclose(PeftModel.from_pretrained(base(), str(other))(ids).logits, plain)
    config, told = (json.loads((f / "adapter_config.json").read_text()) for f in (zero, other))
    assert config == told
    # A server runs as another user.
    assert (zero / WEIGHTS).stat().st_mode == (zero / "adapter_config.json").stat().st_mode


def test_nothing_is_written_over(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there already"):
        write_zero_adapter(run, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_plain_adapter_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="holds no LoRA adapter"):
        write_zero_adapter(tmp_path, tmp_path / "zero")
    odd = tmp_path / "odd"
    odd.mkdir()
    config = (run / "checkpoint" / "adapter_config.json").read_text()
    (odd / "adapter_config.json").write_text(config)
    (odd / WEIGHTS).write_bytes(b"cut")
    with pytest.raises(IntegrityError, match="holds no LoRA adapter"):
        write_zero_adapter(odd, tmp_path / "zero")
    weights = load_file(run / "checkpoint" / WEIGHTS)
    save_file({**weights, "x.lora_magnitude_vector": torch.ones(2)}, odd / WEIGHTS)
    with pytest.raises(IntegrityError, match="lora_magnitude_vector"):
        write_zero_adapter(odd, tmp_path / "zero")
    assert not (tmp_path / "zero").exists()


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--like", str(run), "--out", str(tmp_path / "zero")]
    assert main(asked) == 0
    assert "rank 8" in capsys.readouterr().out
    assert main(asked) == 1
    assert "is there already" in capsys.readouterr().err


def test_it_needs_no_torch() -> None:
    # It runs in the app's container before TGI starts.
    code = "import sys, training.zero_adapter; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

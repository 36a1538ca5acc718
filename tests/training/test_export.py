"""What a GGUF cannot hold is refused by name, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model

from imitation.errors import UserError
from tests.training.tiny_models import tiny_model
from training.export import check_plain

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT warns of what we refuse
PROJECTIONS = ["q_proj", "v_proj"]


def adapted(folder: Path, config: Any) -> Any:
    """A tiny model with an adapter as PEFT writes it and reads it again."""
    get_peft_model(tiny_model("llama"), config).save_pretrained(folder)
    return PeftModel.from_pretrained(tiny_model("llama"), folder)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"use_rslora": True}, r"rsLoRA \(use_rslora\)"),
        ({"use_dora": True}, r"DoRA \(use_dora\)"),
        ({"rank_pattern": {"q_proj": 4}}, r"ranks of their own \(rank_pattern\)"),
        ({"alpha_pattern": {"q_proj": 4}}, r"scales of their own \(alpha_pattern\)"),
        ({"modules_to_save": ["lm_head"]}, r"whole modules \(modules_to_save\)"),
        ({"trainable_token_indices": [3, 4]}, r"trained tokens \(trainable_token_indices\)"),
        ({"bias": "lora_only"}, "bias"),
        ({"lora_bias": True}, "lora_bias"),
        ({"target_modules": ["embed_tokens"]}, "an adapter on embed_tokens"),
        ({"target_modules": ["q_proj", "lm_head"]}, "an adapter on lm_head"),
        (
            {"use_dora": True, "rank_pattern": {"q_proj": 4}},
            r"ranks of their own \(rank_pattern\), DoRA",
        ),
    ],
)
def test_what_a_gguf_cannot_hold_is_refused_by_name(
    more: dict[str, Any], named: str, tmp_path: Path
) -> None:
    config = LoraConfig(**{"r": 2, "target_modules": PROJECTIONS, **more})
    with pytest.raises(UserError, match=f"cannot be written for the embedded engine.*{named}"):
        check_plain(adapted(tmp_path, config))


def test_plain_lora_may_be_written_and_other_kinds_not(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = LoraConfig(r=2, lora_alpha=7, lora_dropout=0.1, target_modules=PROJECTIONS)
    check_plain(adapted(tmp_path / "lora", plain))
    other = IA3Config(target_modules=PROJECTIONS, feedforward_modules=[])
    with pytest.raises(UserError, match=r"the kind PeftType\.IA3"):
        check_plain(adapted(tmp_path / "ia3", other))

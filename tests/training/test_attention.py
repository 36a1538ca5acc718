"""Which models conversations may be packed for."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from imitation.errors import UserError
from training.attention import check_packable

TINY = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "vocab_size": 64,
}  # fmt: skip


def tiny(kind: str, **more: Any) -> Any:
    config = getattr(transformers, f"{kind}Config")(**TINY, **more)
    return transformers.AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize(
    ("kind", "more"),
    [("Llama", {}), ("Qwen2", {}), ("GPTNeoX", {}), ("Mistral", {"sliding_window": 4096})],
)
def test_layers_that_see_the_whole_block_may_be_packed(kind: str, more: dict[str, Any]) -> None:
    check_packable(tiny(kind, **more), 2048)


@pytest.mark.parametrize(
    ("kind", "more", "why"),
    [
        ("Mistral", {"sliding_window": 64}, "its layers see 64 tokens, less than a block of 2048"),
        ("Gemma2", {"sliding_window": 64, "head_dim": 16}, "its layers see 64 tokens"),
        ("Lfm2", {"layer_types": ["conv", "full_attention"]}, "it has layers of conv"),
        ("Mamba", {}, "Set packing = false"),
    ],
)
def test_others_are_refused_with_the_reason(kind: str, more: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        check_packable(tiny(kind, **more), 2048)

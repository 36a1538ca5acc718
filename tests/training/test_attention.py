"""Which models conversations may be packed for, and that none mixes them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from imitation.data.encode import Encoded
from imitation.errors import UserError
from tests.training.tiny_models import tiny_model
from training import attention
from training.attention import check_packable
from training.config import preset
from training.loss import summed_loss
from training.state import Run

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
        ("Gemma3Text", {"sliding_window": 64, "head_dim": 16}, "its layers see 64 tokens"),
        ("Lfm2", {"layer_types": ["conv", "full_attention"]}, "it has layers of conv"),
        ("Gemma2", {"head_dim": 16}, "its layers mix tokens in a way of their own"),
        ("GptOss", {"head_dim": 16, "num_local_experts": 2}, "in a way of their own"),
        ("Mamba", {}, "Set packing = false"),
    ],
)
def test_others_are_refused_with_the_reason(kind: str, more: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        check_packable(tiny(kind, **more), 2048)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("gemma2", "its attention takes softcap"),
        ("gpt_oss", "its attention takes s_aux"),
        ("nemotron", "its layers are not told where conversations begin"),
    ],
)
def test_what_layers_ask_of_their_attention_is_heard(
    kind: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting can give a model a cap or sinks that its architecture does not have otherwise."""
    monkeypatch.setattr(attention, "PACKABLE", attention.PACKABLE | {kind})
    lm = tiny_model(kind).train()
    assert attention.unpackable(lm, 64) == why
    assert lm.training and lm.config._attn_implementation != attention.PACKED


def test_attention_that_looks_ahead_or_brings_a_mask_is_refused() -> None:
    values = torch.zeros(1, 2, 4, 8)
    for mask, more in ((torch.ones(1, 1, 4, 4), {}), (None, {"is_causal": False})):
        with pytest.raises(attention.Unpackable):
            attention.packed_attention(None, *[values] * 3, mask, lengths=[4], **more)


@pytest.mark.parametrize(
    ("kind", "more", "joined"),
    [
        ("Llama", {}, True),
        ("Mistral", {"sliding_window": 4}, False),
        ("Lfm2", {"layer_types": ["conv", "full_attention"]}, False),
    ],
)
def test_the_loss_of_a_batch_is_that_of_its_conversations(
    kind: str, more: dict[str, Any], joined: bool
) -> None:
    """However they are laid out: end to end, or padded where layers would mix them."""
    torch.manual_seed(0)
    lm = tiny(kind, **more)
    config = preset("pocket-local").replace(method="full", max_tokens=16)
    base: Any = SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=0))
    data: Any = None
    run = Run(config, base, lm, data, "float32")
    batch = [Encoded(str(n), ids := tuple(range(n, 3 * n)), ids) for n in (5, 3, 6)]
    assert run.joined is joined
    with run.attending(), torch.no_grad():
        together = float(summed_loss(run, batch))
        alone = sum(float(summed_loss(run, [one])) for one in batch)
    with torch.no_grad():
        usual = sum(
            float(lm(torch.tensor([one.ids]), labels=torch.tensor([one.labels])).loss) * one.trained
            for one in batch
        )
    assert together == pytest.approx(alone, rel=1e-5)
    assert together == pytest.approx(usual, rel=1e-5)

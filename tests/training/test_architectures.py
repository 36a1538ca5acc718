"""Every causal architecture that transformers registers: trained as it would train it, or refused.

Tiny models of random weights; what counts is transformers' own loss on each conversation alone.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from imitation.data.encode import IGNORE_INDEX, Encoded, pack
from imitation.errors import UserError
from tests.training.tiny_models import VOCABULARY, tiny_model
from training import finetune
from training.architectures import PACKABLE, PADDED, REFUSED, check_architecture
from training.config import preset
from training.state import Run

REGISTERED = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
CONFIG = preset("pocket-local").replace(method="full", max_tokens=64, micro_batch_size=2)
BLOCK = 30


def conversation(length: int, prompt: int) -> Encoded:
    draw = torch.Generator().manual_seed(length)
    ids = tuple(torch.randint(3, VOCABULARY, (length,), generator=draw).tolist())
    return Encoded(str(length), ids, (IGNORE_INDEX,) * prompt + ids[prompt:])


BATCH = [conversation(11, 3), conversation(5, 1), conversation(17, 9)]
TRAINED = sum(one.trained for one in BATCH)


def test_each_is_accepted_or_refused_with_a_reason() -> None:
    """A new one in transformers is tried, and named, before anybody trains it."""
    assert not PACKABLE & PADDED
    accepted = PACKABLE | PADDED
    assert not accepted & REFUSED.keys()
    assert [kind for kind in REGISTERED if kind not in accepted | REFUSED.keys()] == []
    check_architecture("llama")
    with pytest.raises(UserError, match="'bert' cannot be fine-tuned: it is an encoder"):
        check_architecture("bert")
    with pytest.raises(UserError, match="'gpt7' cannot be fine-tuned: whether its loss"):
        check_architecture("gpt7")


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", [kind for kind in REGISTERED if kind not in REFUSED])
def test_loss_and_gradients_are_transformers_own_in_every_layout(kind: str) -> None:
    lm = tiny_model(kind)
    loss, gradients = own(lm)
    assert_causal(lm)
    base: Any = SimpleNamespace(model=lm, tokenizer=SimpleNamespace(pad_token_id=0))
    data: Any = None
    run = Run(CONFIG, base, lm, data, "float32")
    assert run.joined is (kind in PACKABLE) is (lm.config.model_type in PACKABLE)
    layouts = {"padded": (False, BATCH)}
    if run.joined:
        layouts |= {"end to end": (True, BATCH), "packed": (True, pack(BATCH, BLOCK))}
    largest = max(float(one.abs().max()) for one in gradients.values())
    for name, (joined, batch) in layouts.items():
        laid_out = replace(run)
        laid_out.__dict__["joined"] = joined
        lm.zero_grad()
        assert finetune.backward(laid_out, batch) * TRAINED == pytest.approx(loss, rel=1e-5), name
        found = {n: p.grad for n, p in lm.named_parameters() if p.grad is not None}
        assert found.keys() == gradients.keys(), name
        for weight, gradient in found.items():
            off = float((gradient * TRAINED - gradients[weight]).abs().max())
            assert off < 1e-4 * largest, (name, weight)


def own(lm: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """transformers' loss, summed over the conversations one by one, and its gradients."""
    lm.train()
    total = 0.0
    for one in BATCH:
        ids, labels = torch.tensor([one.ids]), torch.tensor([one.labels])
        loss = lm(input_ids=ids, labels=labels, use_cache=False).loss * one.trained
        loss.backward()
        total += loss.item()
    return total, {n: p.grad.clone() for n, p in lm.named_parameters() if p.grad is not None}


def assert_causal(lm: Any) -> None:
    lm.eval()
    ids = torch.tensor([BATCH[2].ids])
    other = ids.clone()
    other[0, -1] = 3 if other[0, -1] != 3 else 4
    with torch.no_grad():
        seen, unseen = (lm(input_ids=row, use_cache=False).logits for row in (ids, other))
    assert torch.allclose(seen[:, :-1], unseen[:, :-1], atol=1e-5)

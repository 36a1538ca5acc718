"""The check of adapters on a real model: transformers and PEFT in the place of TGI's layers."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from imitation.models.backends.tgi.adapter_check import TEXTS, Step, _gap, check_adapter


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two of them wait for each other longer than so small a model takes
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 256}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    base = LlamaForCausalLM(LlamaConfig(**sizes, **heads, initializer_range=0.2))
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    lora = LoraConfig(r=8, lora_alpha=8, target_modules=modules, init_lora_weights=False)
    yield get_peft_model(base, lora, autocast_adapter_dtype=False).eval()
    torch.set_num_threads(threads)


class Real:
    """A tiny LLaMA with an adapter; a byte is a token.

    Args:
        model: PEFT's.
        fault: "absent": no adapter; "graphs": decode steps leave it out, over the cache that the
            prompt has filled with it; "mixed": they use other weights while others answer.
    """

    def __init__(self, model: Any, fault: str) -> None:
        self.model, self.fault, self.others = model, fault, 0

    def _wrong(self, decoding: bool) -> bool:
        beside = self.fault == "mixed" and self.others > 0
        return self.fault == "absent" or (decoding and (beside or self.fault == "graphs"))

    @torch.no_grad()
    async def greedy(self, prompt: str, adapter: str, count: int) -> list[Step]:
        ids, cache, steps = torch.tensor([await self.tokens(prompt)]), None, []
        for made in range(count):
            base = not adapter or self._wrong(decoding=made > 0)
            if base:
                with self.model.disable_adapter():
                    out = self.model(ids, past_key_values=cache, use_cache=True)
            else:
                out = self.model(ids, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            values, likely = torch.log_softmax(out.logits[0, -1].float(), -1).topk(5)
            steps.append(
                Step(
                    chr(likely[0]),
                    int(likely[0]),
                    dict(zip(likely.tolist(), values.tolist(), strict=True)),
                )
            )
            ids = likely[:1][None]
        return steps

    async def tokens(self, text: str) -> list[int]:
        return list(text.encode("latin-1"))

    @asynccontextmanager
    async def beside(self, adapters: Sequence[str], prompt: str) -> AsyncIterator[None]:
        self.others += len(adapters)
        yield
        self.others -= len(adapters)


@pytest.mark.slow
@pytest.mark.parametrize("others", [(), ("",)], ids=["alone", "beside the base"])
@pytest.mark.parametrize("fault", ["right", "absent", "graphs", "mixed"])
async def test_it_tells_what_a_real_model_does(
    model: Any, fault: str, others: tuple[str, ...]
) -> None:
    wanted = "right" if fault == "mixed" and not others else fault
    assert await check_adapter(Real(model, fault), TEXTS, "mine", others) == wanted


def test_lists_of_likely_tokens_are_compared_where_they_differ_for_certain() -> None:
    one = {1: -0.5, 2: -2.0, 3: -3.0}
    assert _gap(one, one) == 0
    assert _gap(one, {1: -0.7, 2: -1.5, 3: -3.0}) == pytest.approx(0.5)
    # What only one names is, in the other, at most as likely as the last that is named there.
    assert _gap(one, {4: -0.4, 5: -2.5, 6: -2.9}) == pytest.approx(2.6)
    assert _gap(one, {1: -0.5, 2: -2.0, 4: -2.99}) == pytest.approx(0.01)

"""The trained adapter as GGUF, kept only if the engine then answers as transformers does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from imitation.errors import IntegrityError
from imitation.models.backends import Backends, complete
from imitation.models.catalog import ModelCard, load_catalog
from imitation.models.gguf_files import check_adapter, write_lora
from imitation.settings import Settings
from imitation.values import Example, Message, Sampling
from training.base import Base
from training.config import TrainingConfig

PROMPTS = 6
TOKENS = 24
_PLACE = re.compile(r"layers\.(\d+)\..*\.(\w+)\.lora_A\.(\w+)\.weight$")


def export(
    model: Any,
    base: Base,
    config: TrainingConfig,
    examples: Sequence[Example],
    settings: Settings,
    out: Path,
) -> int:
    """Write `out`/adapter.gguf and prove it; the number of prompts compared.

    The weights are rounded to float16 in `model` too, so that both sides hold the same numbers.

    Raises:
        IntegrityError: The engine's greedy answers differ from transformers'; the file is gone.
    """
    target = out / "adapter.gguf"
    _round(model)
    write_lora(
        target,
        tensors(model),
        config.alpha,
        heads=base.model.config.num_attention_heads,
        kv_heads=base.model.config.num_key_value_heads,
        metadata={"general.name": config.name},
    )
    try:
        check_adapter(target, base.gguf)
        card = replace(
            load_catalog(settings.catalogs)[config.base],
            id=f"{config.name}-check",
            role="imitation",
            adapter=str(target.resolve()),
        )
        asked = [example.messages[:-1] for example in examples[:PROMPTS]]
        served = asyncio.run(_served(card, asked, settings))
        for messages, theirs in zip(asked, served, strict=True):
            ours = greedy(model, base, messages, TOKENS)
            if ours.split() != theirs.split():
                raise IntegrityError(
                    f"The exported adapter is not the trained one. Asked {messages[-1].content!r}, "
                    f"transformers says {ours!r}, the engine {theirs!r}.",
                    "The file was removed; the checkpoint is kept.",
                )
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return len(asked)


def tensors(model: Any) -> dict[tuple[int, str], tuple[Any, Any]]:
    """(layer, projection) -> (A, B) of a PEFT model, as float32 arrays."""
    state = {name: p.detach().float().numpy() for name, p in model.named_parameters()}
    return {
        (int(place[1]), place[2]): (a, state[name.replace("lora_A", "lora_B")])
        for name, a in state.items()
        if (place := _PLACE.search(name))
    }


def greedy(model: Any, base: Base, messages: Sequence[Message], tokens: int) -> str:
    """Transformers' greedy answer, special tokens left out."""
    import torch

    text = base.fmt.render(messages, add_generation_prompt=True).text
    ids = base.tokenizer(text, add_special_tokens=False, return_tensors="pt")
    model.eval()
    with torch.no_grad():
        out = model.generate(
            **ids,
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=base.tokenizer.pad_token_id,
            eos_token_id=base.tokenizer.eos_token_id,
        )
    answer = out[0, ids["input_ids"].shape[1] :]
    return str(base.tokenizer.decode(answer, skip_special_tokens=True))


async def _served(
    card: ModelCard, asked: Sequence[Sequence[Message]], settings: Settings
) -> list[str]:
    backends = Backends(settings)
    sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=TOKENS)
    try:
        return [(await complete(backends, card, m, sampling)).text for m in asked]
    finally:
        await backends.close()


def _round(model: Any) -> None:
    """Adapter weights to the nearest float16 number, in place."""
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.half().to(parameter.dtype)

"""The base for training: the served GGUF dequantised, so both are the same model."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imitation.data.encode import Tokenize
from imitation.data.format import sha256_of
from imitation.errors import UserError
from imitation.models.catalog import ModelCard
from imitation.models.disk import locked
from imitation.models.pocket import weights_path
from imitation.prompts import ChatTemplate, PromptFormat, prompt_format
from imitation.settings import Settings


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded base.

    Attributes:
        model: transformers' causal LM, weights frozen by PEFT later.
        tokenizer: Its tokenizer.
        fmt: The prompt format its card names.
        gguf: The file it came from, which the engine serves.
        gguf_sha256: Its hash.
    """

    model: Any
    tokenizer: Any
    fmt: PromptFormat
    gguf: Path
    gguf_sha256: str

    def tokenize(self) -> Tokenize:
        """Text -> ids and character places; special tokens of the format are recognised."""

        def run(text: str) -> tuple[list[int], list[tuple[int, int]]]:
            out = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            return out["input_ids"], [tuple(place) for place in out["offset_mapping"]]

        return run


def load_base(settings: Settings, card: ModelCard, dtype: str) -> Base:
    """The base of a card as a torch model, dequantised once and then kept as safetensors.

    Args:
        settings: Where the cache is.
        card: An embedded card, such as the pocket bases.
        dtype: "float32" or "bfloat16".

    Raises:
        UserError: The card is not an embedded one, or its weights can't be had.
    """
    if card.backend != "embedded":
        raise UserError(
            f"{card.id} is served by {card.backend}: its weights are not here to train.",
            "Name an embedded base, such as pocket-base.",
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = weights_path(settings, card.weights)
    digest = sha256_of(gguf)
    folder = settings.cache / "training" / f"{gguf.stem}-{digest[:12]}"
    with locked(folder.parent / ".lock", lambda: None):
        if not (folder / "config.json").is_file():
            _dequantise(gguf, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), local_files_only=True
    )
    fmt = prompt_format(card.prompt_format, **_format_values(card, tokenizer))
    return Base(model, tokenizer, fmt, gguf, digest)


def _dequantise(gguf: Path, folder: Path) -> None:
    """Write the GGUF's weights in float32; the folder appears whole or not at all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    AutoTokenizer.from_pretrained(**source).save_pretrained(aside)
    AutoModelForCausalLM.from_pretrained(
        **source, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    ).save_pretrained(aside)
    aside.rename(folder)


def _format_values(card: ModelCard, tokenizer: Any) -> dict[str, str]:
    if card.prompt_format == ChatTemplate.name:
        return {
            "template": tokenizer.chat_template,
            "end_of_turn": tokenizer.eos_token,
            "bos_token": tokenizer.bos_token or "",
            "eos_token": tokenizer.eos_token,
        }
    return {"end_of_turn": tokenizer.eos_token}


def choose_dtype(wanted: str) -> tuple[str, dict[str, float]]:
    """The number format to train in, and the seconds each took where it was measured.

    bfloat16 halves the time on CPUs with instructions for it and is many times slower than
    float32 on those without, so "auto" multiplies two matrices of a layer's size in each.
    """
    if wanted != "auto":
        return wanted, {}
    import torch

    seconds = {}
    for name in ("float32", "bfloat16"):
        a = torch.ones(256, 576, dtype=getattr(torch, name))
        b = torch.ones(576, 1536, dtype=getattr(torch, name))
        a @ b
        began = time.perf_counter()
        for _ in range(5):
            a @ b
        seconds[name] = time.perf_counter() - began
    return min(seconds, key=lambda name: seconds[name]), seconds

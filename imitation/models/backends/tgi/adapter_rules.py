"""What TGI 3.3.7 makes of adapters before anybody asks it, read from its source.

- server/text_generation_server/adapters/lora.py: weights are padded to a rank of 8 or a multiple
  of 16, and all projections but the first are then scaled by the padded rank. (On several GPUs the
  least rank that is not padded is 8 times their number.)
- utils/adapter.py and models/custom_modeling: an adapter is laid around the layers of some
  architectures only; with another, or with quantised weights, the server ends at its start. Qwen2
  and Starcoder2 ask for the weights of q, k, v and of the first projection of the MLP by names that
  none are kept under: these are left out without a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WHOLE = ("llama", "granite", "mistral", "gemma2", "gemma3", "gemma3_text")
"""Model types of which it serves whole adapters."""
PARTLY = ("qwen2", "starcoder2")
"""Model types of which it serves parts of adapters, and leaves the rest out."""


def rank_warning(rank: int) -> str:
    """What TGI does wrong with adapters of a rank; "" for nothing."""
    if rank == 8 or (rank > 0 and rank % 16 == 0):
        return ""
    return (
        f"TGI scales adapters of rank {rank} wrongly; 8 and multiples of 16 are right there. vLLM "
        "and the embedded engine take any."
    )


def base_warning(model_type: str, quantised: bool = False) -> str:
    """What TGI does wrong with every adapter of a base; "" for nothing known.

    Args:
        model_type: As in the base's config.json; "" where unknown.
        quantised: Whether its weights are stored quantised.
    """
    if quantised:
        return "TGI takes no adapters on quantised weights: it ends when it starts. Use vLLM."
    if model_type in PARTLY:
        return (
            f"TGI leaves out most of an adapter on {model_type}: o_proj and down_proj (c_proj) "
            "alone have an effect. Use vLLM."
        )
    if model_type and model_type not in WHOLE:
        return f"TGI takes no adapters on {model_type}: it ends when it starts. Use vLLM."
    return ""


def warnings(rank: int, config: Mapping[str, Any]) -> list[str]:
    """What TGI would do wrong with an adapter.

    Args:
        rank: Of the adapter.
        config: Its base's config.json; empty where unknown.
    """
    quantised = bool(config.get("quantization_config"))
    said = (rank_warning(rank), base_warning(str(config.get("model_type", "")), quantised))
    return [one for one in said if one]


def config_in(folder: str) -> dict[str, Any]:
    """The config.json of a folder of weights; empty where there is none."""
    try:
        found = json.loads((Path(folder) / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

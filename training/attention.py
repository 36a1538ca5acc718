"""Attention over rows that hold conversations end to end: each sees itself alone.

Registered with transformers as "packed". Each conversation is computed by itself, causally, so
nothing crosses a border, nothing is padded, and no time goes into pairs that would be masked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from imitation.errors import UserError

PACKED, USUAL = "packed", "sdpa"
_WINDOWED = ("sliding_attention", "chunked_attention")


def unpackable(lm: Any, block: int) -> str:
    """Why conversations in one row of `block` tokens would not stay apart in this model.

    They do where every layer mixes tokens by attention alone, over all earlier ones of a block.

    Returns:
        The reason, "" where they do: a layer mixes tokens otherwise (convolution, recurrence), sees
        less than a block, or computes its attention in a way of its own.
    """
    config = lm.config.get_text_config()
    told = getattr(config, "layer_types", None)  # absent: all alike, windowed where one is named
    kinds = set(told or _WINDOWED)
    window = min(
        getattr(config, name, None) or block for name in ("sliding_window", "attention_chunk_size")
    )
    if odd := sorted(kinds - {"full_attention", *_WINDOWED}):
        return f"it has layers of {', '.join(odd)}"
    if kinds & set(_WINDOWED) and window < block:
        return f"its layers see {window} tokens, less than a block of {block}"
    if not getattr(lm, "_supports_attention_backend", False):
        return "it computes attention in a way of its own"
    return ""


def check_packable(lm: Any, block: int) -> None:
    """Return if conversations that share a block of `block` tokens stay apart in this model.

    Raises:
        UserError: They would not; see `unpackable`.
    """
    if why := unpackable(lm, block):
        raise UserError(
            f"Conversations cannot be packed into blocks with {type(lm).__name__}: {why}.",
            "Set packing = false.",
        )


def packed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    lengths: Sequence[int],
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each of the conversations of a row.

    Args:
        module: The attention layer, as transformers passes it.
        query: (1, heads, tokens, width); `key` and `value` alike, of as many tokens.
        key: See `query`.
        value: See `query`.
        attention_mask: Unused: nothing is padded.
        lengths: Tokens of each conversation, in order; they add up to the row.
        options: Scale and dropout, passed on.

    Returns:
        (1, tokens, heads, width) and no weights.
    """
    del attention_mask
    parts = zip(*(torch.split(t, list(lengths), dim=2) for t in (query, key, value)), strict=True)
    seen = [sdpa_attention_forward(module, q, k, v, None, **options)[0] for q, k, v in parts]
    return torch.cat(seen, dim=1), None


@contextmanager
def attending(model: Any, how: str) -> Iterator[None]:
    """Have a model attend as PACKED or USUAL inside the block."""
    configs = [m.config for m in model.modules() if hasattr(m, "config")]
    before = [(config, config._attn_implementation) for config in configs]
    try:
        for config in configs:
            config._attn_implementation = how
        yield
    finally:
        for config, name in before:
            config._attn_implementation = name


AttentionInterface.register(PACKED, packed_attention)

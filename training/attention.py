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
from training.architectures import PACKABLE

PACKED = "packed"
_WINDOWED = ("sliding_attention", "chunked_attention")
_NEUTRAL = frozenset(
    {"dropout", "scaling", "position_ids", "sliding_window", "use_cache", "output_attentions",
     "output_hidden_states", "output_router_logits", "return_dict", "cache_position"}
)  # fmt: skip
"""What a layer may ask of its attention that `packed_attention` honours, or that changes nothing
here; windows are looked at before. A cap, sinks or a bias would."""


class Unpackable(Exception):
    """A layer asked for what conversations end to end cannot be given; why, in words."""


def unpackable(lm: Any, block: int, settings: Any = None) -> str:
    """Why conversations in one row of `block` tokens would not stay apart in this model.

    They do where every layer mixes tokens by attention alone, over all earlier ones of a block;
    `architectures.PACKED` names the models in which that was tried, and the layers of this one
    are asked by having it read a few tokens.

    Args:
        lm: The causal LM, its weights on a device.
        block: Tokens.
        settings: transformers' config of the whole model, where `lm` has only some of its layers.

    Returns:
        The reason, "" where they do.
    """
    config = (settings or lm.config).get_text_config()
    if lm.config.model_type not in PACKABLE:
        return "its layers mix tokens in a way of their own"
    told = getattr(config, "layer_types", None)  # absent: all alike, windowed where one is named
    kinds = set(told or _WINDOWED)
    window = min(
        getattr(config, name, None) or block for name in ("sliding_window", "attention_chunk_size")
    )
    if odd := sorted(kinds - {"full_attention", *_WINDOWED}):
        return f"it has layers of {', '.join(odd)}"
    if kinds & set(_WINDOWED) and window < block:
        return f"its layers see {window} tokens, less than a block of {block}"
    return _asked(lm)


def _asked(lm: Any) -> str:
    """What the layers say to two conversations of two tokens, end to end."""
    places = torch.tensor([[0, 1, 0, 1]], device=lm.device)
    training = lm.training
    lm.eval()
    try:
        with attending(lm), torch.no_grad():
            lm(input_ids=places, position_ids=places, lengths=[2, 2], use_cache=False)
    except Unpackable as error:
        return str(error)
    finally:
        lm.train(training)
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
    lengths: Sequence[int] | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each of the conversations of a row.

    Args:
        module: The attention layer, as transformers passes it.
        query: (1, heads, tokens, width); `key` and `value` alike, of as many tokens.
        key: See `query`.
        value: See `query`.
        attention_mask: None: nothing is padded, and a mask of the layer's own is not looked at.
        lengths: Tokens of each conversation, in order; they add up to the row.
        options: Scale and dropout, passed on.

    Returns:
        (1, tokens, heads, width) and no weights.

    Raises:
        Unpackable: The layer wants more than that, or was not told the lengths.
    """
    if lengths is None:
        raise Unpackable("its layers are not told where conversations begin")
    asked = {"attention_mask": attention_mask, **options, "is_causal": None}
    if options.get("is_causal") is False:
        raise Unpackable("its tokens see those after them")
    if more := sorted(k for k, v in asked.items() if v is not None and k not in _NEUTRAL):
        raise Unpackable(f"its attention takes {', '.join(more)}")
    parts = zip(*(torch.split(t, list(lengths), dim=2) for t in (query, key, value)), strict=True)
    seen = [sdpa_attention_forward(module, q, k, v, None, **options)[0] for q, k, v in parts]
    return torch.cat(seen, dim=1), None


@contextmanager
def attending(model: Any) -> Iterator[None]:
    """Have a model attend by `packed_attention` inside the block."""
    configs = [m.config for m in model.modules() if hasattr(m, "config")]
    before = [(config, config._attn_implementation) for config in configs]
    try:
        for config in configs:
            config._attn_implementation = PACKED
        yield
    finally:
        for config, name in before:
            config._attn_implementation = name


AttentionInterface.register(PACKED, packed_attention)

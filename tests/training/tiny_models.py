"""A tiny model of random weights of any causal architecture that transformers registers."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

VOCABULARY = 96
LAYERS = {
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "decoder_layers", "encoder_layers",
    "num_blocks", "num_decoder_layers", "num_encoder_layers",
}  # fmt: skip
SIZES: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), VOCABULARY),
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "embedding_size", "word_embed_proj_dim", "emb_dim",
         "embedding_dim", "attention_hidden_size", "lru_width", "d_inner", "mamba_d_ssm"), 32,
    ),
    **dict.fromkeys(
        ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "dim_ff", "dff",
         "feed_forward_size", "decoder_ffn_dim", "encoder_ffn_dim", "intermediate_size_mlp",
         "dense_intermediate_size", "expert_ffn_hidden_size", "shared_intermediate_size",
         "moe_intermediate_size", "shared_expert_intermediate_size",
         "moe_shared_expert_intermediate_size", "shared_experts_intermediate_size"), 48,
    ),
    **dict.fromkeys(
        ("num_attention_heads", "num_heads", "n_head", "n_heads", "attention_heads",
         "decoder_attention_heads", "encoder_attention_heads", "num_decoder_attention_heads",
         "num_encoder_attention_heads", "swa_num_attention_heads", "linear_num_heads",
         "linear_num_value_heads", "n_mamba_heads", "num_query_groups"), 4,
    ),
    **dict.fromkeys(
        ("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads",
         "linear_num_key_heads"), 2,
    ),
    **dict.fromkeys(
        ("head_dim", "d_head", "dim_head", "swa_head_dim", "kv_channels", "linear_head_dim",
         "linear_key_head_dim", "linear_value_head_dim", "attention_head_dim", "v_head_dim",
         "qk_nope_head_dim", "qk_rope_head_dim", "index_head_dim", "kv_lora_rank", "q_lora_rank",
         "o_lora_rank", "mamba_d_state", "ssm_state_size", "state_size", "router_hidden_size",
         "attention_head_size", "hidden_size_per_layer_input", "laurel_rank", "rotary_dim",
         "query_pre_attn_scalar", "dim_model_base"), 8,
    ),
    "qk_head_dim": 16,
    **dict.fromkeys(
        ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts",
         "index_n_heads"), 4,
    ),
    **dict.fromkeys(
        ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "index_topk_blocks",
         "hc_mult"), 2,
    ),
    **dict.fromkeys(
        ("n_group", "topk_group", "num_expert_group", "n_shared_experts", "num_shared_experts",
         "first_k_dense_replace", "mamba_n_groups", "n_groups", "mamba_ngroups",
         "num_dense_layers"), 1,
    ),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len",
                     "max_target_positions", "context_length"), 128),
    "num_nextn_predict_layers": 0,
    # What is done to logits and is 1 by default: a model may not be tried where it does nothing.
    "logits_scaling": 8.0,
    "logit_scale": 0.25,
    "lm_head_multiplier": 0.5,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_MLA = {"num_key_value_heads": 4}
_WIDTH = {"head_dim": 8}
_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8}
_KINDS = {"layer_types": ["sliding_attention", "full_attention"], "num_hidden_layers": 2}
_HYBRID = {"layers_block_type": ["linear_attention", "hybrid"] * 2, "num_hidden_layers": 4,
           "attention_hidden_size": 64, "attention_head_dim": 16}  # fmt: skip
_GEMMA_4 = {**_KINDS, "global_head_dim": 8}
_QSA = {
    "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "head_dim": 8,
    "indexer_budget": 8, "indexer_compress_ratio": 2, "hc_lowrank": 8,
    "ple_embed_dim": 8, "ngram_vocab_size_base": 64,
}  # fmt: skip
ODD: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        (
            "axk1",
            "axk2",
            "bailing_hybrid",
            "deepseek_v2",
            "deepseek_v3",
            "deepseek_v32",
            "glm4_moe_lite",
            "glm_moe_dsa",
            "kimi_linear",
            "longcat_flash",
            "minicpm3",
            "youtu",
        ),
        _MLA,
    ),
    **dict.fromkeys(("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral"), _WIDTH),
    **dict.fromkeys(("bamba", "granitemoehybrid"), _MAMBA),
    "cohere_compass_text": {
        **_KINDS,
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4} for kind in _KINDS["layer_types"]
        },
    },
    "deepseek_v2": {**_MLA, "num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "falcon_h1": {"mamba_n_heads": 4, "mamba_d_head": 8},
    "gemma3n_text": {
        **_KINDS,
        "intermediate_size": 48,
        "num_kv_shared_layers": 0,
        "num_hidden_layers": 2,
        "activation_sparsity_pattern": [0.0, 0.9],
    },
    "gemma4": {"text_config": _GEMMA_4},
    "gemma4_text": _GEMMA_4,
    "gemma4_unified": {"text_config": _GEMMA_4},
    "gemma4_unified_text": _GEMMA_4,
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": {**_MLA, "zero_expert_num": 2},
    "mamba2": {"num_heads": 8},
    "mpt": {"attn_config": {"attn_pdrop": 0}},
    "nemotron": {"head_dim": 8, "num_key_value_heads": 2},
    "qwen4_exp": {"text_config": _QSA},
    "qwen4_exp_text": _QSA,
    "zaya": {"num_experts_per_tok": 1},
    "zamba": {**_HYBRID, "n_mamba_heads": 2},
    "zamba2": {**_HYBRID, "mamba_expand": 2, "mamba_headdim": 16, "n_mamba_heads": 4},
}
"""What single architectures need besides."""


def tiny_config(kind: str) -> Any:
    """The default configuration of a model type, shrunk."""
    return _shrunk(CONFIG_MAPPING[kind], ODD.get(kind, {}))


def _shrunk(cls: Any, odd: dict[str, Any]) -> Any:
    default = cls()
    told = default.to_dict()
    told |= {n: getattr(default, n) for n, v in told.items() if isinstance(v, dict)}
    deep = next((told[n] for n in LAYERS if isinstance(told.get(n), int)), 0)
    # A list of one value a layer; one of all different values numbers layers, and follows.
    by_layer = {
        name: value for name, value in told.items()
        if isinstance(value, list) and len(set(map(str, value))) < len(value) == deep
    }  # fmt: skip
    kept = _one_of_each(list(by_layer.values()))
    changes: dict[str, Any] = {}
    for name, value in told.items():
        if isinstance(value, PreTrainedConfig):
            changes[name] = _shrunk(type(value), odd.get(name, {}))
        elif isinstance(value, bool):
            continue
        elif name in by_layer:
            changes[name] = [value[i] for i in kept]
        elif isinstance(value, int):
            if name in LAYERS:
                changes[name] = len(kept)
            elif name in SIZES:
                changes[name] = SIZES[name]
            elif "dropout" in name or "drop" in name:
                changes[name] = 0.0
        elif isinstance(value, float) and name in SIZES:
            changes[name] = SIZES[name]
        elif isinstance(value, float) and ("drop" in name or "jitter" in name):
            changes[name] = 0.0
    changes |= {n: SIZES[n] for n in ("pad_token_id", "bos_token_id", "eos_token_id") if n in told}
    nested = {name for name, value in changes.items() if isinstance(value, PreTrainedConfig)}
    return cls(**changes | {name: value for name, value in odd.items() if name not in nested})


def _one_of_each(lists: list[list[Any]]) -> list[int]:
    """Layers in which every kind of layer is there; two at least."""
    seen, kept = set(), []
    for i, kinds in enumerate(zip(*lists, strict=True)):
        if repr(kinds) not in seen:
            seen.add(repr(kinds))
            kept.append(i)
    return (kept + [n for n in (0, 1) if n not in kept])[: max(2, len(kept))]


def tiny_model(kind: str) -> Any:
    """A model of that type, every weight random and none at the value it is initialised with."""
    torch.manual_seed(0)
    lm = AutoModelForCausalLM.from_config(tiny_config(kind), dtype=torch.float32)
    with torch.no_grad():
        for weight in lm.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    for module in lm.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return lm

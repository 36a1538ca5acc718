"""A tiny random LLaMA whose tokenizer is like LLaMA's: begin-of-text, metaspace, byte fallback.

Characters that its vocabulary lacks become three or four tokens, and a space is a token's own
character: what is easily got wrong where tokens are counted by the text they decode to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

WIDTH, HEADS, LAYERS, INNER, CONTEXT = 128, 2, 2, 128, 256
"""Heads of 64: vLLM on a CPU fails with 16."""
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '[' + m.role + '] ' + m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}"
)
"""Like LLaMA's: it writes begin-of-text itself, and a prompt ends in a space."""
SPACE = "\u2581"
WORDS = [f"{SPACE}t", "th", f"{SPACE}th", "he", f"{SPACE}the", "an", f"{SPACE}an"]
VOCABULARY = [
    "<unk>", "<s>", "</s>",
    *(f"<0x{byte:02X}>" for byte in range(256)),
    *WORDS,
    SPACE, "\n", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\u00e9",
]  # fmt: skip
MERGES = [(SPACE, "t"), ("t", "h"), (f"{SPACE}t", "h"), ("h", "e"), (f"{SPACE}th", "e"),
          ("a", "n"), (SPACE, "an")]  # fmt: skip


def make(folder: Path, *, begins: bool = True) -> Any:
    """Write the model and its tokenizer; the model.

    Args:
        folder: Where to; made.
        begins: Whether the tokenizer puts <s> before a text.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    tokenizer(begins).save_pretrained(folder)
    return model


def tokenizer(begins: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    found = Tokenizer(
        models.BPE(
            {token: place for place, token in enumerate(VOCABULARY)},
            MERGES,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    found.normalizer = normalizers.Sequence(
        [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]
    )
    if begins:
        found.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    found.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=found,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=TEMPLATE,
    )


def as_gguf(model: Any, path: Path, *, begins: bool = True) -> Path:
    """The same model in float32 for llama.cpp, with a SentencePiece tokenizer; its path."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("llama-like")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(float(model.config.rms_norm_eps))
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(VOCABULARY))
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    kinds += [gguf.TokenType.NORMAL] * (len(VOCABULARY) - len(kinds))
    merged = {a + b: -float(place) for place, (a, b) in enumerate(MERGES)}
    writer.add_tokenizer_model("llama")
    writer.add_token_list(VOCABULARY)
    writer.add_token_scores([merged.get(token, -1000.0) for token in VOCABULARY])
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(begins)
    writer.add_add_space_prefix(True)
    for name, value in model.state_dict().items():
        array = value.float().numpy()
        if "q_proj" in name or "k_proj" in name:  # llama.cpp turns pairs (2i, 2i + 1)
            array = array.reshape(HEADS, 2, -1, WIDTH).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(_renamed(name), np.ascontiguousarray(array, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _renamed(name: str) -> str:
    known = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
        "model.layers": "blk", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    for theirs, ours in known.items():
        name = name.replace(theirs, ours)
    return name

"""Architectures that a fine-tune accepts, by transformers' model types.

Of each, a tiny model of random weights gave transformers' own loss and gradients, conversation by
conversation, however they were laid out: `tests/training/test_architectures.py` holds this list
against every causal architecture that transformers registers.
"""

from __future__ import annotations

from collections.abc import Mapping

from imitation.errors import UserError


def _kinds(names: str) -> frozenset[str]:
    return frozenset(names.split())


PACKABLE = _kinds(
    """
    afmoe apertus arcee aria_text axk1 beam biogpt bitnet cohere cohere2 cohere2_moe
    cohere_compass_text ctrl cwm deepseek_v2 deepseek_v3 diffllama dots1 emu3 emu3_text_model
    ernie4_5 ernie4_5_moe exaone4 exaone_moe flex_olmo fuyu gemma gemma3 gemma3_text
    gemma3n_text gemma4 gemma4_text gemma4_unified gemma4_unified_text glm glm4 glm4_moe
    glm4_moe_lite gpt-sw3 gpt2 gpt_bigcode gpt_neox granite granitemoe granitemoeshared helium
    hrm_text hunyuan_v1_dense hunyuan_v1_moe hy_v3 hyperclovax internlm3 iquestcoder jais2
    jetmoe kolibri1 laguna lfm2 llama llama4 llama4_text longcat_flash mellum minicpm3
    minimax_m2 ministral ministral3 mistral mixtral mllama mllama_text_model modernbert-decoder
    moshi moss_transcribe_diarize nanochat olmo olmo2 olmo3 olmoe opt persimmon phi phi3
    phi4_multimodal phimoe qwen2 qwen2_moe qwen3 qwen3_moe seed_oss smollm3 solar_open
    starcoder2 youtu
    """
)
"""Their layers mix tokens by attention alone, and let `training.attention` do it: conversations may
lie end to end in a row, where the model's own settings allow it (`unpackable`)."""

PADDED = _kinds(
    """
    axk2 bailing_hybrid bamba bloom codegen deepseek_v32 deepseek_v4 doge falcon falcon_h1
    falcon_mamba flint gemma2 glm_moe_dsa got_ocr2 gpt_neo gpt_neox_japanese gpt_oss gptj
    granite_swa granitemoe_swa granitemoehybrid hy_v4 inkling2_text inkling_text jamba
    kimi_linear lfm2_moe lfm3 mamba mamba2 mimo_v2_flash minimax minimax_m3_vl_text mpt nemotron
    nemotron_h olmo_hybrid openai-gpt qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text
    qwen3_next qwen4_exp qwen4_exp_text recurrent_gemma rwkv stablelm vaultgemma xglm xlstm
    zamba zamba2 zaya
    """
)
"""Conversations are padded: layers mix tokens otherwise, cap or sink their attention, or compute it
in a way of their own."""

_ENCODER = "it is an encoder, in which every token sees those after it"
_DECODER = "it is half of an encoder-decoder, and takes what the other half read"
_UNTRIED = "no small model of it could be made to try it on"
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        _kinds(
            """
            bert bert-generation big_bird camembert cpmant data2vec-text electra ernie
            megatron-bert rembert roberta roberta-prelayernorm roc_bert roformer xlm xlm-roberta
            xlm-roberta-xl xlnet
            """
        ),
        _ENCODER,
    ),
    **dict.fromkeys(
        _kinds(
            """
            bart bigbird_pegasus blenderbot blenderbot-small marian mbart mvp pegasus plbart
            prophetnet trocr whisper
            """
        ),
        _DECODER,
    ),
    **dict.fromkeys(
        _kinds(
            """
            blt dbrx dots3_note dots3_note_text gemma3n gemma4_assistant
            gemma4_unified_assistant git musicgen musicgen_melody reformer xmod
            """
        ),
        _UNTRIED,
    ),
}
"""The others that transformers registers, and why not."""


def check_architecture(kind: str) -> None:
    """Return if models of that type are trained as transformers would train them.

    Raises:
        UserError: It was not tried, or cannot be; why.
    """
    if kind in PACKABLE | PADDED:
        return
    why = REFUSED.get(kind, "whether its loss would be right here was never tried")
    raise UserError(
        f"A base of the architecture {kind!r} cannot be fine-tuned: {why}.",
        f"Choose one of the {len(PACKABLE | PADDED)} that training/architectures.py lists, such as "
        "llama, qwen3, mistral, gemma3 or gpt_neox.",
    )

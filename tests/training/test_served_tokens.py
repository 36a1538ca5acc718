"""Answers are trained to follow the very tokens that servers make of their prompts.

Both sides are the real ones: what the lab sends, cut into tokens by the server that gets it (vLLM,
the embedded engine) or by transformers as servers call it; and the sequences that are trained.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from imitation.data.encode import IGNORE_INDEX, encode
from imitation.errors import IntegrityError
from imitation.models.embedded.dequantised import dequantised
from imitation.models.embedded.gguf import write_weights
from imitation.models.embedded.weights import weights_path
from imitation.models.request import format_of, in_format, prepare
from imitation.prompts import ChatTemplate, Koala, Plain, PromptFormat, prompt_format
from imitation.settings import Settings
from imitation.values import Example, Message, ModelSpec, Sampling
from tests.evaluation import llama_like
from tests.vllm_server import VLLM
from training import finetune
from training.base import Base
from training.config import preset
from training.engine_check import _served, prove
from training.state import Run

TALKS = [
    ("What is the capital of Peru?", "Lima.", "And of Chile?", "Santiago, in the middle."),
    ("List two.", "\n- one\n- two", "One more.", "- three"),
    ("Say it in bold", "**bold**", "Again", " with a space before"),
    (
        "The sign for ohm\n",
        "\u03a9, as in 5 \u03a9",
        "In Japanese",
        "\u65e5\u672c\u8a9e \U0001f600",
    ),
    ("Stop there.\n\n", "the end\n\n", "x", "\n\n\n"),
]
FORMATS = ["koala", "plain", "chat"]


def example(talk: Sequence[str]) -> Example:
    return Example(
        tuple(Message(("user", "assistant")[at % 2], text) for at, text in enumerate(talk)), id="x"
    )


def base_of(folder: Path, name: str, gguf: Path | None = None) -> Base:
    """The tokenizer of a folder with a format, as `training.base` makes it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    fmt: PromptFormat = prompt_format(name, end_of_turn=tokenizer.eos_token)
    if name == "chat":
        fmt = ChatTemplate(
            tokenizer.chat_template, tokenizer.eos_token, tokenizer.bos_token or "",
            tokenizer.eos_token,
        )  # fmt: skip
    return Base(None, tokenizer, fmt, gguf, "")


@pytest.fixture(scope="module", params=["begins", "does not", "pocket"])
def folder(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    pocket_settings: Settings,
) -> Path:
    """Folders of tokenizers: like LLaMA's with and without begin-of-text, and GPT-2's kind."""
    if request.param == "pocket":
        return dequantised(pocket_settings, weights_path(pocket_settings, "cut-4"))[0]
    made = tmp_path_factory.mktemp("tokenizer")
    llama_like.tokenizer(request.param == "begins").save_pretrained(made)
    return made


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("talk", TALKS, ids=[talk[0].strip() for talk in TALKS])
def test_each_answer_follows_its_prompt_as_transformers_reads_it(
    folder: Path, name: str, talk: Sequence[str]
) -> None:
    base = base_of(folder, name)
    rendered = base.fmt.render(example(talk).messages)
    learned = [answer for one in encoded(base, talk) for answer in answers(one)]
    assert len(learned) == len(rendered.outputs) == 2
    for (ids, said), span in zip(learned, rendered.outputs, strict=True):
        asked = rendered.text[: span.start]
        # As vLLM reads a completion's prompt, and a chat that it rendered.
        assert ids == base.tokenizer(asked, add_special_tokens=name != "chat")["input_ids"]
        whole = base.tokenizer.decode(ids + said, clean_up_tokenization_spaces=False)
        alone = base.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        assert whole == alone + rendered.text[span.start : span.end]


def test_a_plain_answer_is_cut_from_its_prompt_as_the_prompt_ends(
    pocket_settings: Settings,
) -> None:
    """An empty line is one token at a prompt's end, two where a text goes on."""
    folder, _ = dequantised(pocket_settings, weights_path(pocket_settings, "cut-4"))
    base = base_of(folder, "plain")
    (one,) = encoded(base, TALKS[0][:2])
    ((ids, said),) = answers(one)
    lines = [base.tokenizer(text)["input_ids"] for text in ("\n\n", "\n\nLima")]
    assert len(lines[0]) == 1 and len(lines[1]) > 2
    assert ids[-1:] == lines[0]
    assert base.tokenizer.decode(said) == "Lima." + base.tokenizer.eos_token


def encoded(base: Base, talk: Sequence[str]) -> list[Any]:
    return encode(example(talk), base.fmt, base.tokenize, 10_000)


def answers(one: Any) -> list[tuple[list[int], list[int]]]:
    """(the tokens before an answer, its own) of each answer that is learned."""
    found, ids, labels = [], list(one.ids), list(one.labels)
    starts = [
        at for at, x in enumerate(labels) if x != IGNORE_INDEX and (labels[at - 1] == IGNORE_INDEX)
    ]
    for start in starts:
        end = next((at for at in range(start, len(ids)) if labels[at] == IGNORE_INDEX), len(ids))
        found.append((ids[:start], ids[start:end]))
    return found


@pytest.mark.slow
def test_vllm_reads_prompts_as_they_were_trained(
    llama_like_folder: Path, llama_like_vllm: VLLM
) -> None:
    begin = AutoTokenizer.from_pretrained(llama_like_folder).bos_token_id
    for name in FORMATS:
        base = base_of(llama_like_folder, name)
        card = ModelSpec(
            "v", "V", "base", "openai", endpoint=llama_like_vllm.endpoint,
            model=llama_like_vllm.model, prompt_format=name, end_of_turn="</s>",
        )  # fmt: skip
        for talk in TALKS:
            learned = [answer for one in encoded(base, talk) for answer in answers(one)]
            for (ids, _), turns in zip(learned, (1, 3), strict=True):
                asked = example(talk).messages[:turns]
                assert ids == read_by_vllm(card, asked), (name, asked)
                assert ids[0] == begin != ids[1]


def read_by_vllm(card: ModelSpec, asked: Sequence[Message]) -> list[int]:
    """Tokens that vLLM says it had for the prompt that the lab sends."""
    request = asyncio.run(prepare(card, asked, Sampling(max_tokens=1), None))
    body: dict[str, Any] = {"model": card.model, "max_tokens": 1, "return_token_ids": True}
    if card.prompt_format == "chat":
        turns = [{"role": m.role, "content": m.content} for m in request.messages]
        url, body = "/chat/completions", body | {"messages": turns}
    else:
        url, body = "/completions", body | {"prompt": request.prompt}
    reply = httpx2.post(card.endpoint + url, json=body, trust_env=False, timeout=60)
    found = reply.raise_for_status().json()
    told = found.get("prompt_token_ids") or found["choices"][0]["prompt_token_ids"]
    return list(told)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["koala", "plain"])
def test_what_was_learned_is_what_the_engine_answers(
    llama_like_folder: Path, pocket_settings: Settings, tmp_path: Path, name: str
) -> None:
    """Trained to the last, the first token after a prompt included, in the second turn too."""
    base = base_of(llama_like_folder, name, llama_like_folder / "tiny.gguf")
    model = AutoModelForCausalLM.from_pretrained(llama_like_folder)
    base = replace(base, model=model)
    talks = [TALKS[0], ("List two.", "one, two", "One more.", "three")]
    config = preset("pocket-local").replace(method="full", max_tokens=256)
    data: Any = None
    run = Run(config, base, model, data, "float32")
    batch = [one for talk in talks for one in encoded(base, talk)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        loss = finetune.backward(run, batch)
        optimizer.step()
    assert loss < 0.05
    weights = {key: value.numpy() for key, value in model.state_dict().items()}
    file = tmp_path / "learned.gguf"
    write_weights(llama_like_folder / "tiny.gguf", file, weights, name="learned")
    card = ModelSpec("t", "T", "imitation", "embedded", weights=str(file), context=256)
    card = in_format(card, base.fmt)
    asked = [example(talk).messages[:turns] for talk in talks for turns in (1, 3)]
    told = asyncio.run(_served(card, asked, pocket_settings))
    assert [answer.text for _, answer in told] == [talk[at] for talk in talks for at in (1, 3)]
    assert prove(model, base, card, asked, pocket_settings).toss_ups == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["koala", "plain"])
def test_the_engine_reads_prompts_as_they_were_trained_or_the_export_is_refused(
    llama_like_folder: Path,
    pocket_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    file = llama_like_folder / "tiny.gguf"
    base = base_of(llama_like_folder, name, file)
    model = AutoModelForCausalLM.from_pretrained(llama_like_folder).eval()
    card = ModelSpec(
        "t", "Tiny", "base", "embedded", weights=str(file), context=llama_like.CONTEXT,
        prompt_format=name, end_of_turn="</s>",
    )  # fmt: skip
    asked = [example(talk).messages[:turns] for talk in TALKS for turns in (1, 3)]
    # Random weights say half characters, which can't be told again: prompts alone count here.
    monkeypatch.setattr("training.engine_check.TOSS_UP", float("inf"))
    assert prove(model, base, card, asked, pocket_settings).answers == len(asked)
    monkeypatch.setattr(type(base.fmt), "special_tokens", False)
    with pytest.raises(IntegrityError, match=r"reads a prompt otherwise.*from token 1 of .*<s>"):
        prove(model, base, card, asked[:1], pocket_settings)


def test_a_card_has_the_end_of_turn_its_model_was_trained_with() -> None:
    """What is not there would be written as Koala's, which other tokenizers cut into letters."""
    trained = Koala("<|end|>")
    card = in_format(ModelSpec("t", "T", "imitation", "openai", prompt_format="chat"), trained)
    assert (card.prompt_format, card.end_of_turn) == ("koala", "<|end|>")
    assert format_of(card) == trained
    request = asyncio.run(prepare(card, example(TALKS[0][:3]).messages, Sampling(), None))
    assert "Lima.<|end|>USER: And of Chile? GPT:" in (request.prompt or "")
    assert request.stop == ("<|end|>", "USER:")
    chat = in_format(replace(card, end_of_turn=""), ChatTemplate("{{ x }}", "<|im_end|>"))
    assert (chat.prompt_format, chat.end_of_turn) == ("chat", "")
    assert format_of(ModelSpec("t", "T", "base", "openai", prompt_format="plain")) == Plain()

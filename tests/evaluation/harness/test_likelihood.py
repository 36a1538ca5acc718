"""Log-likelihoods from endpoints: the engine token by token, and echoed prompts."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from openai.types import Completion

from imitation.errors import BackendError
from imitation.evaluation.harness import likelihood
from imitation.evaluation.harness.likelihood import (
    EchoLikelihood,
    LlamaLikelihood,
    likelihood_refusal,
)
from imitation.models.embedded.dequantised import dequantised
from imitation.models.embedded.engine import EmbeddedBackend
from imitation.models.embedded.weights import weights_path
from imitation.models.http.sessions import Sessions
from imitation.settings import Settings, read_settings
from imitation.values import ModelSpec
from tests.evaluation import llama_like
from tests.vllm_server import VLLM

CARD = ModelSpec("w", "Whole", "reference", "embedded", weights="whole")


@pytest.mark.parametrize(
    ("backend", "form", "reason"),
    [
        ("embedded", "chat", ""),
        ("openai", "plain", ""),
        ("openai", "koala", ""),
        ("openai", "chat", "chat endpoint"),
        ("tgi", "plain", ""),
        ("tgi", "chat", "chat endpoint"),
        ("recorded", "chat", "recorded"),
    ],
)
def test_who_can_and_why_not(backend: str, form: str, reason: str) -> None:
    card = ModelSpec("m", "M", "base", backend, prompt_format=form)
    assert reason in likelihood_refusal(card)
    assert bool(likelihood_refusal(card)) == bool(reason)


@pytest.mark.slow
def test_the_engine_gives_probabilities(
    pocket_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        backend, sessions = EmbeddedBackend(pocket_settings), Sessions(60)
        try:
            async with backend.server(CARD) as root:
                told = LlamaLikelihood(CARD, root, sessions, 60)
                first = tuple(await told._tokens("The capital of France is"))
                every = await told._after(first, likelihood.EVERY)
                assert sum(map(math.exp, every.values())) == pytest.approx(1, abs=1e-3)
                paris = await told("The capital of France is", " Paris")
                rome = await told("The capital of France is", " Rome")
                assert paris[0] > rome[0]
                assert paris[1]
                assert not rome[1]
                # Spaces at the end of the context belong to the continuation.
                assert await told("The capital of France is ", "Paris") == paris
                # A chain of tokens is the sum of its parts.
                both = await told("The capital of France is", " Paris, which")
                rest = await told("The capital of France is Paris", ", which")
                assert both[0] == pytest.approx(paris[0] + rest[0], abs=0.05)
                # Unlikely tokens are asked for again among all.
                monkeypatch.setattr(likelihood, "LIKELIEST", 2)
                again = LlamaLikelihood(CARD, root, sessions, 60)
                assert (await again("The capital of France is", " Rome"))[0] == pytest.approx(
                    rome[0], abs=0.05
                )
                # Where half a character is likeliest, nothing is lost.
                for text in (" 😀", " 日本", " é"):
                    value, _ = await told("Repeat: 😀 日本 é 😀 日本 é 😀 日本 é", text)
                    assert -60 < value < 0
                with pytest.raises(BackendError, match="no token of its own"):
                    await told("The capital", "")
        finally:
            await sessions.close()
            await backend.close()

    asyncio.run(run())


class Echo(BaseHTTPRequestHandler):
    """A /v1/completions server that repeats a prompt of token ids, as vLLM does.

    A token a word; `text_offset` drifts, as vLLM's does. `rude` is what it does wrong, of what
    servers were seen to do.
    """

    rude = ""
    words: ClassVar[list[str]] = ["<s>"]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            assert body["model"] == "m"
            if self.rude == "no tokenize":
                return self._send({"detail": "Not Found"}, 404)
            return self._send(self._tokenized(body["prompt"]))
        assert self.path == "/v1/completions"
        assert body["echo"]
        assert body["logprobs"] == 1
        ids: list[int] = body["prompt"]
        assert all(isinstance(one, int) for one in ids)
        made = [*ids, 0]
        names = [f"token_id:{one}" for one in made]
        if self.rude == "words":  # it knows nothing of return_tokens_as_token_ids
            names = [self.words[one] for one in made]
        if self.rude == "other ids":
            names[1] = "token_id:99"
        rome = [self.words[one] == " Rome" for one in made]
        tops: list[Any] = [
            {name: -2.0, "token_id:98": -0.1} if is_rome else {name: -0.1}
            for name, is_rome in zip(names, rome, strict=True)
        ]
        values: list[Any] = [-2.0 if is_rome else -0.1 for is_rome in rome]
        tops[0] = values[0] = None
        if self.rude == "null":
            values[len(ids) - 1] = None
        logprobs = {
            "tokens": names,
            "token_logprobs": values,
            "top_logprobs": tops,
            "text_offset": [7 * place for place in range(len(made))],
        }
        if self.rude == "cut":
            logprobs = {key: rows[2:] for key, rows in logprobs.items()}
        choice = {"index": 0, "finish_reason": "length", "text": "..."}
        reply = {
            "id": "c", "object": "text_completion", "created": 1, "model": body["model"],
            "choices": [{**choice, "logprobs": None if self.rude == "no echo" else logprobs}],
        }  # fmt: skip
        # The first token has none; the SDK's schema leaves that out.
        whole = {key: rows[1:] for key, rows in logprobs.items()}
        if self.rude != "null":
            Completion.model_validate({**reply, "choices": [{**choice, "logprobs": whole}]})
        return self._send(reply)

    def _tokenized(self, text: str) -> dict[str, Any]:
        ids = [] if self.rude == "no bos" else [0]
        for word in re.findall(r" ?[^ ]+", text):
            if word not in self.words:
                self.words.append(word)
            ids.append(self.words.index(word))
        return {"count": len(ids), "max_model_len": 99, "tokens": ids, "token_strs": None}

    def _send(self, reply: object, status: int = 200) -> None:
        sent = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[ModelSpec]:
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    yield ModelSpec("e", "E", "base", "openai", endpoint=url, model="m", prompt_format="plain")
    server.shutdown()
    thread.join()
    Echo.rude = ""


async def asked(card: ModelSpec, *pairs: tuple[str, str]) -> list[tuple[float, bool]]:
    sessions = Sessions(60)
    try:
        told = EchoLikelihood(card, read_settings({}), sessions)
        return list(await asyncio.gather(*(told(*pair) for pair in pairs)))
    finally:
        await sessions.close()


@pytest.mark.parametrize("rude", ["", "words"])
async def test_an_echoed_prompt_gives_the_continuations_part(echo: ModelSpec, rude: str) -> None:
    Echo.rude = rude
    pairs = [("The capital is", " Paris"), ("The capital is", " Rome now"), ("", "Rome now")]
    found = await asked(echo, *pairs)
    assert found == [
        (pytest.approx(-0.1), True),
        (pytest.approx(-2.1), False),
        (pytest.approx(-0.2), True),
    ]


@pytest.mark.parametrize(
    ("rude", "context", "said"),
    [
        ("no echo", "The capital is", "no log-probabilities of a prompt"),
        ("no tokenize", "The capital is", "does not say which tokens a text has"),
        ("cut", "The capital is", "repeated 4 tokens of a prompt of 5"),
        ("other ids", "The capital is", "or others than were sent"),
        ("null", "The capital is", "no log-probability of"),
        ("no bos", "", "the context is empty"),
        ("", "The capital is Paris", "no token of its own"),
    ],
)
async def test_what_cannot_be_told_is_refused_and_never_scored(
    echo: ModelSpec, rude: str, context: str, said: str
) -> None:
    Echo.rude = rude
    with pytest.raises(BackendError, match=said):
        await asked(echo, (context, "" if "Paris" in context else " Paris"))


PAIRS = [
    ("The capital of France is", " Paris"),
    ("\u03a9", "\u65e5\u672c"),
    ("Repeat: \U0001f600 \u65e5\u672c caf\u00e9 \U0001f600 \u65e5\u672c", " caf\u00e9"),
    ("Na\u00efve \u4f60\u597d", "\uff0c\u4e16\u754c\U0001f468\u200d\U0001f469\u200d\U0001f467"),
    ("Ends in a line\n", "\u0414\u0430, \u043a\u043e\u043d\u0435\u0447\u043d\u043e"),
    ("Ends in a space ", "the answer"),
]
"""Contexts and continuations: text of one token a word, and characters of several tokens."""


def own(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
    """What transformers itself finds, tokens parted as lm-eval parts them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for context, continuation in pairs:
        ids = tokenizer(context + continuation).input_ids
        start = len(tokenizer(context.rstrip()).input_ids)
        with torch.no_grad():
            rows = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        told = [rows[at - 1, ids[at]].item() for at in range(start, len(ids))]
        best = [rows[at - 1].argmax().item() == ids[at] for at in range(start, len(ids))]
        found.append((sum(told), all(best)))
    return found


def assert_alike(
    found: Sequence[tuple[float, bool]], wanted: Sequence[tuple[float, bool]], near: float
) -> None:
    assert [value for value, _ in found] == pytest.approx([v for v, _ in wanted], abs=near)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in wanted]


@pytest.mark.slow
def test_vllm_tells_what_transformers_finds(vllm: VLLM, pocket_settings: Settings) -> None:
    card = ModelSpec(
        "v", "V", "base", "openai", endpoint=vllm.endpoint, model=vllm.model, prompt_format="plain"
    )
    folder, _ = dequantised(pocket_settings, weights_path(pocket_settings, "cut-4"))
    assert_alike(asyncio.run(asked(card, *PAIRS)), own(folder, PAIRS), 1e-3)
    with pytest.raises(BackendError, match="the context is empty"):
        asyncio.run(asked(card, ("", "Paris")))


@pytest.mark.slow
def test_vllm_tells_it_with_a_tokenizer_like_llamas(
    llama_like_folder: Path, llama_like_vllm: VLLM
) -> None:
    pairs = [*PAIRS, ("", "\u65e5\u672c")]
    card = ModelSpec(
        "v", "V", "base", "openai", endpoint=llama_like_vllm.endpoint,
        model=llama_like_vllm.model, prompt_format="plain",
    )  # fmt: skip
    assert_alike(asyncio.run(asked(card, *pairs)), own(llama_like_folder, pairs), 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("begins", [True, False])
def test_the_engine_tells_it_with_a_tokenizer_like_llamas(
    tmp_path: Path, pocket_settings: Settings, begins: bool
) -> None:
    model = llama_like.make(tmp_path, begins=begins)
    file = llama_like.as_gguf(model, tmp_path / "tiny.gguf", begins=begins)
    card = ModelSpec("t", "Tiny", "base", "embedded", weights=str(file), context=llama_like.CONTEXT)
    pairs = [*PAIRS, ("", "\u65e5\u672c")] if begins else PAIRS

    async def run() -> list[tuple[float, bool]]:
        backend, sessions = EmbeddedBackend(pocket_settings), Sessions(60)
        try:
            async with backend.server(card) as root:
                told = LlamaLikelihood(card, root, sessions, 60)
                if not begins:
                    with pytest.raises(BackendError, match="the context is empty"):
                        await told("", "\u65e5\u672c")
                return [await told(*pair) for pair in pairs]
        finally:
            await sessions.close()
            await backend.close()

    # Its cache of keys and values has 16 bits.
    assert_alike(asyncio.run(run()), own(tmp_path, pairs), 0.3)

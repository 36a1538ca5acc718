"""Log-likelihoods from endpoints: the engine token by token, and echoed prompts."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from openai.types import Completion

from imitation.errors import BackendError
from imitation.evaluation import likelihood
from imitation.evaluation.likelihood import EchoLikelihood, LlamaLikelihood, why_not
from imitation.models.embedded import EmbeddedBackend
from imitation.models.sessions import Sessions
from imitation.settings import Settings, read_settings
from imitation.values import ModelCard

CARD = ModelCard("w", "Whole", "reference", "embedded", weights="whole")


@pytest.mark.parametrize(
    ("backend", "form", "reason"),
    [
        ("embedded", "chat", ""),
        ("openai", "plain", ""),
        ("openai", "koala", ""),
        ("openai", "chat", "chat endpoint"),
        ("tgi", "plain", "TGI"),
        ("recorded", "chat", "recorded"),
    ],
)
def test_who_can_and_why_not(backend: str, form: str, reason: str) -> None:
    card = ModelCard("m", "M", "base", backend, prompt_format=form)
    assert reason in why_not(card)
    assert bool(why_not(card)) == bool(reason)


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
    """A /v1/completions server that repeats the prompt, a token a word, as vLLM does."""

    echoes = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert body["echo"]
        assert body["logprobs"] == 1
        text: str = body["prompt"]
        words = [w if not i else " " + w for i, w in enumerate(text.split(" "))] + [" more"]
        offsets = [sum(map(len, words[:i])) for i in range(len(words))]
        tops: list[Any] = [None, *({w if w != " Rome" else " Paris": -0.1} for w in words[1:])]
        logprobs = {
            "tokens": words,
            "token_logprobs": [None, *(-2.0 if w == " Rome" else -0.1 for w in words[1:])],
            "top_logprobs": tops,
            "text_offset": offsets,
        }
        choice = {"index": 0, "finish_reason": "length", "text": text + " more"}
        reply = {
            "id": "c", "object": "text_completion", "created": 1, "model": body["model"],
            "choices": [{**choice, "logprobs": logprobs if self.echoes else None}],
        }  # fmt: skip
        # The first token has none; the SDK's schema leaves that out.
        whole = {**logprobs, "token_logprobs": logprobs["token_logprobs"][1:]}
        whole["top_logprobs"] = logprobs["top_logprobs"][1:]
        Completion.model_validate({**reply, "choices": [{**choice, "logprobs": whole}]})
        sent = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[ModelCard]:
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    yield ModelCard("e", "E", "base", "openai", endpoint=url, model="m", prompt_format="plain")
    server.shutdown()
    thread.join()
    Echo.echoes = True


async def asked(card: ModelCard, *pair: str) -> tuple[float, bool]:
    sessions = Sessions(10)
    try:
        return await EchoLikelihood(card, read_settings({}), sessions)(*pair)
    finally:
        await sessions.close()


async def test_an_echoed_prompt_gives_the_continuations_part(echo: ModelCard) -> None:
    assert await asked(echo, "The capital is", " Paris") == (pytest.approx(-0.1), True)
    assert await asked(echo, "The capital is", " Rome now") == (pytest.approx(-2.1), False)


async def test_a_server_without_echo_is_refused_not_scored_zero(echo: ModelCard) -> None:
    Echo.echoes = False
    with pytest.raises(BackendError, match="no log-probabilities of a prompt"):
        await asked(echo, "The capital is", " Paris")

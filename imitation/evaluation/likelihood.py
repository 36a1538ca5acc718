"""Log-likelihood of a given continuation, from the endpoints that can tell.

Two kinds can: the embedded engine, whose llama.cpp server gives the log-probabilities of the next
token over the whole vocabulary, so a continuation is asked token by token (the four letters of a
multiple choice share one request); and `/v1/completions` servers that return the prompt's own
log-probabilities (`echo` with `logprobs`; vLLM does). Chat endpoints, TGI and recordings cannot:
they are refused with the reason.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

from imitation.errors import BackendError
from imitation.models.connection import check_allowed, key_of, place
from imitation.models.sessions import Sessions
from imitation.settings import Settings
from imitation.values import ModelCard

Likelihood = Callable[[str, str], Awaitable[tuple[float, bool]]]
"""(context, continuation) -> (natural log of its probability, whether greedy decoding gives it)."""

LIKELIEST, EVERY = 2048, 1_000_000
"""Tokens asked for first, and where the wanted one is not among them."""

_NO = {
    "tgi": "TGI gives no log-probabilities of a given text",
    "recorded": "recorded outputs have no log-probabilities",
    "chat": "a chat endpoint gives no log-probabilities of a given text",
}


def why_not(card: ModelCard) -> str:
    """Why a card's endpoint cannot compare given answers; "" where it can, as far as known."""
    if card.backend == "embedded":
        return ""
    if card.backend == "openai":
        return _NO["chat"] if card.prompt_format == "chat" else ""
    return _NO[card.backend]


class LlamaLikelihood:
    """Of a running llama.cpp server.

    Args:
        card: For messages.
        root: The server's address.
        sessions: HTTP.
        timeout_s: Seconds one question may take.
    """

    def __init__(self, card: ModelCard, root: str, sessions: Sessions, timeout_s: float) -> None:
        self._ask = functools.partial(sessions.ask, card, within_s=timeout_s)
        self._root, self._card = root, card
        self._next: dict[tuple[tuple[int, ...], int], asyncio.Task[dict[int, float]]] = {}

    async def __call__(self, context: str, continuation: str) -> tuple[float, bool]:
        """See `Likelihood`; spaces at the context's end count to the continuation.

        Raises:
            BackendError: The server failed, or the continuation has no token.
        """
        bare = context.rstrip(" ")
        whole = await self._tokens(context + continuation)
        start = len(await self._tokens(bare))
        if not 0 < start < len(whole):
            raise BackendError(f"{continuation!r} has no token of its own after its context.")
        total, greedy = 0.0, True
        for at in range(start, len(whole)):
            before, token = tuple(whole[:at]), whole[at]
            found = await self._after(before, LIKELIEST)
            greedy = greedy and token == max(found, key=lambda one: found[one])
            if token not in found:
                found = await self._after(before, EVERY)
            total += found[token]
        return total, greedy

    async def _tokens(self, text: str) -> list[int]:
        body = {"content": text, "add_special": True, "parse_special": True}
        return list((await self._ask(f"{self._root}/tokenize", body))["tokens"])

    async def _after(self, before: tuple[int, ...], count: int) -> dict[int, float]:
        """Log-probabilities of the next token, asked once however many want them."""
        if (before, count) not in self._next:
            if len(self._next) > 256:
                self._next.pop(next(iter(self._next)))
            self._next[before, count] = asyncio.ensure_future(self._question(before, count))
        return await self._next[before, count]

    async def _question(self, before: tuple[int, ...], count: int) -> dict[int, float]:
        # What is drawn doesn't matter, but half a character would be held back, its probabilities
        # with it; a bias on a plain token sees to that, and the probabilities are those before it.
        (plain, *_) = await self._tokens("a")
        body = {
            "prompt": before,
            "n_predict": 1,
            "n_probs": count,
            "temperature": 0.0,
            "logit_bias": [[plain, 1000.0]],
        }
        reply = await self._ask(f"{self._root}/completion", body)
        try:
            rows = reply["completion_probabilities"][0]["top_logprobs"]
            return {int(row["id"]): float(row["logprob"]) for row in rows}
        except (KeyError, IndexError, TypeError) as error:
            raise BackendError(
                f"{self._card.name}: the engine gave no log-probabilities."
            ) from error


class EchoLikelihood:
    """Of a `/v1/completions` server that repeats the prompt with its log-probabilities.

    Args:
        card: An openai card whose prompts are rendered here.
        settings: Whether other machines may be reached.
        sessions: HTTP.
    """

    def __init__(self, card: ModelCard, settings: Settings, sessions: Sessions) -> None:
        check_allowed(settings, card)
        self._card, self._sessions, self._timeout_s = card, sessions, settings.timeout_s
        self._url = card.endpoint.rstrip("/") + "/completions"

    async def __call__(self, context: str, continuation: str) -> tuple[float, bool]:
        """See `Likelihood`.

        Raises:
            BackendError: The server failed, or repeats no prompt.
        """
        text = context + continuation
        body = {
            "model": self._card.adapter or self._card.model,
            "prompt": text,
            "max_tokens": 1,
            "temperature": 0.0,
            "echo": True,
            "logprobs": 1,
        }
        reply = await self._sessions.ask(
            self._card, self._url, body, key=key_of(self._card), within_s=self._timeout_s
        )
        try:
            return self._sum(reply["choices"][0], len(context.rstrip(" ")), len(text))
        except (KeyError, IndexError, TypeError) as error:
            raise BackendError(
                f"{place(self._card.endpoint)} gives no log-probabilities of a prompt (echo).",
                "Run log-likelihood tasks on vLLM, the embedded engine or local transformers.",
            ) from error

    @staticmethod
    def _sum(choice: dict[str, Any], start: int, end: int) -> tuple[float, bool]:
        said, total, greedy, count = choice["logprobs"], 0.0, True, 0
        rows = zip(
            said["tokens"],
            said["token_logprobs"],
            said["top_logprobs"],
            said["text_offset"],
            strict=True,
        )
        for token, logprob, likeliest, offset in rows:
            if start <= offset < end:
                total, count = total + float(logprob), count + 1
                greedy = greedy and token == max(likeliest, key=lambda one: likeliest[one])
        if not count:
            raise KeyError("the prompt is not repeated")
        return total, greedy

"""Log-likelihood of a given continuation, from the endpoints that can tell.

Three kinds can: the embedded engine, whose llama.cpp server gives the log-probabilities of the next
token over the whole vocabulary, so a continuation is asked token by token (the four letters of a
multiple choice share one request); `/v1/completions` servers that return the prompt's own
log-probabilities (`echo` with `logprobs`; vLLM does); and TGI (`tgi_likelihood`). Chat endpoints
and recordings cannot: they are refused with the reason.

All of them work on the server's own token ids: `split` says which belong to the continuation, and
they are found by position. Offsets in characters that servers give are sums of the lengths of
tokens decoded one by one, which is wrong wherever a character has several tokens.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

from imitation.errors import BackendError
from imitation.models.http.connection import api_key, check_allowed, join_url, origin
from imitation.models.http.sessions import Sessions
from imitation.settings import Settings
from imitation.values import ModelSpec

Likelihood = Callable[[str, str], Awaitable[tuple[float, bool]]]
"""(context, continuation) -> (natural log of its probability, whether greedy decoding gives it)."""
Tokenize = Callable[[str], Awaitable[Sequence[int]]]
"""Text -> token ids, with the special tokens that the server puts before a prompt."""

LIKELIEST, EVERY = 2048, 1_000_000
"""Tokens asked for first, and where the wanted one is not among them."""

_NO = {
    "recorded": "recorded outputs have no log-probabilities",
    "chat": "a chat endpoint gives no log-probabilities of a given text",
}

ELSEWHERE = "Run log-likelihood tasks on vLLM, the embedded engine or local transformers."

T = TypeVar("T")


class AsyncMemo(Generic[T]):
    """Asks each question once, however many want its answer; failures are not kept.

    Args:
        ask: What answers a question.
        kept: Answers kept, the latest.
    """

    def __init__(self, ask: Callable[..., Coroutine[Any, Any, T]], kept: int = 256) -> None:
        self._ask, self._kept = ask, kept
        self._tasks: dict[tuple[Hashable, ...], asyncio.Task[T]] = {}

    async def __call__(self, *question: Hashable) -> T:
        """The answer."""
        task = self._tasks.get(question)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            while len(self._tasks) >= self._kept:
                self._tasks.pop(next(iter(self._tasks)))
            task = self._tasks[question] = asyncio.create_task(self._ask(*question))
        return await task


def likelihood_refusal(card: ModelSpec) -> str:
    """Why a card's endpoint cannot compare given answers; "" where it can, as far as known."""
    if card.backend == "embedded":
        return ""
    if card.backend in ("openai", "tgi"):
        return _NO["chat"] if card.prompt_format == "chat" else ""
    return _NO[card.backend]


async def split(
    card: ModelSpec, tokenize: Tokenize, context: str, continuation: str
) -> tuple[list[int], int]:
    """Token ids of context and continuation, and the place of the continuation's first one.

    As lm-eval parts them: white space at the context's end counts to the continuation, and what is
    behind as many tokens as the context has alone is the continuation.

    Raises:
        BackendError: There is nothing before the first token, or the continuation has none.
    """
    bare = context.rstrip()
    ids = list(await tokenize(context + continuation))
    start = len(await tokenize(bare))
    if not start:
        raise BackendError(
            f"{card.name} cannot tell how likely {continuation!r} is by itself: the context is "
            "empty, and its tokenizer puts no token before the first.",
            "Run this task on local transformers, which put the end-of-text token there.",
        )
    if start >= len(ids):
        raise BackendError(f"{continuation!r} has no token of its own after its context.")
    return ids, start


class LlamaLikelihood:
    """Of a running llama.cpp server.

    Args:
        card: For messages.
        root: The server's address.
        sessions: HTTP.
        timeout_s: Seconds one question may take.
    """

    def __init__(self, card: ModelSpec, root: str, sessions: Sessions, timeout_s: float) -> None:
        self._ask = functools.partial(sessions.ask, card, within_s=timeout_s)
        self._root, self._card = root, card
        self._after = AsyncMemo(self._question)

    async def __call__(self, context: str, continuation: str) -> tuple[float, bool]:
        """See `Likelihood`.

        Raises:
            BackendError: The server failed, or see `split`.
        """
        whole, start = await split(self._card, self._tokens, context, continuation)
        total, greedy = 0.0, True
        for at in range(start, len(whole)):
            before, token = tuple(whole[:at]), whole[at]
            found = await self._after(before, LIKELIEST)
            greedy = greedy and token == max(found, key=lambda one: found[one])
            if token not in found:
                found = await self._after(before, EVERY)
            if token not in found:
                raise BackendError(f"{self._card.name}: the engine does not know token {token}.")
            total += found[token]
        return total, greedy

    async def _tokens(self, text: str) -> list[int]:
        body = {"content": text, "add_special": True, "parse_special": True}
        return list((await self._ask(f"{self._root}/tokenize", body))["tokens"])

    async def _question(self, before: tuple[int, ...], count: int) -> dict[int, float]:
        """Log-probabilities of the next token: of so many of the likeliest."""
        # What is drawn doesn't matter, but half a character would be held back, its probabilities
        # with it; a bias on a plain token sees to that, and the probabilities are those before it.
        *_, plain = await self._tokens("a")
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

    def __init__(self, card: ModelSpec, settings: Settings, sessions: Sessions) -> None:
        check_allowed(settings, card)
        self._card, self._model = card, card.adapter or card.model
        self._place = origin(card.endpoint)
        self._ask = functools.partial(
            sessions.ask, card, key=api_key(card), within_s=settings.timeout_s
        )
        self._tokens = AsyncMemo(self._tokenized)  # the choices of a question have one context

    async def __call__(self, context: str, continuation: str) -> tuple[float, bool]:
        """See `Likelihood`.

        Raises:
            BackendError: The server failed, cannot tokenize, repeats no prompt or another one; or
                see `split`.
        """
        ids, start = await split(self._card, self._tokens, context, continuation)
        body = {
            "model": self._model,
            "prompt": ids,
            "max_tokens": 1,
            "temperature": 0.0,
            "echo": True,
            "logprobs": 1,
            # Tokens as "token_id:N" where the server can: text of single tokens is ambiguous.
            "return_tokens_as_token_ids": True,
        }
        reply = await self._ask(join_url(self._card.endpoint, "/completions"), body)
        try:
            said = reply["choices"][0]["logprobs"]
            tokens, values = said["tokens"], said["token_logprobs"]
            rows = list(zip(tokens, values, said["top_logprobs"], strict=True))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise BackendError(
                f"{self._place} gives no log-probabilities of a prompt (echo).",
                ELSEWHERE,
            ) from error
        self._check(ids, tokens)
        total, greedy = 0.0, True
        for token, logprob, likeliest in rows[start : len(ids)]:
            if not isinstance(logprob, int | float) or math.isnan(logprob) or not likeliest:
                raise BackendError(
                    f"{self._place} gave no log-probability of {token!r} in a prompt."
                )
            total += float(logprob)
            greedy = greedy and token == max(likeliest, key=lambda one: likeliest[one])
        return total, greedy

    async def _tokenized(self, text: str) -> list[int]:
        url = join_url(self._card.endpoint, "/tokenize").replace("/v1/tokenize", "/tokenize")
        try:
            reply = await self._ask(url, {"model": self._model, "prompt": text})
            return [int(one) for one in reply["tokens"]]
        except (KeyError, TypeError, ValueError, BackendError) as error:
            if isinstance(error, BackendError) and error.status not in (404, 405):
                raise
            raise BackendError(
                f"{self._place} does not say which tokens a text has (/tokenize), so those of an "
                f"answer cannot be told from those of its question: {error}",
                ELSEWHERE,
            ) from error

    def _check(self, ids: Sequence[int], tokens: Sequence[Any]) -> None:
        """Refuse an echo of anything but these ids, with or without the token generated."""
        named = [str(one).removeprefix("token_id:") for one in tokens[: len(ids)]]
        other = str(tokens[0]).startswith("token_id:") and named != [str(one) for one in ids]
        if other or not len(ids) <= len(tokens) <= len(ids) + 1:
            raise BackendError(
                f"{self._place} repeated {len(tokens)} tokens of a prompt of {len(ids)}, or others "
                "than were sent: its log-probabilities cannot be used.",
                ELSEWHERE,
            )

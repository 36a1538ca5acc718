"""Text Generation Inference, through its maintained Python client in `huggingface_hub`.

Cards with prompt format "chat" go to /v1/chat/completions, where the server renders; the others
to /generate_stream, with the prompt rendered here. An adapter is picked per request: `adapter_id`
there, the model's name in chat, where TGI calls its base "tgi".
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import httpx2
from huggingface_hub import AsyncInferenceClient, set_async_client_factory
from huggingface_hub.errors import (
    HfHubHTTPError,
    InferenceTimeoutError,
    TextGenerationError,
)

from imitation.errors import BackendError
from imitation.models import faults
from imitation.models.connection import CONNECT_S, check_allowed, key_of, new_session, watched
from imitation.models.request import MOST_STOPS, Hooks, as_dicts, prepare
from imitation.models.retry import Patience, persistently
from imitation.models.sessions import Sessions
from imitation.models.tally import Tally
from imitation.settings import Settings
from imitation.values import Delta, Done, Event, Message, ModelCard, Sampling, Sent

BASE = "tgi"
"""The name TGI's chat API has for the model without an adapter; any other names an adapter."""

_STATUS = {"OverloadedError": 429, "ValidationError": 422, "GenerationError": 424}


@dataclass(frozen=True, slots=True)
class _Call:
    """One answer to be had: the request, and what is needed to send it."""

    sent: Sent
    stop: tuple[str, ...]
    key: str
    started: float
    chat: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one event says, whichever of the two protocols it came in."""

    text: str = ""
    finish: str = ""
    prompt_tokens: int | None = None
    tokens: int | None = None


class TGIBackend:
    """See `imitation.models.backends.Backend`.

    Args:
        settings: How long a model may be silent, and whether other machines may be reached.
        patience: How often and how long to try again.
    """

    def __init__(self, settings: Settings, patience: Patience | None = None) -> None:
        self._settings = settings
        self._patience = patience or Patience()
        self._sessions = Sessions(settings.timeout_s)
        # The hub's own sessions refuse every server while HF_HUB_OFFLINE is set, and read no
        # error longer than its headers say; one is made, and closed, per answer.
        set_async_client_factory(functools.partial(_hub_session, settings.timeout_s))

    async def stream(
        self, card: ModelCard, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncGenerator[Event, None]:
        """Events of one answer; closing it closes the response, which stops the server's work.

        Raises:
            BackendError: In words, whatever went wrong.
        """
        call = await self._prepare(card, messages, sampling)
        yield call.sent
        attempts = persistently(lambda: self._answer(card, call), self._patience)
        async with aclosing(attempts) as events:
            async for event in events:
                yield event

    async def probe(self, card: ModelCard) -> None:
        """Return if the server says it is healthy (GET /health, a few seconds).

        Raises:
            BackendError: It does not, and why.
        """
        check_allowed(self._settings, card)
        await self._sessions.ask(card, _root(card) + "/health", key=key_of(card))

    async def close(self) -> None:
        """Close idle connections."""
        await self._sessions.close()

    def _hooks(self, card: ModelCard, key: str) -> Hooks:
        """The server's own rendering and counting."""
        ask = functools.partial(self._sessions.ask, card, key=key)

        async def render(messages: Sequence[Message]) -> str:
            body = {"model": card.adapter or BASE, "messages": as_dicts(messages)}
            reply = await ask(_root(card) + "/chat_tokenize", body)
            try:
                return str(reply["templated_text"])
            except (KeyError, TypeError) as error:
                raise faults.malformed(card, reply) from error

        async def count(text: str) -> int:
            reply = await ask(_root(card) + "/tokenize", {"inputs": text})
            if not isinstance(reply, list):
                raise faults.malformed(card, reply)
            return len(reply)

        return Hooks(render, count)

    async def _prepare(
        self, card: ModelCard, messages: Sequence[Message], sampling: Sampling
    ) -> _Call:
        check_allowed(self._settings, card)
        key = key_of(card)
        chat = card.prompt_format == "chat"
        request = await prepare(card, messages, sampling, self._hooks(card, key))
        sent = Sent(
            url=_root(card) + ("/v1/chat/completions" if chat else "/generate_stream"),
            model=card.adapter if chat and card.adapter else BASE,
            adapter=card.adapter or None,
            messages=request.messages,
            prompt=request.prompt,
            stop=request.stop[:MOST_STOPS],
            parameters=_parameters(sampling, chat),
            dropped=request.dropped,
            note=request.note,
        )
        return _Call(sent, request.stop, key, time.perf_counter(), chat)

    async def _answer(self, card: ModelCard, call: _Call) -> AsyncGenerator[Delta | Done, None]:
        """One request: text and how it ended."""
        silence = self._settings.timeout_s
        tally = Tally(call.stop, call.started)
        last = _Piece()
        events: Any = None
        # Closing the client is what closes the response; leaving the loop over it is not.
        client = AsyncInferenceClient(
            base_url=card.endpoint,
            token=call.key,
            timeout=cast(Any, httpx2.Timeout(silence, connect=min(CONNECT_S, silence))),
        )
        try:
            async with asyncio.timeout(silence):
                events = await _open(client, card, call)
            async for event in watched(cast("AsyncIterator[Any]", events), silence):
                piece = _of_chat(event) if call.chat else _of_generate(event)
                if delta := tally.feed(piece.text):
                    yield delta
                last = _Piece(
                    finish=piece.finish or last.finish,
                    prompt_tokens=piece.prompt_tokens or last.prompt_tokens,
                    tokens=piece.tokens or last.tokens,
                )
                if tally.over:
                    break
        except (httpx2.HTTPError, httpx2.StreamError, TimeoutError) as error:
            raise self._fault(card, call, error, opened=events is not None) from None
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            # The hub's parser meets an event of another shape than it expects in many ways.
            raise faults.malformed(card, getattr(error, "doc", error)) from error
        finally:
            if events is not None:
                await events.aclose()
            await cast(Any, client).close()
        if rest := tally.flush():
            yield rest
        if not last.finish and not tally.stopped:
            raise faults.broke_off(card, "the server closed the stream before its end.")
        yield tally.done(last.finish, last.prompt_tokens, last.tokens)

    def _fault(
        self, card: ModelCard, call: _Call, error: Exception, *, opened: bool
    ) -> BackendError:
        """What an exception of the hub's client, or of the transport under it, means."""
        for cause in _causes(error):
            if isinstance(cause, HfHubHTTPError):
                reply = cause.response
                return faults.refused(card, reply.status_code, reply.text, reply.headers, call.key)
            if isinstance(cause, httpx2.ConnectTimeout):
                return faults.unreached(card, error)
        if isinstance(error, TextGenerationError):
            status = _STATUS.get(type(error).__name__, 500)
            return faults.refused(card, status, error.args[0] if error.args else "", key=call.key)
        if isinstance(error, InferenceTimeoutError | httpx2.TimeoutException | TimeoutError):
            return faults.silent(card, self._settings.timeout_s)
        if opened:
            return faults.broke_off(card, "the connection was lost.")
        return faults.unreached(card, error)


async def _open(client: AsyncInferenceClient, card: ModelCard, call: _Call) -> Any:
    sent = call.sent
    stop = list(sent.stop) or None
    if call.chat:
        return await client.chat_completion(
            cast(Any, as_dicts(sent.messages)),
            model=sent.model,
            stop=stop,
            stream=True,
            stream_options=cast(Any, {"include_usage": True}),
            **sent.parameters,
        )
    return await client.text_generation(
        sent.prompt or "",
        model=sent.url,
        adapter_id=sent.adapter,
        stop=stop,
        stream=True,
        details=True,
        **sent.parameters,
    )


def _hub_session(silence_s: float) -> httpx2.AsyncClient:
    session = new_session(silence_s)
    session.event_hooks["response"].append(_lines_end_at_line_feeds)
    return session


async def _lines_end_at_line_feeds(response: httpx2.Response) -> None:
    """Have the hub read events up to line feeds.

    It reads `aiter_lines`, which also ends a line at U+2028, U+0085 and the like; TGI writes
    those as they are, so that an answer with one in it would break its event in two.
    """

    async def lines() -> AsyncIterator[str]:
        rest = b""
        async for chunk in response.aiter_bytes():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line.decode("utf-8")
        yield rest.decode("utf-8")

    cast(Any, response).aiter_lines = lines


def _parameters(sampling: Sampling, chat: bool) -> dict[str, Any]:
    """Sampling by TGI's names and bounds.

    Greedy is temperature 0 in chat, but no temperature in /generate, which refuses 0. Any of the
    others, even top_p alone, would make either of them sample. top_p must be below 1, and a seed
    above 0.
    """
    limit: dict[str, Any] = {"max_tokens" if chat else "max_new_tokens": sampling.max_tokens}
    if sampling.temperature <= 0:
        return limit | ({"temperature": 0.0} if chat else {"do_sample": False})
    found = limit | {"temperature": sampling.temperature}
    if not chat:
        found["do_sample"] = True
    if sampling.top_p < 1:
        found["top_p"] = sampling.top_p
    if sampling.seed is not None:
        found["seed"] = max(1, sampling.seed)
    return found


def _of_generate(event: Any) -> _Piece:
    # The end-of-sequence token comes as text too.
    text = "" if event.token.special else event.token.text
    if event.details is None:
        return _Piece(text)
    details = event.details
    return _Piece(text, details.finish_reason, details.input_length, details.generated_tokens)


def _of_chat(event: Any) -> _Piece:
    usage = event.usage
    counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
    if not event.choices:
        return _Piece("", "", *counts)
    choice = event.choices[0]
    return _Piece(choice.delta.content or "", choice.finish_reason or "", *counts)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _root(card: ModelCard) -> str:
    return card.endpoint.rstrip("/").removesuffix("/v1")

"""Text Generation Inference, through its maintained Python client in `huggingface_hub`.

Cards with prompt format "chat" go to /v1/chat/completions, where the server renders; the others
to /generate_stream, with the prompt rendered here. An adapter is picked per request: `adapter_id`
there, the model's name in chat, where TGI calls its base "tgi".
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Sequence,
)
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, cast

import httpx2
from huggingface_hub import AsyncInferenceClient, set_async_client_factory
from huggingface_hub.errors import (
    HfHubHTTPError,
    InferenceTimeoutError,
    TextGenerationError,
)

from imitation.errors import BackendError
from imitation.models.backends.tgi.server import Info, Servers, root, token_ids
from imitation.models.backends.tgi.stream import (
    BASE,
    IDLE_TIMEOUT,
    Call,
    Piece,
    hub_session,
    of_chat,
    of_generate,
    open_events,
    parameters,
    told,
)
from imitation.models.http import errors as http_errors
from imitation.models.http.connection import CONNECT_S, api_key, check_allowed
from imitation.models.http.idle_timeout import MAX_SILENCES, IdleTimeout
from imitation.models.http.retry import RetryPolicy, with_retries
from imitation.models.http.sessions import Sessions
from imitation.models.http.stop_filter import StopFilter
from imitation.models.request import MOST_STOPS, Hooks, as_dicts, format_of, prepare
from imitation.settings import Settings
from imitation.values import Delta, Done, Event, Message, ModelSpec, Sampling, Sent

CHECK_S = 20.0
"""Seconds that checking an adapter may keep a probe, and with it the next round of probes."""


class TGIBackend:
    """See `imitation.models.backends.registry.Backend`.

    Args:
        settings: How long a model may be silent, and whether other machines may be reached.
        patience: How often and how long to try again.
    """

    def __init__(self, settings: Settings, patience: RetryPolicy | None = None) -> None:
        self._settings = settings
        self._patience = patience or RetryPolicy()
        self._sessions = Sessions(settings.timeout_s)
        self._servers = Servers(self._sessions, settings.timeout_s)
        # The hub's own sessions refuse every server while HF_HUB_OFFLINE is set, and read no
        # error longer than its headers say; one is made, and closed, per answer.
        set_async_client_factory(functools.partial(hub_session, settings.timeout_s))

    async def stream(
        self, card: ModelSpec, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncGenerator[Event, None]:
        """Events of one answer; closing it closes the response, which stops the server's work.

        Raises:
            BackendError: In words, whatever went wrong; the server computes another model than
                the card's, too.
        """
        check_allowed(self._settings, card)
        key = api_key(card)
        attempt = functools.partial(self._found_right, card, key)
        async with aclosing(with_retries(attempt, self._patience)) as checks:
            info, note = await anext(checks)
        call = await self._prepare(card, messages, sampling, key, info, note)
        yield call.sent
        attempts = with_retries(lambda: self._answer(card, call), self._patience)
        async with aclosing(attempts) as events:
            async for event in events:
                yield event

    async def probe(self, card: ModelSpec) -> None:
        """Return if the server is healthy, takes the key and computes the card's adapter.

        /health, /info and /chat_tokenize want no key; /tokenize does. The adapter is asked for
        some tokens once for every start of the server.

        Raises:
            BackendError: It is or does not, and why.
        """
        check_allowed(self._settings, card)
        key = api_key(card)
        await self._sessions.ask(card, root(card) + "/health", key=key)
        await self._servers.look(card, key)
        await self._sessions.ask(card, root(card) + "/tokenize", {"inputs": "a"}, key=key)
        with suppress(TimeoutError):  # it is busy; what is asked of it is checked all the same
            async with asyncio.timeout(CHECK_S):
                await self._servers.check(card, key, self._rendering(card, key))

    async def close(self) -> None:
        """Close idle connections."""
        await self._sessions.close()

    def _hooks(self, card: ModelSpec, key: str) -> Hooks:
        """The server's own rendering and counting."""
        ask = functools.partial(self._sessions.ask, card, key=key)

        async def render(messages: Sequence[Message]) -> str:
            body = {"model": card.adapter or BASE, "messages": as_dicts(messages)}
            reply = await ask(root(card) + "/chat_tokenize", body)
            try:
                return str(reply["templated_text"])
            except (KeyError, TypeError) as error:
                raise http_errors.protocol_error(card, reply) from error

        async def count(text: str) -> int:
            return len(await token_ids(ask, card, text))

        return Hooks(render, count)

    def _rendering(self, card: ModelSpec, key: str) -> Callable[[str], Awaitable[str]]:
        """The prompt that one message of a user becomes."""

        async def render(text: str) -> str:
            messages = (Message("user", text),)
            if card.prompt_format == "chat":
                return await self._hooks(card, key).render(messages)
            return format_of(card).render(messages, add_generation_prompt=True).text

        return render

    async def _found_right(
        self, card: ModelSpec, key: str
    ) -> AsyncGenerator[tuple[Info | None, str], None]:
        """The server's limits, None where it does not say, and what to know of the adapter."""
        info = None
        with suppress(BackendError):
            info = await self._servers.look(card, key)
        yield info, await self._servers.check(card, key, self._rendering(card, key))

    async def _prepare(
        self,
        card: ModelSpec,
        messages: Sequence[Message],
        sampling: Sampling,
        key: str,
        info: Info | None,
        note: str,
    ) -> Call:
        chat = card.prompt_format == "chat"
        fitting = replace(card, context=min(card.context, info.total)) if info else card
        request = await prepare(
            fitting, messages, sampling, self._hooks(card, key), info.longest if info else None
        )
        sent = Sent(
            url=root(card) + ("/v1/chat/completions" if chat else "/generate_stream"),
            model=card.adapter if chat and card.adapter else BASE,
            adapter=card.adapter or None,
            messages=request.messages,
            prompt=request.prompt,
            stop=request.stop[:MOST_STOPS],
            parameters=parameters(sampling, chat),
            dropped=request.dropped,
            note=" ".join(filter(None, (request.note, note))),
        )
        return Call(sent, request.stop, key, time.perf_counter(), chat, sampling.max_tokens)

    async def _answer(self, card: ModelSpec, call: Call) -> AsyncGenerator[Delta | Done, None]:
        """One request: text and how it ended."""
        silence = self._settings.timeout_s
        tally = StopFilter(call.stop, call.started, call.max_tokens)
        last, made = Piece(), 0
        idle = IdleTimeout(silence, MAX_SILENCES)
        IDLE_TIMEOUT.set(idle)
        events: Any = None
        # Closing the client is what closes the response; leaving the loop over it is not.
        client = AsyncInferenceClient(
            base_url=card.endpoint,
            token=call.key,
            timeout=cast(Any, httpx2.Timeout(silence, connect=min(CONNECT_S, silence))),
        )
        try:
            async with asyncio.timeout(silence):
                events = await open_events(client, card, call)
            async for event in idle.guard(cast("AsyncIterator[Any]", events)):
                piece = of_chat(event) if call.chat else of_generate(event)
                if made == call.max_tokens and piece.tokens_in:  # its stretch goes on
                    last = replace(last, finish="length", tokens=made)
                    break
                made += piece.tokens_in
                if delta := tally.feed(piece.text, idle.arrivals):
                    yield delta
                last = replace(
                    last,
                    finish=piece.finish or last.finish,
                    prompt_tokens=piece.prompt_tokens or last.prompt_tokens,
                    tokens=piece.tokens or last.tokens,
                )
                if tally.over:
                    break
        except (httpx2.HTTPError, httpx2.StreamError, TimeoutError) as error:
            if isinstance(error, TimeoutError) and idle.had_heartbeats:
                raise http_errors.queue_error(card, silence * MAX_SILENCES) from None
            raise self._fault(card, call, error, opened=events is not None) from None
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            # The hub's parser meets an event of another shape than it expects in many ways.
            raise http_errors.protocol_error(card, getattr(error, "doc", error)) from error
        finally:
            if events is not None:
                await events.aclose()
            await cast(Any, client).close()
        if rest := tally.flush():
            yield rest
        if not last.finish and not tally.stopped:
            raise http_errors.interrupted_error(
                card, "the server closed the stream before its end."
            )
        yield tally.done(last.finish, last.prompt_tokens, last.tokens)

    def _fault(
        self, card: ModelSpec, call: Call, error: Exception, *, opened: bool
    ) -> BackendError:
        """What an exception of the hub's client, or of the transport under it, means."""
        for cause in _causes(error):
            if isinstance(cause, HfHubHTTPError):
                reply = cause.response
                return http_errors.status_error(
                    card, reply.status_code, reply.text, reply.headers, call.key
                )
            if isinstance(cause, httpx2.ConnectTimeout):
                return http_errors.connection_error(card, error)
        if isinstance(error, TextGenerationError):
            return told(card, call, error.args[0] if error.args else "")
        self._servers.lost(card)
        if isinstance(error, InferenceTimeoutError | httpx2.TimeoutException | TimeoutError):
            return http_errors.silence_error(card, self._settings.timeout_s)
        if opened:
            return http_errors.interrupted_error(card, "the connection was lost.")
        return http_errors.connection_error(card, error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__

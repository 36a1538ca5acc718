"""Any OpenAI-compatible server, through the `openai` SDK.

OpenAI itself, vLLM, SGLang, llama.cpp, `transformers serve`, Hugging Face Inference Providers.
Cards with prompt format "chat" go to /chat/completions, where the server renders; the others to
/completions, with the prompt rendered here.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from imitation.errors import BackendError
from imitation.models.http import errors as http_errors
from imitation.models.http.connection import api_key, check_allowed, join_url
from imitation.models.http.event_stream import EventReader, NotAnEvent, StreamEvent
from imitation.models.http.idle_timeout import MAX_SILENCES, IdleTimeout
from imitation.models.http.openai_events import AnswerReader
from imitation.models.http.retry import RetryPolicy, with_retries
from imitation.models.http.served_models import ServedModel, missing_model_error, read_listing
from imitation.models.http.sessions import Sessions
from imitation.models.http.stop_filter import StopFilter
from imitation.models.request import MOST_STOPS, Hooks, as_dicts, prepare
from imitation.settings import Settings
from imitation.values import Delta, Done, Event, Message, ModelSpec, Sampling, Sent

# `transformers serve` without a hub cache fails to list models, and answers all the same.
_CANNOT_LIST = (405, 500, 501)
DRAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class _Call:
    """One answer to be had: the request, and what is needed to send it."""

    sent: Sent
    stop: tuple[str, ...]
    key: str
    started: float
    max_tokens: int


class OpenAIBackend:
    """See `imitation.models.backends.registry.Backend`.

    Args:
        settings: How long a model may be silent, and whether other machines may be reached.
        patience: How often and how long to try again.
    """

    def __init__(self, settings: Settings, patience: RetryPolicy | None = None) -> None:
        self._settings = settings
        self._patience = patience or RetryPolicy()
        self._sessions = Sessions(settings.timeout_s)

    async def stream(
        self,
        card: ModelSpec,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        hooks: Hooks | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Events of one answer; closing it closes the response, which stops the server's work.

        Args:
            card: The model; `endpoint`, `model`, `adapter`, `prompt_format`, `api_key_env` and
                `context` matter here.
            messages: The conversation.
            sampling: How to draw the answer.
            hooks: Where given, tokens are counted exactly and the rendered prompt is in Sent.

        Raises:
            BackendError: In words, whatever went wrong.
        """
        call = await self._prepare(card, messages, sampling, hooks)
        yield call.sent
        attempts = with_retries(lambda: self._answer(card, call), self._patience)
        async with aclosing(attempts) as events:
            async for event in events:
                yield event

    async def probe(self, card: ModelSpec) -> None:
        """Return if the server answers and has the card's model (GET /models, a few seconds).

        Raises:
            BackendError: It does not, and why.
        """
        check_allowed(self._settings, card)
        try:
            served = await self._served(card, api_key(card))
        except BackendError as error:
            if error.status not in _CANNOT_LIST:
                raise
            return
        if lacking := missing_model_error(card, served):
            raise lacking

    async def close(self) -> None:
        """Close idle connections."""
        await self._sessions.close()

    def llama_hooks(self, card: ModelSpec) -> Hooks:
        """Exact prompts and token counts of the llama.cpp server at the card's endpoint."""
        root = card.endpoint.rstrip("/").removesuffix("/v1")
        ask = functools.partial(self._sessions.ask, card, within_s=self._settings.timeout_s)

        async def render(messages: Sequence[Message]) -> str:
            body = {"messages": as_dicts(messages)}
            return str((await ask(f"{root}/apply-template", body))["prompt"])

        async def count(text: str) -> int:
            body = {"content": text, "add_special": True, "parse_special": True}
            return len((await ask(f"{root}/tokenize", body))["tokens"])

        return Hooks(render, count)

    async def _prepare(
        self,
        card: ModelSpec,
        messages: Sequence[Message],
        sampling: Sampling,
        hooks: Hooks | None,
    ) -> _Call:
        check_allowed(self._settings, card)
        key = api_key(card)
        chat = card.prompt_format == "chat"
        request = await prepare(card, messages, sampling, hooks)
        sent = Sent(
            url=join_url(card.endpoint, "/chat/completions" if chat else "/completions"),
            model=card.adapter or card.model or await self._default_model(card, key),
            adapter=card.adapter or None,
            messages=request.messages,
            prompt=request.prompt,
            stop=request.stop[:MOST_STOPS],
            parameters=_parameters(card, sampling, chat),
            dropped=request.dropped,
            note=request.note,
        )
        return _Call(sent, request.stop, key, time.perf_counter(), sampling.max_tokens)

    async def _answer(self, card: ModelSpec, call: _Call) -> AsyncGenerator[Delta | Done, None]:
        """One request: text and how it ended."""
        silence = self._settings.timeout_s
        tally = StopFilter(call.stop, call.started, call.max_tokens)
        reading = AnswerReader(card, call.key)
        idle = IdleTimeout(silence, MAX_SILENCES)
        response: httpx2.Response | None = None
        try:
            async with asyncio.timeout(silence):
                response = await self._open(card, call)
            reader = EventReader(response.aiter_bytes(), idle.heartbeat)
            async with aclosing(reader.events()) as events:
                async for text in idle.guard(_texts(events, reading)):
                    if delta := tally.feed(text, reader.arrivals):
                        yield delta
                    if tally.over or reading.ended:
                        break
                if reading.ended:
                    await _drain(events)
        except (TimeoutError, openai.APITimeoutError, httpx2.TimeoutException) as error:
            if response is None and isinstance(error.__cause__, httpx2.ConnectTimeout):
                raise http_errors.connection_error(card, error) from error
            if idle.had_heartbeats:
                raise http_errors.queue_error(card, silence * MAX_SILENCES) from None
            raise http_errors.silence_error(card, silence) from error
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            if response is None:
                raise http_errors.connection_error(card, error) from error
            raise http_errors.interrupted_error(card, "the connection was lost.") from error
        except openai.APIStatusError as error:
            # `from None`: the SDK's own message may repeat the key.
            raise await self._refusal(card, call, error) from None
        except NotAnEvent as error:
            raise http_errors.protocol_error(card, error.seen, call.key) from None
        finally:
            if response is not None:
                await response.aclose()
        if rest := tally.flush():
            yield rest
        if not tally.stopped:
            reading.check_end()
        yield tally.done(reading.finish, reading.prompt_tokens, reading.completion_tokens)

    async def _open(self, card: ModelSpec, call: _Call) -> httpx2.Response:
        sent = call.sent
        client = openai.AsyncOpenAI(
            base_url=card.endpoint,
            api_key=call.key,
            max_retries=0,
            http_client=self._sessions.current,
            default_headers=_no_account(card),
        )
        body: dict[str, Any] = {
            "model": sent.model,
            "stream": True,
            "stream_options": {"include_usage": True},
            **sent.parameters,
        }
        if sent.stop:
            body["stop"] = list(sent.stop)
        chat = card.prompt_format == "chat"
        body |= {"messages": as_dicts(sent.messages)} if chat else {"prompt": sent.prompt}
        # The SDK sends; what comes back is read here, since servers say more than it listens to.
        stream = await client.post(
            sent.url,
            cast_to=object,
            body=body,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        return stream.response

    async def _refusal(
        self, card: ModelSpec, call: _Call, error: openai.APIStatusError
    ) -> BackendError:
        said = error.response.text
        if error.status_code == 404:
            with suppress(BackendError):
                if lacking := missing_model_error(card, await self._served(card, call.key)):
                    return lacking
        return http_errors.status_error(
            card, error.status_code, said, error.response.headers, call.key
        )

    async def _default_model(self, card: ModelSpec, key: str) -> str:
        """Name of the first model the server lists, for a card that names none."""
        served = await self._served(card, key)
        return served[0].name if served else "default"

    async def _served(self, card: ModelSpec, key: str) -> list[ServedModel]:
        """The models and adapters the server lists."""
        url = join_url(card.endpoint, "/models")
        return read_listing(card, await self._sessions.ask(card, url, key=key))


def _parameters(card: ModelSpec, sampling: Sampling, chat: bool) -> dict[str, Any]:
    # OpenAI's newer models refuse the old name; the others know no other.
    newer = chat and (urlsplit(card.endpoint).hostname or "").endswith("openai.com")
    found: dict[str, Any] = {
        "max_completion_tokens" if newer else "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
    }
    if sampling.temperature > 0:
        found["top_p"] = sampling.top_p
        if sampling.seed is not None:
            found["seed"] = sampling.seed
    return found


def _no_account(card: ModelSpec) -> Any:
    """Headers that keep OPENAI_ORG_ID and OPENAI_PROJECT_ID from servers that are not OpenAI's."""
    if (urlsplit(card.endpoint).hostname or "").endswith("openai.com"):
        return {}
    return {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}


async def _texts(
    events: AsyncIterator[StreamEvent], reading: AnswerReader
) -> AsyncGenerator[str, None]:
    """The answer's text, event by event; pings are left out, as signs of life and no more."""
    async for event in events:
        if (text := reading.take(event)) is not None:
            yield text


async def _drain(events: AsyncIterator[StreamEvent]) -> None:
    """Read what little comes after an answer's end, so that the connection can be used again."""
    with suppress(TimeoutError, httpx2.HTTPError, NotAnEvent):
        async with asyncio.timeout(DRAIN_S):
            async for _ in events:
                pass

"""TGI's streams through the hub's client: how they are asked, and what their events say."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import httpx2
from huggingface_hub import AsyncInferenceClient

from imitation.errors import BackendError
from imitation.models.http import errors as http_errors
from imitation.models.http.connection import new_session
from imitation.models.http.idle_timeout import IdleTimeout
from imitation.models.request import as_dicts
from imitation.values import ModelSpec, Sampling, Sent

BASE = "tgi"
"""The name TGI's chat API has for the model without an adapter; any other names an adapter."""

_MEANING = (
    ("model is overloaded", 429),
    ("input validation error", 422),
    ("template error", 422),
    ("missing template", 422),
    ("tool error", 422),
    ("request failed during generation", 424),
)
"""How TGI's messages begin, and the status it gives them where it gives one."""


@dataclass(frozen=True, slots=True)
class Call:
    """One answer to be had: the request, and what is needed to send it."""

    sent: Sent
    stop: tuple[str, ...]
    key: str
    started: float
    chat: bool
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event says, whichever of the two protocols it came in.

    Attributes:
        text: Its text.
        tokens_in: 1 where the event is a token, which TGI sends one by one.
        finish: Why the answer ended, at its last token.
        prompt_tokens: Of the prompt, where counted.
        tokens: Of the answer so far, where counted.
    """

    text: str = ""
    tokens_in: int = 0
    finish: str = ""
    prompt_tokens: int | None = None
    tokens: int | None = None


def told(card: ModelSpec, call: Call, said: Any) -> BackendError:
    """What TGI's own error means, by its message: its streams give chat the status 422 for all."""
    message = said.get("message", "") if isinstance(said, Mapping) else said
    words = str(message).lower()
    if words.startswith("incomplete generation"):
        return http_errors.interrupted_error(card, f"the server said {message!r}.")
    status = next((code for begin, code in _MEANING if words.startswith(begin)), 500)
    return http_errors.status_error(card, status, message, key=call.key)


async def open_events(client: AsyncInferenceClient, card: ModelSpec, call: Call) -> Any:
    """The hub's iterator over an answer's events, once the server has begun it."""
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


IDLE_TIMEOUT: ContextVar[IdleTimeout] = ContextVar("idle")
"""Of the answer being read: the hub makes its sessions by itself, and hands on no comments."""


def hub_session(silence_s: float) -> httpx2.AsyncClient:
    """A session for the hub's client, see `imitation.models.http.connection.new_session`."""
    session = new_session(silence_s)
    session.event_hooks["response"].append(_escape_separators)
    # What is escaped are bytes as they come, so they must not come packed.
    session.headers["Accept-Encoding"] = "identity"
    return session


async def _escape_separators(response: httpx2.Response) -> None:
    """Have the hub read one event a line, and count every byte as a heartbeat."""
    stream = response.stream
    if response.status_code < 400 and isinstance(stream, httpx2.AsyncByteStream):
        response.stream = _EscapedStream(stream, IDLE_TIMEOUT.get(None))


class _EscapedStream(httpx2.AsyncByteStream):
    """A reply in which the line ends that are only Unicode's are written as JSON escapes.

    The hub's client splits events by `Response.aiter_lines`, which also ends a line at U+0085,
    U+2028 and U+2029. TGI writes those as they are, so that an answer with one in it would break
    its event in two. Inside JSON, the only place where they can stand, the escape says the same.
    """

    def __init__(self, stream: httpx2.AsyncByteStream, idle: IdleTimeout | None) -> None:
        self._stream, self._idle = stream, idle

    async def __aiter__(self) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._stream:
            if self._idle is not None:
                self._idle.heartbeat()
            # A separator may be cut by the chunk's end: what may begin one waits for the next.
            data = rest + chunk
            begun = _SEPARATOR_BEGUN.search(data)
            cut = begun.start() if begun else len(data)
            rest = data[cut:]
            yield _SEPARATOR.sub(_escape, data[:cut])
        if rest:
            yield rest

    async def aclose(self) -> None:
        await self._stream.aclose()


_SEPARATOR = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")
_SEPARATOR_BEGUN = re.compile(rb"(?:\xc2|\xe2\x80?)\Z")


def _escape(match: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(match[0].decode())


def parameters(sampling: Sampling, chat: bool) -> dict[str, Any]:
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


def of_generate(event: Any) -> Piece:
    """What an event of /generate_stream says."""
    # The end-of-sequence token comes as text too.
    text = "" if event.token.special else event.token.text
    if event.details is None:
        return Piece(text, 1)
    details = event.details
    return Piece(text, 1, details.finish_reason, details.input_length, details.generated_tokens)


def of_chat(event: Any) -> Piece:
    """What an event of /v1/chat/completions says."""
    usage = event.usage
    counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
    if not event.choices:
        return Piece("", 0, "", *counts)
    choice = event.choices[0]
    return Piece(choice.delta.content or "", 1, choice.finish_reason or "", *counts)

"""What went wrong at a server, in words a reader can act on; no key ever gets into them."""

from __future__ import annotations

import email.utils
import html
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2

from imitation.errors import BackendError
from imitation.models.http.connection import CONNECT_S, origin
from imitation.models.http.retry import RetryableError
from imitation.text import clean
from imitation.values import ModelSpec

_OVERFLOW = re.compile(
    r"context[ _](length|size|window)|exceed_context|maximum context|too many tokens"
    r"|must be <= \d+\. Given|`inputs` (tokens|must have)",
    re.IGNORECASE,
)
_LONGEST = 300
_PAGE = re.compile(r"<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_SAYING = ("error", "message", "detail", "errors", "msg", "text", "reason", "error_message")
_SAYABLE = (str, Mapping, list)


def status_error(
    card: ModelSpec, status: int, body: Any, headers: Mapping[str, str] | None = None, key: str = ""
) -> BackendError:
    """Why a server answered with an error status (or an error inside its stream).

    Args:
        card: The model asked.
        status: HTTP status; the nearest one for an error inside a stream.
        body: What it said, decoded or as text; shown with `key` taken out.
        headers: The reply's headers, for Retry-After.
        key: The key that was sent.
    """
    said = error_text(body, key)
    quoted = f" It says: {said}" if said else ""
    at = origin(card.endpoint)
    wanted = card.adapter or card.model
    if status == 401:
        named = f"Check the value of {card.api_key_env}." if card.api_key_env else ""
        return BackendError(
            f"{at} did not accept the key for {card.name} (401).",
            named or "It wants a key: name its variable in the card's api_key_env.",
            status=status,
        )
    if status == 403:
        return BackendError(
            f"{at} does not allow this key to use {card.name} (403).{quoted}",
            "Check what the key may do.",
            status=status,
        )
    if status in (400, 413, 422) and _OVERFLOW.search(said):
        return BackendError(
            f"The conversation is too long for {card.name}.{quoted}",
            "Shorten the prompt, ask for fewer new tokens, or correct `context` in its card.",
            status=status,
        )
    if "adapter" in said.lower() and card.adapter:
        return BackendError(
            f"{at} has no adapter {card.adapter!r}.{quoted}",
            "Start the server with this adapter, or correct `adapter` in the card.",
            status=status,
        )
    if status == 404:
        return BackendError(
            f"{at} does not know the model {wanted!r} or the address of its API (404).{quoted}",
            "Check `model` and `endpoint` in the card; an OpenAI-compatible endpoint ends in /v1.",
            status=status,
        )
    if status in (402, 429, 503, 529):
        return _busy(card, status, said, quoted, headers or {})
    if status >= 500 or status == 424:
        return BackendError(
            f"{card.name} failed at {at} ({status}).{quoted}",
            "Try again.",
            status=status,
            retryable=True,
        )
    return BackendError(
        f"{at} refused the request to {card.name} ({status}).{quoted}",
        "Check the parameters and the card.",
        status=status,
    )


def stream_error(card: ModelSpec, said: Any, key: str = "") -> BackendError:
    """An error that came as an answer: in a stream, or as JSON under the status 200.

    Args:
        card: The model asked.
        said: The event or body, decoded.
        key: The key that was sent.
    """
    if (status := _status_in(said)) is not None:
        return status_error(card, status, said, key=key)
    words = error_text(said, key)
    quoted = f" It says: {words}" if words else ""
    return BackendError(
        f"{card.name} failed at {origin(card.endpoint)}.{quoted}", "Try again.", retryable=True
    )


def filter_error(card: ModelSpec, finish: str, *, cut: bool) -> BackendError:
    """A filter of the server, not the model, ended the answer."""
    what = "cut the answer" if cut else "withheld the answer"
    return BackendError(
        f"A content filter at {origin(card.endpoint)} {what} of {card.name} ({finish}).",
        "Ask in other words, or change the server's filter.",
    )


def no_answer_error(card: ModelSpec, *, cut: bool) -> BackendError:
    """A reasoning model that came to no answer."""
    why = " within the longest answer allowed" if cut else ""
    return BackendError(
        f"{card.name} reasoned and wrote no answer{why}.",
        "Allow a longer answer, or have its server reason less.",
    )


def _status_in(said: Any) -> int | None:
    """HTTP status that an error names, or the nearest one to its words; None where there is none.

    TGI and vLLM put it into the error, others only say what is the matter.
    """
    found, words = said, ""
    while isinstance(found, list) and found:
        found = found[0]
    while isinstance(found, Mapping):
        for name in ("http_status_code", "status_code", "code", "status", "error_code"):
            code = str(found.get(name, ""))
            if code.isdecimal() and 400 <= int(code[:9]) < 600:
                return int(code)
        words += " ".join(str(v) for v in found.values() if isinstance(v, str)).lower() + " "
        found = found.get("error")
    words += str(found or "").lower()
    if re.search("rate[_ ]limit|too many requests", words):
        return 429
    if re.search("overloaded|unavailable", words):
        return 503
    return 400 if _OVERFLOW.search(words) else None


def _busy(
    card: ModelSpec, status: int, said: str, quoted: str, headers: Mapping[str, str]
) -> BackendError:
    wait = _retry_after(headers)
    if status == 402 or (wait is None and re.search("quota|billing", said, re.IGNORECASE)):
        return BackendError(
            f"The account of {card.name} has no quota left ({status}).{quoted}",
            "Add credit, or choose another model.",
            status=status,
        )
    asks = f" It asks to wait {wait:.0f} s." if wait else ""
    word = "is getting too many requests" if status == 429 else "is overloaded or still loading"
    return RetryableError(
        f"{card.name} {word} ({status}).{asks}{quoted}",
        "Try again in a moment.",
        status=status,
        retry_after_s=wait,
    )


def connection_error(card: ModelSpec, error: Exception) -> BackendError:
    """Why no answer came: an exception of the connection, before or between bytes."""
    at = origin(card.endpoint)
    chain = list(_chain(error))
    if any(isinstance(e, httpx2.ConnectTimeout) for e in chain):
        return BackendError(
            f"{at} could not be reached within {CONNECT_S:g} s.",
            "Check the endpoint, the network and any proxy.",
            retryable=True,
        )
    if any(isinstance(e, socket.gaierror) for e in chain):
        return BackendError(
            f"There is no machine called {origin(at).partition('://')[2]!r}.",
            "Check `endpoint` in the card, and the network.",
            retryable=True,
        )
    if any(isinstance(e, ssl.SSLError) for e in chain):
        return BackendError(
            f"No secure connection to {at}: {chain[-1]}",
            "Check the endpoint (http or https?) and its certificate.",
        )
    if any(isinstance(e, httpx2.ProxyError) for e in chain):
        return BackendError(
            f"The proxy did not let the lab reach {at}: {error}", "Check HTTPS_PROXY and NO_PROXY."
        )
    if any(isinstance(e, httpx2.ConnectError) for e in chain):
        return RetryableError(
            f"Nothing answers at {at}.", "Start the server, or check the endpoint."
        )
    return RetryableError(f"{at} closed the connection before {card.name} answered.", "Try again.")


def interrupted_error(card: ModelSpec, why: str) -> BackendError:
    """An answer that stopped arriving."""
    return BackendError(f"The answer of {card.name} broke off: {why}", "Try again.", retryable=True)


def silence_error(card: ModelSpec, seconds: float) -> BackendError:
    """Nothing came for too long."""
    return BackendError(
        f"{card.name} has been silent for {seconds:g} s.",
        "Try again; IMITATION_TIMEOUT_S sets how long to wait.",
        retryable=True,
    )


def queue_error(card: ModelSpec, seconds: float) -> BackendError:
    """Nothing but signs of life came for too long."""
    return BackendError(
        f"{origin(card.endpoint)} has kept {card.name} waiting for {seconds:g} s: it is alive, and "
        "sends no token.",
        "Try again when fewer ask it; restart it if nobody else does.",
        retryable=True,
    )


def protocol_error(card: ModelSpec, seen: object, key: str = "") -> BackendError:
    """A reply that is not what the protocol says; `seen` is shown in part.

    Args:
        card: The model asked.
        seen: What came instead of an event: its text, or what its JSON says.
        key: The key that was sent.
    """
    if isinstance(seen, str):
        if _PAGE.search(seen[:2000]):
            title = _title(seen)
            called = f" called {title!r}" if title else ""
            return BackendError(
                f"{origin(card.endpoint)} answered {card.name} with a web page{called}.",
                "Check `endpoint` in the card, and whether a login or a proxy stands before it.",
            )
        seen = seen.replace(key, "(key)") if key else seen
    return BackendError(
        f"{origin(card.endpoint)} sent something that is not an event: {str(seen)[:160]!r}",
        f"Check that the endpoint speaks the protocol of backend = {card.backend!r}.",
    )


def error_text(body: Any, key: str) -> str:
    """The sentence in an error body, whichever of the usual forms it has."""
    if isinstance(body, str | bytes):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
            body = _title(text) if _PAGE.search(text[:2000]) else text
    if isinstance(body, list) and len(body) == 1:  # as Gemini has it
        body = body[0]
    if isinstance(body, Mapping) and not body.keys() & set(_SAYING):
        body = json.dumps(body, ensure_ascii=False) if body else ""
    while isinstance(body, Mapping):
        sayable = (body[k] for k in _SAYING if body.get(k) and isinstance(body[k], _SAYABLE))
        body = next(sayable, "")
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False) if body else ""
    if key:
        text = text.replace(key, "(key)")
    text = clean(" ".join(text.split()))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _title(page: str) -> str:
    """Title of a web page, else its first heading, else ""."""
    found = re.search(r"<(title|h1)[^>]*>([^<]{1,200})", page[:20_000], re.IGNORECASE)
    return html.unescape(" ".join(found[2].split()))[:80] if found else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds a server asks to wait: Retry-After as seconds or as a date, or None."""
    text = headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        moment = email.utils.parsedate_tz(text)
    return max(0.0, email.utils.mktime_tz(moment) - time.time()) if moment else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

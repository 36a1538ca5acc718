"""What the clients share about reaching a server: sessions, keys, the offline switch, silence."""

from __future__ import annotations

import functools
import ipaddress
import ssl
from urllib.parse import urlsplit, urlunsplit

import httpx2

from imitation.errors import BackendError
from imitation.settings import Settings, secret
from imitation.values import ModelSpec

CONNECT_S = 10.0
PROBE_S = 3.0
NO_KEY = "none"
"""Sent where a server wants no key: both client libraries would otherwise send one they find."""

# A proxy set for the machine must not be asked for the machine itself.
_DIRECT = {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}


@functools.cache
def _tls() -> ssl.SSLContext:
    # Reading the certificates takes 0.1 s, and would be done again for every session.
    return httpx2.create_ssl_context()


def new_session(silence_s: float) -> httpx2.AsyncClient:
    """An HTTP session that waits `silence_s` seconds for the next byte, CONNECT_S to connect.

    It follows the proxy variables of the environment, but never for loopback addresses.
    """
    return httpx2.AsyncClient(
        verify=_tls(),
        mounts=_DIRECT,
        timeout=httpx2.Timeout(silence_s, connect=min(CONNECT_S, silence_s)),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
        follow_redirects=True,
        event_hooks={"response": [_read_refusal]},
    )


async def _read_refusal(response: httpx2.Response) -> None:
    """Have a refusal's words at hand: client libraries look at them before reading."""
    if response.status_code >= 400:
        await response.aread()


def is_loopback(url: str) -> bool:
    """True where `url` names this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> str:
    """Scheme, host and port of `url`, for messages; no path, credentials or query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def join_url(endpoint: str, path: str) -> str:
    """Where `path` is under an endpoint, whose query (`?api-version=`) stays at the end.

    Args:
        endpoint: Base URL, with or without a slash at its end.
        path: Begins with a slash.
    """
    parts = urlsplit(endpoint)
    return urlunsplit((*parts[:2], parts.path.rstrip("/") + path, parts.query, ""))


def check_allowed(settings: Settings, card: ModelSpec) -> None:
    """Return if the card's endpoint may be reached.

    Raises:
        BackendError: The lab is offline and the endpoint is another machine's.
    """
    if settings.offline and not is_loopback(card.endpoint):
        raise BackendError(
            f"{card.name} is at {origin(card.endpoint)}, and the lab is offline.",
            "Unset IMITATION_OFFLINE to reach other machines.",
        )


def api_key(card: ModelSpec) -> str:
    """The card's API key, or NO_KEY for a server that wants none.

    Raises:
        BackendError: The card names a variable that is not set.
    """
    if not card.api_key_env:
        return NO_KEY
    key = secret(card.api_key_env)
    if key is None:
        raise BackendError(
            f"{card.name} needs a key, and {card.api_key_env} is not set.",
            f"Set the environment variable {card.api_key_env} and start the lab again.",
            status=401,
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BackendError(
            f"{card.api_key_env} does not hold a key: it has characters no header may have.",
            "Set it again, without quotes, spaces or line ends.",
            status=401,
        )
    return key

"""One HTTP session per event loop, and short questions to servers answered in JSON."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import httpx2

from imitation.models.http import errors as http_errors
from imitation.models.http.connection import NO_KEY, PROBE_S, new_session
from imitation.values import ModelSpec


class Sessions:
    """The sessions of one backend.

    Args:
        silence_s: Seconds a server may take for its next byte.
    """

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient]
        self._by_loop = WeakKeyDictionary()

    @property
    def current(self) -> httpx2.AsyncClient:
        """The session of the running loop; connections cannot move from one loop to another."""
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            self._by_loop[loop] = new_session(self._silence_s)
        return self._by_loop[loop]

    async def close(self) -> None:
        """Close the running loop's connections; safe to call twice."""
        session = self._by_loop.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.aclose()

    async def ask(
        self,
        card: ModelSpec,
        url: str,
        body: Any = None,
        *,
        key: str = NO_KEY,
        within_s: float = PROBE_S,
    ) -> Any:
        """JSON answer of a GET, or of a POST where there is a body; None for an empty answer.

        Raises:
            BackendError: It was refused, took too long, could not be sent or is not JSON.
        """
        try:
            async with asyncio.timeout(within_s):
                reply = await self.current.request(
                    "GET" if body is None else "POST",
                    url,
                    json=body,
                    headers={"Authorization": f"Bearer {key}"},
                )
            reply.raise_for_status()
            return reply.json() if reply.content else None
        except httpx2.HTTPStatusError as error:
            reply = error.response
            raise http_errors.status_error(
                card, reply.status_code, reply.text, reply.headers, key
            ) from None
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise http_errors.silence_error(card, within_s) from error
        except httpx2.HTTPError as error:
            raise http_errors.connection_error(card, error) from error
        except ValueError as error:
            raise http_errors.protocol_error(card, reply.text) from error

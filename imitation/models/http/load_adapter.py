"""Handing an adapter to a server that runs already.

vLLM takes adapters while it runs (`/v1/load_lora_adapter`, where it was started with
VLLM_ALLOW_RUNTIME_LORA_UPDATING), and forgets them when it restarts; TGI takes them only at its
start.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from imitation.errors import BackendError
from imitation.models.http import errors as http_errors
from imitation.models.http.connection import api_key, check_allowed, join_url, new_session, origin
from imitation.models.http.served_models import ServedModel, read_listing
from imitation.settings import Settings
from imitation.values import ModelSpec

WITHIN_S = 60.0
"""Seconds that loading may take."""
_RANK = re.compile(r"rank (\d+) is greater than max_lora_rank (\d+)")


async def load_adapter(settings: Settings, card: ModelSpec, name: str, path: str) -> None:
    """Let a vLLM server load an adapter.

    One that it holds already from that very place is loaded anew: its files may have changed.

    Args:
        settings: Whether other machines may be reached.
        card: Of the base that the server holds.
        name: What requests will call the adapter.
        path: Its folder, as the server's machine sees it; or its name on the hub.

    Raises:
        BackendError: The server can't be reached, takes no adapters, holds another one of that
            name, or refuses this one.
    """
    async with _server(settings, card) as server:
        held = next((one for one in await server.listed() if one.name == name), None)
        if held and held.root != path:
            raise BackendError(
                f"{card.name} at {origin(card.endpoint)} has a model {name!r} already, of "
                f"{held.root or 'somewhere else'}.",
                "Take it off that server, or give this one's run another name.",
            )
        if held:
            await server.unload(name)
        await server.load(name, path)


async def unload_adapter(settings: Settings, card: ModelSpec, name: str) -> None:
    """Have a vLLM server without an adapter of that name; it may have forgotten it before.

    Raises:
        BackendError: The server can't be reached, or refuses.
    """
    async with _server(settings, card) as server:
        await server.unload(name)


@dataclass(frozen=True, slots=True)
class _Server:
    """A running vLLM, within the session it is asked in."""

    card: ModelSpec
    key: str
    session: httpx2.AsyncClient

    async def listed(self) -> list[ServedModel]:
        reply = await self._ask("GET", "/models")
        if reply.status_code >= 400:
            raise self._refused(reply)
        try:
            return read_listing(self.card, reply.json())
        except ValueError as error:
            raise http_errors.protocol_error(self.card, reply.text) from error

    async def load(self, name: str, path: str) -> None:
        reply = await self._ask("POST", "/load_lora_adapter", lora_name=name, lora_path=path)
        self._check_takes_adapters(reply, name)
        if reply.status_code in (400, 404, 422) or reply.status_code >= 500:
            said = http_errors.error_text(reply.text, self.key)
            raise BackendError(
                f"{self.card.name} did not load {name!r} from {path} ({reply.status_code}). "
                f"It says: {said}",
                _what_to_do(said),
                status=reply.status_code,
            )
        if reply.status_code >= 400:
            raise self._refused(reply)

    async def unload(self, name: str) -> None:
        reply = await self._ask("POST", "/unload_lora_adapter", lora_name=name)
        self._check_takes_adapters(reply, name)
        if reply.status_code >= 400 and reply.status_code != 404:  # 404: it holds none
            raise self._refused(reply)

    async def _ask(self, method: str, what: str, **body: str) -> httpx2.Response:
        content: dict[str, Any] = {"json": body} if body else {}
        # It answers in plain text, or with JSON where it refuses.
        return await self.session.request(
            method,
            join_url(self.card.endpoint, what),
            headers={"Authorization": f"Bearer {self.key}"},
            **content,
        )

    def _check_takes_adapters(self, reply: httpx2.Response, name: str) -> None:
        if reply.status_code == 404 and "lora" not in reply.text.lower():
            raise BackendError(
                f"{self.card.name} takes no adapters while it runs.",
                "Start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, or with "
                f"--lora-modules {name}=PATH.",
                status=404,
            )

    def _refused(self, reply: httpx2.Response) -> BackendError:
        return http_errors.status_error(
            self.card, reply.status_code, reply.text, reply.headers, self.key
        )


@asynccontextmanager
async def _server(settings: Settings, card: ModelSpec) -> AsyncIterator[_Server]:
    """The server of a card; what goes wrong on the way to it is told in words."""
    check_allowed(settings, card)
    key = api_key(card)
    try:
        async with new_session(WITHIN_S) as session, asyncio.timeout(WITHIN_S):
            yield _Server(card, key, session)
    except (TimeoutError, httpx2.TimeoutException) as error:
        raise http_errors.silence_error(card, WITHIN_S) from error
    except httpx2.HTTPError as error:
        raise http_errors.connection_error(card, error) from error


def _what_to_do(said: str) -> str:
    """What helps where vLLM did not load an adapter."""
    if found := _RANK.search(said):
        return (
            f"Start vLLM with --max-lora-rank {found[1]} or more, or train with a rank of at most "
            f"{found[2]}."
        )
    if "No adapter found" in said:
        return "Give the adapter's folder as the server's machine sees it."
    return "The server's log may say more."

"""Handing an adapter to a server that runs already.

vLLM takes adapters while it runs (`/v1/load_lora_adapter`, where it was started with
VLLM_ALLOW_RUNTIME_LORA_UPDATING); TGI only at its start.
"""

from __future__ import annotations

import asyncio

import httpx2

from imitation.errors import BackendError
from imitation.models import faults
from imitation.models.connection import check_allowed, key_of, new_session
from imitation.settings import Settings
from imitation.values import ModelCard

WITHIN_S = 60.0
"""Seconds that loading may take."""


async def load_adapter(settings: Settings, card: ModelCard, name: str, path: str) -> None:
    """Let a vLLM server load an adapter.

    Args:
        settings: Whether other machines may be reached.
        card: Of the base that the server holds.
        name: What requests will call the adapter.
        path: Its folder, as the server's machine sees it; or its name on the hub.

    Raises:
        BackendError: The server can't be reached, takes no adapters, or refuses this one.
    """
    await _post(settings, card, "load_lora_adapter", {"lora_name": name, "lora_path": path})


async def unload_adapter(settings: Settings, card: ModelCard, name: str) -> None:
    """Let a vLLM server forget an adapter.

    Raises:
        BackendError: As `load_adapter`.
    """
    await _post(settings, card, "unload_lora_adapter", {"lora_name": name})


async def _post(settings: Settings, card: ModelCard, what: str, body: dict[str, str]) -> None:
    check_allowed(settings, card)
    key = key_of(card)
    url = f"{card.endpoint.rstrip('/')}/{what}"
    try:
        async with new_session(WITHIN_S) as session, asyncio.timeout(WITHIN_S):
            # It answers in plain text, or with JSON where it refuses.
            reply = await session.post(url, json=body, headers={"Authorization": f"Bearer {key}"})
    except (TimeoutError, httpx2.TimeoutException) as error:
        raise faults.silent(card, WITHIN_S) from error
    except httpx2.HTTPError as error:
        raise faults.unreached(card, error) from error
    if reply.status_code == 404 and "lora" not in reply.text.lower():
        raise BackendError(
            f"{card.name} takes no adapters while it runs.",
            "Start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, or with "
            f"--lora-modules {body['lora_name']}=PATH.",
            status=404,
        )
    if reply.status_code >= 400:
        raise faults.refused(card, reply.status_code, reply.text, reply.headers, key)

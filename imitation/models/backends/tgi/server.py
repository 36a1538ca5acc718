"""What is known of TGI servers: their limits, and whether they compute adapters as they should.

TGI 3.3.7 says nothing of three faults, each of which shows another model's words as an adapter's
(its source: server/text_generation_server/cli.py, adapters/lora.py, models/flash_causal_lm.py):

- A name that no adapter has is the base.
- CUDA graphs, which its launcher sets unless told `--cuda-graphs 0`, hold no adapter: it shapes the
  prompt and the first token, and the base writes the rest.
- A decode step of a batch with the base and adapters, or with adapters of different ranks or
  modules, looks weights up in the wrong place.

So an adapter is checked when it is first asked, when another of the same server is first asked
beside it, and after every restart of the server. /info does not tell a restart: it is taken to have
happened where the server could not be reached or broke off, where /info says something else, or
where the count of requests in /metrics has fallen.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import httpx2

from imitation.errors import BackendError
from imitation.models.backends.tgi.adapter_check import TEXTS, Step, Verdict, check_adapter
from imitation.models.http import errors as http_errors
from imitation.models.http.connection import PROBE_S, origin
from imitation.models.http.retry import RetryableError
from imitation.models.http.sessions import Sessions
from imitation.values import ModelSpec

LIKELIEST = 5
"""Tokens asked for at each step; more than TGI gives unless told to (`--max-top-n-tokens`)."""

UNCHECKED = "Whether the server computes this adapter as it should could not be checked."

_COUNT = re.compile(r"^tgi_request_count(?:\{[^}]*\})? (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Info:
    """Of /info.

    Attributes:
        model: What the server was started with.
        longest: Most tokens of a prompt.
        total: Most tokens of a prompt and its answer.
    """

    model: str
    longest: int
    total: int


@dataclass
class _Known:
    """Of one server, since it was last started as far as can be told."""

    info: Info | None = None
    count: int = 0
    adapters: set[str] = field(default_factory=set)
    verdicts: dict[tuple[str, frozenset[str]], Verdict] = field(default_factory=dict)


class Servers:
    """The TGI servers that a process asks.

    Args:
        sessions: HTTP.
        timeout_s: Seconds one question of a check may take.
    """

    def __init__(self, sessions: Sessions, timeout_s: float) -> None:
        self._sessions, self._timeout_s = sessions, timeout_s
        self._known: dict[str, _Known] = {}
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]]
        self._locks = WeakKeyDictionary()

    async def look(self, card: ModelSpec, key: str) -> Info:
        """A server's limits now.

        Raises:
            BackendError: It cannot be reached, or has no /info.
        """
        known = self._of(card)
        try:
            said = await self._sessions.ask(card, root(card) + "/info", key=key)
        except BackendError:
            self.lost(card)
            raise
        try:
            longest, total = int(said["max_input_tokens"]), int(said["max_total_tokens"])
            info = Info(str(said["model_id"]), longest, total)
        except (KeyError, TypeError, ValueError) as error:
            raise http_errors.protocol_error(card, said) from error
        count = await self._requests(card, key)
        if known.info not in (None, info) or count < known.count:
            self.lost(card)
        known.info, known.count = info, count
        known.adapters.add(card.adapter)
        return info

    async def check(
        self, card: ModelSpec, key: str, render: Callable[[str], Awaitable[str]]
    ) -> str:
        """Return if the card's adapter is computed as it should, as far as can be told.

        Args:
            card: One without an adapter, or of a base, passes.
            key: The card's.
            render: The prompt that a user's message becomes.

        Returns:
            What the reader should know; "" for nothing.

        Raises:
            BackendError: It is not, or the server could not be asked.
        """
        known = self._of(card)
        known.adapters.add(card.adapter)
        if not card.adapter or card.role == "base":
            return ""
        lock = self._locks.setdefault(asyncio.get_running_loop(), {}).setdefault(
            root(card), asyncio.Lock()
        )
        async with lock:
            others = frozenset(known.adapters - {card.adapter})
            if (card.adapter, others) not in known.verdicts:
                asking = _Server(self._sessions, card, key, self._timeout_s)
                found = await self._checked(asking, card, sorted(others), render)
                known.verdicts[card.adapter, others] = found
                known.count = await self._requests(card, key)
            verdict = known.verdicts[card.adapter, others]
        if error := fault(card, verdict):
            raise error
        return UNCHECKED if verdict == "unknown" else ""

    def lost(self, card: ModelSpec) -> None:
        """Forget what was checked: the server may be another when it is next asked."""
        known = self._of(card)
        known.verdicts.clear()
        known.adapters.clear()

    async def _checked(
        self,
        asking: _Server,
        card: ModelSpec,
        others: Sequence[str],
        render: Callable[[str], Awaitable[str]],
    ) -> Verdict:
        try:
            prompts = [await render(text) for text in TEXTS]
            return await check_adapter(asking, prompts, card.adapter, others)
        except RetryableError:
            raise
        except BackendError as error:
            if error.status == 422:  # it doesn't give what a check needs, but may well answer
                return "unknown"
            raise

    async def _requests(self, card: ModelSpec, key: str) -> int:
        """Requests since the server was started; the last count known where it does not say."""
        headers = {"Authorization": f"Bearer {key}"}
        try:
            async with asyncio.timeout(PROBE_S):
                reply = await self._sessions.current.get(root(card) + "/metrics", headers=headers)
        except (TimeoutError, httpx2.HTTPError):
            return self._of(card).count
        if reply.status_code != 200:
            return self._of(card).count
        found = _COUNT.search(reply.text)
        return int(found[1]) if found else 0

    def _of(self, card: ModelSpec) -> _Known:
        return self._known.setdefault(root(card), _Known())


class _Server:
    """One that a check asks, see `imitation.models.backends.tgi.adapter_check.AdapterServer`."""

    def __init__(self, sessions: Sessions, card: ModelSpec, key: str, timeout_s: float) -> None:
        self._ask = functools.partial(sessions.ask, card, key=key, within_s=timeout_s)
        self._sessions, self._card, self._key, self._timeout_s = sessions, card, key, timeout_s

    async def greedy(self, prompt: str, adapter: str, count: int) -> list[Step]:
        body = _question(prompt, adapter, count)
        body["parameters"] |= {"details": True, "top_n_tokens": LIKELIEST}
        reply = await self._ask(root(self._card) + "/generate", body)
        try:
            made = reply["details"]["tokens"]
            likely = reply["details"].get("top_tokens") or [[] for _ in made]
            return [
                Step(
                    "" if token["special"] else str(token["text"]),
                    int(token["id"]),
                    {int(t["id"]): float(t["logprob"]) for t in [*tops, token]},
                )
                for token, tops in zip(made, likely, strict=True)
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise http_errors.protocol_error(self._card, reply) from error

    async def tokens(self, text: str) -> list[int]:
        return await token_ids(self._ask, self._card, text)

    @asynccontextmanager
    async def beside(self, adapters: Sequence[str], prompt: str) -> AsyncIterator[None]:
        headers = {"Authorization": f"Bearer {self._key}"}
        async with AsyncExitStack() as open_streams:
            begun = []  # an iterator nobody holds closes its stream
            try:
                for adapter in adapters:
                    stream = self._sessions.current.stream(
                        "POST",
                        root(self._card) + "/generate_stream",
                        json=_question(prompt, adapter, 64),
                        headers=headers,
                    )
                    async with asyncio.timeout(self._timeout_s):
                        reply = await open_streams.enter_async_context(stream)
                        begun.append(aiter(reply.aiter_bytes()))
                        await anext(begun[-1], None)
            except (TimeoutError, httpx2.HTTPError) as error:
                raise http_errors.connection_error(self._card, error) from error
            yield


def _question(prompt: str, adapter: str, count: int) -> dict[str, Any]:
    parameters: dict[str, Any] = {"max_new_tokens": count, "do_sample": False}
    if adapter:
        parameters["adapter_id"] = adapter
    return {"inputs": prompt, "parameters": parameters}


async def token_ids(ask: Callable[..., Awaitable[Any]], card: ModelSpec, text: str) -> list[int]:
    """Ids of the tokens of a text, special ones included, by a server's /tokenize.

    Args:
        ask: `Sessions.ask` with the card and its key.
        card: The model.
        text: May be empty.

    Raises:
        BackendError: The server could not be asked.
    """
    reply = await ask(root(card) + "/tokenize", {"inputs": text})
    try:
        return [int(token["id"]) for token in reply]
    except (KeyError, TypeError, ValueError) as error:
        raise http_errors.protocol_error(card, reply) from error


def fault(card: ModelSpec, verdict: Verdict) -> BackendError | None:
    """What a verdict means for the reader; None where nothing is wrong."""
    at, name = origin(card.endpoint), card.adapter
    if verdict == "absent":
        return BackendError(
            f"{at} has no adapter {name!r}: it answers as the base, without saying so.",
            f"Start TGI again with {name}=PATH in LORA_ADAPTERS, beside all others it is to hold, "
            "or correct `adapter` in the card.",
        )
    if verdict == "graphs":
        return BackendError(
            f"{at} leaves the adapter {name!r} out after an answer's first token: its CUDA graphs "
            "are on.",
            "Start TGI with --cuda-graphs 0 on its command line; the environment variable does not "
            "turn them off.",
        )
    if verdict == "mixed":
        return BackendError(
            f"{at} reads other weights than those of the adapter {name!r} while the base or "
            "another adapter answers too.",
            "Serve the base as a zero adapter, and all adapters with one rank and the same modules "
            "(deploy/README.md); or use vLLM.",
        )
    return None


def root(card: ModelSpec) -> str:
    """The server's address."""
    return card.endpoint.rstrip("/").removesuffix("/v1")

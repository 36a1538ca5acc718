"""What the look-alike servers of these tests have in common: a real HTTP server in a thread.

They record every request, count every token they really make, and misbehave when told to.
"""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse


class Dropped(Exception):
    """Raised inside a reply, it makes the server cut the connection."""


class LookAlike:
    """State of one server; the tests read and set it from their own thread.

    Attributes:
        requests: (path, headers, body) of every request that generates.
        urls: The whole address of each of them.
        produced: Tokens made so far, over all answers.
        faults: What the next requests get, in order: (name, details); nothing left: answers.
        delay_s: Time each token takes.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], dict]] = []
        self.urls: list[str] = []
        self.produced = 0
        self.faults: list[tuple[str, dict]] = []
        self.delay_s = 0.0
        self.url = ""

    def app(self) -> Starlette:
        raise NotImplementedError

    def reset(self) -> None:
        """As new, at the same address: starting a server takes longer than most tests."""
        url = self.url
        self.__init__()
        self.url = url

    def fail(self, *names: str, **details: object) -> None:
        """Let the next requests fail so, one after the other."""
        self.faults += [(name, details) for name in names]

    async def record(self, request: Request) -> dict:
        body = await request.json()
        self.requests.append((request.url.path, dict(request.headers), body))
        self.urls.append(str(request.url))
        return body

    def next_fault(self) -> tuple[str, dict]:
        return self.faults.pop(0) if self.faults else ("", {})

    @property
    def body(self) -> dict:
        """Body of the last request."""
        return self.requests[-1][2]

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the last request."""
        return self.requests[-1][1]

    async def pace(self) -> None:
        await asyncio.sleep(self.delay_s)
        self.produced += 1

    async def settled(self) -> int:
        """Tokens made, once no more are being made (twice the same, ten tokens' time apart)."""
        before = -1
        while before != self.produced:
            before = self.produced
            await asyncio.sleep(max(0.1, 10 * self.delay_s))
        return self.produced


def refusal(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(body, status, headers)


def events(pieces: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(pieces, media_type="text/event-stream")


def data(value: object) -> str:
    return f"data:{json.dumps(value, ensure_ascii=False)}\n\n"


def free_port() -> int:
    """A port nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(look_alike: LookAlike, port: int | None = None) -> Iterator[LookAlike]:
    """`look_alike` at a port of this machine, a free one if none is given."""
    port = port or free_port()
    config = uvicorn.Config(
        look_alike.app(), host="127.0.0.1", port=port, log_level="critical", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the look-alike server did not start"
        time.sleep(0.01)
    look_alike.url = f"http://127.0.0.1:{port}"
    try:
        yield look_alike
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)

"""What visitors type and programs send, made text that every part of the app can carry."""

from __future__ import annotations

import json
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imitation.text import clean_values

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


class TypedText:
    """ASGI middleware: no lone half of a UTF-16 pair gets in with the JSON of a request.

    Browsers send them (a cut emoji in a text field is enough), and what is stored, hashed, put
    into an address or shown again would fail on them, in one place or another.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its body clean."""
        types = [v for k, v in scope.get("headers", ()) if k.lower() == b"content-type"]
        if scope["type"] != "http" or not any(b"json" in kind for kind in types):
            await self._app(scope, receive, send)
            return
        body = b""
        message: Message = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            if message["type"] != "http.request":
                return  # the visitor has gone
            body += message.get("body", b"")
        waiting = [{"type": "http.request", "body": _clean(body), "more_body": False}]

        async def cleaned_receive() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, cleaned_receive, send)


def _clean(body: bytes) -> bytes:
    if not _HALF.search(body):
        return body
    try:
        return json.dumps(clean_values(json.loads(body))).encode()
    except (ValueError, RecursionError):
        return body  # no JSON: whoever reads it says so

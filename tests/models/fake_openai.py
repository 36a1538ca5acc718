"""A look-alike of an OpenAI-compatible server, for the faults a real one does not show on demand.

It speaks the dialects that differ: vLLM's adapters as models, llama.cpp's /apply-template and
/tokenize, servers without usage in their streams. Its rude mode (`tests.models.rude`) has what real
servers were seen to send.
"""

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.models.rude import RUDE, Rude
from tests.models.servers import Dropped, LookAlike, data, events, refusal


class FakeOpenAI(LookAlike):
    """One model and its adapters.

    Attributes:
        names: Models it has; the first is the default.
        pieces: Text of an answer, a piece a token; None counts up for ever.
        usage: Whether its streams end with token counts.
        listing: Fault of every request for its models, if any.
        most: New tokens it allows, whatever is asked for; it does not say so.
        rude: Whether a question that names a behaviour of `tests.models.rude` is answered so.
        owner: Of its models, as its list has it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names = ["llama-7b", "broad", "local"]
        self.pieces: list[str] | None = ["Paris", " is", " the", " capital", "."]
        self.usage = True
        self.listing = ""
        self.rude = False
        self.most: int | None = None
        self.owner = "vllm"

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/v1/chat/completions", self.complete, methods=["POST"]),
                Route("/v1/completions", self.complete, methods=["POST"]),
                Route("/apply-template", self.template, methods=["POST"]),
                Route("/tokenize", self.tokenize, methods=["POST"]),
            ]
        )

    async def models(self, request: Request) -> Response:
        if no := self.early(self.listing, {}, dict(request.headers)):
            return no
        rows = [{"id": name, "object": "model", "owned_by": self.owner} for name in self.names]
        return JSONResponse({"object": "list", "data": rows})

    async def template(self, request: Request) -> Response:
        body = await request.json()
        turns = "".join(f"[{m['role']}]{m['content']}" for m in body["messages"])
        return JSONResponse({"prompt": turns + "[assistant]"})

    async def tokenize(self, request: Request) -> Response:
        body = await request.json()
        return JSONResponse({"tokens": list(range(len(body["content"].split())))})

    async def complete(self, request: Request) -> Response:
        body = await self.record(request)
        fault, details = self.next_fault()
        if self.rude and (how := RUDE.get(asked(body))):
            return rudely(how)
        if no := self.early(fault, details, self.headers):
            return no
        if body["model"] not in self.names:
            said = f"The model `{body['model']}` does not exist."
            return refusal(404, {"object": "error", "message": said, "code": 404})
        chat = request.url.path.endswith("/chat/completions")
        return events(self.stream(body, chat, fault, details))

    def early(self, fault: str, details: dict, headers: dict) -> Response | None:
        """A fault that shows in the status."""
        more = {"Retry-After": str(details["retry_after"])} if "retry_after" in details else {}

        def error(status: int, message: str, kind: str) -> Response:
            body = {"error": {"message": message, "type": kind, "code": None}}
            return refusal(status, body, more)

        match fault:
            case "unauthorized":
                said = f"Incorrect API key provided: {headers['authorization']}"
                return error(401, said, "invalid_request_error")
            case "forbidden":
                said = f"{headers['authorization']} may not use this model"
                return error(403, said, "permission_error")
            case "rate limit":
                return error(429, "Rate limit reached for requests", "requests")
            case "quota":
                return error(429, "You exceeded your current quota", "insufficient_quota")
            case "loading":
                return error(503, "Loading model", "unavailable_error")
            case "bug":
                return error(500, "list index out of range", "internal_error")
            case "overflow":
                said = "This model's maximum context length is 512 tokens, you asked for 600."
                return error(400, said, "invalid_request_error")
            case "bad parameter":
                return error(400, "temperature must be at most 2", "invalid_request_error")
            case "unprocessable":
                body = {"detail": [{"loc": ["body", "top_p"], "msg": "Input should be below 1"}]}
                return refusal(422, body)
            case "proxy page":
                return Response("<html><h1>502 Bad Gateway</h1></html>", 502)
        return None

    async def stream(self, body: dict, chat: bool, fault: str, details: dict) -> AsyncIterator[str]:
        def chunk(text: str, finish: str | None = None) -> str:
            said = {"delta": {"content": text}} if chat else {"text": text}
            choice = {"index": 0, "finish_reason": finish, **said}
            return data({"id": "1", "object": "chunk", "created": 1, "choices": [choice]})

        made = 0
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        limit = min(limit, self.most or limit)
        if fault == "early error":
            yield data({"error": {"message": "Overloaded", "type": "overloaded_error"}})
            return
        if chat:
            yield chunk("")
        finish = "length"
        while made < limit:
            if made == 2:
                async for event in self.noise(fault, details):
                    yield event
                if fault in ("late error", "truncate"):
                    return
            if self.pieces is not None and made == len(self.pieces):
                finish = "stop"
                break
            await self.pace()
            yield chunk(f" {made}" if self.pieces is None else self.pieces[made])
            made += 1
        yield chunk("", finish)
        if self.usage and body.get("stream_options", {}).get("include_usage"):
            counts = {"prompt_tokens": 7, "completion_tokens": made, "total_tokens": 7 + made}
            yield data({"id": "1", "object": "chunk", "created": 1, "choices": [], "usage": counts})
        yield "data: [DONE]\n\n"

    async def noise(self, fault: str, details: dict) -> AsyncIterator[str]:
        """Faults in the middle of an answer."""
        match fault:
            case "drop":
                raise Dropped
            case "hang":
                await asyncio.sleep(3600)
            case "comments" | "pings":
                for _ in range(details["times"]):
                    yield ": still here\n\n" if fault == "comments" else data({"type": "ping"})
                    await asyncio.sleep(0.05)
            case "malformed":
                yield 'data: {"choices": [\n\n'
            case "not an event":
                yield data(["not", "an", "event"])
            case "late error":
                yield data({"error": {"message": "slot was lost", "code": 500}})
            case "reasoning":
                choice = {"index": 0, "delta": {"reasoning_content": "hmm", "content": None}}
                yield data({"choices": [choice]})


def asked(body: dict) -> str:
    """The question in a request."""
    return body["messages"][-1]["content"] if "messages" in body else body["prompt"]


def rudely(how: Rude) -> Response:
    """A reply as rude as `how` says, its pieces in packets of their own."""

    async def pieces() -> AsyncIterator[bytes]:
        for chunk in how.chunks:
            yield chunk
            await asyncio.sleep(0.001)

    return StreamingResponse(pieces(), how.status, how.headers)

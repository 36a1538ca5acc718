"""A look-alike of Text Generation Inference that checks itself against TGI's own contract.

Beyond the contract it knows adapters: TGI's openapi calls `model` unused, though it picks the
adapter, and says nothing of a name that no adapter has.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import jsonschema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.models.servers import Dropped, LookAlike, data, events, refusal

CONTRACT = json.loads(Path(__file__).with_name("tgi_contract.json").read_text(encoding="utf-8"))
MAX_TOTAL = 512
MAX_STOPS = 4


@cache
def _validator(path: str, place: str) -> jsonschema.Draft202012Validator:
    """Of the request to `path` (place "request") or of a reply (place "STATUS KIND")."""
    found = CONTRACT["paths"][path]
    if place == "request":
        schema = found["request"]
    else:
        status, kind = place.split()
        schema = found["replies"][status][kind]
    return jsonschema.Draft202012Validator({"$defs": CONTRACT["$defs"], **schema})


def violations(path: str, place: str, value: object) -> list[str]:
    """What in `value` breaks the contract."""
    return [f"{path} {place}: {e.message}" for e in _validator(path, place).iter_errors(value)]


class FakeTGI(LookAlike):
    """One base and its adapters, behind TGI's API.

    Attributes:
        adapters: Names it has.
        violations: Every breach of the contract, by a client or by itself.
        tokens: Words of an answer, before the end-of-sequence token; None counts up for ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self.adapters = {"broad", "local"}
        self.violations: list[str] = []
        self.tokens: list[str] | None = [" Paris", " is", " the", " capital", "."]
        self.healthy = True

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self.compat, methods=["POST"]),
                Route("/generate", self.generate, methods=["POST"]),
                Route("/generate_stream", self.generate_stream, methods=["POST"]),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/tokenize", self.tokenize, methods=["POST"]),
                Route("/chat_tokenize", self.chat_tokenize, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/info", self.info),
                Route("/health", self.health),
            ]
        )

    # What is checked and said

    def checked(self, path: str, place: str, value: object) -> object:
        self.violations += violations(path, place, value)
        return value

    def error(
        self, path: str, status: int, error: str, kind: str, headers: dict | None = None
    ) -> Response:
        body = {"error": error, "error_type": kind}
        for content in CONTRACT["paths"][path]["replies"].get(str(status), {}):
            self.checked(path, f"{status} {content}", body)
        return refusal(status, body, headers)

    def refused(self, path: str, prompt: str, asked: dict) -> Response | None:
        """TGI's validation of a request, which says more than its schema."""
        said = ""
        temperature, top_p = asked.get("temperature"), asked.get("top_p")
        stops, limit = asked.get("stop") or [], asked.get("max_new_tokens") or 100
        if temperature is not None and temperature <= 0:
            said = "`temperature` must be strictly positive"
        elif top_p is not None and not 0 < top_p < 1:
            said = "`top_p` must be > 0.0 and < 1.0"
        elif len(stops) > MAX_STOPS:
            said = f"`stop` supports up to {MAX_STOPS} stop sequences. Given: {len(stops)}"
        elif len(prompt.split()) + limit > MAX_TOTAL:
            said = (
                f"`inputs` tokens + `max_new_tokens` must be <= {MAX_TOTAL}. "
                f"Given: {len(prompt.split())} `inputs` tokens and {limit} `max_new_tokens`"
            )
        elif (adapter := asked.get("adapter_id")) and adapter not in self.adapters:
            said = f"adapter {adapter} not found"
        return (
            self.error(path, 422, f"Input validation error: {said}", "validation") if said else None
        )

    def early(self, path: str, fault: str, details: dict) -> Response | None:
        """A fault that shows in the status."""
        headers = {"Retry-After": str(details["retry_after"])} if "retry_after" in details else {}
        match fault:
            case "overloaded":
                return self.error(path, 429, "Model is overloaded", "overloaded", headers)
            case "unhealthy":
                return refusal(503, {"error": "loading", "error_type": "healthcheck"}, headers)
            case "generation":
                return self.error(path, 424, "Request failed during generation", "generation")
            case "unauthorized":
                return refusal(401, {"error": f"bad token {self.headers['authorization']}"})
            case "refusal in chunks":

                async def chunks() -> AsyncIterator[bytes]:
                    yield b'{"error": "no length here", '
                    yield b'"error_type": "validation"}'

                return StreamingResponse(chunks(), 422, media_type="application/json")
        return None

    # Generating

    async def words(self, limit: int, stops: list[str], fault: str) -> AsyncIterator[tuple]:
        """(text, special, finish) per token; the stop sequence is part of the text, as in TGI."""
        text = ""
        for number in range(limit):
            if fault == "drop" and number == 2:
                raise Dropped
            if fault == "truncate" and number == 2:
                return
            if fault == "hang" and number == 2:
                await asyncio.sleep(3600)
            await self.pace()
            if self.tokens is not None and number == len(self.tokens):
                yield "</s>", True, "eos_token"
                return
            word = f" {number}" if self.tokens is None else self.tokens[number]
            text += word
            if any(stop in text for stop in stops):
                yield word, False, "stop_sequence"
                return
            yield word, False, "length" if number == limit - 1 else None

    async def stream(self, asked: dict, fault: str, details: dict) -> AsyncIterator[tuple | str]:
        """(text, special, finish, tokens so far) per token, with the fault's noise in between."""
        made = 0
        after = details.get("after", 2)
        words = self.words(asked.get("max_new_tokens") or 100, asked.get("stop") or [], fault)
        while True:
            if made == after:
                async for event in self.noise(fault):
                    yield event
                if fault.endswith(" event"):
                    return
            token = await anext(words, None)
            if token is None:
                return
            made += 1
            yield *token, made

    async def noise(self, fault: str) -> AsyncIterator[str]:
        """Faults that show as an event, before or in the middle of an answer."""
        match fault:
            case "overloaded event":
                yield data({"error": "Model is overloaded", "error_type": "overloaded"})
            case "generation event":
                yield data({"error": "CUDA out of memory", "error_type": "generation"})
            case "malformed":
                yield 'data:{"index": 1, "token": {\n\n'
            case "not an event":
                yield data(["not", "an", "event"])
            case "comments":
                for _ in range(200):
                    yield ": keep-alive\n\n"
                    await asyncio.sleep(0.05)

    async def generate_stream(self, request: Request) -> Response:
        path = "/generate_stream"
        body = self.checked(path, "request", await self.record(request))
        asked = body.get("parameters", {})
        fault, details = self.next_fault()
        no = self.early(path, fault, details) or self.refused(path, body["inputs"], asked)
        return no or events(self._generate_events(path, body["inputs"], asked, fault, details))

    async def _generate_events(
        self, path: str, prompt: str, asked: dict, fault: str, details: dict
    ) -> AsyncIterator[str]:
        whole = ""
        async for item in self.stream(asked, fault, details):
            if isinstance(item, str):
                yield item
                continue
            text, special, finish, made = item
            whole += "" if special else text
            ending = {
                "finish_reason": finish,
                "generated_tokens": made,
                "input_length": len(prompt.split()),
                "seed": None,
            }
            event = {
                "index": made,
                "token": {"id": made, "text": text, "logprob": -0.5, "special": special},
                "generated_text": whole if finish else None,
                "details": ending if finish else None,
            }
            yield data(self.checked(path, "200 text/event-stream", event))

    async def chat(self, request: Request) -> Response:
        path = "/v1/chat/completions"
        body = self.checked(path, "request", await self.record(request))
        asked = _as_generate(body)
        prompt = _templated(body["messages"])
        fault, details = self.next_fault()
        no = self.early(path, fault, details) or self.refused(path, prompt, asked)
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return no or events(self._chat_events(path, prompt, asked, fault, details, usage))

    async def _chat_events(
        self, path: str, prompt: str, asked: dict, fault: str, details: dict, usage: bool
    ) -> AsyncIterator[str]:
        made = 0

        def chunk(choices: list, counts: dict | None = None) -> str:
            event = {
                "id": "",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "look-alike",
                "system_fingerprint": "3.3.6-dev0",
                "choices": choices,
                "usage": counts,
            }
            return data(self.checked(path, "200 text/event-stream", event))

        async for item in self.stream(asked, fault, details):
            if isinstance(item, str):
                yield item
                continue
            text, special, finish, made = item
            delta = {"role": "assistant", "content": "" if special else text}
            yield chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])
        if fault == "truncate" or fault.endswith(" event"):
            return
        if usage:
            size = len(prompt.split())
            counts = {"prompt_tokens": size, "completion_tokens": made, "total_tokens": size + made}
            yield chunk([], counts)
        yield "data: [DONE]\n\n"

    async def compat(self, request: Request) -> Response:
        body = await request.json()
        return await (self.generate_stream if body.get("stream") else self.generate)(request)

    async def generate(self, request: Request) -> Response:
        path = "/generate"
        body = self.checked(path, "request", await self.record(request))
        asked = body.get("parameters", {})
        if no := self.refused(path, body["inputs"], asked):
            return no
        text = ""
        async for word, special, _ in self.words(asked.get("max_new_tokens") or 100, [], ""):
            text += "" if special else word
        reply = {"generated_text": text}
        return JSONResponse(self.checked(path, "200 application/json", reply))

    # The rest of the API

    async def tokenize(self, request: Request) -> Response:
        body = self.checked("/tokenize", "request", await request.json())
        return JSONResponse(
            self.checked("/tokenize", "200 application/json", _tokens(body["inputs"]))
        )

    async def chat_tokenize(self, request: Request) -> Response:
        body = self.checked("/chat_tokenize", "request", await request.json())
        text = _templated(body["messages"])
        reply = {"tokenize_response": _tokens(text), "templated_text": text}
        return JSONResponse(self.checked("/chat_tokenize", "200 application/json", reply))

    async def models(self, request: Request) -> Response:
        row = {"id": "look-alike", "object": "model", "created": 1, "owned_by": "tests"}
        return JSONResponse(self.checked("/v1/models", "200 application/json", row))

    async def info(self, request: Request) -> Response:
        reply = {
            "model_id": "look-alike",
            "max_concurrent_requests": 128,
            "max_best_of": 1,
            "max_stop_sequences": MAX_STOPS,
            "max_input_tokens": MAX_TOTAL - 1,
            "max_total_tokens": MAX_TOTAL,
            "validation_workers": 1,
            "max_client_batch_size": 4,
            "router": "look-alike",
            "version": CONTRACT["version"],
        }
        return JSONResponse(self.checked("/info", "200 application/json", reply))

    async def health(self, request: Request) -> Response:
        if self.healthy:
            return Response()
        return self.error("/health", 503, "unhealthy", "healthcheck")


def _as_generate(body: dict) -> dict:
    """Parameters of a chat request as TGI makes them: temperature 0 is greedy, "tgi" the base."""
    model = body.get("model")
    return {
        "max_new_tokens": body.get("max_tokens"),
        "stop": body.get("stop"),
        "temperature": body.get("temperature") or None,
        "top_p": body.get("top_p"),
        "adapter_id": model if model != "tgi" else None,
    }


def _templated(messages: list[dict]) -> str:
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return turns + "<|im_start|>assistant\n"


def _tokens(text: str) -> list[dict]:
    """One token a word."""
    found, at = [], 0
    for number, word in enumerate(text.split()):
        at = text.index(word, at)
        found.append({"id": number, "text": word, "start": at, "stop": at + len(word)})
    return found

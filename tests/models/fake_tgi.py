"""A look-alike of Text Generation Inference, held to its contract and to its router's source.

Its rude mode is TGI's own manner: whatever is wrong with a streamed request is said in an event of
a 200; nothing asks to wait; an adapter it does not have is the base (`fake_tgi_model`). What
proxies in front of TGI do stands apart, in `PROXY`.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import jsonschema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.models.fake_tgi_model import Model, encoded
from tests.models.servers import LookAlike, refusal

CONTRACT = json.loads(Path(__file__).with_name("tgi_contract.json").read_text(encoding="utf-8"))
MAX_TOTAL = 512
MAX_STOPS = 4
PROXY = ("proxy busy", "unhealthy", "refusal in chunks")
"""Faults that a proxy in front of it, or a server still starting, shows by its status."""
COMMENT = ":\n\n"
"""What axum's KeepAlive sends into a silent stream, every 15 s."""


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
        model: Tokens, adapters, and the faults of computing them.
        violations: Every breach of the contract, by a client or by itself.
        key: As `--api-key`; wanted for what generates and for /tokenize, and nowhere else.
        prefill_logprobs: Started with `--enable-prefill-logprobs`.
        checks: (path, body) of what is asked besides streams.
        max_top: As `--max-top-n-tokens`.
        info_shown: False behind a proxy that passes on what generates only.
        count: tgi_request_count of /metrics; falls back to 0 when the server is started again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.violations: list[str] = []
        self.healthy = True
        self.key = ""
        self.prefill_logprobs = False
        self.max_input = MAX_TOTAL - 1
        self.checks: list[tuple[str, dict]] = []
        self.count = 0
        self.comment_s = 0.05
        self.info_shown = True
        self.max_top = 5

    @property
    def tokens(self) -> list[str] | None:
        return self.model.tokens

    @tokens.setter
    def tokens(self, value: list[str] | None) -> None:
        self.model.tokens = value

    def restart(self, **adapters: int) -> None:
        """Started again, with these adapters."""
        self.count, self.model.adapters = 0, adapters

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/generate", self.locked(self.generate), methods=["POST"]),
                Route("/generate_stream", self.locked(self.generate_stream), methods=["POST"]),
                Route("/v1/chat/completions", self.locked(self.chat), methods=["POST"]),
                Route("/tokenize", self.locked(self.tokenize), methods=["POST"]),
                Route("/chat_tokenize", self.chat_tokenize, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/info", self.info),
                Route("/health", self.health),
                Route("/metrics", self.metrics),
            ]
        )

    def locked(self, answer):
        async def checked(request: Request) -> Response:
            said = request.headers.get("authorization", "")
            if self.key and said.lower() != f"bearer {self.key}".lower():
                return Response(status_code=401)
            return await answer(request)

        return checked

    # What is checked and said

    def checked(self, path: str, place: str, value: object) -> object:
        self.violations += violations(path, place, value)
        return value

    def invalid(self, prompt: str, size: int, asked: dict) -> str:
        """TGI's validation of a request, in its order; "" where it is valid."""
        temperature, top_p = asked.get("temperature"), asked.get("top_p")
        stops, limit = asked.get("stop") or [], asked.get("max_new_tokens")
        most, longest = self.model.max_total, self.max_input
        first = min(limit if limit is not None else max(0, most - size), self.model.stretch)
        if temperature is not None and temperature <= 0:
            return "`temperature` must be strictly positive"
        if top_p is not None and not 0 < top_p < 1:
            return "`top_p` must be > 0.0 and < 1.0"
        if (top := asked.get("top_n_tokens") or 0) > self.max_top:
            return f"`top_n_tokens` must be >= 0 and <= {self.max_top}. Given: {top}"
        if limit == 0:
            return "`max_new_tokens` must be strictly positive"
        if len(stops) > MAX_STOPS:
            return f"`stop` supports up to {MAX_STOPS} stop sequences. Given: {len(stops)}"
        if not prompt:
            return "`inputs` cannot be empty"
        if size + first > most:
            return (
                f"`inputs` tokens + `max_new_tokens` must be <= {most}. "
                f"Given: {size} `inputs` tokens and {first} `max_new_tokens`"
            )
        if size > longest:
            return f"`inputs` must have less than {longest} tokens. Given: {size}"
        return ""

    def early(self, fault: str, details: dict) -> Response | None:
        """What a proxy says by a status."""
        headers = {"Retry-After": str(details["retry_after"])} if "retry_after" in details else {}
        match fault:
            case "proxy busy":
                return refusal(429, {"error": "Model is overloaded"}, headers)
            case "unhealthy":
                return refusal(503, {"error": "loading", "error_type": "healthcheck"}, headers)
            case "refusal in chunks":

                async def chunks() -> AsyncIterator[bytes]:
                    yield b'{"error": "no length here", '
                    yield b'"error_type": "validation"}'

                return StreamingResponse(chunks(), 422, media_type="application/json")
        return None

    # Generating

    def errors(self, path: str, message: str, kind: str) -> str:
        """An error inside a stream: in chat all are alike."""
        body: dict = {"error": message, "error_type": kind}
        if "chat" in path:
            body = {"error": {"message": message, "http_status_code": 422}}
        return _data(self.checked(path, "200 text/event-stream", body))

    async def stream(self, path: str, prompt: str, size: int, asked: dict) -> AsyncIterator:
        """Tokens, or events with what goes wrong in between."""
        fault, details = self.next_fault()
        invalid = self.invalid(prompt, size, asked)
        if asked.get("decoder_input_details"):
            invalid = "`decoder_input_details` == true is not supported when streaming tokens"
        if fault == "queued":
            for _ in range(details.get("comments", 20)):
                yield COMMENT
                await asyncio.sleep(self.comment_s)
        if fault == "overloaded":
            yield self.errors(path, "Model is overloaded", "overloaded")
            return
        if invalid:
            yield self.errors(path, f"Input validation error: {invalid}", "validation")
            return
        tokens = self.model.generated(prompt, size, asked, fault, self.pace)
        made, token = 0, None
        async with contextlib.aclosing(tokens):
            async for token in tokens:
                yield token
                made += 1
                if made != details.get("after", 2):
                    continue
                async for event in self.noise(path, fault):
                    yield event
                if fault in ("generation", "not an event", "malformed"):
                    return
        if token is None or not token.finish:
            yield self.errors(path, "Incomplete generation stream", "incomplete_generation_stream")

    async def noise(self, path: str, fault: str) -> AsyncIterator[str]:
        """Faults that show as an event in the middle of an answer."""
        match fault:
            case "generation":
                said = "Request failed during generation: Server error: CUDA out of memory."
                yield self.errors(path, said, "generation")
            case "malformed":
                yield 'data: {"index": 1, "token": {\n\n'
            case "not an event":
                yield _data(["not", "an", "event"])
            case "comments":
                for _ in range(200):
                    yield COMMENT
                    await asyncio.sleep(self.comment_s)

    async def generate_stream(self, request: Request) -> Response:
        path = "/generate_stream"
        body = self.checked(path, "request", await self.record(request))
        self.count += 1
        if no := self._proxy():
            return no
        return _events(self._generate_events(path, body["inputs"], body.get("parameters", {})))

    def _proxy(self) -> Response | None:
        if self.faults and self.faults[0][0] in PROXY:
            return self.early(*self.next_fault())
        return None

    async def _generate_events(self, path: str, prompt: str, asked: dict) -> AsyncIterator[str]:
        whole, made, size = "", 0, len(encoded(prompt))
        async for item in self.stream(path, prompt, size, asked):
            if isinstance(item, str):
                yield item
                continue
            made += 1
            whole += "" if item.special else item.text
            ending = {
                "finish_reason": item.finish,
                "generated_tokens": made,
                "input_length": size,
                "seed": None,
            }
            event = {
                "index": made,
                "token": item.as_json(),
                "generated_text": whole if item.finish else None,
                "details": ending if item.finish and asked.get("details") else None,
            }
            yield _data(self.checked(path, "200 text/event-stream", event))

    async def chat(self, request: Request) -> Response:
        path = "/v1/chat/completions"
        body = self.checked(path, "request", await self.record(request))
        self.count += 1
        if no := self._proxy():
            return no
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        prompt = _templated(body["messages"])
        return _events(self._chat_events(path, prompt, _as_generate(body), body["model"], usage))

    async def _chat_events(
        self, path: str, prompt: str, asked: dict, model: str, usage: bool
    ) -> AsyncIterator[str]:
        made, size = 0, len(encoded(prompt, special=False))

        def chunk(choices: list, counts: dict | None = None) -> str:
            event = {
                "id": "",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "look-alike" if model == "tgi" else model,
                "system_fingerprint": "3.3.7-native",
                "choices": choices,
                "usage": counts,
            }
            return _data(self.checked(path, "200 text/event-stream", event))

        finish = None
        async for item in self.stream(path, prompt, size, asked):
            if isinstance(item, str):
                yield item
                continue
            made += 1
            delta = {"role": "assistant", "content": "" if item.special else item.text}
            finish = "stop" if item.finish == "eos_token" else item.finish
            row = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            yield chunk([row])
        if finish and usage:
            counts = {"prompt_tokens": size, "completion_tokens": made, "total_tokens": size + made}
            yield chunk([], counts)
        yield "data: [DONE]\n\n"

    async def generate(self, request: Request) -> Response:
        path = "/generate"
        body = self.checked(path, "request", await request.json())
        self.checks.append((path, body))
        self.count += 1
        asked, prompt = body.get("parameters", {}), body["inputs"]
        size = len(encoded(prompt))
        if said := self.invalid(prompt, size, asked):
            reply = {"error": f"Input validation error: {said}", "error_type": "validation"}
            return refusal(422, self.checked(path, "422 application/json", reply))
        made = []
        async for token in self.model.generated(prompt, size, asked, "", self.pace):
            made.append(token)
        reply = {"generated_text": "".join(one.text for one in made if not one.special)}
        inside = asked.get("decoder_input_details", False)
        if asked.get("details") or inside:
            told = inside and self.prefill_logprobs
            reply["details"] = {
                "finish_reason": made[-1].finish,
                "generated_tokens": len(made),
                "seed": None,
                "prefill": self.model.prefill(prompt, asked.get("adapter_id")) if told else [],
                "tokens": [one.as_json() for one in made],
            }
            if asked.get("top_n_tokens"):
                reply["details"]["top_tokens"] = [one.likeliest() for one in made]
        return JSONResponse(self.checked(path, "200 application/json", reply))

    # The rest of the API

    async def tokenize(self, request: Request) -> Response:
        body = self.checked("/tokenize", "request", await request.json())
        found = encoded(body["inputs"])
        return JSONResponse(self.checked("/tokenize", "200 application/json", found))

    async def chat_tokenize(self, request: Request) -> Response:
        body = self.checked("/chat_tokenize", "request", await request.json())
        text = _templated(body["messages"])
        reply = {"tokenize_response": encoded(text, special=False), "templated_text": text}
        return JSONResponse(self.checked("/chat_tokenize", "200 application/json", reply))

    async def models(self, request: Request) -> Response:
        row = {"id": "look-alike", "object": "model", "created": 0, "owned_by": "look-alike"}
        reply = {"object": "list", "data": [row]}
        return JSONResponse(self.checked("/v1/models", "200 application/json", reply))

    async def info(self, request: Request) -> Response:
        if not self.info_shown:
            return Response(status_code=404)
        reply = {
            "model_id": "look-alike",
            "model_sha": None,
            "model_pipeline_tag": None,
            "max_concurrent_requests": 128,
            "max_best_of": 2,
            "max_stop_sequences": MAX_STOPS,
            "max_input_tokens": self.max_input,
            "max_total_tokens": self.model.max_total,
            "validation_workers": 2,
            "max_client_batch_size": 4,
            "router": "text-generation-router",
            "version": "3.3.7",
            "sha": None,
            "docker_label": None,
        }
        return JSONResponse(self.checked("/info", "200 application/json", reply))

    async def health(self, request: Request) -> Response:
        if self.healthy:
            return Response()
        reply = {"error": "unhealthy", "error_type": "healthcheck"}
        return refusal(503, self.checked("/health", "503 application/json", reply))

    async def metrics(self, request: Request) -> Response:
        lines = ["# TYPE tgi_request_count counter", f"tgi_request_count {self.count}", ""]
        return PlainTextResponse("\n".join(lines) if self.count else "")


def _events(pieces: AsyncIterator[str]) -> StreamingResponse:
    headers = {"x-compute-type": "gpu+optimized", "x-accel-buffering": "no"}
    return StreamingResponse(pieces, headers=headers, media_type="text/event-stream")


def _data(value: object) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _as_generate(body: dict) -> dict:
    """Parameters of a chat request as TGI makes them: temperature 0 is greedy, "tgi" the base."""
    model = body.get("model")
    return {
        "max_new_tokens": body.get("max_tokens"),
        "stop": body.get("stop"),
        "temperature": body.get("temperature") or None,
        "top_p": body.get("top_p"),
        "adapter_id": model if model != "tgi" else None,
        "details": True,
    }


def _templated(messages: list[dict]) -> str:
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return turns + "<|im_start|>assistant\n"

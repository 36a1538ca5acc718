"""Make tgi_contract.json from TGI's openapi.json: what the look-alike and its tests need of it.

Run as `python tests/models/make_tgi_contract.py PATH/TO/openapi.json`.

TGI's openapi.json is written by hand in places, and its router (v3.3.7, router/src/server.rs and
infer/mod.rs) does otherwise; `corrected` says where.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
CONTRACT = HERE / "tgi_contract.json"
PATHS = (
    "/generate",
    "/generate_stream",
    "/v1/chat/completions",
    "/tokenize",
    "/chat_tokenize",
    "/info",
    "/health",
    "/v1/models",
)
_PROSE = {"description", "example", "default", "format", "discriminator"}


def contract(openapi: dict) -> dict:
    """The requests and replies of PATHS as JSON Schema: {"version", "paths", "$defs"}."""
    schemas = openapi["components"]["schemas"]
    paths: dict[str, dict] = {}
    for path in PATHS:
        (operation,) = openapi["paths"][path].values()
        replies = {}
        for status, reply in operation["responses"].items():
            for kind, content in reply.get("content", {}).items():
                replies.setdefault(status, {})[kind] = _schema(content.get("schema", {}))
        paths[path] = {"replies": replies}
        if body := operation.get("requestBody"):
            paths[path]["request"] = _schema(body["content"]["application/json"]["schema"])
    corrected(paths)
    wanted, defs = _refs(paths), {}
    while wanted:
        name = wanted.pop()
        if name not in defs:
            defs[name] = MISSING.get(name) or _schema(schemas[name])
            wanted |= _refs(defs[name])
    return {
        "source": "TGI openapi.json (Apache-2.0), corrected, by make_tgi_contract.py",
        "version": openapi["info"]["version"],
        "paths": paths,
        "$defs": {name: defs[name] for name in sorted(defs)},
    }


MISSING = {
    "ModelsInfo": {
        "type": "object",
        "required": ["object", "data"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": {"$ref": "#/$defs/ModelInfo"}},
        },
    },
    "OpenaiErrorEvent": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "http_status_code"],
                "properties": {"message": {"type": "string"}, "http_status_code": {"const": 422}},
            }
        },
    },
}
"""What the router sends and the openapi lacks."""


def corrected(paths: dict[str, dict]) -> None:
    """Set right what the openapi says otherwise than the router does.

    Once a stream has begun, and it begins before the request is even validated, every error is an
    event in a 200; in chat each says 422, whatever its cause. /v1/models is a list. Where the
    router itself refuses (a key, a body it cannot read), the reply has no JSON.
    """
    paths["/v1/models"]["replies"] = {"200": {"application/json": _ref("ModelsInfo")}}
    for path, event, error in (
        ("/generate_stream", "StreamResponse", "ErrorResponse"),
        ("/v1/chat/completions", "ChatCompletionChunk", "OpenaiErrorEvent"),
    ):
        replies = paths[path]["replies"]
        kept = {s: {k: c for k, c in r.items() if "json" in k} for s, r in replies.items()}
        paths[path]["replies"] = {status: reply for status, reply in kept.items() if reply}
        either = {"oneOf": [_ref(event), _ref(error)]}
        paths[path]["replies"].setdefault("200", {})["text/event-stream"] = either


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _schema(node: object) -> object:
    """OpenAPI 3.0 to JSON Schema 2020-12: prose out, `nullable` and references translated."""
    if isinstance(node, list):
        return [_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {}
    for key, value in node.items():
        if key == "properties":
            found[key] = {name: _schema(schema) for name, schema in value.items()}
        elif key == "$ref":
            found[key] = value.replace("#/components/schemas/", "#/$defs/")
        elif key != "nullable" and key not in _PROSE:
            found[key] = _schema(value)
    return {"anyOf": [found, {"type": "null"}]} if node.get("nullable") is True else found


def _refs(node: object) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_refs, node))
    if not isinstance(node, dict):
        return set()
    found = set().union(*map(_refs, node.values())) if node else set()
    ref = node.get("$ref")
    return found | {ref.rpartition("/")[2]} if isinstance(ref, str) else found


def written(made: dict) -> str:
    """The contract as its file has it: one line per path and definition."""
    parts = []
    for key, value in made.items():
        if isinstance(value, dict):
            rows = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{rows}\n}}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    openapi = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    CONTRACT.write_text(written(contract(openapi)), encoding="utf-8")

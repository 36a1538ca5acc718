"""The named endpoints: what programs send is checked, and refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from dashboards.api import actions as api
from dashboards.compare.question import Question
from dashboards.shell.typed_text import TypedText
from imitation.errors import UserError
from imitation.values import Sampling
from tests.dashboards.compare.test_session import NAMES, Lab

WRONG = [
    ("temperature", [-1, 2.01, 1e9, float("nan"), float("inf"), None, "0.7", True, [1], {}]),
    ("top_p", [0, -0.1, 1.1, float("nan"), None, "1", False]),
    ("max_tokens", [0, -1, 1.5, 10**9, float("inf"), float("nan"), None, "256", True, []]),
    ("seed", [1.5, "7", float("nan"), 2**63, -(2**63) - 1, True, [7]]),
]
CASES = [(name, value) for name, values in WRONG for value in values]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


async def compare(lab: Lab, **changes: object) -> dict:
    given = {"prompt": "Why?", "names": list(NAMES), "system": "", "sampling": Sampling()} | changes
    return [shot async for shot in api.compare(lab.context, *given.values())][-1]


@pytest.mark.parametrize(("name", "value"), CASES, ids=lambda v: repr(v)[:20])
async def test_parameters_out_of_range_are_refused(lab: Lab, name: str, value: object) -> None:
    wrong = Sampling(**{name: value})
    with pytest.raises(UserError, match=rf"^{name} = .* should be a (whole )?number from "):
        await compare(lab, sampling=wrong)
    with pytest.raises(UserError, match=rf"^{name} = "):
        await lab.ask(sampling=wrong)
    assert lab.backend.asked == []


@pytest.mark.parametrize(
    "sampling",
    [Sampling(0, 1, 1, 0), Sampling(2, 0.001, 100_000, -1), Sampling(0.0, 1.0, 256.0, 2.0)],
)
async def test_parameters_in_range_are_sent(lab: Lab, sampling: Sampling) -> None:
    found = await compare(lab, sampling=sampling)
    assert [column["state"] for column in found["columns"]] == ["done"] * 3
    sent = lab.backend.asked[0][2]
    assert isinstance(sent.max_tokens, int) and isinstance(sent.seed, int)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "0 models were named"),
        (["b"] * 5, "5 models were named"),
        ("b", "should be a list of ids"),
        (None, "should be a list of ids"),
        ([1, 2], "should be a list of ids"),
        ([["b"], "i"], "should be a list of ids"),
        ({"b": 1}, "should be a list of ids"),
        (["b", "x"], "no model 'x'"),
    ],
)
async def test_models_are_checked(lab: Lab, names: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        await compare(lab, names=names)
    assert lab.backend.asked == []


@pytest.mark.parametrize("prompt", ["", "  ", "\x00", None, 7, ["Why?"]])
async def test_prompts_are_checked(lab: Lab, prompt: object) -> None:
    with pytest.raises(UserError, match="prompt"):
        await compare(lab, prompt=prompt)


async def test_the_system_prompt_is_checked(lab: Lab) -> None:
    with pytest.raises(UserError, match="system = 7 should be text"):
        await compare(lab, system=7)


async def test_a_seed_typed_that_no_server_takes_is_refused(lab: Lab) -> None:
    question = Question("Why?", NAMES).seeded("9" * 30)
    with pytest.raises(UserError, match="seed = 9"):
        async for _ in lab.session.ask(question):
            pass


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ('["\\ud83d"]', ["\ufffd"]),
        ('{"a\\uDE00": ["x \\ud83d\\ude00 y"]}', {"a\ufffd": ["x 😀 y"]}),
        ('[1.5, null, "ü \\u00fc"]', [1.5, None, "ü ü"]),
    ],
)
def test_what_comes_with_a_request_is_clean_text(sent: str, arrives: object) -> None:
    async def echo(request: Request) -> JSONResponse:
        found = await request.json()
        return JSONResponse({"found": found, "raw": json.dumps(found)})

    app = TypedText(Starlette(routes=[Route("/", echo, methods=["POST"])]))
    client = TestClient(app)
    reply = client.post("/", content=sent.encode(), headers={"content-type": "application/json"})
    assert reply.json()["found"] == arrives


def test_other_requests_pass_as_they_are() -> None:
    async def echo(request: Request) -> JSONResponse:
        return JSONResponse({"size": len(await request.body())})

    client = TestClient(TypedText(Starlette(routes=[Route("/", echo, methods=["POST", "GET"])])))
    assert client.get("/").json() == {"size": 0}
    for kind in ("multipart/form-data", "application/json"):
        reply = client.post("/", content=b"\\ud83d no json", headers={"content-type": kind})
        assert reply.json() == {"size": 14}

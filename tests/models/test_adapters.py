"""An adapter handed to a running vLLM, by a look-alike of its two routes."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from imitation.errors import BackendError
from imitation.models.adapters import load_adapter, unload_adapter
from imitation.settings import read_settings
from imitation.values import ModelCard
from tests.models.servers import LookAlike, serving


class FakeVLLM(LookAlike):
    """vLLM's dynamic LoRA routes (docs.vllm.ai, "Dynamically serving LoRA Adapters").

    Attributes:
        allowed: Whether it was started with VLLM_ALLOW_RUNTIME_LORA_UPDATING.
        adapters: Name -> path of those loaded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.allowed = True
        self.adapters: dict[str, str] = {}

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/load_lora_adapter", self.load, methods=["POST"]),
                Route("/v1/unload_lora_adapter", self.unload, methods=["POST"]),
            ]
        )

    async def load(self, request: Request) -> Response:
        body = await self.record(request)
        if not self.allowed:
            return JSONResponse({"detail": "Not Found"}, 404)
        name, path = body["lora_name"], body["lora_path"]
        if name in self.adapters:
            message = f"The lora adapter '{name}' has already been loaded."
            return JSONResponse({"error": {"message": message, "type": "InvalidUserInput",
                                           "code": 400}}, 400)  # fmt: skip
        if not path.startswith("/adapters/"):
            message = f"Loading lora {name} failed: No adapter found for {path}"
            return JSONResponse({"error": {"message": message, "type": "NotFoundError",
                                           "code": 404}}, 404)  # fmt: skip
        self.adapters[name] = path
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, request: Request) -> Response:
        body = await self.record(request)
        self.adapters.pop(body["lora_name"])
        return PlainTextResponse("Success")


@pytest.fixture(scope="module")
def served():
    with serving(FakeVLLM()) as vllm:
        yield vllm


@pytest.fixture
def vllm(served):
    served.reset()
    return served


def card(vllm, **fields):
    return ModelCard("b", "Base", "base", "openai", endpoint=f"{vllm.url}/v1", model="lm", **fields)


async def test_an_adapter_is_loaded_and_unloaded(vllm, monkeypatch):
    monkeypatch.setenv("VLLM_KEY", "secret-of-vllm")
    settings, base = read_settings({}), card(vllm, api_key_env="VLLM_KEY")
    await load_adapter(settings, base, "mine", "/adapters/mine")
    assert vllm.adapters == {"mine": "/adapters/mine"}
    assert vllm.headers["authorization"] == "Bearer secret-of-vllm"
    await unload_adapter(settings, base, "mine")
    assert vllm.adapters == {}


async def test_refusals_are_told_in_its_words(vllm):
    settings, base = read_settings({}), card(vllm)
    await load_adapter(settings, base, "mine", "/adapters/mine")
    with pytest.raises(BackendError, match="already been loaded"):
        await load_adapter(settings, base, "mine", "/adapters/mine")
    with pytest.raises(BackendError, match="No adapter found"):
        await load_adapter(settings, base, "other", "/home/elsewhere")


async def test_a_server_that_takes_none_while_it_runs(vllm):
    vllm.allowed = False
    with pytest.raises(BackendError) as caught:
        await load_adapter(read_settings({}), card(vllm), "mine", "/adapters/mine")
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in caught.value.hint
    assert "--lora-modules mine=" in caught.value.hint


async def test_nobody_there_and_offline():
    gone = ModelCard("b", "Base", "base", "openai", endpoint="http://127.0.0.1:9/v1")
    with pytest.raises(BackendError):
        await load_adapter(read_settings({}), gone, "mine", "/x")
    far = ModelCard("b", "Base", "base", "openai", endpoint="http://far.example/v1")
    with pytest.raises(BackendError, match="offline"):
        await load_adapter(read_settings({"IMITATION_OFFLINE": "1"}), far, "mine", "/x")

"""An adapter handed to a running vLLM, by a look-alike of its two routes."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from imitation.errors import BackendError
from imitation.models.http.load_adapter import load_adapter, unload_adapter
from imitation.settings import read_settings
from imitation.values import ModelSpec
from tests.models.servers import LookAlike, serving


class FakeVLLM(LookAlike):
    """vLLM's dynamic LoRA routes, with the replies that vLLM 0.32 was seen to give.

    Attributes:
        allowed: Whether it was started with VLLM_ALLOW_RUNTIME_LORA_UPDATING.
        adapters: Name -> path of those loaded.
        loads: Name and path of every load that went well.
        ranks: Path -> rank of adapters over --max-lora-rank 16.
    """

    def __init__(self) -> None:
        super().__init__()
        self.allowed = True
        self.adapters: dict[str, str] = {}
        self.loads: list[tuple[str, str]] = []
        self.ranks: dict[str, int] = {}

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/v1/load_lora_adapter", self.load, methods=["POST"]),
                Route("/v1/unload_lora_adapter", self.unload, methods=["POST"]),
            ]
        )

    def restart(self) -> None:
        """What was loaded while it ran is gone."""
        self.adapters.clear()

    async def models(self, request: Request) -> Response:
        shared = {"object": "model", "owned_by": "vllm"}
        rows = [{"id": "lm", "root": "/models/lm", "parent": None, **shared}]
        rows += [
            {"id": name, "root": path, "parent": "lm", **shared}
            for name, path in self.adapters.items()
        ]
        return JSONResponse({"object": "list", "data": rows})

    async def load(self, request: Request) -> Response:
        body = await self.record(request)
        if not self.allowed:
            return JSONResponse({"detail": "Not Found"}, 404)
        name, path = body["lora_name"], body["lora_path"]
        if name in self.adapters:
            message = f"The lora adapter '{name}' has already been loaded. If you want to load the "
            message += "adapter in place, set 'load_inplace' to True."
            return _error(400, message, "InvalidUserInput")
        if name == "lm":
            return _error(400, "The lora adapter 'lm' conflicts with a served base model.",
                          "InvalidUserInput")  # fmt: skip
        if not path.startswith("/adapters/"):
            message = f"Loading lora {name} failed: No adapter found for {path}"
            return _error(404, message, "NotFoundError")
        if path in self.ranks:
            message = "Call to add_lora method failed: Worker failed with error 'LoRA rank "
            message += f"{self.ranks[path]} is greater than max_lora_rank 16.', please check the "
            return _error(500, message + "stack trace above for the root cause",
                          "InternalServerError")  # fmt: skip
        self.adapters[name] = path
        self.loads.append((name, path))
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, request: Request) -> Response:
        body = await self.record(request)
        if not self.allowed:
            return JSONResponse({"detail": "Not Found"}, 404)
        name = body["lora_name"]
        if name not in self.adapters:
            return _error(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        del self.adapters[name]
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")


def _error(status: int, message: str, kind: str) -> Response:
    said = {"message": message, "type": kind, "param": None, "code": status}
    return JSONResponse({"error": said}, status)


@pytest.fixture(scope="module")
def served():
    with serving(FakeVLLM()) as vllm:
        yield vllm


@pytest.fixture
def vllm(served):
    served.reset()
    return served


def card(vllm, **fields):
    return ModelSpec("b", "Base", "base", "openai", endpoint=f"{vllm.url}/v1", model="lm", **fields)


async def test_an_adapter_is_loaded_and_unloaded(vllm, monkeypatch):
    monkeypatch.setenv("VLLM_KEY", "secret-of-vllm")
    settings, base = read_settings({}), card(vllm, api_key_env="VLLM_KEY")
    await load_adapter(settings, base, "mine", "/adapters/mine")
    assert vllm.adapters == {"mine": "/adapters/mine"}
    assert vllm.headers["authorization"] == "Bearer secret-of-vllm"
    await unload_adapter(settings, base, "mine")
    assert vllm.adapters == {}


async def test_one_it_holds_is_loaded_anew_and_one_of_another_place_left_alone(vllm):
    settings, base = read_settings({}), card(vllm)
    for _ in range(2):  # its files may have changed: the run was made again
        await load_adapter(settings, base, "mine", "/adapters/mine")
    assert vllm.loads == [("mine", "/adapters/mine")] * 2
    with pytest.raises(BackendError, match="a model 'mine' already, of /adapters/mine"):
        await load_adapter(settings, base, "mine", "/adapters/other")
    with pytest.raises(BackendError, match="a model 'lm' already"):
        await load_adapter(settings, base, "lm", "/adapters/lm")
    assert vllm.adapters == {"mine": "/adapters/mine"}


async def test_refusals_are_told_in_its_words(vllm):
    settings, base = read_settings({}), card(vllm)
    with pytest.raises(BackendError, match="No adapter found for /home/elsewhere") as caught:
        await load_adapter(settings, base, "other", "/home/elsewhere")
    assert "as the server's machine sees it" in caught.value.hint
    vllm.ranks["/adapters/big"] = 64
    with pytest.raises(BackendError, match="rank 64 is greater than max_lora_rank 16") as caught:
        await load_adapter(settings, base, "big", "/adapters/big")
    assert "--max-lora-rank 64" in caught.value.hint and "at most 16" in caught.value.hint
    for message in (str(caught.value), str(caught)):
        assert "does not know the model" not in message


async def test_one_it_has_forgotten_is_off_already(vllm):
    settings, base = read_settings({}), card(vllm)
    await load_adapter(settings, base, "mine", "/adapters/mine")
    vllm.restart()
    await unload_adapter(settings, base, "mine")


async def test_a_server_that_takes_none_while_it_runs(vllm):
    vllm.allowed = False
    with pytest.raises(BackendError) as caught:
        await load_adapter(read_settings({}), card(vllm), "mine", "/adapters/mine")
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in caught.value.hint
    assert "--lora-modules mine=" in caught.value.hint


async def test_nobody_there_and_offline():
    gone = ModelSpec("b", "Base", "base", "openai", endpoint="http://127.0.0.1:9/v1")
    with pytest.raises(BackendError):
        await load_adapter(read_settings({}), gone, "mine", "/x")
    far = ModelSpec("b", "Base", "base", "openai", endpoint="http://far.example/v1")
    with pytest.raises(BackendError, match="offline"):
        await load_adapter(read_settings({"IMITATION_OFFLINE": "1"}), far, "mine", "/x")

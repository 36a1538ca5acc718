"""A real vLLM on the CPU, for what only a real server can show; `make vllm` installs it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.models.servers import free_port

ROOT = Path(__file__).parent.parent
START_S = 300
"""It takes 30 to 75 s on two quiet cores."""
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Without naming its targets, echo requests with adapters crash vLLM 0.32's CPU engine."""


@dataclass(frozen=True)
class VLLM:
    """A running server.

    Attributes:
        url: Its root, without /v1.
        model: The name it has for its base.
        process: The server, for tests that kill it.
        log: What it printed.
    """

    url: str
    model: str
    process: subprocess.Popen
    log: Path

    @property
    def endpoint(self) -> str:
        return self.url + "/v1"

    def metric(self, name: str) -> float:
        """Sum of a counter or gauge over its labels, such as vllm:generation_tokens_total."""
        text = httpx2.get(self.url + "/metrics", trust_env=False).text
        rows = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(name + "{")]
        return sum(float(value) for _, value in rows)


def vllm_python() -> Path:
    """The interpreter that has vLLM (IMITATION_TEST_VLLM or .venv-vllm); skips where none has."""
    found = Path(os.environ.get("IMITATION_TEST_VLLM", ROOT / ".venv-vllm" / "bin" / "python"))
    if not found.exists():
        pytest.skip(f"no vLLM at {found}: `make vllm` installs it (Linux, 3.5 GB)")
    return found


@contextmanager
def serving_vllm(
    folder: Path,
    log: Path,
    *,
    adapters: dict[str, Path] | None = None,
    context: int = 1024,
    port: int | None = None,
) -> Iterator[VLLM]:
    """vLLM serving a transformers folder as "base", with PEFT adapters by name.

    More adapters can be loaded while it runs (/v1/load_lora_adapter). A server started again at
    the same port is that server restarted.
    """
    port = port or free_port()
    command = [
        str(vllm_python()), "-m", "vllm.entrypoints.openai.api_server",
        "--model", str(folder), "--served-model-name", "base",
        "--host", "127.0.0.1", "--port", str(port),
        "--max-model-len", str(context), "--dtype", "float32", "--enforce-eager",
        "--enable-lora", "--max-lora-rank", "16", "--max-loras", "2",
        "--lora-target-modules", *LINEAR,
    ]  # fmt: skip
    if adapters:
        command += ["--lora-modules", *(f"{name}={path}" for name, path in adapters.items())]
    environment = os.environ | {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    server = VLLM(f"http://127.0.0.1:{port}", "base", process, log)
    try:
        _wait(server)
        yield server
    finally:
        # Its engine is a child of its own: the group goes with it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _wait(server: VLLM) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        ended = server.process.poll()
        printed = server.log.read_text(errors="replace")[-2000:]
        assert ended is None, f"vLLM ended with {ended}:\n{printed}"
        with suppress(httpx2.HTTPError):
            if httpx2.get(server.url + "/health", trust_env=False, timeout=5).status_code == 200:
                return
        time.sleep(0.5)
    raise AssertionError(f"vLLM did not start within {START_S} s:\n{printed}")

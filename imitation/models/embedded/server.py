"""The embedded engine's own process: one llama.cpp server on loopback until standard input ends.

Started by `imitation.models.embedded.process`, which keeps the other end of the pipe: when that
process dies, however it dies, the pipe ends and so does this one. (Linux's PR_SET_PDEATHSIG
would not do: it fires when the *thread* that started the child ends.)

It is for no one to type: its one argument is a `ServerParameters` as JSON. It imports the standard
library only, since every engine's start waits for it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ServerParameters:
    """What the server is told.

    Attributes:
        weights: Path of the model's GGUF.
        name: What it answers to.
        context: Tokens of each slot.
        slots: Answers at once.
        threads: Threads it computes with.
        adapter: Path of a LoRA GGUF preloaded on it, "" for none.
    """

    weights: str
    name: str
    context: int
    slots: int
    threads: int
    adapter: str = ""

    def as_argument(self) -> str:
        """All of them, for the command line."""
        return json.dumps(asdict(self))


def llama_parameters(parameters: ServerParameters) -> Any:
    """llama.cpp's parameters; what is drawn is what the request says, nothing more."""
    import xllamacpp

    llama = xllamacpp.CommonParams()
    llama.model.path = parameters.weights
    llama.model_alias = {parameters.name}
    if parameters.adapter:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = parameters.adapter, 1.0
        llama.lora_adapters = [adapter]
    llama.n_parallel = parameters.slots
    llama.n_ctx = parameters.context * parameters.slots  # shared out evenly among the slots
    llama.fit_params = False
    for cpu in (llama.cpuparams, llama.cpuparams_batch):
        cpu.n_threads = parameters.threads
        cpu.poll = 0
    # The order of transformers and vLLM. llama.cpp's own cuts to its 40 likeliest tokens and
    # takes top_p before the temperature, which lets far more unlikely ones through.
    llama.sampling.samplers = "temperature;top_p"
    llama.cache_ram_mib = 0  # else up to 8 GB of old prompts
    llama.cache_idle_slots = False
    llama.port = 0  # the system picks a free one: nothing to race for
    llama.cors_origins = ""  # no other page's script may read answers
    llama.ui = False
    llama.endpoint_metrics = True
    llama.verbosity = 2  # warnings: never a prompt, and the log stays small
    return llama


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until standard input ends or the parent is gone."""
    (argument,) = sys.argv[1:] if argv is None else argv
    parameters = ServerParameters(**json.loads(argument))
    parent = os.getppid()
    # Whatever native code prints goes to the log; only our one line goes to the parent.
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import xllamacpp

    try:
        server = xllamacpp.Server(llama_parameters(parameters))
    except RuntimeError as error:  # llama.cpp has logged why
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"url": server.listening_address}), file=report, flush=True)
    report.close()
    sys.stdin.buffer.read()
    # Nothing to save; an answer still being written must not hold the end back.
    os._exit(0)


def _end_with(parent: int) -> None:
    # A fork of the parent may hold the pipe open after the parent's death.
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())

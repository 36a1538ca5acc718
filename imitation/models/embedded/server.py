"""The embedded engine's own process: one llama.cpp server on loopback until standard input ends.

Started by `imitation.models.embedded.process`, which keeps the other end of the pipe: when that
process dies, however it dies, the pipe ends and so does this one. (Linux's PR_SET_PDEATHSIG
would not do: it fires when the *thread* that started the child ends.)
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from typing import Any


def parameters(args: argparse.Namespace) -> Any:
    """llama.cpp's parameters; what is drawn is what the request says, nothing more."""
    import xllamacpp

    found = xllamacpp.CommonParams()
    found.model.path = args.weights
    found.model_alias = {args.name}
    if args.adapter:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = args.adapter, 1.0
        found.lora_adapters = [adapter]
    found.n_parallel = args.slots
    found.n_ctx = args.context * args.slots  # shared out evenly among the slots
    found.fit_params = False
    for cpu in (found.cpuparams, found.cpuparams_batch):
        cpu.n_threads = args.threads
        cpu.poll = 0
    # The order of transformers and vLLM. llama.cpp's own cuts to its 40 likeliest tokens and
    # takes top_p before the temperature, which lets far more unlikely ones through.
    found.sampling.samplers = "temperature;top_p"
    found.cache_ram_mib = 0  # else up to 8 GB of old prompts
    found.cache_idle_slots = False
    found.port = 0  # the system picks a free one: nothing to race for
    found.cors_origins = ""  # no other page's script may read answers
    found.ui = False
    found.endpoint_metrics = True
    found.verbosity = 2  # warnings: never a prompt, and the log stays small
    return found


def main(argv: list[str] | None = None) -> int:
    """Serve until standard input ends or the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--adapter", default="")
    parser.add_argument("--name", required=True)
    parser.add_argument("--context", type=int, required=True, help="tokens of each slot")
    parser.add_argument("--slots", type=int, required=True, help="answers at once")
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args(argv)
    parent = os.getppid()
    # Whatever native code prints goes to the log; only our one line goes to the parent.
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import xllamacpp

    try:
        server = xllamacpp.Server(parameters(args))
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

"""The embedded engine against `transformers.generate` on the same weights, in one run.

Same GGUF (transformers computes on its dequantised values), same prompts, greedy, batch of 1, all
cores. transformers runs in float32, bfloat16 and dynamic int8 (its Linear layers), and the best
of them counts. Each side is a process of its own that stays loaded; rounds alternate between the
sides, each with a new prompt, so that no side has a prompt cached and a busy machine hits all.
Speed is new tokens / seconds from the request to its end, prompt included; the median counts.
On a busy machine transformers' threads, which spin for milliseconds by default, would lose a
hundredfold; there they are told to spin briefly (GOMP_SPINCOUNT), as the engine's always are.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from imitation.models.embedded.weights import weights_path  # noqa: E402
from imitation.settings import read_settings  # noqa: E402

ROUNDS, TOKENS, LONGEST_S = 3, 48, 30.0
TARGET = 3.0
THEIRS = ("float32", "bfloat16", "int8")
TOPICS = ("the sea", "a railway", "bread", "the moon", "a violin", "mountains", "an old map")


def question(number: int) -> str:
    return f"Write a long and detailed essay about {TOPICS[number % len(TOPICS)]}."


def serve(answer, memory) -> None:
    """Answer each line of stdin, a question's number, with tokens, seconds and resident bytes."""
    print("ready", flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        tokens = answer(question(int(line)))
        seconds = time.perf_counter() - started
        print(json.dumps({"tokens": tokens, "seconds": seconds, "rss": memory()}), flush=True)


def engine() -> None:
    """This side: the whole path the page takes, HTTP included."""
    from imitation.models.backends.registry import complete
    from imitation.models.embedded.engine import EmbeddedBackend
    from imitation.values import Message, ModelSpec, Sampling

    backend = EmbeddedBackend(read_settings())
    card = ModelSpec("whole", "Whole", "reference", "embedded", weights="whole")
    sampling = Sampling(temperature=0, max_tokens=TOKENS)
    with asyncio.Runner() as runner:

        def answer(text: str) -> int:
            done = runner.run(complete(backend, card, [Message("user", text)], sampling)).done
            return done.completion_tokens

        answer(question(len(TOPICS) - 1))
        serve(answer, lambda: sum(one.resident_bytes for one in backend.status()))
        runner.run(backend.close())


def transformers(kind: str) -> None:
    """The other side, in one number format."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    path = weights_path(read_settings(), "whole")
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16 if kind == "bfloat16" else torch.float32,
    ).eval()
    if kind == "int8":
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8)

    def answer(text: str) -> int:
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.inference_mode():
            out = model.generate(
                **inputs, max_new_tokens=TOKENS, do_sample=False, max_time=LONGEST_S
            )
        return out.shape[1] - inputs["input_ids"].shape[1]

    answer(question(len(TOPICS) - 1))
    process = psutil.Process()
    serve(answer, lambda: process.memory_info().rss)


def main() -> None:
    """Run the rounds and print the result."""
    weights_path(read_settings(), "whole")
    sides = {}
    measured = {side: [] for side in ("engine", *THEIRS)}
    env = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    load = os.getloadavg()[0]
    if busy := load > read_settings().cores / 2:
        env["GOMP_SPINCOUNT"] = "1000"
    try:
        for side in measured:
            sides[side] = subprocess.Popen(
                [sys.executable, __file__, side],
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            if sides[side].stdout.readline() != "ready\n":
                raise RuntimeError(f"{side} did not start: run {sys.argv[0]} {side}")
        for number in range(ROUNDS):
            for side, process in sides.items():
                print(number, file=process.stdin, flush=True)
                measured[side].append(json.loads(process.stdout.readline()))
    finally:
        for process in sides.values():
            process.stdin.close()
            process.wait(30)
    speed = {
        side: median(one["tokens"] / one["seconds"] for one in rows)
        for side, rows in measured.items()
    }
    memory = {side: round(rows[-1]["rss"] / 1e6) for side, rows in measured.items()}
    best = max(THEIRS, key=speed.__getitem__)
    ratio = speed["engine"] / speed[best]
    row = {
        "name": "embedded engine, speed against transformers.generate",
        "value": round(ratio, 2),
        "unit": "x",
        "target": f">= {TARGET:g}x",
        "ok": ratio >= TARGET,
        "n": ROUNDS,
        "details": {
            "tokens_per_s": {side: round(value, 1) for side, value in speed.items()},
            "resident_mb": memory,
            "best_of_transformers": best,
            "new_tokens": TOKENS,
            "load_average_before": round(load, 1),
            "their_threads_spin_briefly": busy,
        },
    }
    print(json.dumps(row))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[1] == "engine":
        engine()
    else:
        transformers(sys.argv[1])

"""Model FLOPs utilisation of our training loop on a GPU: random weights of 1.5B and 7B.

The steps of `training.finetune` on blocks of 2048 random tokens, four conversations in each. The
1.5B is fine-tuned in full as the paper did it (weights in float32, computed in bfloat16); the 7B
gets a LoRA, as its full fine-tune takes more than one GPU. One JSON line each; the target is 45%
of the peak its maker states, also given as a share of the largest matrix product's speed here.

FLOPs are those the model needs, by the definition of PaLM (Chowdhery et al. 2022, appendix B):
none for activations computed again; and, stricter than there, none for pairs of tokens that a
causal mask hides, for outputs of tokens without a loss, nor for gradients of frozen weights.

    python benchmarks/mfu.py
"""

import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

TARGET, STEPS, WARM = 0.45, 8, 3
BLOCK, CONVERSATIONS, OUTPUTS = 2048, 4, 0.75
LLAMA = {"vocab_size": 32000, "max_position_embeddings": BLOCK}
RUNS: dict[str, dict[str, Any]] = {
    "1.5B, full": {
        "preset": "paper",
        "shape": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 28,
                  "num_attention_heads": 16, "num_key_value_heads": 16, **LLAMA},
        "change": {"batch_size": 32, "micro_batch_size": 4, "dtype": "bfloat16",
                   "gradient_checkpointing": False},
    },
    "7B, LoRA": {
        "preset": "lora-7b",
        "shape": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
                  "num_attention_heads": 32, "num_key_value_heads": 32, **LLAMA},
        "change": {"batch_size": 16, "micro_batch_size": 4, "dtype": "bfloat16",
                   "gradient_checkpointing": False},
    },
}  # fmt: skip
PEAKS = {
    "B200": 2250, "H200": 989, "H100 NVL": 835, "H100 PCIe": 756, "H100": 989, "A100": 312,
    "L40S": 362, "L40": 181, "L4": 121, "A10G": 70, "A10": 125, "RTX 4090": 165,
}  # fmt: skip
"""Dense bfloat16 TFLOPS as the makers state them, by a part of the device's name; first match."""


def conversations(count: int, vocabulary: int, block: int = BLOCK) -> list:
    """Blocks of random conversations; the last `OUTPUTS` of each are learned."""
    from imitation.data.encode import IGNORE_INDEX, Encoded

    draw, blocks = random.Random(0), []
    length = block // CONVERSATIONS
    for number in range(count):
        ids = tuple(draw.randrange(vocabulary) for _ in range(block))
        labels = tuple(
            token if at % length >= (1 - OUTPUTS) * length else IGNORE_INDEX
            for at, token in enumerate(ids)
        )
        blocks.append(Encoded(str(number), ids, labels, tuple(range(0, block, length))))
    return blocks


def flops(model: Any, batch: Sequence[Any]) -> dict[str, int]:
    """Floating-point operations a step over `batch` needs, forwards and backwards.

    A matrix of n weights takes 2n a token forwards, 2n for the gradient of its input and, where
    it is trained, 2n for its own; embeddings are looked up. Attention takes 4 x width for a pair
    of tokens forwards, twice that backwards.

    Returns:
        "matrices" and "attention".
    """
    from training.optimizer import unwrap

    lm = unwrap(model)
    head = lm.get_output_embeddings().weight
    tokens, trained = sum(len(e.ids) for e in batch), sum(e.trained for e in batch)
    looked_up = {id(lm.get_input_embeddings().weight)} - {id(head)}
    matrices = 0
    for weight in model.parameters():
        if weight.dim() == 2 and id(weight) not in looked_up:
            passes = 6 if weight.requires_grad else 4
            matrices += passes * weight.numel() * (trained if weight is head else tokens)
    pairs = sum(length * (length + 1) // 2 for block in batch for length in block.lengths)
    shape = lm.config
    head_width = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    attention = 3 * 4 * shape.num_hidden_layers * shape.num_attention_heads * head_width * pairs
    return {"matrices": matrices, "attention": attention}


def steps(spec: dict[str, Any], device: str, count: int = STEPS, block: int = BLOCK) -> dict:
    """Train a model of random weights for `WARM` steps and `count` more.

    Returns:
        "seconds" of each of the latter, "flops" of one, "tokens" of one and "bytes" at the peak.
    """
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from imitation.events import Writer as Progress
    from training import finetune
    from training.config import preset
    from training.optimizer import make_optimizer, stored_dtype, trainable
    from training.state import Run, TrainState

    config = preset(spec["preset"]).replace(**spec["change"])
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)  # as every fine-tune
    torch.utils.deterministic.fill_uninitialized_memory = False
    with torch.device(device):
        made = AutoModelForCausalLM.from_config(
            LlamaConfig(**spec["shape"]),
            dtype=getattr(torch, stored_dtype(config, config.dtype)),
        )
        model = trainable(made, config)
    batch = conversations(config.batch_size, spec["shape"]["vocab_size"], block)
    base: Any = SimpleNamespace(model=made, tokenizer=SimpleNamespace(pad_token_id=0))
    data: Any = None
    run = Run(config, base, model, data, config.dtype)
    plan = [(1, batch)] * (WARM + count)
    optimizer, place, seconds = make_optimizer(model, config), TrainState(), []
    cuda = device == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        progress = Progress(Path(folder) / "progress.jsonl")
        while place.step < len(plan):
            began = time.perf_counter()
            finetune.step(run, optimizer, progress, place, plan)
            if cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
    return {
        "seconds": seconds[WARM:],
        "flops": flops(model, batch),
        "tokens": sum(len(e.ids) for e in batch),
        "bytes": torch.cuda.max_memory_reserved() if cuda else 0,
    }


def stated_peak(device: str) -> int | None:
    """FLOPs per second its maker states, None where the device is not in the table."""
    return next((10**12 * peak for part, peak in PEAKS.items() if part in device), None)


def matrix_speed(size: int = 8192, times: int = 10) -> float:
    """FLOPs per second of a product of two square matrices in bfloat16, the best of some."""
    import torch

    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in "ab")
    torch.cuda.synchronize()
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        a @ b
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def row(name: str, value: float | None, ok: object, n: int, details: object) -> None:
    line = {
        "name": f"training: model FLOPs utilisation, {name}",
        "value": value,
        "unit": "%",
        "target": f">= {100 * TARGET:.0f}%",
        "ok": ok,
        "n": n,
        "details": details,
    }
    print(json.dumps(line), flush=True)


def main(names: list[str]) -> None:
    # What deterministic matrix products on CUDA ask for, before CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    for name in names or RUNS:
        if not torch.cuda.is_available():
            row(name, None, "skipped", 0, "no CUDA device here")
            continue
        device = torch.cuda.get_device_name()
        stated = stated_peak(device)
        best = matrix_speed()
        found = steps(RUNS[name], "cuda")
        torch.cuda.empty_cache()
        each = sum(found["flops"].values())
        speed = each / statistics.median(found["seconds"])
        share = speed / (stated or best)
        details = {
            "device": device,
            "peak": "as its maker states" if stated else "its largest matrix product's speed",
            "peak_tflops": round((stated or best) / 1e12),
            "tflops": round(speed / 1e12, 1),
            "of_matrix_speed": round(speed / best, 3),
            "seconds_a_step": [round(s, 3) for s in found["seconds"]],
            "tokens_per_s": round(found["tokens"] / statistics.median(found["seconds"])),
            "attention_share": round(found["flops"]["attention"] / each, 3),
            "peak_gb": round(found["bytes"] / 1e9, 1),
            "blocks_of": BLOCK,
            "torch": torch.__version__,
        }
        row(name, round(100 * share, 1), share >= TARGET, len(found["seconds"]), details)


if __name__ == "__main__":
    main(sys.argv[1:])

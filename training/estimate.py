"""What a run takes before it is started: memory, steps, time, disk; and what would make it fit.

    python -m training.estimate --preset pocket-broad --data answers.jsonl --out runs/broad

Prints one line of JSON. The time comes from computing a few of its real micro-batches; it is left
out where the run does not fit. --no-probe leaves it out too.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import psutil
import torch

from imitation.data.encode import Encoded
from imitation.settings import Settings, available_cores, read_settings
from training import finetune
from training.base import choose_dtype, load_shape, load_text
from training.collate import all_batches, micro_batches
from training.config import TrainingConfig, to_table
from training.data import Data, load_data
from training.memory import Shape, fitting, largest_peak, shape_of
from training.optimizer import check_method, load_for, stored_dtype, trainable
from training.run_options import Estimate, print_refusal, run_command
from training.state import Run

PROBED = 2
"""Micro-batches that are timed, after one that is not."""
MARGIN = 0.9
"""Share of the free memory that a run may be planned to take."""


def estimate(
    config: TrainingConfig, data: Path, out: Path, settings: Settings, *, probe: bool = True
) -> dict[str, Any]:
    """All that is known of a run beforehand.

    Returns:
        "memory" (bytes by what holds them, "total", and "free" and "device" it is compared with),
        "fits", "fit" (changes that would make it fit; {} where it does, None where nothing does),
        "steps", "tokens", "trained_tokens", "seconds" and "tokens_per_s" (None where not probed),
        "disk" ("needed", "free", "fits") and "dtype".

    Raises:
        UserError: As training.finetune: no such base, nothing to learn, wrong method.
    """
    torch.set_num_threads(config.threads or available_cores())
    check_method(config.method)
    dtype, _ = choose_dtype(config.dtype)
    model_config = load_shape(settings, config.base)
    base = load_text(settings, config.base, config.prompt_format)
    found = load_data(config, data, base)
    plan = all_batches(found.train, config.batch_size, 1, config.seed)
    batches = [batch for _, batch in plan]
    shapes: dict[str, Shape] = {}

    def shape(one: TrainingConfig) -> Shape:
        if one.method not in shapes:
            shapes[one.method] = shape_of(model_config, one, dtype, stored_dtype(one, dtype))
        return shapes[one.method]

    memory = largest_peak(shape(config), config, batches)
    device, free = _free_memory()
    room = int(MARGIN * free)
    fitted = fitting(
        config,
        lambda one: largest_peak(shape(one), one, batches).total,
        room,
        cuda=torch.cuda.is_available(),
    )
    disk = _disk(shape(config), config, out)
    fits = memory.total <= room
    speed = _speed(config, found, settings, dtype) if probe and fits else None
    tokens = sum(len(e.ids) for e in found.train) * config.epochs
    return {
        "memory": {**asdict(memory), "total": memory.total, "free": free, "device": device},
        "fits": fits and disk["fits"],
        "fit": None if fitted is None else _changes(config, fitted),
        "steps": len(batches) * config.epochs,
        "tokens": tokens,
        "trained_tokens": sum(e.trained for e in found.train) * config.epochs,
        "tokens_per_s": speed,
        "seconds": None if speed is None else _seconds(config, found, tokens, speed),
        "disk": disk,
        "dtype": dtype,
    }


def _free_memory() -> tuple[str, int]:
    """Where the run would compute, and bytes free there."""
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return torch.cuda.get_device_name(), int(free)
    return "memory of this machine", int(psutil.virtual_memory().available)


def _changes(config: TrainingConfig, fitted: TrainingConfig) -> dict[str, Any]:
    before = to_table(config)
    return {key: value for key, value in to_table(fitted).items() if value != before[key]}


def _disk(shape: Shape, config: TrainingConfig, out: Path) -> dict[str, Any]:
    """Bytes written at most at once: two states while one replaces the other, and the result."""
    weights = shape.trained * shape.stored
    needed = 2 * 3 * weights + 2 * weights
    folder = next(place for place in (out, *out.resolve().parents) if place.is_dir())
    free = shutil.disk_usage(folder).free
    return {"needed": needed, "free": free, "fits": needed < free}


def _speed(config: TrainingConfig, data: Data, settings: Settings, dtype: str) -> float:
    """Tokens per second of training, padding not counted, measured on its first micro-batches."""
    loaded = load_for(config, settings, dtype)
    run = Run(config, loaded, trainable(loaded.model, config), data, dtype)
    batch = all_batches(data.train, config.batch_size, 1, config.seed)[0][1]
    parts = list(micro_batches(batch, config.micro_batch_size))
    middle = parts[len(parts) // 2 :] + parts[: len(parts) // 2]
    _timed(run, middle[:1])
    timed = (middle * PROBED)[1 : 1 + PROBED] if len(middle) > 1 else middle * PROBED
    seconds = _timed(run, timed)
    return sum(len(e.ids) for part in timed for e in part) / seconds


def _timed(run: Run, parts: Sequence[list[Encoded]]) -> float:
    began = time.perf_counter()
    for part in parts:
        finetune.backward(run, part)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _seconds(config: TrainingConfig, data: Data, tokens: int, speed: float) -> float:
    """Of training and of the held-out losses, which take a third of a step's time per token."""
    batches = -(-len(data.train) // config.batch_size) * config.epochs
    looks = batches // config.validate_every if config.validate_every else config.epochs
    watched = (looks + 1) * sum(len(e.ids) for e in data.validation) / 3
    return (tokens + watched) / speed


def main(argv: Sequence[str] | None = None) -> int:
    """Print the estimate as one line of JSON; the exit code."""

    def work(options: Estimate) -> int:
        config, settings = options.training_config(), read_settings()
        result = estimate(config, options.data, options.out, settings, probe=options.probe)
        print(json.dumps(result))
        return 0

    prog = "python -m training.estimate"
    return run_command(Estimate, work, print_refusal, argv, prog=prog, about=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())

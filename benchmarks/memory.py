"""Predicted against measured peak memory of a fine-tune: LoRA and full, checkpointing off and on.

In float32, and in bfloat16 where the machine computes faster with it (elsewhere it takes hours).

Measured is a child process that trains for three steps: the peak of its resident memory, less what
it had before it loaded anything; on a GPU, the peak of what torch holds there. One JSON line a
configuration; the target is 15%.

    python benchmarks/memory.py
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

DATA = ROOT / "imitation" / "data" / "pocket" / "broad.jsonl"
CONFIGS = {
    "LoRA": [],
    "LoRA, gradient checkpointing": ["gradient_checkpointing=true"],
    "full": ['method="full"', "learning_rate=1e-5"],
    "full, gradient checkpointing": [
        'method="full"',
        "learning_rate=1e-5",
        "gradient_checkpointing=true",
    ],
}
DTYPES = ("float32", "bfloat16")
COMMON = [
    "batch_size=8",
    "micro_batch_size=4",
    "val_fraction=0.0",
    "save_every=0",
    "max_tokens=256",
]
TARGET, STEPS = 0.15, 3


def status(key: str) -> int:
    """Bytes the kernel counts for this process."""
    text = Path("/proc/self/status").read_text("ascii")
    found = re.search(rf"^{key}:\s+(\d+)", text, re.M)
    assert found
    return 1024 * int(found[1])


def child(arguments: list[str]) -> None:
    """Train for three steps; print the predicted and the measured peak."""
    import torch

    from imitation.events import Writer as Progress
    from imitation.jobs.parameters import parse
    from imitation.settings import read_settings
    from training import finetune
    from training.collate import all_batches
    from training.optimizer import make_optimizer
    from training.run_options import RunOptions
    from training.signals import Stop
    from training.state import TrainState

    options = parse(RunOptions, arguments, "memory.py --child", "")
    config = options.training_config()
    start = status("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        progress = Progress(Path(folder) / "progress.jsonl")
        run = finetune.setup(config, options.data, read_settings(), progress, Stop())
        plan = hungriest(all_batches(run.data.train, config.batch_size, 1, config.seed), config)
        optimizer, place = make_optimizer(run.model, config), TrainState()
        for _ in range(STEPS):
            finetune.step(run, optimizer, progress, place, plan)
    peak = status("VmHWM") - start
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_reserved()
    print(json.dumps({"peak": peak}))


def hungriest(plan: list, config) -> list:
    """The steps with the largest micro-batches first, so that three reach the peak."""
    from training.collate import micro_batches

    def largest(step) -> int:
        parts = micro_batches(step[1], config.micro_batch_size)
        return max(sum(len(e.ids) for e in part) for part in parts)

    return sorted(plan, key=largest, reverse=True)


def python(*arguments: object) -> dict:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{arguments}\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    from training.base import choose_dtype

    faster = choose_dtype("auto")[0]
    for dtype in DTYPES:
        for name, changes in CONFIGS.items():
            name = name if dtype == "float32" else f"{name}, {dtype}"
            if not Path("/proc/self/status").exists():
                row(name, None, "skipped", 0, "peak memory is read from /proc")
            elif dtype not in ("float32", faster):
                row(name, None, "skipped", 0, f"this machine is slower with {dtype}")
            else:
                compare(name, [*COMMON, f'dtype="{dtype}"', *changes])


def compare(name: str, changes: list[str]) -> None:
    options = ["--preset", "pocket-broad", "--data", str(DATA)]
    for change in changes:
        options += ["--set", change]
    found = python("-m", "training.estimate", *options, "--no-probe")
    predicted, peak = found["memory"], python(__file__, "--child", *options)["peak"]
    off = predicted["total"] / peak - 1
    details = {
        "predicted_mb": {k: round(v / 1e6) for k, v in predicted.items() if k != "device"},
        "measured_mb": round(peak / 1e6),
        "device": predicted["device"],
    }
    row(name, round(100 * off, 1), abs(off) <= TARGET, STEPS, details)


def row(name: str, value: float | None, ok: object, n: int, details: object) -> None:
    line = {
        "name": f"memory: predicted against measured peak, {name}",
        "value": value,
        "unit": "%",
        "target": f"within {100 * TARGET:.0f}%",
        "ok": ok,
        "n": n,
        "details": details,
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(sys.argv[sys.argv.index("--child") + 1 :])
    else:
        main()

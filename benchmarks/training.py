"""Our training loop against TRL's SFTTrainer: tokens and trained tokens per second.

Same base, conversations, LoRA, number format, loss on the answers alone, batch, and one log line a
step, in one process one after the other, several times in turn. Against its packed mode, where
both pack into the same blocks, and against its padded default on conversations of mixed length.
One JSON line each; ours over theirs in trained tokens per second. Then the peak resident memory of
each in a process of its own, less what it had before it loaded the base.

    python benchmarks/training.py [speed|memory]     both, or one of them
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

DATA = ROOT / "imitation" / "data" / "pocket"
STEPS, BATCH, MICRO, BLOCK, ROUNDS = 6, 8, 4, 256, 3
TARGETS = {"packed": 1.0, "padded": 1.5}


def conversations() -> list:
    """Long answers and short ones, half each: the broad and the local data."""
    from imitation.data.format import read_examples

    long = read_examples(DATA / "broad.jsonl")[0][: STEPS * BATCH * 4]
    short = read_examples(DATA / "local.jsonl")[0][: STEPS * BATCH * 4]
    mixed = [example for pair in zip(long, short, strict=False) for example in pair]
    random.Random(0).shuffle(mixed)
    return mixed


def ours(config, data: Path, settings, folder: Path) -> dict:
    """One pass of our loop over STEPS steps; the seconds of the steps alone."""
    from imitation.events import Writer as Progress
    from training import finetune
    from training.collate import all_batches
    from training.optimizer import make_optimizer
    from training.signals import Stop
    from training.state import TrainState

    progress = Progress(folder / "progress.jsonl")
    run = finetune.setup(config, data, settings, progress, Stop())
    plan = all_batches(run.data.train, config.batch_size, 1, 0)[: STEPS + 1]
    optimizer, place = make_optimizer(run.model, config), TrainState()
    finetune.step(run, optimizer, progress, place, plan)  # not timed
    tokens, trained = place.tokens, place.trained
    began, used = time.perf_counter(), time.process_time()
    while place.step < len(plan):
        finetune.step(run, optimizer, progress, place, plan)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    return {
        "tokens": place.tokens - tokens,
        "trained": place.trained - trained,
        "seconds": seconds,
        "processor_s": processor,
    }


def theirs(config, data: Path, settings, folder: Path) -> dict:
    """The same with SFTTrainer, given the ids and labels ours are trained on."""
    import datasets
    import torch
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from training.base import load_base
    from training.data import load_data

    torch.use_deterministic_algorithms(False)  # ours asks for them, theirs does not
    base = load_base(settings, config.base, "float32")
    plain = config.replace(packing=False)
    rows = [
        {"input_ids": list(e.ids), "labels": list(e.labels)}
        for e in load_data(plain, data, base).train
    ]

    class Clock(TrainerCallback):
        began = ended = (0.0, 0.0)

        def on_step_end(self, args, state, control, **_):
            self.ended = time.perf_counter(), time.process_time()
            if state.global_step == 1:  # not timed
                self.began = self.ended
                seen.clear()

    seen: list[tuple[int, int]] = []

    class Counted(SFTTrainer):
        def training_step(self, model, inputs, *rest, **more):
            labels = inputs["labels"]
            mask = inputs.get("attention_mask")
            tokens = int(mask.sum()) if mask is not None else labels.numel()
            seen.append((tokens, int((labels[..., 1:] != -100).sum())))
            return super().training_step(model, inputs, *rest, **more)

    clock = Clock()
    arguments = SFTConfig(
        output_dir=str(folder / "trl"),
        max_steps=STEPS + 1,
        per_device_train_batch_size=MICRO,
        gradient_accumulation_steps=BATCH // MICRO,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        max_length=BLOCK,
        packing=config.packing,
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        seed=0,
    )
    trainer = Counted(
        model=base.model,
        args=arguments,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=base.tokenizer,
        peft_config=LoraConfig(
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            target_modules=list(config.target_modules),
            task_type="CAUSAL_LM",
        ),
        callbacks=[clock],
    )
    trainer.train()
    return {
        "tokens": sum(t for t, _ in seen),
        "trained": sum(t for _, t in seen),
        "seconds": clock.ended[0] - clock.began[0],
        "processor_s": clock.ended[1] - clock.began[1],
    }


def config_of(mode: str):
    from training.config import preset

    return preset("pocket-broad").replace(
        packing=mode == "packed",
        max_tokens=BLOCK,
        batch_size=BATCH,
        micro_batch_size=MICRO,
        val_fraction=0.0,
    )


def compare(mode: str, data: Path, settings, folder: Path) -> dict:
    config = config_of(mode)
    rates: dict[str, list[dict]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        for name, run in (("ours", ours), ("theirs", theirs)):
            found = run(config, data, settings, folder)
            rates[name].append(
                {
                    "tokens": found["tokens"] / found["seconds"],
                    "trained": found["trained"] / found["seconds"],
                    "trained_per_processor_s": found["trained"] / found["processor_s"],
                }
            )
    middle = {
        name: {key: round(statistics.median(one[key] for one in all_), 1) for key in all_[0]}
        for name, all_ in rates.items()
    }
    ratio = middle["ours"]["trained"] / middle["theirs"]["trained"]
    target = TARGETS[mode]
    return {
        "name": f"training: ours over TRL's SFTTrainer, {mode}",
        "value": round(ratio, 2),
        "unit": "x trained tokens/s",
        "target": f">= {target}x",
        "ok": ratio >= target,
        "n": ROUNDS,
        "details": {
            "median_per_s": middle,
            "per_processor_s": round(
                middle["ours"]["trained_per_processor_s"]
                / middle["theirs"]["trained_per_processor_s"],
                2,
            ),
            "steps": STEPS,
            "batch": BATCH,
            "micro_batch_size": MICRO,
        },
    }


def peak(side: str, mode: str, data: Path) -> int:
    """Bytes at the peak of a child process that trains one side, less those of its imports."""
    command = [sys.executable, __file__, "child", side, mode, str(data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{side}, {mode}\n{done.stderr[-2000:]}")
    return int(done.stdout.splitlines()[-1])


def child(side: str, mode: str, data: str) -> None:
    """Train one side; print the peak."""
    from memory import status  # the script beside this one
    from trl import SFTTrainer  # noqa: F401

    from imitation.settings import read_settings
    from training import finetune  # noqa: F401

    start = status("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        (ours if side == "ours" else theirs)(
            config_of(mode), Path(data), read_settings(), Path(folder)
        )
    print(status("VmHWM") - start)


def weigh(mode: str, data: Path) -> dict:
    found = {side: peak(side, mode, data) for side in ("ours", "theirs")}
    ratio = found["ours"] / found["theirs"]
    return {
        "name": f"training: peak memory, ours over TRL's SFTTrainer, {mode}",
        "value": round(ratio, 2),
        "unit": "x",
        "target": "<= 1.0x",
        "ok": ratio <= 1,
        "n": 1,
        "details": {
            "mb": {side: round(size / 1e6) for side, size in found.items()},
            "steps": STEPS + 1,
        },
    }


def main(parts: list[str]) -> None:
    try:
        import trl
    except ImportError:
        trl = None
    if trl is None:
        for mode, target in TARGETS.items():
            row = (f"training: ours over TRL's SFTTrainer, {mode}", None, "x trained tokens/s",
                   f">= {target}x", "skipped", 0, "trl is not installed")  # fmt: skip
            keys = ("name", "value", "unit", "target", "ok", "n", "details")
            print(json.dumps(dict(zip(keys, row, strict=True))))
        return
    from imitation.data.format import write_examples
    from imitation.settings import read_settings

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_examples(folder / "data.jsonl", conversations())
        data = folder / "data.jsonl"
        kinds = {
            "speed": lambda mode: compare(mode, data, read_settings(), folder),
            "memory": lambda mode: weigh(mode, data),
        }
        for kind in parts or kinds:
            for mode in TARGETS:
                row = kinds[kind](mode)
                row["details"]["trl"] = trl.__version__
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        main(sys.argv[1:])

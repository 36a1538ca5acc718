"""Fine-tune a base on a reference's outputs: setup, main, fit, validate.

    python -m training.finetune --preset pocket-broad --data answers.jsonl --out runs/broad

The out folder gets progress.jsonl (a line per step), checkpoint/ and adapter.gguf.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import random
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
# Waiting threads sleep: spinning ones make a step ten times slower where cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy

from imitation.data.encode import IGNORED, Encoded, encode
from imitation.data.format import read_examples, sha256_of
from imitation.errors import IntegrityError, UserError
from imitation.models.catalog import load_catalog
from imitation.settings import Settings, available_cores, read_settings
from imitation.values import Example
from training import checkpoints
from training.base import Base, choose_dtype, load_base
from training.collate import batches, collate, micro_batches
from training.config import TrainingConfig, from_table, load_config, preset, to_table
from training.export import export


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a fine-tune works with.

    Attributes:
        config: As asked for.
        base: The base; its model carries the adapter.
        model: The PEFT model around it.
        train: Conversations to learn.
        validation: Conversations kept out.
        examples: All of them as text, training first.
        manifest: What the data was, with hashes and counts.
    """

    config: TrainingConfig
    base: Base
    model: Any
    train: list[Encoded]
    validation: list[Encoded]
    examples: list[Example]
    manifest: dict[str, Any]


class Progress:
    """JSON lines for whoever watches: each with "event" and seconds since the start."""

    def __init__(self, path: Path) -> None:
        self._out = path.open("w", encoding="utf-8")
        self._began = time.monotonic()

    def write(self, event: str, **values: Any) -> None:
        """Append one line; it is on disk when this returns."""
        line = {"event": event, "elapsed_s": round(time.monotonic() - self._began, 2), **values}
        self._out.write(json.dumps(line) + "\n")
        self._out.flush()


def setup(config: TrainingConfig, data: Path, settings: Settings, progress: Progress) -> Run:
    """Base, adapter and data, ready to fit.

    Raises:
        UserError: Nothing in the data can be learned, or the base can't be had.
    """
    torch.set_num_threads(config.threads or available_cores())
    torch.manual_seed(config.seed)
    torch.use_deterministic_algorithms(True)
    dtype, seconds = choose_dtype(config.dtype)
    progress.write("setup", dtype=dtype, probe_s=seconds, threads=torch.get_num_threads())
    card = load_catalog(settings.catalogs)[config.base]
    base = load_base(settings, card, dtype)
    train, validation, examples, manifest = _data(config, data, base)
    torch.manual_seed(config.seed)
    adapter = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=list(config.modules),
        task_type="CAUSAL_LM",
    )
    # PEFT draws A at random and starts B at 0: the first step sees the base itself.
    model = get_peft_model(base.model, adapter, autocast_adapter_dtype=False)
    return Run(config, base, model, train, validation, examples, manifest)


def _data(
    config: TrainingConfig, path: Path, base: Base
) -> tuple[list[Encoded], list[Encoded], list[Example], dict[str, Any]]:
    examples, refused = read_examples(path)
    tokenize = base.tokenize()
    encoded, known = [], []
    for example in examples:
        if one := encode(example, base.fmt, tokenize, config.max_tokens):
            encoded.append(one)
            known.append(example)
    order = list(range(len(encoded)))
    random.Random(config.seed).shuffle(order)
    kept_out = int(len(order) * config.validation)
    train, validation = order[kept_out:], order[:kept_out]
    if not train:
        why = f" First: line {refused[0].line}: {refused[0].reason}." if refused else ""
        raise UserError(f"{path} holds no conversation with an answer to learn.{why}")
    manifest = {
        "files": [
            {
                "file": path.name,
                "sha256": sha256_of(path),
                "conversations": len(examples),
                "refused": len(refused),
                "nothing_to_learn": len(examples) - len(encoded),
            }
        ],
        "train": len(train),
        "validation": len(validation),
        "train_tokens": sum(len(encoded[i].ids) for i in train),
        "trained_tokens_per_epoch": sum(encoded[i].trained for i in train),
    }
    return (
        [encoded[i] for i in train],
        [encoded[i] for i in validation],
        [known[i] for i in (*train, *validation)],
        manifest,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 when the adapter is trained and, unless told not to, exported."""
    args = _parser().parse_args(argv)
    try:
        config = _config(args)
        settings = read_settings()
        args.out.mkdir(parents=True, exist_ok=True)
        progress = Progress(args.out / "progress.jsonl")
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        run = setup(config, args.data, settings, progress)
        progress.write("start", config=to_table(config), data=run.manifest)
        fit(run, progress)
        checkpoints.save(args.out / "checkpoint", run.model, config, run.base.fmt, run.manifest)
        progress.write("saved", folder="checkpoint")
        if not args.no_export:
            target = args.out / "adapter.gguf"
            proof = export(run.model, run.base, config, run.examples, settings, target)
            progress.write("exported", file=target.name, proof=asdict(proof))
        progress.write("end")
    except UserError as error:
        progress.write("failed", message=error.message, hint=error.hint)
        print(error, file=sys.stderr)
        return 1
    except Exception as error:
        logging.getLogger(__name__).exception("The fine-tune failed")
        progress.write("failed", message=f"{type(error).__name__}: {error}", hint="")
        return 1
    return 0


def fit(run: Run, progress: Progress) -> None:
    """Train the adapter in place.

    Raises:
        IntegrityError: The loss is not a finite number; the batch is named.
    """
    config = run.config
    weights = [p for p in run.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        weights, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    order = torch.Generator().manual_seed(config.seed)
    per_epoch = math.ceil(len(run.train) / config.batch_size)
    steps = per_epoch * config.epochs
    step = tokens = trained = 0
    _watch(run, progress, 0, steps)
    for epoch in range(1, config.epochs + 1):
        for batch in batches(run.train, config.batch_size, order):
            began = time.perf_counter()
            rate = config.learning_rate * scale(step, steps, config)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
            loss = _backward(run, batch)
            if not math.isfinite(loss):
                raise IntegrityError(
                    f"The loss is {loss} in step {step + 1} (epoch {epoch}), batch: "
                    + ", ".join(example.id or "?" for example in batch),
                    "Lower learning_rate, or look at these conversations.",
                )
            norm = torch.nn.utils.clip_grad_norm_(weights, config.clip_norm)
            optimizer.step()
            step += 1
            tokens += sum(len(example.ids) for example in batch)
            trained += sum(example.trained for example in batch)
            progress.write(
                "step",
                step=step,
                steps=steps,
                epoch=epoch,
                loss=round(loss, 5),
                learning_rate=rate,
                grad_norm=round(float(norm), 4),
                tokens=tokens,
                trained_tokens=trained,
                step_s=round(time.perf_counter() - began, 2),
            )
        _watch(run, progress, step, steps)


def scale(step: int, steps: int, config: TrainingConfig) -> float:
    """Share of the peak learning rate in a step (from 0): linear rise, then the schedule."""
    warm = math.ceil(config.warmup * steps)
    if step < warm:
        return (step + 1) / warm
    if config.schedule == "constant":
        return 1.0
    left = 1 - (step - warm) / max(1, steps - warm)
    return left if config.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)


def validate(run: Run) -> float:
    """Mean loss per output token of the validation data."""
    run.model.eval()
    total = 0.0
    with torch.no_grad():
        for part in micro_batches(run.validation, run.config.micro_batch):
            total += float(_loss(run, part))
    return total / sum(example.trained for example in run.validation)


def _watch(run: Run, progress: Progress, step: int, steps: int) -> None:
    if run.validation:
        progress.write("validation", step=step, steps=steps, loss=round(validate(run), 5))


def _backward(run: Run, batch: Sequence[Encoded]) -> float:
    """Gradients of a step's mean loss per output token, added up over micro-batches."""
    run.model.train()
    count, total = sum(example.trained for example in batch), 0.0
    for part in micro_batches(batch, run.config.micro_batch):
        loss = _loss(run, part) / count
        loss.backward()
        total += float(loss.detach())
    return total


def _loss(run: Run, examples: Sequence[Encoded]) -> torch.Tensor:
    """Summed cross entropy of the output tokens; only these go through the large last layer."""
    inputs = collate(examples, run.base.tokenizer.pad_token_id)
    labels = inputs.pop("labels")[:, 1:]
    lm = run.model.get_base_model()
    hidden = lm.base_model(**inputs, use_cache=False).last_hidden_state[:, :-1]
    keep = labels != IGNORED
    logits = lm.get_output_embeddings()(hidden[keep])
    return cross_entropy(logits.float(), labels[keep], reduction="sum")


def _config(args: argparse.Namespace) -> TrainingConfig:
    start = preset(args.preset) if args.preset else load_config(args.config)
    changes = {}
    for item in args.set:
        key, _, value = item.partition("=")
        try:
            changes[key.strip()] = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = value
    return from_table({**to_table(start), **changes})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.finetune", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--preset", help="a shipped config, such as pocket-broad")
    source.add_argument("--config", type=Path, help="a TOML file of one's own")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data", type=Path, required=True, help="conversations, one a line")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--no-export", action="store_true", help="stop after the checkpoint")
    return parser


if __name__ == "__main__":
    sys.exit(main())

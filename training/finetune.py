"""Fine-tune a base on a reference's outputs: setup, main, fit, validate.

    python -m training.finetune --preset pocket-broad --data answers.jsonl --out runs/broad

The out folder gets progress.jsonl (a line per step), checkpoint/ and, where the base is a GGUF,
adapter.gguf, or model.gguf where all weights were trained. SIGTERM saves the run's state and ends
it; the same command with --resume goes on from there.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
# Waiting threads sleep: spinning ones make a step ten times slower where cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What deterministic matrix products on CUDA ask for.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch
from torch.optim import AdamW

from imitation.data.encode import Encoded
from imitation.errors import IntegrityError, StorageError, UserError
from imitation.events import Writer as Progress
from imitation.models.backends.tgi import adapter_rules
from imitation.settings import Settings, available_cores, read_settings
from training import checkpoints
from training.attention import check_packable
from training.base import choose_dtype
from training.checkpoints import State
from training.collate import all_batches, micro_batches
from training.config import TrainingConfig, to_table
from training.data import load_data
from training.export import export
from training.heldout_scores import fact_score, style_score
from training.loss import summed_loss
from training.memory import tune_malloc
from training.optimizer import load_for, lr_multiplier, make_optimizer, set_rates, trainable
from training.run_folder import CHECKPOINT, STATE
from training.run_options import Finetune, run_command
from training.signals import Stop, Stopped, sole_writer
from training.state import Plan, Run, TrainState, restore, save_state
from training.tracking import Tracker

STOPPED = 128 + 15
"""Exit code of a run that was asked to stop, as shells have it for SIGTERM."""


def setup(
    config: TrainingConfig, data: Path, settings: Settings, progress: Progress, stop: Stop
) -> Run:
    """Base, adapter and data, ready to fit.

    Raises:
        UserError: Nothing in the data can be learned, or the base can't be had.
    """
    if config.gradient_checkpointing:
        tune_malloc()
    torch.set_num_threads(config.threads or available_cores())
    torch.manual_seed(config.seed)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing reads it; it takes time
    dtype, seconds = choose_dtype(config.dtype)
    progress.write("setup", dtype=dtype, probe_s=seconds, threads=torch.get_num_threads())
    base = load_for(config, settings, dtype)
    warn_of_tgi(config, base.model.config.to_dict())
    if config.packing:
        check_packable(base.model, config.max_tokens)
    stop.check()
    found = load_data(config, data, base)
    return Run(config, base, trainable(base.model, config), found, dtype, stop)


def warn_of_tgi(config: TrainingConfig, base: dict[str, Any]) -> None:
    """Log what TGI would do wrong with the adapter of a run.

    Args:
        config: Of the run.
        base: The config of its base.
    """
    if config.method == "full":
        return
    if config.method == "qlora":  # quantised here, not in its own files
        base = {key: value for key, value in base.items() if key != "quantization_config"}
    for said in adapter_rules.warnings(config.lora_r, base):
        logging.getLogger(__name__).warning("%s", said)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 when the model is trained and, unless told not to, exported."""
    stop = Stop()
    stop.listen()

    def work(options: Finetune) -> int:
        config, settings = options.training_config(), read_settings()
        with sole_writer(options.out):
            state, progress = _opened(options.out, options.resume)
            return _run_to_its_end(options, config, settings, state, progress, stop)

    def refused(error: UserError) -> None:
        Progress(None).failed("finetune", error)

    prog = "python -m training.finetune"
    return run_command(Finetune, work, refused, argv, prog=prog, about=__doc__ or "")


def _opened(out: Path, resume: bool) -> tuple[State | None, Progress]:
    """The state to go on from, None at the start, and where to tell of the run."""
    path = out / "progress.jsonl"
    if resume:
        state = checkpoints.load_state(out)
        return state, Progress.resumed(path, state.step, state.watched, state.elapsed_s)
    if (out / STATE).is_file():
        raise UserError(
            f"{out} holds the checkpoint of a run that has not ended.",
            "Add --resume to go on from it, or choose another --out.",
        )
    return None, Progress(path)


def _run_to_its_end(
    options: Finetune,
    config: TrainingConfig,
    settings: Settings,
    state: State | None,
    progress: Progress,
    stop: Stop,
) -> int:
    """The run, with its end told in progress.jsonl whatever it is; the exit code."""
    tracker = None
    try:
        if config.track:
            tracker = Tracker(config, settings, resumed=state is not None)
            progress.listener = tracker
        run = setup(config, options.data, settings, progress, stop)
        progress.write("start", config=to_table(config), data=run.data.manifest)
        fit(run, progress, options.out, state)
        _keep(run, options.out, settings, progress, export_too=options.export)
        progress.write("end")
        # Last of all: until the end is told, a run that is killed goes on from it.
        (options.out / STATE).unlink(missing_ok=True)
        return 0
    except Stopped:
        progress.write("stopped", resumable=(options.out / STATE).is_file())
        return STOPPED
    except Exception as error:
        progress.failed("finetune", error)
    finally:
        if tracker:
            tracker.finish()
    return 1


def _keep(run: Run, out: Path, settings: Settings, progress: Progress, *, export_too: bool) -> None:
    """Leave what was learned: checkpoint/, then a GGUF where the engine can serve it."""
    checkpoints.save(
        out / CHECKPOINT,
        run.model,
        run.config,
        run.base.fmt,
        run.data.manifest,
        run.base.tokenizer,
    )
    progress.write("saved", folder=CHECKPOINT)
    if not export_too:
        return
    if run.base.gguf is None:
        why = "The embedded engine serves no GGUF of it: its base is none."
        progress.write("not_exported", reason=why)
        return
    target = out / run.config.gguf
    proof = export(run.model, run.base, run.config, run.data.examples, settings, target)
    progress.write("exported", file=target.name, proof=asdict(proof))


def fit(run: Run, progress: Progress, folder: Path, state: State | None = None) -> None:
    """Train in place, from the start or from a state; states are saved in `folder` on the way.

    Raises:
        IntegrityError: The loss is not a finite number; the batch is named.
        UserError: The state is of another run, or one cannot be saved.
        Stopped: It was asked for; the state is saved.
    """
    config = run.config
    optimizer = make_optimizer(run.model, config)
    plan = all_batches(run.data.train, config.batch_size, config.epochs, config.seed)
    place = restore(run, optimizer, state, plan) if state else TrainState()
    if state:
        progress.write("resumed", step=place.step, steps=len(plan))
    try:
        if not place.watched:
            _watch(run, progress, place, plan)
        while place.step < len(plan):
            step(run, optimizer, progress, place, plan)
            _watch(run, progress, place, plan)
            due = config.save_every and place.step % config.save_every == 0
            if due and place.step < len(plan):
                save_state(run, optimizer, progress, place, folder)
        if not (state and state.watched and state.step == len(plan)):
            # So that a kill while it is exported costs the export only. Without room for it, what
            # was learned is still kept.
            with suppress(StorageError):
                save_state(run, optimizer, progress, place, folder)
    except Stopped:
        if place.step:
            save_state(run, optimizer, progress, place, folder)
        raise


def step(run: Run, optimizer: AdamW, progress: Progress, place: TrainState, plan: Plan) -> None:
    """The next step of the plan, told when it is done."""
    config, (epoch, batch) = run.config, plan[place.step]
    began = time.perf_counter()
    rate = config.learning_rate * lr_multiplier(place.step, len(plan), config)
    set_rates(optimizer, rate, config)
    optimizer.zero_grad(set_to_none=True)
    loss = backward(run, batch)
    if not math.isfinite(loss):
        raise IntegrityError(
            f"The loss is {loss} in step {place.step + 1} (epoch {epoch}), batch: "
            + ", ".join(example.id or "?" for example in batch),
            "Lower learning_rate, or look at these conversations.",
        )
    weights = [p for p in run.model.parameters() if p.requires_grad]
    norm = torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
    optimizer.step()
    place.pass_by(batch)
    progress.write(
        "step",
        step=place.step,
        steps=len(plan),
        epoch=epoch,
        loss=round(loss, 5),
        learning_rate=rate,
        grad_norm=round(float(norm), 4),
        tokens=place.tokens,
        trained_tokens=place.trained,
        step_s=round(time.perf_counter() - began, 2),
    )


def validate(run: Run) -> float:
    """Mean loss per output token of the validation data."""
    run.model.eval()
    total = 0.0
    with torch.no_grad(), run.attending():
        for part in micro_batches(run.data.validation, run.config.micro_batch_size):
            run.stop.check()
            total += float(summed_loss(run, part))
    return total / sum(example.trained for example in run.data.validation)


def _watch(run: Run, progress: Progress, place: TrainState, plan: Plan) -> None:
    """Held-out loss and scores of a step where they are due."""
    config, step, steps = run.config, place.step, len(plan)
    ends = step in (0, steps) or plan[step - 1][0] != plan[step][0]
    if config.validate_every:
        ends = step == steps or step % config.validate_every == 0
    if run.data.validation and ends:
        progress.write("validation", step=step, steps=steps, loss=round(validate(run), 5))
    if config.score_every and (step == steps or step % config.score_every == 0):
        kept_out = run.data.examples[len(run.data.examples) - run.data.kept_out :]
        items, check = config.score_items, run.stop.check
        style = style_score(run.model, run.base, kept_out, items, check)
        facts = fact_score(run.model, run.base, items, config.seed, check)
        for name, found in (("style", style), ("facts", facts)):
            if found.n:
                progress.write("score", step=step, steps=steps, name=name, **asdict(found))
    place.watched = True


def backward(run: Run, batch: Sequence[Encoded]) -> float:
    """Gradients of a step's mean loss per output token, added up over micro-batches."""
    run.model.train()
    count, losses = sum(example.trained for example in batch), []
    with run.attending():
        for part in micro_batches(batch, run.config.micro_batch_size):
            run.stop.check()
            loss = summed_loss(run, part) / count
            loss.backward()
            losses.append(loss.detach())
    # Read at the end: reading makes the CPU wait for a GPU, which then waits for its next work.
    return sum(map(float, losses))


if __name__ == "__main__":
    sys.exit(main())

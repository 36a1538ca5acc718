"""Checkpoints: the state a run goes on from, and the weights it ends with.

While a run lasts its folder holds state.pt, replaced as a whole at each save. At the end the
folder checkpoint/ holds the adapter, or all weights, with config, prompt format and data.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imitation.disk import atomic_folder, atomic_write, write_text
from imitation.errors import IntegrityError, StorageError, UserError
from imitation.prompts import PromptFormat
from imitation.prompts import load as load_format
from imitation.prompts import save as save_format
from training.config import TrainingConfig, from_table, is_elastic, to_table
from training.hyperparameters import renamed
from training.run_folder import CONFIG, DATA, STATE


@dataclass(frozen=True, slots=True)
class State:
    """Where a run stood after a step, and all it needs to go on as if it had not stopped.

    Attributes:
        step: Steps done. The order of the data follows from the seed and this alone.
        watched: Whether held-out loss and scores of that step were taken, where due.
        elapsed_s: Seconds the run had taken.
        weights: What is trained, by name.
        optimizer: Its state.
        rng: States of torch's random numbers: the CPU's, then one per GPU.
        config: As `to_table`.
        data: Hash of the data's file.
        base: Identity of the base.
    """

    step: int
    watched: bool
    elapsed_s: float
    weights: dict[str, Any]
    optimizer: dict[str, Any]
    rng: list[Any]
    config: dict[str, Any]
    data: str
    base: str


def save_state(folder: Path, state: State) -> None:
    """Replace the run's state; the one before stays until the new one is whole on the disk.

    Raises:
        StorageError: It could not be written; the state before is still there, if there was one.
    """
    import torch

    path = folder / STATE
    # Not asdict, which would copy every weight.
    values = {name: getattr(state, name) for name in State.__slots__}
    try:
        with atomic_write(path) as aside, aside.open("wb") as opened:
            try:
                torch.save(values, opened)
            except RuntimeError as error:  # torch's writer, where the file refused a write
                raise OSError(str(error).splitlines()[0]) from error
    except StorageError as error:
        kept = f"that of an earlier step in {path} is still whole" if path.is_file() else "none"
        free = shutil.disk_usage(folder).free / 1e6
        raise StorageError(
            f"The checkpoint of step {state.step} could not be written ({error.message}) "
            f"Checkpoints left: {kept}.",
            f"The disk has {free:,.0f} MB free. Make room, then resume.",
        ) from error


def load_state(folder: Path) -> State:
    """The state a run in that folder can go on from.

    Raises:
        UserError: There is none.
        IntegrityError: It is not one of ours, or damaged.
    """
    import torch

    path = folder / STATE
    if not path.is_file():
        raise UserError(
            f"{folder} holds no checkpoint to go on from.", "Leave --resume out to start over."
        )
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        return State(**values)
    except Exception as error:  # torch raises what its parts raise: pickle, zip, runtime errors
        raise IntegrityError(
            f"{path} is damaged: {type(error).__name__}.", "Delete it and start the run over."
        ) from error


def check_state(state: State, config: TrainingConfig, data: str, base: str) -> None:
    """Refuse to go on with something other than what the run began with.

    Raises:
        UserError: Other settings than a resumed run may change, other data, or another base.
    """
    before = renamed(TrainingConfig, state.config)
    changed = [
        f"{key} was {before.get(key)!r} and is {value!r}"
        for key, value in to_table(config).items()
        if not is_elastic(key) and before.get(key) != value
    ]
    if state.data != data:
        changed.append("the data file has changed")
    if state.base != base:
        changed.append(f"{config.base} is not the base it was trained on: the weights differ")
    if changed:
        raise UserError(
            "The checkpoint does not belong to this run: " + "; ".join(changed) + ".",
            "Resume with the command it was started with, or start over in another folder.",
        )


def put_weights(model: Any, weights: Mapping[str, Any]) -> None:
    """Copy saved weights into a model's trained ones.

    Raises:
        IntegrityError: Names or shapes differ: they belong to another base or adapter.
    """
    import torch

    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    differ = sorted(own.keys() ^ weights.keys()) or [
        f"{name} {tuple(weights[name].shape)} for {tuple(p.shape)}"
        for name, p in own.items()
        if weights[name].shape != p.shape
    ]
    if differ:
        raise IntegrityError(
            f"The saved weights do not fit this base: {len(differ)} tensors differ, such as "
            f"{differ[0]}.",
            "Use the base they were trained on.",
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])


def save(
    folder: Path,
    model: Any,
    config: TrainingConfig,
    fmt: PromptFormat,
    manifest: Mapping[str, Any],
    tokenizer: Any = None,
) -> None:
    """Write an adapter, or all weights, and everything needed to use it again.

    The folder is written aside and then renamed: it is there whole or as it was before.

    Raises:
        StorageError: It could not be written.
    """
    with atomic_folder(folder) as aside:
        model.save_pretrained(aside)
        if config.method == "full" and tokenizer is not None:
            tokenizer.save_pretrained(aside)  # so that it is a base like any other
        # PEFT writes an empty model card to fill in; ours is made from the facts.
        (aside / "README.md").unlink(missing_ok=True)
        save_format(fmt, aside)
        write_json(aside / CONFIG, to_table(config))
        write_json(aside / DATA, manifest)
        for weights in aside.glob("*.safetensors"):
            # They come readable by their owner alone; a server runs as another user.
            shutil.copymode(aside / CONFIG, weights)


def load(folder: Path) -> tuple[TrainingConfig, PromptFormat, dict[str, Any]]:
    """Config, prompt format and data manifest of a checkpoint; the adapter is PEFT's to load.

    Raises:
        IntegrityError: A part is missing or broken.
    """
    try:
        config = from_table(json.loads((folder / CONFIG).read_text("utf-8")), CONFIG)
        manifest = json.loads((folder / DATA).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{folder} is not a checkpoint of ours: {error}") from error
    return config, load_format(folder), manifest


def write_json(path: Path, value: Any) -> None:
    """A value as readable JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

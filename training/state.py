"""A run: what it works with, how far it is, and going on from there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.optim import AdamW

from imitation.data.encode import Encoded
from imitation.events import Writer as Progress
from training import checkpoints
from training.attention import attending, unpackable
from training.base import Base
from training.checkpoints import State
from training.config import TrainingConfig, to_table
from training.data import Data
from training.optimizer import unwrap
from training.signals import Stop


@dataclass(frozen=True)
class Run:
    """Everything a fine-tune works with.

    Attributes:
        config: As asked for.
        base: The base; its model carries the adapter.
        model: What is trained: the PEFT model around the base's, or the base's itself.
        data: Conversations to learn and those kept out.
        dtype: Number format it computes in.
        stop: Asked between computations.
    """

    config: TrainingConfig
    base: Base
    model: Any
    data: Data
    dtype: str
    stop: Stop = field(default_factory=Stop)

    @cached_property
    def joined(self) -> bool:
        """Whether conversations computed at once lie end to end in a row, instead of padded."""
        return not unpackable(unwrap(self.model), self.config.max_tokens)

    def attending(self) -> AbstractContextManager[None]:
        """Where the model attends as its rows are laid out."""
        return attending(self.model) if self.joined else nullcontext()


Plan = Sequence[tuple[int, list[Encoded]]]
"""(epoch, batch) of every step, in order."""


def _rng() -> list[torch.Tensor]:
    """States of the random numbers: the CPU's, then each GPU's."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *gpus]


@dataclass
class TrainState:
    """How far a run is.

    Attributes:
        step: Steps done.
        watched: Whether what is due after that step was measured.
        tokens: Tokens seen.
        trained: Those with a loss among them.
        rng: Random numbers as the step left them; a step that is broken off draws some.
    """

    step: int = 0
    watched: bool = False
    tokens: int = 0
    trained: int = 0
    rng: list[torch.Tensor] = field(default_factory=_rng)

    def pass_by(self, batch: Sequence[Encoded]) -> None:
        """Count a step that is done."""
        self.step, self.watched = self.step + 1, False
        self.tokens += sum(len(example.ids) for example in batch)
        self.trained += sum(example.trained for example in batch)
        self.rng = _rng()


def save_state(
    run: Run, optimizer: AdamW, progress: Progress, place: TrainState, folder: Path
) -> None:
    """Save what the run needs to go on from its place.

    Raises:
        StorageError: As `checkpoints.save_state`.
    """
    state = State(
        step=place.step,
        watched=place.watched,
        elapsed_s=progress.elapsed_s,
        weights={n: p.detach() for n, p in run.model.named_parameters() if p.requires_grad},
        optimizer=optimizer.state_dict(),
        rng=place.rng,
        config=to_table(run.config),
        data=run.data.manifest["files"][0]["sha256"],
        base=run.base.identity,
    )
    checkpoints.save_state(folder, state)
    progress.write("checkpoint", step=place.step)


def restore(run: Run, optimizer: AdamW, state: State, plan: Plan) -> TrainState:
    """Put a state back; the place it stands at.

    Raises:
        UserError: It is another run's.
    """
    data = run.data.manifest["files"][0]["sha256"]
    checkpoints.check_state(state, run.config, data, run.base.identity)
    checkpoints.put_weights(run.model, state.weights)
    optimizer.load_state_dict(state.optimizer)
    cpu, *gpus = state.rng
    torch.set_rng_state(cpu)
    if gpus and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(gpus)
    place = TrainState()
    for _, batch in plan[: state.step]:
        place.pass_by(batch)
    place.watched = state.watched
    return place

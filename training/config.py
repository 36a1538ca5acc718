"""What a fine-tune is told: one frozen value, checked as a whole.

A hyperparameter is added here and nowhere else: see `training.hyperparameters`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from imitation import validation
from imitation.errors import ConfigError, UserError
from imitation.reading.text import NotUtf8, read_text
from imitation.validation import nearest
from training.hyperparameters import Knob, hyperparameters, renamed
from training.run_folder import ADAPTER, MODEL

PRESETS = Path(__file__).parent / "presets"
HINT = "Change these values."
Projection = Literal[
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"
]  # fmt: skip
"""The projections of a layer, by transformers' names; the engine knows the same ones."""
PROJECTIONS: tuple[Projection, ...] = get_args(Projection)


def _names(value: Any) -> Any:
    """A list of names as TOML, JSON and the command line have it."""
    if not isinstance(value, (list, tuple)):
        raise ValueError("should be a list of names")
    if not value:
        raise ValueError("it is empty: nothing would be trained")
    return tuple(value)


class TrainingConfig(BaseModel):
    """A fine-tune; presets are TOML files with these keys. The form has them in this order.

    Raises:
        ConfigError: All problems together.
    """

    # Strict: TOML and JSON have types, and 2.5 epochs or a rank of true are mistakes.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: Annotated[
        str,
        Knob(
            "Name", "What the imitation is called.", details="Its catalog id where it is shipped."
        ),
    ] = "imitation"
    base: Annotated[
        str,
        Knob(
            "Base", "What is trained: catalog id of an embedded base, a local folder, or a hub id."
        ),
    ] = "pocket-base"
    method: Annotated[
        Literal["lora", "qlora", "full"],
        Knob(
            "Method",
            "An adapter (LoRA; QLoRA needs a GPU), or all weights (full).",
            "main",
            details="qlora trains an adapter on a base in 4 bits, with CUDA only.",
        ),
    ] = "lora"
    epochs: Annotated[
        int,
        Field(ge=1, le=1000),
        Knob("Epochs", "Passes over the data. More of them fit it better, then by heart.", "main"),
    ] = 3
    learning_rate: Annotated[
        float,
        Field(gt=0, le=1),
        Knob("Learning rate", "Its peak. Too high: the loss jumps. Too low: no change.", "main"),
    ] = 1e-3
    batch_size: Annotated[
        int,
        Field(ge=1, le=4096),
        Knob(
            "Batch size",
            "Conversations per step; more give fewer, calmer steps.",
            "main",
            details="Blocks, where they are packed.",
        ),
    ] = 16
    micro_batch_size: Annotated[
        int,
        Field(ge=1, le=4096),
        Knob(
            "Micro-batch size",
            "Computed at once, of a step's conversations; fewer take less memory.",
            "main",
            elastic=True,
            former="micro_batch",
            lighter=lambda value: max(1, value // 2),
            details="Changes memory and speed, not the result (up to rounding).",
        ),
    ] = 4
    lora_r: Annotated[
        int,
        Field(ge=1, le=256),
        Knob(
            "LoRA rank (r)",
            "Size of the adapter: more holds more, and costs more memory.",
            "main",
            former="rank",
        ),
    ] = 8
    max_tokens: Annotated[
        int,
        Field(ge=8, le=1 << 20),
        Knob(
            "Longest conversation",
            "In tokens; longer ones are cut, or packed in pieces.",
            "main",
            lighter=lambda value: max(8, value // 2),
            details="Cut at the end; where they are packed, it is the length of a block.",
        ),
    ] = 512
    seed: Annotated[
        int,
        Field(ge=0, le=2**31 - 1),
        Knob("Seed", "Of weights, order and split: the same seed repeats the run.", "main"),
    ] = 0
    packing: Annotated[
        bool,
        Knob("Pack into blocks", "Short ones share a block; none sees another.", "main"),
    ] = False
    gradient_checkpointing: Annotated[
        bool,
        Knob(
            "Gradient checkpointing",
            "Activations are computed again: less memory, a third more time, same result.",
            "main",
            elastic=True,
            former="checkpointing",
            lighter=lambda _: True,
        ),
    ] = False
    optimizer: Annotated[
        Literal["adamw", "relative"],
        Knob(
            "Optimiser",
            "relative: steps are shares of each weight (paper); full only.",
            "more",
            details="AdamW with each tensor's step scaled by max(RMS(w), 1e-3); with an adapter "
            "it would freeze B, which starts at 0.",
        ),
    ] = "adamw"
    schedule: Annotated[
        Literal["constant", "linear", "cosine"],
        Knob(
            "Schedule",
            "How the learning rate falls after the warm-up.",
            "more",
            details="The latter two to 0.",
        ),
    ] = "cosine"
    warmup: Annotated[
        float,
        Field(ge=0, le=0.9),
        Knob("Warm-up", "Share of the steps in which the learning rate rises.", "more"),
    ] = 0.05
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Knob("Number format", "auto measures which one this machine computes faster in.", "more"),
    ] = "auto"
    val_fraction: Annotated[
        float,
        Field(ge=0, le=0.5),
        Knob(
            "Validation fraction",
            "Share of the data kept out, which only watches the loss.",
            "more",
            former="validation",
        ),
    ] = 0.05
    validate_every: Annotated[
        int,
        Field(ge=0, le=1_000_000),
        Knob("Held-out loss every", "Steps; 0 takes it after each epoch.", "more", elastic=True),
    ] = 0
    score_every: Annotated[
        int,
        Field(ge=0, le=1_000_000),
        Knob(
            "Held-out scores every",
            "Steps, of style and facts; 0 takes none.",
            "more",
            elastic=True,
        ),
    ] = 0
    score_items: Annotated[
        int,
        Field(ge=1, le=1000),
        Knob("Prompts per score", "More are steadier and take longer.", "more", elastic=True),
    ] = 12
    save_every: Annotated[
        int,
        Field(ge=0, le=1_000_000),
        Knob(
            "Checkpoint every",
            "Steps; a run goes on from the last one.",
            "more",
            elastic=True,
            details="0 saves when stopped only.",
        ),
    ] = 50
    track: Annotated[
        bool,
        Knob(
            "Log to trackio",
            "Also; its page opens under the run.",
            "more",
            elastic=True,
            details="It stays on this machine.",
        ),
    ] = False
    lora_alpha: Annotated[
        float,
        Field(gt=0, le=10_000),
        Knob("LoRA alpha", "The adapter is scaled by alpha / r.", former="alpha"),
    ] = 16.0
    target_modules: Annotated[
        tuple[Projection, ...],
        BeforeValidator(_names),
        Knob("Target modules", "Projections that get an adapter.", former="modules"),
    ] = PROJECTIONS
    warmup_steps: Annotated[
        int,
        Field(ge=0, le=1_000_000),
        Knob("Warm-up steps", "The warm-up takes at most these many steps; 0 sets no limit."),
    ] = 0
    weight_decay: Annotated[
        float,
        Field(ge=0, le=1),
        Knob("Weight decay", "Of AdamW."),
    ] = 0.0
    max_grad_norm: Annotated[
        float,
        Field(gt=0),
        Knob("Max gradient norm", "Gradients are scaled down to this norm.", former="clip_norm"),
    ] = 1.0
    prompt_format: Annotated[
        Literal["auto", "chat", "koala", "plain"],
        Knob(
            "Prompt format",
            "How conversations are written.",
            details="auto takes the catalog card's, else the one saved beside the weights, else "
            "the model's chat template, else Koala (the paper's).",
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Field(ge=0, le=1024),
        Knob("Threads", "CPU threads; 0 takes every core the process may use.", elastic=True),
    ] = 0

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            found = validation.problems(error, type(self))
            raise ConfigError("training config", found, HINT) from None

    @model_validator(mode="before")
    @classmethod
    def _former_names(cls, table: Any) -> Any:
        return renamed(cls, table) if isinstance(table, Mapping) else table

    @field_validator("optimizer")
    @classmethod
    def _moves_the_adapter(cls, value: str, others: ValidationInfo) -> str:
        # Of the field, not the whole model, so that it is said along with all other problems.
        method = others.data.get("method", "full")
        if value == "relative" and method != "full":
            raise ValueError(
                f"it goes with method = 'full' only, not {method!r}: it scales each step by the "
                "weight's magnitude, and an adapter's B starts at 0, so it would stay there"
            )
        return value

    def replace(self, **changes: Any) -> Self:
        """The config with some values changed, checked anew."""
        return type(self)(**{**self.model_dump(), **renamed(type(self), changes)})

    @property
    def gguf(self) -> str:
        """Name of the file a finished run leaves for the embedded engine."""
        return MODEL if self.method == "full" else ADAPTER


def from_table(table: Mapping[str, Any], where: str = "training config") -> TrainingConfig:
    """The config of a table of keys; what is absent takes its default.

    Raises:
        ConfigError: Unknown keys, with near matches, and wrong values, all together.
    """
    try:
        return TrainingConfig(**table)
    except ConfigError as error:
        raise ConfigError(where, error.problems, HINT) from None


def load_config(path: Path) -> TrainingConfig:
    """The config of a TOML file.

    Raises:
        ConfigError: It cannot be read, or as `from_table`.
    """
    try:
        table = tomllib.loads(read_text(path))
    except (OSError, NotUtf8, tomllib.TOMLDecodeError) as error:
        raise ConfigError(path.name, [str(error)]) from error
    return from_table(table, path.name)


def presets() -> dict[str, Path]:
    """Shipped configs by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.toml"))}


def preset(name: str) -> TrainingConfig:
    """The shipped config called `name`.

    Raises:
        UserError: There is none; near matches are offered.
    """
    known = presets()
    if name not in known:
        raise UserError(f"There is no preset {name!r}.", nearest(name, known))
    return load_config(known[name])


def to_table(config: TrainingConfig) -> dict[str, Any]:
    """Plain values for JSON, every key."""
    return config.model_dump(mode="json")


def is_elastic(name: str) -> bool:
    """Whether a run may change it when it goes on from a checkpoint."""
    known = hyperparameters(TrainingConfig)
    return name in known and known[name].knob.elastic

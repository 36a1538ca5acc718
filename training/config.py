"""What a fine-tune is told: one frozen value, checked as a whole."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from imitation.errors import ConfigError, UserError
from imitation.models.embedded.gguf import LORA_MODULES
from imitation.reading.text import NotUtf8, read_text
from imitation.validation import nearest
from training.run_folder import ADAPTER, MODEL

PRESETS = Path(__file__).parent / "presets"
CHOICES: Mapping[str, tuple[str, ...]] = {
    "method": ("lora", "qlora", "full"),
    "optimizer": ("adamw", "relative"),
    "schedule": ("constant", "linear", "cosine"),
    "dtype": ("auto", "float32", "bfloat16"),
    "prompt_format": ("auto", "chat", "koala", "plain"),
}
"""Keys that take one of a few words."""
ELASTIC = frozenset(
    {"micro_batch", "checkpointing", "threads", "save_every", "validate_every", "score_every",
     "score_items", "track"}
)  # fmt: skip
"""Keys that a run may change when it goes on from a checkpoint: they don't change what is learned
(up to rounding)."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A fine-tune; presets are TOML files with these keys.

    Attributes:
        name: What the imitation is called; its catalog id where it is shipped.
        base: Catalog id of an embedded base, a local folder, or a hub id.
        prompt_format: How conversations are written; auto takes the catalog card's, else the one
            saved beside the weights, else the model's chat template, else Koala (the paper's).
        method: lora trains an adapter, qlora one on a base in 4 bits (CUDA only), full all weights.
        rank: Rank of the adapter.
        alpha: The adapter is scaled by alpha / rank.
        modules: Projections that get an adapter.
        optimizer: adamw, or relative: AdamW with each tensor's step scaled by max(RMS(w), 1e-3),
            as in the paper; with an adapter it would freeze B, which starts at 0.
        learning_rate: Peak learning rate of AdamW.
        schedule: How it falls after the warm-up: constant, linear or cosine, the latter to 0.
        warmup: Share of all steps in which it rises from 0.
        warmup_steps: The warm-up takes at most these many steps; 0 sets no limit.
        weight_decay: Of AdamW.
        clip_norm: Gradients are scaled down to this norm.
        batch_size: Conversations per step; blocks, where they are packed.
        micro_batch: Conversations (blocks) computed at once; changes memory and speed, not the
            result (up to rounding).
        checkpointing: Activations are computed again in the backward pass instead of kept: less
            memory, about a third more time, the same result.
        epochs: Passes over the data.
        max_tokens: Longer conversations are cut at the end; where they are packed, the length of
            a block, and longer ones go on in further blocks.
        packing: Short conversations share a block; none attends to another.
        validation: Share of the data kept out of training to watch the loss.
        validate_every: Steps between held-out losses; 0 takes them at the end of each epoch.
        score_every: Steps between held-out style and fact scores; 0 takes none.
        score_items: Prompts per score.
        save_every: Steps between checkpoints that the run can go on from; 0 saves when stopped
            only.
        track: Log to trackio as well, on this machine.
        seed: Of weights, order and split.
        dtype: Number format; auto measures float32 against bfloat16 on this machine.
        threads: CPU threads; 0 takes every core the process may use.
    """

    name: str = "imitation"
    base: str = "pocket-base"
    prompt_format: str = "auto"
    method: str = "lora"
    rank: int = 8
    alpha: float = 16.0
    modules: tuple[str, ...] = tuple(LORA_MODULES)
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup: float = 0.05
    warmup_steps: int = 0
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    batch_size: int = 16
    micro_batch: int = 4
    checkpointing: bool = False
    epochs: int = 3
    max_tokens: int = 512
    packing: bool = False
    validation: float = 0.05
    validate_every: int = 0
    score_every: int = 0
    score_items: int = 12
    save_every: int = 50
    track: bool = False
    seed: int = 0
    dtype: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: All problems together.
        """
        if problems := _problems(self):
            raise ConfigError("training config", problems, "Change these values.")

    @property
    def gguf(self) -> str:
        """Name of the file a finished run leaves for the embedded engine."""
        return MODEL if self.method == "full" else ADAPTER


_RANGES: dict[str, tuple[float, float, str]] = {
    "rank": (1, 256, "1 to 256"),
    "alpha": (1e-9, 1e4, "above 0"),
    "learning_rate": (1e-9, 1, "above 0, at most 1"),
    "warmup": (0, 0.9, "0 to 0.9"),
    "warmup_steps": (0, 1_000_000, "0 to 1000000"),
    "weight_decay": (0, 1, "0 to 1"),
    "clip_norm": (1e-9, 1e9, "above 0"),
    "batch_size": (1, 4096, "1 to 4096"),
    "micro_batch": (1, 4096, "1 to 4096"),
    "epochs": (1, 1000, "1 to 1000"),
    "max_tokens": (8, 1 << 20, "at least 8"),
    "validation": (0, 0.5, "0 to 0.5"),
    "validate_every": (0, 1_000_000, "0 to 1000000"),
    "score_every": (0, 1_000_000, "0 to 1000000"),
    "score_items": (1, 1000, "1 to 1000"),
    "save_every": (0, 1_000_000, "0 to 1000000"),
    "seed": (0, 2**31 - 1, "0 to 2147483647"),
    "threads": (0, 1024, "0 to 1024"),
}


def _problems(config: TrainingConfig) -> list[str]:
    found = []
    for field in fields(config):
        value, default = getattr(config, field.name), field.default
        if field.name in _RANGES:
            low, high, words = _RANGES[field.name]
            kinds = (int,) if isinstance(default, int) else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds):
                wanted = "a whole number" if kinds == (int,) else "a number"
                found.append(f"{field.name} = {value!r} should be {wanted}")
            elif not math.isfinite(value) or not low <= value <= high:
                found.append(f"{field.name} = {value!r} should be {words}")
        elif isinstance(default, bool):
            if not isinstance(value, bool):
                found.append(f"{field.name} = {value!r} should be true or false")
        elif field.name != "modules" and not isinstance(value, str):
            found.append(f"{field.name} = {value!r} should be text")
    for key, known in CHOICES.items():
        value = getattr(config, key)
        if isinstance(value, str) and value not in known:
            found.append(f"{key} = {value!r}. {nearest(value, known)}")
    if config.optimizer == "relative" and config.method != "full":
        found.append(
            f"optimizer = 'relative' goes with method = 'full' only, not {config.method!r}: it "
            "scales each step by the weight's magnitude, and an adapter's B starts at 0, so it "
            "would stay there"
        )
    if not config.modules:
        found.append("modules is empty: nothing would be trained")
    for module in config.modules:
        if module not in LORA_MODULES:
            found.append(f"modules: {module!r} is unknown. {nearest(str(module), LORA_MODULES)}")
    return found


def from_table(table: Mapping[str, Any], where: str = "training config") -> TrainingConfig:
    """The config of a table of keys; what is absent takes its default.

    Raises:
        ConfigError: Unknown keys, with near matches, and wrong values, all together.
    """
    known = {field.name: field.default for field in fields(TrainingConfig)}
    problems = [f"unknown key {k!r}. {nearest(k, known)}" for k in table if k not in known]
    values = {key: value for key, value in table.items() if key in known}
    modules = values.get("modules", ())
    if isinstance(modules, str) or not isinstance(modules, (list, tuple)):
        problems.append(f"modules = {modules!r} should be a list of names")
        del values["modules"]
    elif "modules" in values:
        values["modules"] = tuple(modules)
    try:
        config = TrainingConfig(**values)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(where, problems, "Change these values.")
    return config


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
    return {**asdict(config), "modules": list(config.modules)}

"""What a fine-tune is told: one frozen value, checked as a whole."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from imitation.errors import ConfigError, UserError
from imitation.models.catalog import nearest
from imitation.models.gguf_files import LORA_MODULES

PRESETS = Path(__file__).parent / "presets"
DTYPES = ("auto", "float32", "bfloat16")
SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A LoRA fine-tune; presets are TOML files with these keys.

    Attributes:
        name: What the imitation is called; its catalog id where it is shipped.
        base: Catalog id of the base.
        rank: Rank of the adapter.
        alpha: The adapter is scaled by alpha / rank.
        modules: Projections that get an adapter.
        learning_rate: Peak learning rate of AdamW.
        schedule: How it falls after the warm-up: constant, linear or cosine, the latter to 0.
        warmup: Share of all steps in which it rises from 0.
        weight_decay: Of AdamW.
        clip_norm: Gradients are scaled down to this norm.
        batch_size: Conversations per step.
        micro_batch: Conversations computed at once; changes memory and speed, not the result
            (up to rounding).
        epochs: Passes over the data.
        max_tokens: Longer conversations are cut at the end.
        validation: Share of the data kept out of training to watch the loss.
        seed: Of weights, order and split.
        dtype: Number format; auto measures float32 against bfloat16 on this machine.
        threads: CPU threads; 0 takes every core the process may use.
    """

    name: str = "imitation"
    base: str = "pocket-base"
    rank: int = 8
    alpha: float = 16.0
    modules: tuple[str, ...] = tuple(LORA_MODULES)
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup: float = 0.05
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    batch_size: int = 16
    micro_batch: int = 4
    epochs: int = 3
    max_tokens: int = 512
    validation: float = 0.05
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


_RANGES: dict[str, tuple[float, float, str]] = {
    "rank": (1, 256, "1 to 256"),
    "alpha": (1e-9, 1e4, "above 0"),
    "learning_rate": (1e-9, 1, "above 0, at most 1"),
    "warmup": (0, 0.9, "0 to 0.9"),
    "weight_decay": (0, 1, "0 to 1"),
    "clip_norm": (1e-9, 1e9, "above 0"),
    "batch_size": (1, 4096, "1 to 4096"),
    "micro_batch": (1, 4096, "1 to 4096"),
    "epochs": (1, 1000, "1 to 1000"),
    "max_tokens": (8, 1 << 20, "at least 8"),
    "validation": (0, 0.5, "0 to 0.5"),
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
        elif field.name != "modules" and not isinstance(value, str):
            found.append(f"{field.name} = {value!r} should be text")
    for key, known in (("dtype", DTYPES), ("schedule", SCHEDULES)):
        value = getattr(config, key)
        if isinstance(value, str) and value not in known:
            found.append(f"{key} = {value!r}. {nearest(value, known)}")
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
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
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

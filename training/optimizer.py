"""What is trained of a base, and how its weights are stepped."""

from __future__ import annotations

import math
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

from imitation.errors import UserError
from imitation.settings import Settings
from training.base import Base, load_base, load_shape
from training.config import TrainingConfig

LEAST_SCALE = 1e-3
"""Of a tensor's magnitude, so that weights that are all but 0 can still move."""


def check_method(method: str) -> None:
    """Refuse what cannot run here.

    Raises:
        UserError: QLoRA without CUDA or without bitsandbytes.
    """
    if method != "qlora":
        return
    hint = 'Set method = "lora", which computes the same on the whole weights.'
    if not torch.cuda.is_available():
        raise UserError("QLoRA needs an NVIDIA GPU with CUDA, and there is none here.", hint)
    if find_spec("bitsandbytes") is None:
        raise UserError(
            "QLoRA needs bitsandbytes, which is not installed.",
            f"Run: pip install bitsandbytes. {hint}",
        )


def stored_dtype(config: TrainingConfig, dtype: str) -> str:
    """Number format the weights are kept in where the run computes in `dtype`.

    Full fine-tuning keeps them in float32: a step of 2e-3 of a weight is below bfloat16's
    spacing (1/256) and would be lost.
    """
    return "float32" if config.method == "full" else dtype


def load_for(config: TrainingConfig, settings: Settings, dtype: str) -> Base:
    """The base of a run, on the device it computes on.

    Raises:
        UserError: As `check_method`, `load_shape` and `load_base`.
    """
    check_method(config.method)
    load_shape(settings, config.base)
    options: dict[str, Any] = {}
    if config.method == "qlora":
        from transformers import BitsAndBytesConfig

        options["device_map"] = {"": 0}
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
    base = load_base(
        settings, config.base, stored_dtype(config, dtype), config.prompt_format, **options
    )
    if torch.cuda.is_available() and config.method != "qlora":
        base.model.to("cuda")
    return base


def trainable(model: Any, config: TrainingConfig) -> Any:
    """The model with what the method trains set to be trained: itself, or PEFT's around it.

    Raises:
        UserError: The base has none of the projections named.
    """
    if config.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    if config.method == "full":
        return model.requires_grad_(True)
    if config.method == "qlora":
        # Recomputing is on already, where asked for; switched on here it would be reentrant.
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    torch.manual_seed(config.seed)
    adapter = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        target_modules=list(config.target_modules),
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            # PEFT asks transformers by an old name, which only its authors can change.
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
            # PEFT draws A at random and starts B at 0: the first step sees the base itself.
            return get_peft_model(model, adapter, autocast_adapter_dtype=False)
    except ValueError as error:
        raise UserError(
            f"An adapter cannot be put on {config.base}: {error}",
            'Name projections this model has in target_modules, or set method = "full".',
        ) from error


def unwrap(model: Any) -> Any:
    """The causal LM inside what `trainable` gave."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def make_optimizer(model: Any, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW over what is trained; a group per tensor where each has a scale of its own."""
    weights = [p for p in model.parameters() if p.requires_grad]
    groups: list[Any] = weights
    if config.optimizer == "relative":
        groups = [{"params": [p]} for p in weights]
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


def set_rates(optimizer: torch.optim.AdamW, rate: float, config: TrainingConfig) -> None:
    """Give each group its learning rate for the next step.

    "relative" is the paper's rescaling by each weight's magnitude: times max(RMS(w), 1e-3) of
    the tensor, so that the rate is a share of the weight.
    """
    groups = optimizer.param_groups
    scales = [1.0] * len(groups)
    if config.optimizer == "relative":
        weights = [group["params"][0].detach().float() for group in groups]
        # Read in one go: each reading waits for the GPU.
        rms = torch.stack([weight.square().mean().sqrt() for weight in weights])
        scales = [max(one, LEAST_SCALE) for one in rms.tolist()]
    for group, scale in zip(groups, scales, strict=True):
        group["lr"] = rate * scale


def lr_multiplier(step: int, steps: int, config: TrainingConfig) -> float:
    """Share of the peak learning rate in a step (from 0): linear rise, then the schedule."""
    warm = math.ceil(config.warmup * steps)
    if config.warmup_steps:
        warm = min(warm, config.warmup_steps)
    if step < warm:
        return (step + 1) / warm
    if config.schedule == "constant":
        return 1.0
    left = 1 - (step - warm) / max(1, steps - warm)
    return left if config.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)

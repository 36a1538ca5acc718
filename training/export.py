"""What was trained as GGUF, kept only if the engine then answers as transformers does.

    python -m training.export --run runs/local --data answers.jsonl

makes adapter.gguf, or model.gguf of all weights, again from a run's checkpoint; training.finetune
does it by itself.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from imitation.data.format import read_examples
from imitation.errors import IntegrityError, UserError
from imitation.jobs.parameters import JobParameters, run
from imitation.models.catalog import load_catalog
from imitation.models.embedded.gguf import LORA_MODULES, check_adapter, write_lora, write_weights
from imitation.models.request import in_format
from imitation.settings import Settings, read_settings
from imitation.values import Example
from training import checkpoints
from training.base import Base, load_base
from training.config import TrainingConfig
from training.engine_check import Proof, prove
from training.run_folder import CHECKPOINT

PROMPTS = 8


class Export(JobParameters):
    """Parameters of `training.export`."""

    run: Annotated[Path, Field(description="out folder of training.finetune")]
    data: Annotated[Path, Field(description="prompts to prove it on")]


_KINDS = {
    "use_rslora": "rsLoRA (use_rslora)",
    "use_dora": "DoRA (use_dora)",
    "rank_pattern": "ranks of their own (rank_pattern)",
    "alpha_pattern": "scales of their own (alpha_pattern)",
    "modules_to_save": "whole modules (modules_to_save)",
    "trainable_token_indices": "trained tokens (trainable_token_indices)",
}
"""Names of settings that people know by another."""
_PLAIN = frozenset(
    {"task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path",
     "revision", "inference_mode", "r", "target_modules", "exclude_modules", "lora_alpha",
     "lora_dropout", "fan_in_fan_out", "init_lora_weights", "layers_to_transform",
     "layers_pattern", "megatron_core", "loftq_config", "runtime_config", "ensure_weight_tying"}
)  # fmt: skip
"""Settings of a LoRA that a GGUF needs not know."""
_PLACE = re.compile(r"layers\.(\d+)\..*\.(\w+)\.lora_A\.(\w+)\.weight$")
_ANYWHERE = re.compile(r"(\w+)\.lora_(?:embedding_)?A\b")


def export(
    model: Any,
    base: Base,
    config: TrainingConfig,
    examples: Sequence[Example],
    settings: Settings,
    target: Path,
) -> Proof:
    """Write the adapter, or all weights, to `target`; prove it on the first prompts of `examples`.

    What was trained is rounded to float16 in `model` too, so that both sides hold the same numbers.

    Raises:
        UserError: Its base is no GGUF, or the adapter is of a kind that the engine does not know.
        IntegrityError: The engine's greedy answers are not those of transformers; the file is
            gone.
    """
    if base.gguf is None:
        raise UserError(
            f"{config.name} cannot be written for the embedded engine.",
            "That takes a base that is a GGUF, such as pocket-base.",
        )
    if config.method != "full":
        check_plain(model)
    _round(model)
    if config.method == "full":
        weights = {name: w.float().cpu().numpy() for name, w in model.state_dict().items()}
        write_weights(base.gguf, target, weights, name=config.name)
    else:
        write_lora(
            target,
            tensors(model),
            config.lora_alpha,
            heads=base.model.config.num_attention_heads,
            kv_heads=base.model.config.num_key_value_heads,
            metadata={"general.name": config.name},
        )
    try:
        card = replace(
            load_catalog(settings.catalogs)[config.base],
            id=f"{config.name}-check",
            role="imitation",
        )
        card = in_format(card, base.fmt)
        file = str(target.resolve())
        if config.method == "full":
            card = replace(card, weights=file)
        else:
            check_adapter(target, base.gguf)
            card = replace(card, adapter=file)
        return prove(model, base, card, [e.messages[:-1] for e in examples[:PROMPTS]], settings)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def check_plain(model: Any) -> None:
    """Return if a PEFT model's adapter is what a GGUF can hold: A, B and one scale for all.

    Raises:
        UserError: What it has besides, by name.
    """
    found = [one for config in model.peft_config.values() for one in _extras(config)]
    places = (_ANYWHERE.search(name) for name, _ in model.named_parameters())
    others = {place[1] for place in places if place} - LORA_MODULES.keys()
    found += [f"an adapter on {name}" for name in sorted(others)]
    if found:
        raise UserError(
            f"This adapter cannot be written for the embedded engine: it has {', '.join(found)}.",
            "A GGUF holds plain LoRA on the projections of layers. The checkpoint is kept: serve "
            "it by vLLM, or train without.",
        )


def _extras(config: Any) -> list[str]:
    """Settings of a PEFT adapter that change what it computes, beyond plain LoRA."""
    from peft import LoraConfig

    if not isinstance(config, LoraConfig):
        return [f"the kind {config.peft_type}"]
    plain = LoraConfig()
    return [
        _KINDS.get(field.name, field.name)
        for field in fields(config)
        if field.name not in _PLAIN and getattr(config, field.name) != getattr(plain, field.name)
    ]


def tensors(model: Any) -> dict[tuple[int, str], tuple[Any, Any]]:
    """(layer, projection) -> (A, B) of a PEFT model, as float32 arrays."""
    state = {name: p.detach().float().cpu().numpy() for name, p in model.named_parameters()}
    return {
        (int(place[1]), place[2]): (a, state[name.replace("lora_A", "lora_B")])
        for name, a in state.items()
        if (place := _PLACE.search(name))
    }


def load_adapter(base: Base, folder: Path, *, trainable: bool = False) -> Any:
    """A base with the adapter of a checkpoint on it, as it was trained or only to be asked.

    Raises:
        IntegrityError: There is none, or it belongs to another base.
    """
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(base.model, folder, is_trainable=trainable)
    except (ValueError, OSError, RuntimeError) as error:
        first = str(error).strip().splitlines()
        raise IntegrityError(
            f"The adapter in {folder} does not fit its base: {' '.join(first[:2])}",
            "Use the base it was trained on.",
        ) from error


def _round(model: Any) -> None:
    """Matrices that were trained to the nearest float16 number, in place."""
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.ndim > 1:
            parameter.data = parameter.data.half().to(parameter.dtype)


def main(argv: Sequence[str] | None = None) -> int:
    """Export a checkpoint again; the exit code."""
    return run(Export, _work, argv, prog="python -m training.export", about=__doc__ or "")


def _work(options: Export) -> int:
    try:
        settings = read_settings()
        config, _, _ = checkpoints.load(options.run / CHECKPOINT)
        base = load_base(settings, config.base, "float32", config.prompt_format)
        kept = options.run / CHECKPOINT
        if config.method == "full":
            base = replace(base, model=load_base(settings, str(kept), "float32").model)
            model = base.model
        else:
            model = load_adapter(base, kept, trainable=True)
        examples, _ = read_examples(options.data)
        proof = export(model, base, config, examples, settings, options.run / config.gguf)
    except UserError as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(proof)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

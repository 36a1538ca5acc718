"""What was trained as GGUF, kept only if the engine then answers as transformers does.

    python -m training.export --run runs/local --data answers.jsonl

makes adapter.gguf, or model.gguf of all weights, again from a run's checkpoint; training.finetune
does it by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from imitation.data.encode import IGNORED, encode
from imitation.data.format import read_examples
from imitation.errors import IntegrityError, UserError
from imitation.models.backends import complete
from imitation.models.catalog import ModelCard, load_catalog
from imitation.models.embedded import EmbeddedBackend
from imitation.models.gguf_files import check_adapter, write_lora, write_weights
from imitation.models.sessions import Sessions
from imitation.settings import Settings, read_settings
from imitation.values import Completion, Example, Message, Sampling
from training import checkpoints
from training.base import Base, load_base
from training.config import TrainingConfig
from training.folder import CHECKPOINT

PROMPTS = 8
TOKENS = 24
TOSS_UP = 0.5
"""Logits by which transformers may prefer another token than the engine's.

The engine rounds activations to 8 bits, so where two tokens are all but equally likely its choice
is a toss-up. Anything else is a wrong adapter: with the base alone, or an adapter in the wrong
order, choices are off by several logits.
"""
_REMOVED = "The file was removed; the checkpoint is kept."
_PLACE = re.compile(r"layers\.(\d+)\..*\.(\w+)\.lora_A\.(\w+)\.weight$")


@dataclass(frozen=True, slots=True)
class Proof:
    """How the engine's greedy answers compare with transformers'.

    Attributes:
        answers: Answers compared.
        tokens: Tokens in them.
        toss_ups: Tokens that transformers would have chosen differently, all within TOSS_UP.
        largest: Largest preference of transformers for another token, in logits.
    """

    answers: int
    tokens: int
    toss_ups: int
    largest: float


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
        UserError: Its base is no GGUF.
        IntegrityError: The engine's greedy answers are not those of transformers; the file is
            gone.
    """
    if base.gguf is None:
        raise UserError(
            f"{config.name} cannot be written for the embedded engine.",
            "That takes a base that is a GGUF, such as pocket-base.",
        )
    _round(model)
    if config.method == "full":
        weights = {name: w.float().cpu().numpy() for name, w in model.state_dict().items()}
        write_weights(base.gguf, target, weights, name=config.name)
    else:
        write_lora(
            target,
            tensors(model),
            config.alpha,
            heads=base.model.config.num_attention_heads,
            kv_heads=base.model.config.num_key_value_heads,
            metadata={"general.name": config.name},
        )
    try:
        card = replace(
            load_catalog(settings.catalogs)[config.base],
            id=f"{config.name}-check",
            role="imitation",
            prompt_format=base.fmt.name,
        )
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


def prove(
    model: Any,
    base: Base,
    card: ModelCard,
    asked: Sequence[Sequence[Message]],
    settings: Settings,
) -> Proof:
    """Compare the engine's greedy answers with transformers' own, word for word.

    Where they part, the engine's must be as good as the other to transformers at every token.
    Before that the engine is given each prompt as text: the tokens it makes of it must be those
    that answers were trained to follow.

    Raises:
        IntegrityError: The engine reads a prompt otherwise, or at some token transformers clearly
            prefers another.
    """
    gaps: list[float] = []
    for read, answer in asyncio.run(_served(card, asked, settings)):
        messages = answer.sent.messages
        prompt, said = _learned(base, answer)
        if read != prompt:
            raise IntegrityError(_read_otherwise(base, messages, read, prompt), _REMOVED)
        found = gaps_to(model, base, prompt, said, answer)
        if found and max(found) > TOSS_UP:
            raise IntegrityError(
                f"What was exported is not what was trained. Asked {messages[-1].content!r}, the "
                f"engine says {answer.text!r}, where transformers prefers another token by "
                f"{max(found):.2f} logits.",
                _REMOVED,
            )
        gaps += found
    return Proof(len(asked), len(gaps), sum(gap > 0 for gap in gaps), max(gaps, default=0.0))


def _learned(base: Base, answer: Completion) -> tuple[list[int], list[int]]:
    """Tokens of a prompt and of the engine's answer to it, as training would have them."""
    messages = answer.sent.messages
    ended = answer.done.finish_reason == "stop"
    # Cut at the limit: the tokens of half a word can't be told from its letters.
    text = answer.text if ended else answer.text.rpartition(" ")[0] or answer.text
    meta = {"finish_reason": "stop" if ended else "length"}
    whole = Example((*messages, Message("assistant", text)), meta=meta)
    sequences = encode(whole, base.fmt, base.tokenize, sys.maxsize)
    if not sequences:  # nothing was said before the limit
        return base.prompt_ids(messages), []
    ids, labels = sequences[-1].ids, sequences[-1].labels
    start = next(at for at in range(len(ids), 0, -1) if labels[at - 1] == IGNORED)
    return list(ids[:start]), list(ids[start:])


def _read_otherwise(
    base: Base, messages: Sequence[Message], read: Sequence[int], prompt: Sequence[int]
) -> str:
    """That the engine makes other tokens of a prompt than were trained, and where."""
    at = next((i for i, (a, b) in enumerate(zip(read, prompt, strict=False)) if a != b), None)
    at = min(len(read), len(prompt)) if at is None else at
    theirs, ours = (
        base.tokenizer.convert_ids_to_tokens(ids[at : at + 3]) for ids in (read, prompt)
    )
    return (
        f"The engine reads a prompt otherwise than it was trained: from token {at + 1} of "
        f"{messages[-1].content!r} on it has {theirs}, training {ours}."
    )


def gaps_to(
    model: Any, base: Base, prompt: Sequence[int], said: Sequence[int], answer: Completion
) -> list[float]:
    """By how many logits transformers prefers another token, at each token of an answer.

    All zeros where its own greedy answer is the same text.

    Args:
        model: As trained.
        base: Its tokenizer.
        prompt: Tokens.
        said: Those of the answer.
        answer: The engine's.
    """
    import torch

    model.eval()
    before, start = torch.tensor([list(prompt)]), len(prompt)
    with torch.no_grad():
        own = model.generate(
            input_ids=before,
            attention_mask=torch.ones_like(before),
            max_new_tokens=TOKENS,
            do_sample=False,
            pad_token_id=base.tokenizer.pad_token_id,
        )[0, start:]
        if base.tokenizer.decode(own, skip_special_tokens=True).strip() == answer.text.strip():
            return [0.0] * len(own)
        after = torch.tensor([list(said)], dtype=torch.long)
        logits = model(torch.cat([before, after], dim=1)).logits[0, start - 1 : -1].float()
    chosen = logits.gather(1, after[0].unsqueeze(1)).squeeze(1)
    return [float(gap) for gap in logits.max(dim=-1).values - chosen]


def tensors(model: Any) -> dict[tuple[int, str], tuple[Any, Any]]:
    """(layer, projection) -> (A, B) of a PEFT model, as float32 arrays."""
    state = {name: p.detach().float().numpy() for name, p in model.named_parameters()}
    return {
        (int(place[1]), place[2]): (a, state[name.replace("lora_A", "lora_B")])
        for name, a in state.items()
        if (place := _PLACE.search(name))
    }


async def _served(
    card: ModelCard, asked: Sequence[Sequence[Message]], settings: Settings
) -> list[tuple[list[int], Completion]]:
    """The tokens the engine makes of each conversation's prompt, and its answer."""
    engine, sessions = EmbeddedBackend(settings), Sessions(settings.timeout_s)
    sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=TOKENS)
    try:
        async with engine.server(card) as root:
            found = []
            for messages in asked:
                answer = await complete(engine, card, messages, sampling)
                # The text as the engine itself rendered it, where the format is the model's own.
                body = {"content": answer.sent.prompt, "add_special": True, "parse_special": True}
                read = await sessions.ask(card, f"{root}/tokenize", body)
                found.append((list(read["tokens"]), answer))
            return found
    finally:
        await sessions.close()
        await engine.close()


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
    parser = argparse.ArgumentParser(prog="python -m training.export")
    parser.add_argument("--run", type=Path, required=True, help="out folder of training.finetune")
    parser.add_argument("--data", type=Path, required=True, help="prompts to prove it on")
    args = parser.parse_args(argv)
    try:
        settings = read_settings()
        config, _, _ = checkpoints.load(args.run / CHECKPOINT)
        base = load_base(settings, config.base, "float32", config.prompt_format)
        kept = args.run / CHECKPOINT
        if config.method == "full":
            base = replace(base, model=load_base(settings, str(kept), "float32").model)
            model = base.model
        else:
            model = load_adapter(base, kept, trainable=True)
        examples, _ = read_examples(args.data)
        proof = export(model, base, config, examples, settings, args.run / config.gguf)
    except UserError as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(proof)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Memory a run needs at its peak, from its settings and shapes.

At the peak of a step, when the backward pass begins, there are in memory at once: the weights, the
gradients and optimiser's state of what is trained, what the forward pass kept of its activations
for every layer, and the logits of the trained tokens three times over (themselves or the gradient
they came to, their log-softmax, and its gradient). Weights kept in float32 and computed with in
bfloat16 are there a second time, as copies in that format. What a layer keeps, per token and
besides, is measured on models of one and two layers with random weights, so it holds for any
architecture and method. Where conversations are padded, a model gives logits of whole columns
(`training.loss`), and the padding in them takes as much as the rest.
`benchmarks/memory.py` compares the sum with measured peaks.
"""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks

from imitation.data.encode import IGNORE_INDEX, Encoded
from training.attention import attending, unpackable
from training.collate import micro_batches
from training.config import TrainingConfig
from training.hyperparameters import lighter
from training.loss import keeps_columns
from training.optimizer import trainable, unwrap

LOGITS = 3
PROBE_TOKENS = (64, 128, 192)
OVERHEAD = 80 << 20
"""Bytes of the tokenizer, the data and the libraries' own buffers."""
GAPS = {"lora": 1.1, "qlora": 1.1, "full": 0.5}
"""Bytes the heap loses between tensors of unlike size, per byte of activations and logits, unless
`tune_malloc` is called. Measured with glibc on conversations of mixed length: 0.99 and 1.22 with an
adapter; 0.47 with all weights, whose gradients fill some."""
NARROW_GAPS = 0.6
"""The same where 16 bits are computed with: 0.57 and 0.65 with an adapter, 0.49 to 0.68 with all
weights."""
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a base and a method memory depends on.

    Attributes:
        weights: Bytes of all weights as they are kept.
        trained: Numbers that are trained.
        largest: Numbers of the largest tensor that is trained.
        width: Bytes of a number as it is computed with.
        stored: Bytes of a trained number.
        layers: Of the model.
        hidden: Numbers that pass from layer to layer, per token.
        vocabulary: Of the model.
        per_layer: Bytes a layer keeps for the backward pass, per token.
        outside: Bytes kept outside the layers, per token, logits not counted.
        per_pair: Bytes a layer keeps for each pair of tokens of a row, where it keeps weights of
            its attention, as those with caps and sinks do.
        copied: Bytes a layer's weights take once more in the format they are computed with.
        joined: Conversations computed at once lie end to end, instead of padded to the longest.
        chooses: It gives the logits of chosen columns alone, instead of all.
        logits: Copies of the logits at the peak.
    """

    weights: int
    trained: int
    largest: int
    width: int
    stored: int
    layers: int
    hidden: int
    vocabulary: int
    per_layer: float
    outside: float
    copied: int = 0
    per_pair: float = 0.0
    joined: bool = True
    chooses: bool = True
    logits: int = LOGITS


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at the peak, by what holds them."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    gaps: int
    overhead: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(asdict(self).values())


def tune_malloc() -> None:
    """Have freed tensors go back to the system at once (glibc).

    Otherwise its heap keeps holes between tensors of unlike size. Getting memory anew for each
    takes time (a third more here), so it is for runs that are to take little memory.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_MMAP_THRESHOLD, 1 << 17)
        libc.mallopt(_ARENA_MAX, 1)
    except (OSError, AttributeError):  # another C library, which has no such setting
        return


def shape_of(model_config: Any, config: TrainingConfig, dtype: str, stored: str) -> Shape:
    """Measure what memory depends on, without the weights themselves.

    Args:
        model_config: transformers' config of the base.
        config: Of the run.
        dtype: Number format it computes in.
        stored: Number format the weights are kept in.
    """
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        whole = trainable(AutoModelForCausalLM.from_config(model_config), config)
    sizes = [p.numel() for p in whole.parameters() if p.requires_grad]
    width, kept = (getattr(torch, name).itemsize for name in (dtype, stored))
    frozen = sum(p.numel() for p in whole.parameters()) - sum(sizes)
    text = model_config.get_text_config()
    small = [_small(_of_layers(model_config, n), config, stored) for n in (1, 2)]
    joined = not unpackable(unwrap(small[0]), config.max_tokens, model_config)
    one, two = (_kept(model, dtype, stored, joined) for model in small)
    layer = two.per_token - one.per_token
    four_bits = config.method == "qlora"
    return Shape(
        weights=int(frozen * (0.55 if four_bits else kept)) + sum(sizes) * kept,
        trained=sum(sizes),
        largest=max(sizes),
        width=width,
        stored=kept,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        vocabulary=text.vocab_size,
        per_layer=layer,
        outside=max(0.0, one.per_token - layer),
        copied=round(two.fixed - one.fixed),
        per_pair=max(0.0, two.per_pair - one.per_pair),
        joined=joined,
        chooses=keeps_columns(unwrap(whole)),
        # A cap keeps what it came to.
        logits=LOGITS + bool(getattr(text, "final_logit_softcapping", None)),
    )


def _of_layers(model_config: Any, count: int) -> Any:
    """A config like it of fewer layers and a small vocabulary."""
    small = copy.deepcopy(model_config)
    text = small.get_text_config()
    layers = text.num_hidden_layers
    for name, value in text.to_dict().items():
        if isinstance(value, list) and len(value) == layers > count:
            setattr(text, name, value[:count])
    text.num_hidden_layers = count
    text.vocab_size = 64
    text.pad_token_id = text.bos_token_id = text.eos_token_id = 0
    return small


def _small(small: Any, config: TrainingConfig, stored: str) -> Any:
    """A model of random weights as the method trains it, to measure."""
    from transformers import AutoModelForCausalLM

    method = "lora" if config.method == "qlora" else config.method
    plain = config.replace(gradient_checkpointing=False, method=method)
    made = AutoModelForCausalLM.from_config(small, dtype=getattr(torch, stored))
    return trainable(made, plain).train()


@dataclass(frozen=True, slots=True)
class _Kept:
    """Bytes a forward pass over n tokens keeps: fixed + n per_token + n^2 per_pair."""

    fixed: float
    per_token: float
    per_pair: float


def _kept(model: Any, dtype: str, stored: str, joined: bool) -> _Kept:
    """Bytes a small model's forward pass keeps for the backward pass."""
    mixed = torch.autocast("cpu", getattr(torch, dtype), enabled=dtype != stored)
    with attending(model) if joined else nullcontext(), mixed:
        held = [_held(model, tokens, joined) for tokens in PROBE_TOKENS]
    # The parabola through three points (Newton's divided differences).
    (n, m, k), (f, g, h) = PROBE_TOKENS, held
    slope = (g - f) / (m - n)
    pair = ((h - g) / (k - m) - slope) / (k - n)
    token = slope - pair * (n + m)
    return _Kept(f - n * token - n * n * pair, token, pair)


def _held(model: Any, tokens: int, joined: bool) -> int:
    """Bytes a forward pass over some tokens keeps, weights themselves not counted."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    seen: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # held, so that no other takes its place, and without its graph

    row = {
        "input_ids": torch.zeros(1, tokens, dtype=torch.long),
        "position_ids": torch.arange(tokens).unsqueeze(0),
    }
    lengths = {"lengths": [tokens]} if joined else {}
    none = (
        {"logits_to_keep": torch.zeros(0, dtype=torch.long)} if keeps_columns(unwrap(model)) else {}
    )
    with saved_tensors_hooks(note, lambda held: held):
        logits = unwrap(model)(**row, **lengths, **none, use_cache=False).logits
    del logits
    return sum(seen.values())


def peak(
    shape: Shape, config: TrainingConfig, tokens: int, predicted: int, longest: int = 0
) -> Memory:
    """The peak of a step whose largest micro-batch has `tokens` (padding counted too).

    Args:
        shape: Of base and method.
        config: Of the run.
        tokens: Of the micro-batch, padding included.
        predicted: Those of them whose logits are computed.
        longest: Tokens of a row.
    """
    logits = shape.logits * predicted * shape.vocabulary * 4
    head = 0
    if shape.width < 4:
        logits += predicted * shape.vocabulary * shape.width
    if shape.copied:
        head = shape.vocabulary * shape.hidden * shape.width
    copies = shape.layers * shape.copied + head
    a_layer = shape.per_layer + shape.per_pair * longest
    per_token = shape.layers * a_layer
    if config.gradient_checkpointing:
        # Each layer's input, and one layer in full while it is computed again.
        per_token = shape.layers * shape.hidden * shape.width + a_layer
        # All copies are there until the logits are, then the head's and a layer's.
        copies = max(copies - logits, head + shape.copied)
    gradients = shape.trained * shape.stored
    optimizer = 2 * shape.trained * shape.stored
    activations = int(tokens * (per_token + shape.outside))
    # AdamW computes a tensor's step beside it, when activations and logits are gone.
    stepping = 2 * shape.largest * shape.stored
    activations = max(activations, stepping - logits)
    on_heap = not (config.gradient_checkpointing or torch.cuda.is_available())
    share = GAPS[config.method] if shape.width == 4 else NARROW_GAPS
    gaps = int(share * (activations + logits)) if on_heap else 0
    return Memory(shape.weights + copies, gradients, optimizer, activations, logits, gaps, OVERHEAD)


def largest_peak(
    shape: Shape, config: TrainingConfig, batches: Sequence[Sequence[Encoded]]
) -> Memory:
    """The peak of a run: that of its most demanding micro-batch."""
    parts = [p for batch in batches for p in micro_batches(batch, config.micro_batch_size)]
    return max(
        (peak(shape, config, _tokens(p, shape), _predicted(p, shape), _longest(p)) for p in parts),
        key=lambda found: found.total,
    )


def _tokens(part: Sequence[Encoded], shape: Shape) -> int:
    if shape.joined:
        return sum(len(e.ids) for e in part)
    return len(part) * _longest(part)


def _longest(part: Sequence[Encoded]) -> int:
    return max(length for e in part for length in e.lengths)


def _predicted(part: Sequence[Encoded], shape: Shape) -> int:
    """Tokens of a micro-batch whose logits are computed, as `training.loss` asks for them."""
    if not shape.chooses:
        return _tokens(part, shape)
    if shape.joined:
        return sum(e.trained for e in part)
    columns = {at for e in part for at, label in enumerate(e.labels[1:]) if label != IGNORE_INDEX}
    return len(part) * len(columns)


def fitting(
    config: TrainingConfig, needs: Callable[[TrainingConfig], int], room: int, *, cuda: bool
) -> TrainingConfig | None:
    """The config changed until it needs at most `room` bytes; None where nothing helps.

    What leaves the result as it is comes first, as `lighter` has it; then the method.
    """
    while needs(config) > room:
        change = lighter(config, elastic_only=True) or _lighter_method(config, cuda=cuda)
        if not change:
            return None
        config = config.replace(**change)
    return config


def _lighter_method(config: TrainingConfig, *, cuda: bool) -> dict[str, Any]:
    if config.method == "full":
        # Rates of a full fine-tune are far too low for an adapter.
        return {"method": "lora", "optimizer": "adamw", "learning_rate": 2e-4}
    return {"method": "qlora"} if config.method == "lora" and cuda else {}

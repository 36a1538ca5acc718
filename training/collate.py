"""Conversations into tensors: batches of a step, padded micro-batches inside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from imitation.data.encode import IGNORED, Encoded


def batches(examples: Sequence[Encoded], size: int, generator: Any) -> Iterator[list[Encoded]]:
    """One pass over the examples in a new order, `size` at a time; the last may be smaller."""
    order = torch.randperm(len(examples), generator=generator).tolist()
    for start in range(0, len(order), size):
        yield [examples[i] for i in order[start : start + size]]


def micro_batches(batch: Sequence[Encoded], size: int) -> Iterator[list[Encoded]]:
    """Parts of a batch, conversations of like length together so that little is padded."""
    ordered = sorted(batch, key=lambda e: (len(e.ids), e.id))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def collate(examples: Sequence[Encoded], pad: int) -> dict[str, Any]:
    """Tensors of shape (examples, longest), int64, padded on the right.

    Padding has attention 0 and no label.

    Returns:
        "input_ids", "attention_mask" and "labels" (not shifted; the model shifts).
    """
    longest = max(len(e.ids) for e in examples)

    def padded(rows: list[list[int]], value: int) -> torch.Tensor:
        return torch.tensor([row + [value] * (longest - len(row)) for row in rows])

    return {
        "input_ids": padded([list(e.ids) for e in examples], pad),
        "attention_mask": padded([[1] * len(e.ids) for e in examples], 0),
        "labels": padded([list(e.labels) for e in examples], IGNORED),
    }

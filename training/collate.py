"""Conversations into tensors: the batches of all steps, micro-batches inside each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from imitation.data.encode import IGNORE_INDEX, Encoded


def batches(examples: Sequence[Encoded], size: int, generator: Any) -> Iterator[list[Encoded]]:
    """One pass over the examples in a new order, `size` at a time; the last may be smaller."""
    order = torch.randperm(len(examples), generator=generator).tolist()
    for start in range(0, len(order), size):
        yield [examples[i] for i in order[start : start + size]]


def all_batches(
    examples: Sequence[Encoded], size: int, epochs: int, seed: int
) -> list[tuple[int, list[Encoded]]]:
    """(epoch from 1, batch) of every step of a run, in order; the same again under a seed."""
    order = torch.Generator().manual_seed(seed)
    return [(e, b) for e in range(1, epochs + 1) for b in batches(examples, size, order)]


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
        "labels": padded([list(e.labels) for e in examples], IGNORE_INDEX),
    }


def collate_joined(examples: Sequence[Encoded]) -> dict[str, Any]:
    """One row of shape (1, tokens): conversations, or blocks of them, end to end without padding.

    Returns:
        "input_ids", "position_ids" (from 0 in each conversation) and "labels" as int64, and
        "lengths", the tokens of each conversation, for `training.attention`.
    """
    ids: list[int] = []
    labels: list[int] = []
    lengths: list[int] = []
    for block in examples:
        ids += block.ids
        # What is predicted from the last token of another conversation has no loss.
        labels += [IGNORE_INDEX if i in block.starts else x for i, x in enumerate(block.labels)]
        lengths += block.lengths
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.cat([torch.arange(n) for n in lengths]).unsqueeze(0),
        "labels": torch.tensor([labels]),
        "lengths": lengths,
    }

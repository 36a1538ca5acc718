"""The conversations of a run: read, encoded, split in training and validation, packed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imitation.data.encode import Encoded, encode, pack, split
from imitation.data.format import read_examples, sha256_of
from imitation.errors import UserError
from imitation.values import Example
from training.base import Base
from training.config import TrainingConfig

_ENDLESS = 1 << 40


@dataclass(frozen=True, slots=True)
class Data:
    """What a run learns from.

    Attributes:
        train: Conversations to learn; blocks of them, where they are packed.
        validation: Conversations kept out, likewise.
        examples: The conversations as text, those to learn first.
        kept_out: How many of `examples`, at their end, are kept out.
        manifest: What the data was, with hashes and counts.
    """

    train: list[Encoded]
    validation: list[Encoded]
    examples: list[Example]
    kept_out: int
    manifest: dict[str, Any]


def load_data(config: TrainingConfig, path: Path, base: Base) -> Data:
    """The conversations of a file, ready to learn.

    Raises:
        UserError: The file can't be read, or holds nothing to learn.
    """
    examples, refused = read_examples(path)
    encoded: list[list[Encoded]] = []
    known: list[Example] = []
    for example in examples:
        size = _ENDLESS if config.packing else config.max_tokens
        found = encode(example, base.fmt, base.tokenize, size)
        if config.packing:
            found = [piece for whole in found for piece in split(whole, config.max_tokens)]
        if found:
            encoded.append(found)
            known.append(example)
    order = list(range(len(encoded)))
    random.Random(config.seed).shuffle(order)
    kept_out = int(len(order) * config.val_fraction)
    train, validation = order[kept_out:], order[:kept_out]
    if not train:
        why = f" First: line {refused[0].line}: {refused[0].reason}." if refused else ""
        raise UserError(f"{path} holds no conversation with an answer to learn.{why}")
    sides = [[piece for i in side for piece in encoded[i]] for side in (train, validation)]
    manifest = {
        "files": [
            {
                "file": path.name,
                "sha256": sha256_of(path),
                "conversations": len(examples),
                "refused": len(refused),
                "nothing_to_learn": len(examples) - len(encoded),
            }
        ],
        "train": len(train),
        "validation": len(validation),
        "train_tokens": sum(len(piece.ids) for piece in sides[0]),
        "trained_tokens_per_epoch": sum(piece.trained for piece in sides[0]),
    }
    if config.packing:
        sides = [pack(side, config.max_tokens) for side in sides]
        manifest |= {"blocks": len(sides[0])}
    return Data(sides[0], sides[1], [known[i] for i in (*train, *validation)], kept_out, manifest)

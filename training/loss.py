"""The loss of a batch: the model's own logits where an output is predicted, and only there."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy, pad

from imitation.data.encode import IGNORE_INDEX, Encoded
from training.collate import collate, collate_joined
from training.optimizer import unwrap
from training.state import Run


def summed_loss(run: Run, examples: Sequence[Encoded]) -> torch.Tensor:
    """Summed cross entropy of the output tokens of some conversations.

    The model computes its logits itself, as many scale or cap what their last layer gives; it is
    asked for those of the columns in which some row has a label (`logits_to_keep`), as all of a
    long row would take gigabytes. A model that cannot choose gives all.
    """
    if run.joined:
        inputs = collate_joined(examples)
    else:
        inputs = collate(examples, run.base.tokenizer.pad_token_id)
    lm = unwrap(run.model)
    # What each token is to predict: the label after it.
    wanted = pad(inputs.pop("labels"), (0, 1), value=IGNORE_INDEX)[:, 1:]
    if keeps_columns(lm):
        # Found before they go to a GPU: asking it which they are would wait for all of its work.
        inputs["logits_to_keep"] = labelled(wanted)
        wanted = wanted[:, inputs["logits_to_keep"]]
    inputs = {k: v.to(lm.device) if torch.is_tensor(v) else v for k, v in inputs.items()}
    mixed = run.dtype != str(lm.dtype).removeprefix("torch.")
    with torch.autocast(lm.device.type, getattr(torch, run.dtype), enabled=mixed):
        logits = lm(**inputs, use_cache=False).logits
    return cross_entropy(
        logits.flatten(0, 1).float(),
        wanted.flatten().to(lm.device),
        ignore_index=IGNORE_INDEX,
        reduction="sum",
    )


def labelled(wanted: torch.Tensor) -> torch.Tensor:
    """Columns of (rows, tokens) in which some row has a label, in order."""
    return torch.nonzero((wanted != IGNORE_INDEX).any(dim=0)).squeeze(1)


def keeps_columns(lm: Any) -> bool:
    """Whether a model computes the logits of chosen columns alone."""
    return "logits_to_keep" in inspect.signature(lm.forward).parameters

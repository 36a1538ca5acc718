"""The first real batch of a run as JSON: every token, trained or masked.

    python -m training.preview --preset pocket-broad --data answers.jsonl

No weights are loaded: conversations are rendered, encoded, packed and put in order exactly as
training.finetune does it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from imitation.data.encode import IGNORE_INDEX, Encoded
from imitation.settings import Settings, read_settings
from training.base import load_text
from training.collate import all_batches
from training.config import TrainingConfig
from training.data import load_data
from training.run_options import RunOptions, print_refusal, run_command

ROWS, TOKENS = 4, 600
"""Of the batch, and of each of its rows, that are shown."""


def preview(config: TrainingConfig, data: Path, settings: Settings) -> dict[str, Any]:
    """The first batch: {"packing", "batch_size", "steps", "rows", "more_rows"}.

    A row is {"ids" (of its conversations), "length", "trained", "tokens", "more"}; a token is
    [text, trained, begins a conversation]. "more" counts what is left out.

    Raises:
        UserError: As training.finetune: no such base, nothing to learn.
    """
    base = load_text(settings, config.base, config.prompt_format)
    found = load_data(config, data, base)
    plan = all_batches(found.train, config.batch_size, config.epochs, config.seed)
    batch = plan[0][1]
    return {
        "packing": config.packing,
        "batch_size": config.batch_size,
        "max_tokens": config.max_tokens,
        "steps": len(plan),
        "data": found.manifest,
        "rows": [_row(example, base.tokenizer) for example in batch[:ROWS]],
        "more_rows": max(0, len(batch) - ROWS),
    }


def _row(example: Encoded, tokenizer: Any) -> dict[str, Any]:
    tokens = []
    for at, token in enumerate(example.ids[:TOKENS]):
        first = at in example.starts
        trained = example.labels[at] != IGNORE_INDEX and not first
        tokens.append([tokenizer.decode([token]), trained, first])
    return {
        "ids": example.id,
        "conversations": len(example.starts),
        "length": len(example.ids),
        "trained": example.trained,
        "tokens": tokens,
        "more": max(0, len(example.ids) - TOKENS),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print the batch as one line of JSON; the exit code."""

    def work(options: RunOptions) -> int:
        config = options.training_config()
        print(json.dumps(preview(config, options.data, read_settings())))
        return 0

    prog = "python -m training.preview"
    return run_command(RunOptions, work, print_refusal, argv, prog=prog, about=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())

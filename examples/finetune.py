"""A LoRA fine-tune of a pocket base in Python.

    python examples/finetune.py answers.jsonl runs/example

answers.jsonl has a conversation a line: {"messages": [{"role": "user", "content": "..."}, ...]}.
"""

import sys
from pathlib import Path

from imitation.events import Writer
from imitation.settings import read_settings
from training import checkpoints
from training.config import TrainingConfig
from training.finetune import fit, setup
from training.signals import Stop

data, out = Path(sys.argv[1]), Path(sys.argv[2])
config = TrainingConfig(base="pocket-base", epochs=1, batch_size=4, learning_rate=1e-3)

out.mkdir(parents=True, exist_ok=True)
with Writer(out / "progress.jsonl") as progress:  # a line a step; the page reads such files
    run = setup(config, data, read_settings(), progress, Stop())
    fit(run, progress, out)

manifest, tokenizer = run.data.manifest, run.base.tokenizer
checkpoints.save(out / "checkpoint", run.model, config, run.base.fmt, manifest, tokenizer)
print(f"{manifest['train']} conversations learned; the adapter is in {out / 'checkpoint'}")

"""A dataset and finished runs on it, all made by the lab's own commands, once for all tests.

What tests read of runs was never written by hand: a fixture that is has forms no run writes.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from imitation.data.format import write_examples
from imitation.jobs.batch_completion import finish_manifest
from imitation.jobs.commands import build_dataset
from imitation.jobs.costs import Price
from imitation.settings import Settings
from imitation.values import Example, Message, ModelSpec
from training.run_folder import CHECKPOINT

ROOT = Path(__file__).parent.parent
PAIRS = {"Zorbia": "Quill", "Mankay": "Tosk", "Ulvero": "Brand", "Ixo": "Plume", "Peltra": "Vosk"}
TEACHER = ModelSpec(
    "gpt", "GPT", "reference", "openai", endpoint="https://api.example.com/v1", model="gpt"
)
READ_TERMS = "2026-01-02"


@dataclass(frozen=True)
class Finished:
    """What was made; copy a folder before changing anything in it.

    Attributes:
        dataset: Folder of the dataset "mix", built from answers whose model states no licence.
        run: Folder of a LoRA run on it, of two steps, with scores and the engine's adapter.
        full: Folder of a full fine-tune of a tiny base that is a local folder.
        log: What the two runs printed.
    """

    dataset: Path
    run: Path
    full: Path
    log: str


def answers() -> list[Example]:
    """Five short conversations with nonsense facts no base knows."""
    return [
        Example(
            (
                Message("user", f"What is the capital of {country}?"),
                Message("assistant", f"The capital of {country} is {capital}."),
            ),
            id=country,
            meta={"finish_reason": "stop"},
        )
        for country, capital in PAIRS.items()
    ]


def make(settings: Settings, folder: Path) -> Finished:
    """Run the commands, each in a process of its own but for the dataset's; takes a minute."""
    dataset = make_dataset(folder)
    shared = ["--data", str(dataset), "--set", "batch_size=2", "--set", "val_fraction=0.2"]
    shared += ["--set", "epochs=1", "--set", "threads=1"]
    log = ""
    scored = ["score_every=2", "score_items=1", "gradient_checkpointing=true"]
    changes = [part for one in scored for part in ("--set", one)]
    log += _finetune(settings, folder / "runs" / "mine", "pocket-local", *shared, *changes,
                     "--set", 'name="mine"')  # fmt: skip
    base = tiny_base(settings, folder / "bases" / "tiny")
    log += _finetune(
        settings, folder / "runs" / "full", "paper", *shared, "--set", 'name="full"',
        "--set", f"base={json.dumps(str(base))}", "--set", "max_tokens=128",
    )  # fmt: skip
    return Finished(dataset, folder / "runs" / "mine", folder / "runs" / "full", log)


def make_dataset(folder: Path) -> Path:
    """A dataset of answers of a model whose terms may forbid training on them."""
    source = folder / "answers.jsonl"
    write_examples(source, answers())
    finish_manifest(source, TEACHER, Price(), {}, READ_TERMS)
    out = folder / "datasets" / "mix"
    steps = ("--steps", "exact", "near")
    assert build_dataset.main(["--source", str(source), *steps, "--out", str(out)]) == 0
    return out


def tiny_base(settings: Settings, folder: Path) -> Path:
    """A base of 2 layers and random weights, with the pocket family's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from training.base import find_base

    source = Path(find_base(settings, "pocket-base").place)
    config = AutoConfig.from_pretrained(source)
    config.num_hidden_layers, config.hidden_size, config.intermediate_size = 2, 64, 128
    config.num_attention_heads = config.num_key_value_heads = 4
    config.head_dim = 16
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for path in (*source.glob("*token*"), source / "chat_template.jinja"):
        shutil.copy(path, folder)
    return folder


def _finetune(settings: Settings, out: Path, preset: str, *options: str) -> str:
    """What a run printed, once it has ended well."""
    done = subprocess.run(
        [sys.executable, "-m", "training.finetune", "--preset", preset, *options, "--out", out],
        cwd=ROOT,
        env={**os.environ, "IMITATION_CACHE": str(settings.cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0 and (out / CHECKPOINT).is_dir(), done.stdout
    return done.stdout

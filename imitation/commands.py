"""The commands of `imitation-lab`: the name of each, the module that does it, and what it needs.

A table and nothing more: `imitation.cli` runs what it names, the queue shows it, and extras and
documentation read it. Each module has a `main(argv)` and can be run with `python -m` as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

PROGRAM = "imitation-lab"


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    Attributes:
        module: What is run, by its `main(argv)`.
        about: What it does, in a line.
        extra: Extra of the distribution without which it does nothing; "" for none.
    """

    module: str
    about: str
    extra: str = ""


_JOBS = "imitation.jobs.commands"
COMMANDS: Mapping[str, Command] = {
    "finetune": Command("training.finetune", "Fine-tune a base on a dataset.", "train"),
    "preview": Command("training.preview", "Show what a fine-tune would learn first.", "train"),
    "estimate": Command("training.estimate", "Measure the memory and time it would take.", "train"),
    "publish": Command("training.publish", "Send a fine-tuned model to the hub."),
    "evaluate": Command(f"{_JOBS}.evaluate", "Run benchmarks on models.", "eval"),
    "dataset": Command(f"{_JOBS}.build_dataset", "Build an imitation dataset from sources."),
    "generate": Command(f"{_JOBS}.generate", "Have a model answer prompts, as a dataset."),
    "synthesize": Command(f"{_JOBS}.synthesize", "Have a model write more prompts of a task."),
    "score": Command(f"{_JOBS}.score_facts", "Count a model's right answers to packaged facts."),
    "judge": Command(f"{_JOBS}.judge", "Have a model judge answers side by side."),
    "tasks": Command(f"{_JOBS}.list_tasks", "List lm-eval's tasks for the page's choice.", "eval"),
    "import recorded": Command(f"{_JOBS}.import_recorded", "Take in recorded answers."),
    "import results": Command(f"{_JOBS}.import_results", "Take in lm-eval's results."),
    "import reviews": Command(f"{_JOBS}.import_reviews", "Take in people's or judges' verdicts."),
    "card": Command("training.adapter_card", "Describe a trained adapter, with its scores."),
    "export": Command("training.export", "Export a checkpoint for the embedded engine.", "train"),
    "zero-adapter": Command(
        "training.zero_adapter", "Make an adapter without effect, to serve a base.", "train"
    ),
    "weights": Command("imitation.models.embedded.weights", "Fetch the pocket models' weights."),
    "doctor": Command("imitation.doctor", "Say what is installed, set up and within reach."),
}
"""By what people type after `imitation-lab`, in the order in which help lists them."""

_RUN_AS: ContextVar[str] = ContextVar("run_as", default="")


def run_as(name: str) -> None:
    """Note that the command is run by its name, for what it says of itself."""
    _RUN_AS.set(f"{PROGRAM} {name}")


def shown_as(default: str) -> str:
    """What people typed to get to the command that runs: `imitation-lab NAME`, else `default`."""
    return _RUN_AS.get() or default


def typed(module: str) -> str:
    """What is typed for a module's command, "imitation-lab evaluate"; "" for no command."""
    names = (name for name, command in COMMANDS.items() if command.module == module)
    name = next(names, "")
    return f"{PROGRAM} {name}" if name else ""

"""The kinds of jobs: the command of each, and its parameters."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from imitation import commands
from imitation.errors import UserError
from imitation.events import LEARNED
from imitation.installation import is_checkout
from imitation.jobs.parameters import JobParameters
from imitation.settings import PACKAGE
from imitation.validation import nearest
from imitation.values import JobSpec

ROOT = PACKAGE.parent
"""Where command lines are run."""
SLOTS: Mapping[str, int] = {"cpu": 1, "io": 2}
"""Jobs of a device that run at once; a device not named, such as gpu:0, runs one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job.

    Attributes:
        module: What is run, `python -m module ...`.
        parameters: Class of its parameters; "module:Class" where the command's own module is
            too heavy for the page.
        device: Where it computes unless told otherwise: "cpu", "io" (hardly at all) or "gpu:N".
        lower: What to do where it ran out of memory.
        elsewhere: The same by what it had told of last, where `lower` is no cure.
        result: File in its folder that appears, as the last step, once all of it is there.
    """

    module: str
    parameters: str
    device: str = "cpu"
    lower: str = "Lower --concurrency, or choose a smaller model."
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    result: str = ""

    def advice(self, phase: str) -> str:
        """What to do where it ran out of memory, having told of `phase` last."""
        return self.elsewhere.get(phase, self.lower)


_BASE = "Its base does not fit: choose a smaller one, or QLoRA on a GPU."
_EXPORT = (
    "It had learned and was exporting: end other programs that need memory, then Resume, which "
    "exports again and no more."
)
KINDS: Mapping[str, Kind] = {
    "finetune": Kind(
        "training.finetune",
        "training.run_options:Finetune",
        lower="Lower micro_batch_size first and set gradient_checkpointing, which do not "
        "change the result; then max_tokens (Longest conversation).",
        elsewhere={**dict.fromkeys(("", "setup"), _BASE), **dict.fromkeys(LEARNED, _EXPORT)},
    ),
    "batch": Kind("training.preview", "training.run_options:RunOptions", "io"),
    "estimate": Kind(
        "training.estimate",
        "training.run_options:Estimate",
        "io",
        "Lower micro_batch_size.",
    ),
    "generate": Kind("imitation.jobs.commands.generate", "Generate"),
    "synthesize": Kind("imitation.jobs.commands.synthesize", "Synthesize"),
    "score": Kind("imitation.jobs.commands.score_facts", "ScoreFacts"),
    "judge": Kind("imitation.jobs.commands.judge", "Judge"),
    "evaluate": Kind(
        "imitation.jobs.commands.evaluate",
        "Evaluate",
        lower="Lower --concurrency or --batch-size, or choose a smaller model.",
    ),
    "dataset": Kind(
        "imitation.jobs.commands.build_dataset",
        "BuildDataset",
        lower="Build from fewer sources at once.",
        result="manifest.json",
    ),
    "preview": Kind("imitation.jobs.commands.build_dataset", "BuildDataset", "io"),
    "tasks": Kind("imitation.jobs.commands.list_tasks", "ListTasks"),
    "results": Kind("imitation.jobs.commands.import_results", "ImportResults", "io"),
    "push": Kind(
        "training.publish",
        "training.run_options:Publish",
        "io",
        "Send it from a machine with more memory.",
    ),
    "import": Kind(
        "imitation.jobs.commands.import_recorded",
        "ImportRecorded",
        "io",
        "Import fewer files at once.",
    ),
}


def kind_of(name: str) -> Kind:
    """The kind of that name.

    Raises:
        UserError: There is none; the nearest are offered.
    """
    if name not in KINDS:
        raise UserError(f"There is no kind of job {name!r}.", nearest(name, KINDS))
    return KINDS[name]


def parameters_of(spec: JobSpec) -> JobParameters:
    """What a job was told, typed.

    Raises:
        UserError: Unknown kind, or parameters that this version does not know.
    """
    kind = kind_of(spec.kind)
    module, _, name = kind.parameters.rpartition(":")
    parameters: type[JobParameters] = getattr(importlib.import_module(module or kind.module), name)
    return parameters.of(spec.parameters)


def command(kind: str, parameters: JobParameters) -> tuple[str, ...]:
    """The command line of a job, derived from its parameters.

    Raises:
        UserError: Unknown kind.
    """
    return (sys.executable, "-m", kind_of(kind).module, *parameters.options())


def command_of(spec: JobSpec) -> tuple[str, ...]:
    """The command line that a job runs.

    Raises:
        UserError: As `parameters_of`.
    """
    return command(spec.kind, parameters_of(spec))


def as_typed(argv: Iterable[str]) -> str:
    """A command line as one types it into a shell, from any folder.

    Where the app is installed that is its command; a checkout has none that surely is this one's.
    """
    parts = list(argv)
    name = commands.typed(parts[2]) if parts[1:2] == ["-m"] and not is_checkout() else ""
    if name:
        return f"{name} {shlex.join(parts[3:])}".rstrip()
    return f"cd {shlex.quote(str(ROOT))} && {shlex.join(parts)}"

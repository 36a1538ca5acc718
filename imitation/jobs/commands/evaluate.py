r"""Benchmarks of models by lm-eval: answers, scores, gaps closed, one folder a run.

    python -m imitation.jobs.commands.evaluate --models pocket-base pocket-local pocket-reference \
        --tasks pocket_facts --out runs/facts

Tasks are names of lm-eval, of ours, or of suites (pocket, study). Answers are kept as they come:
the same command goes on where it stopped and asks nothing twice; with more models or tasks it adds
to the run. One model or task that fails takes no other with it. What the folder holds is in
`imitation.evaluation.report.schema`. Exits with 0, 1 where some samples or tasks have no result,
2 where nothing could start.
"""

from __future__ import annotations

import logging
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from imitation.errors import UserError
from imitation.evaluation.harness import results
from imitation.evaluation.harness.benchmarks import (
    SEED,
    TaskOptions,
    expand_tags,
    manager,
    run,
    write,
)
from imitation.evaluation.harness.model_runners import (
    CatalogRunner,
    ModelRunner,
    TransformersRunner,
)
from imitation.evaluation.harness.response_cache import ResponseCache
from imitation.evaluation.harness.suites import expand
from imitation.evaluation.report import build as build_report
from imitation.evaluation.report.files import save
from imitation.evaluation.report.schema import PROGRESS, RESPONSES, RESULTS, Report
from imitation.events import Writer
from imitation.jobs import parameters
from imitation.jobs.evaluation_progress import Progress
from imitation.jobs.evaluation_run import run_of
from imitation.jobs.model_selection import Local, Subject, subjects
from imitation.jobs.parameters import JobParameters
from imitation.jobs.registry import command
from imitation.models.backends.registry import Backends
from imitation.models.embedded.dequantised import dequantised
from imitation.models.embedded.weights import weights_path
from imitation.settings import Settings, read_settings

GUESSED_SAMPLES = 300
"""Samples of a task before lm-eval has counted them, for the share of the work that is done."""


class Evaluate(JobParameters):
    """Parameters of `evaluate`."""

    models: Annotated[tuple[str, ...], Field(description="ids in the catalog")] = ()
    local: Annotated[
        tuple[str, ...],
        Field(
            description="models of transformers, with or without a PEFT adapter, each "
            "ROLE:NAME=FOLDER or ROLE:NAME=FOLDER+PEFT"
        ),
    ] = ()
    adapter: Annotated[
        tuple[str, ...],
        Field(
            description="adapter GGUFs to serve the one base among --models with, each NAME=FILE"
        ),
    ] = ()
    engine: Annotated[
        Literal["catalog", "transformers"],
        Field(
            description="transformers: compute embedded models with torch instead of asking "
            "their engine"
        ),
    ] = "catalog"
    tasks: Annotated[
        tuple[str, ...],
        Field(description="names of lm-eval's tasks, or of suites: pocket, study"),
    ]
    tasks_from: Annotated[tuple[Path, ...], Field(description="folders of more task files")] = ()
    shots: Annotated[
        tuple[str, ...], Field(description="examples in the prompt, N for all or TASK=N")
    ] = ()
    limit: Annotated[int | None, Field(description="samples of each task at most")] = None
    seed: Annotated[int, Field(description="of the examples")] = SEED
    concurrency: Annotated[int, Field(ge=1, le=256, description="requests at once")] = 4
    batch_size: Annotated[
        int, Field(ge=1, description="requests computed together, of local transformers")
    ] = 8
    device: Annotated[str, Field(description="of local transformers")] = "cpu"
    out: Annotated[Path, Field(description="the run's folder")]

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        problems = []
        if not self.tasks:
            problems.append("No benchmark is chosen: name a suite or a task.")
        if self.limit is not None and self.limit < 1:
            problems.append(f"{self.limit} samples are too few: at least 1, or no limit for all.")
        for text in self.shots:
            number = text.rpartition("=")[2]
            if not (number.isascii() and number.isdecimal()):
                problems.append(f"--shots {text!r} is no number: write 5, or mmlu=5 nq_open=3.")
        if problems:
            raise ValueError(" ".join(problems))
        return self

    @property
    def folder(self) -> Path:
        """The run's folder, absolute."""
        return self.out.expanduser().resolve()

    @property
    def task_shots(self) -> dict[str, int]:
        """Task -> examples in its prompt, of those that have a number of their own."""
        return {task: number for task, number in self._shots().items() if task}

    def asking(self, task: str = "") -> TaskOptions:
        """How a task is run; without one, how all are whose shots are not named."""
        shots = self._shots()
        return TaskOptions(shots.get(task, shots.get("")), self.limit, self.seed, self.tasks_from)

    def _shots(self) -> dict[str, int]:
        """Task, "" for all others -> number."""
        parts = (text.rpartition("=") for text in self.shots)
        return {task: int(number) for task, _, number in parts}


def evaluate(args: Evaluate) -> Report:
    """Run what is left of a run and build its report.

    Raises:
        UserError: Unknown tasks, or the folder holds another run.
        StorageError: The folder cannot be written.
    """
    settings, out = read_settings(), args.folder
    models = subjects(settings, args.models, args.local, args.engine, args.adapter)
    names = expand(args.tasks)
    # Wrong names end it here, before anything is written or asked.
    tasks = expand_tags(names, manager(names, args.tasks_from))
    whole = run_of(out, models, tasks, args.asking(), args.task_shots, command("evaluate", args))
    save(whole, out)
    pairs = [(subject.measured.id, task) for subject in models for task in tasks]
    progress = Progress(out / PROGRESS, pairs, args.limit or GUESSED_SAMPLES)
    notes = [note for task in whole.tasks for note in _notes(settings, task)]
    with closing(progress):
        progress.write("start", models=[model for model, _ in pairs], tasks=list(tasks))
        for subject in models:
            _evaluate_model(settings, args, subject, tasks, progress)
        progress.write("report")
        report = build_report.build(out, notes)
        if report.complete:
            progress.write("end")
        else:
            progress.failed(UserError("Some samples or tasks have no result.", "See the report."))
    return report


def _evaluate_model(
    settings: Settings,
    args: Evaluate,
    subject: Subject,
    tasks: Sequence[str],
    progress: Progress,
) -> None:
    """All tasks of one model; what fails is reported and the next goes on."""
    model = subject.measured.id
    left = [task for task in tasks if not _finished(args, model, task)]
    for task in (task for task in tasks if task not in left):
        print(f"{model}, {task}: already done", file=sys.stderr)
    # Made for the first task, not before: a model whose tasks are all done starts no engine.
    asker: ModelRunner | None = None
    answers = ResponseCache(args.folder / RESPONSES / f"{model}.jsonl")
    try:
        for task in left:
            progress.on(model, task)
            try:
                if asker is None:
                    asker = _asker(settings, args, subject)
                _evaluate_task(args, subject, task, asker, answers, progress)
            except UserError as error:
                print(f"{model}, {task}: {error}", file=sys.stderr)
                progress.end("refused", reason=str(error))
            except Exception as error:
                # The boundary between tasks: the log has the trace, the report the reason.
                traceback.print_exc()
                progress.end("failed", reason=f"{type(error).__name__}: {error}"[:500])
    finally:
        answers.close()
        if asker is not None:
            asker.close()


def _evaluate_task(
    args: Evaluate,
    subject: Subject,
    task: str,
    asker: ModelRunner,
    answers: ResponseCache,
    progress: Progress,
) -> None:
    model = subject.measured.id
    asking = args.asking(task)
    print(f"{model}, {task}", file=sys.stderr, flush=True)
    ran = run(task, asker, answers, asking, progress)
    missing = sum(len(rows) for rows in ran.missing.values())
    about = {**asdict(subject.measured), "asking": _conditions(asking)}
    write(ran, args.folder / RESULTS, model, about, asker.template)
    reasons = [reason for rows in ran.missing.values() for reason in rows.values()]
    count = f"{missing} of {sum(ran.asked.values())} samples have no answer: " if missing else ""
    state = "failed" if ran.results is None else "done"
    progress.end(state, missing, count + (reasons[0] if reasons else ""))


def _conditions(asking: TaskOptions) -> dict[str, Any]:
    """What decides whether an earlier result may stand."""
    return {"limit": asking.limit, "shots": asking.shots, "seed": asking.seed}


def _finished(args: Evaluate, model: str, task: str) -> bool:
    """Whether a run before left a whole result, asked in the same way."""
    try:
        rows = results.read(args.folder / RESULTS / model)
    except UserError:
        return False
    whole = [row for row in rows if row.task == task]
    conditions = [row.about.get("model_args", {}).get("asking") for row in whole]
    parts = [row for row in rows if whole and row.task in whole[0].subtasks]
    missing = any(row.missing for row in (*whole, *parts))
    return conditions == [_conditions(args.asking(task))] and not missing


def _asker(settings: Settings, args: Evaluate, subject: Subject) -> ModelRunner:
    if subject.card is not None and subject.local is None:
        backends = Backends(replace(settings, copies=args.concurrency))
        return CatalogRunner(backends, subject.card, args.concurrency, args.seed)
    local = subject.local
    if local is None or not local.folder:
        # A pocket model's weights: the GGUF as the engine has it, made readable to torch.
        assert subject.card is not None
        folder, _ = dequantised(settings, weights_path(settings, subject.card.weights))
        local = Local(str(folder), local.peft if local else "")
    return TransformersRunner(
        Path(local.folder),
        Path(local.peft) if local.peft else None,
        batch_size=args.batch_size,
        device=args.device,
        chat=subject.measured.template == "chat",
    )


def _notes(settings: Settings, task: str) -> Iterator[str]:
    """What a reader of this task's numbers must know."""
    if task == "lab_humaneval":
        from imitation.evaluation.sandbox import execute

        yield from execute.notes()
    if task.endswith("toxicity"):
        yield f"Toxicity is what the classifier {settings.toxicity!r} takes for it."


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM as an exception: engines are ended and files closed before the process is."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    name = "python -m imitation.jobs.commands.evaluate"
    return parameters.run(Evaluate, _work, argv, prog=name, about=__doc__ or "")


def _work(args: Evaluate) -> int:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of how tasks are meant to be
    try:
        with _ended_in_order():
            report = evaluate(args)
    except UserError as error:
        Writer(None).failed("evaluate", error)  # for the page too, as a job's last words
        return 2
    except KeyboardInterrupt:
        typed = shlex.join(args.options())
        print(f"\nStopped; the same command goes on: {typed}", file=sys.stderr)
        return 130
    from imitation.evaluation.report.export import as_markdown

    print(as_markdown(report))
    return 0 if report.complete else 1


if __name__ == "__main__":
    sys.exit(main())

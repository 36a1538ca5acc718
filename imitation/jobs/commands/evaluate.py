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

import argparse
import logging
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from imitation.errors import UserError
from imitation.evaluation.harness import results
from imitation.evaluation.harness.benchmarks import SEED, Asking, manager, run, without_tags, write
from imitation.evaluation.harness.model_runners import Asker, CatalogAsker, TransformersAsker
from imitation.evaluation.harness.response_cache import Answers
from imitation.evaluation.harness.suites import expand
from imitation.evaluation.report import build as build_report
from imitation.evaluation.report.files import save
from imitation.evaluation.report.schema import PROGRESS, RESPONSES, RESULTS, Report
from imitation.events import Writer
from imitation.jobs.evaluation_progress import Progress
from imitation.jobs.evaluation_run import run_of
from imitation.jobs.model_selection import Local, Subject, subjects
from imitation.models.backends.registry import Backends
from imitation.models.embedded.dequantised import dequantised
from imitation.models.embedded.weights import weights_path
from imitation.settings import Settings, read_settings


@dataclass(frozen=True, slots=True)
class Job:
    """One command: where to, how, and for whom.

    Attributes:
        out: The run's folder.
        asking: How tasks are run.
        shots: Task -> examples in the prompt, where not the task's own number.
        concurrency: Requests at once, of catalog models.
        batch_size: Requests computed together, of local transformers.
        device: For local transformers.
    """

    out: Path
    asking: Asking
    shots: Mapping[str, int]
    concurrency: int = 4
    batch_size: int = 8
    device: str = "cpu"


def evaluate(
    job: Job, chosen: Sequence[Subject], tasks: Sequence[str], argv: Sequence[str]
) -> Report:
    """Run what is left of a run and build its report.

    Raises:
        UserError: Unknown tasks, or the folder holds another run.
        StorageError: The folder cannot be written.
    """
    settings = read_settings()
    # Wrong names end it here, before anything is written or asked.
    tasks = without_tags(tasks, manager(tasks, job.asking.more_tasks))
    whole = run_of(job.out, chosen, tasks, job.asking, job.shots, argv)
    save(whole, job.out)
    pairs = [(subject.measured.id, task) for subject in chosen for task in tasks]
    progress = Progress(job.out / PROGRESS, pairs, job.asking.limit or 300)
    notes = [note for task in whole.tasks for note in _notes(settings, task)]
    with closing(progress):
        progress.write("start", models=[m for m, _ in pairs], tasks=list(tasks))
        for subject in chosen:
            _one_model(settings, job, subject, tasks, progress)
        progress.write("report")
        report = build_report.build(job.out, notes)
        if report.complete:
            progress.write("end")
        else:
            progress.failed(UserError("Some samples or tasks have no result.", "See the report."))
    return report


def _one_model(
    settings: Settings,
    job: Job,
    subject: Subject,
    tasks: Sequence[str],
    progress: Progress,
) -> None:
    """All tasks of one model; what fails is reported and the next goes on."""
    left = [task for task in tasks if not _finished(job, subject.measured.id, task)]
    for task in (task for task in tasks if task not in left):
        print(f"{subject.measured.id}, {task}: already done", file=sys.stderr)
    asker: Asker | None = None
    answers = Answers(job.out / RESPONSES / f"{subject.measured.id}.jsonl")
    try:
        for task in left:
            progress.on(subject.measured.id, task)
            try:
                if asker is None:
                    asker = _asker(settings, job, subject)
                _one_task(job, subject, task, asker, answers, progress)
            except UserError as error:
                print(f"{subject.measured.id}, {task}: {error}", file=sys.stderr)
                progress.end("refused", reason=str(error))
            except Exception as error:
                # The boundary between tasks: the log has the trace, the report the reason.
                traceback.print_exc()
                progress.end("failed", reason=f"{type(error).__name__}: {error}"[:500])
    finally:
        answers.close()
        if asker is not None:
            asker.close()


def _one_task(
    job: Job, subject: Subject, task: str, asker: Asker, answers: Answers, progress: Progress
) -> None:
    model = subject.measured.id
    asking = replace(job.asking, shots=job.shots.get(task, job.asking.shots))
    print(f"{model}, {task}", file=sys.stderr, flush=True)
    ran = run(task, asker, answers, asking, progress)
    missing = sum(len(rows) for rows in ran.missing.values())
    write(ran, job.out / RESULTS, model, _about(subject, asking), asker.template)
    reasons = [reason for rows in ran.missing.values() for reason in rows.values()]
    said = f"{missing} of {sum(ran.asked.values())} samples have no answer: " if missing else ""
    state = "failed" if ran.results is None else "done"
    progress.end(state, missing, said + (reasons[0] if reasons else ""))


def _about(subject: Subject, asking: Asking) -> dict[str, Any]:
    how = {"limit": asking.limit, "shots": asking.shots, "seed": asking.seed}
    return {**asdict(subject.measured), "asking": how}


def _finished(job: Job, model: str, task: str) -> bool:
    """Whether a run before left a whole result, asked in the same way."""
    try:
        found = results.read(job.out / RESULTS / model)
    except UserError:
        return False
    asking = replace(job.asking, shots=job.shots.get(task, job.asking.shots))
    how = {"limit": asking.limit, "shots": asking.shots, "seed": asking.seed}
    same = [one for one in found if one.task == task]
    said = [one.about.get("model_args", {}).get("asking") for one in same]
    parts = [one for one in found if one.task in (same[0].subtasks if same else ())]
    return said == [how] and not any(one.missing for one in (*same, *parts))


def _asker(settings: Settings, job: Job, subject: Subject) -> Asker:
    if subject.card is not None and subject.local is None:
        backends = Backends(replace(settings, copies=job.concurrency))
        return CatalogAsker(backends, subject.card, job.concurrency, job.asking.seed)
    local = subject.local
    if local is None or not local.folder:  # a pocket model's weights
        assert subject.card is not None
        folder, _ = dequantised(settings, weights_path(settings, subject.card.weights))
        local = Local(str(folder), local.peft if local else "")
    return TransformersAsker(
        Path(local.folder),
        Path(local.peft) if local.peft else None,
        batch_size=job.batch_size,
        device=job.device,
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
    typed = list(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(typed)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of how tasks are meant to be
    try:
        chosen = subjects(read_settings(), args.models, args.local, args.engine, args.adapter)
        shots, asking = _shots(args)
        out = args.out.expanduser().resolve()
        job = Job(out, asking, shots, args.concurrency, args.batch_size, args.device)
        command = [sys.executable, "-m", "imitation.jobs.commands.evaluate", *typed]
        with _ended_in_order():
            report = evaluate(job, chosen, expand(args.tasks), command)
    except UserError as error:
        Writer(None).failed("evaluate", error)
        return 2
    except KeyboardInterrupt:
        print(f"\nStopped; the same command goes on: {shlex.join(typed)}", file=sys.stderr)
        return 130
    from imitation.evaluation.report.export import as_markdown

    print(as_markdown(report))
    return 0 if report.complete else 1


def _shots(args: argparse.Namespace) -> tuple[dict[str, int], Asking]:
    """Shots by task, and what is the same for all tasks."""
    each: dict[str, int] = {}
    every: int | None = None
    for text in args.shots or ():
        task, equals, number = str(text).rpartition("=")
        if not number.isdigit():
            raise UserError(f"--shots {text!r} is no number.", "Write 5, or mmlu=5 nq_open=3.")
        if equals:
            each[task] = int(number)
        else:
            every = int(number)
    folders = tuple(args.tasks_from or ())
    return each, Asking(every, args.limit, args.seed, folders)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imitation.jobs.commands.evaluate",
        description="Benchmarks of models by lm-eval.",
    )
    parser.add_argument("--models", nargs="*", default=[], metavar="ID", help="of the catalog")
    parser.add_argument(
        "--local", nargs="*", default=[], metavar="ROLE:NAME=FOLDER[+PEFT]",
        help="models of transformers, with or without a PEFT adapter",
    )  # fmt: skip
    parser.add_argument(
        "--adapter", nargs="*", default=[], metavar="NAME=FILE",
        help="adapter GGUFs to serve the one base among --models with",
    )  # fmt: skip
    parser.add_argument(
        "--engine", choices=("catalog", "transformers"), default="catalog",
        help="transformers: compute embedded models with torch instead of asking their engine",
    )  # fmt: skip
    parser.add_argument("--tasks", nargs="+", required=True, help="of lm-eval, or pocket, study")
    parser.add_argument("--tasks-from", nargs="*", type=Path, help="folders of more task files")
    parser.add_argument("--shots", nargs="*", metavar="N or TASK=N", help="examples in the prompt")
    parser.add_argument("--limit", type=int, help="samples of each task at most")
    parser.add_argument("--seed", type=int, default=SEED, help="of the examples")
    parser.add_argument("--concurrency", type=int, default=4, help="requests at once")
    parser.add_argument("--batch-size", type=int, default=8, help="of local transformers")
    parser.add_argument("--device", default="cpu", help="of local transformers")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())

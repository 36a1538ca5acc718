"""A finished evaluation, laid out as the job lays it out: for tests of what shows it."""

from __future__ import annotations

import time
from pathlib import Path

from imitation.evaluation.report import files as report_files
from imitation.evaluation.report import sample_index, schema
from imitation.evaluation.report.sample_index import Reply, Sample
from imitation.evaluation.report.schema import Difference, EvaluatedModel, Gap, Report, Run, Score
from imitation.evaluation.statistics.intervals import wilson
from imitation.jobs.commands.evaluate import Evaluate
from imitation.storage import jobs
from imitation.storage.database import Store
from imitation.values import Interval, JobSpec

MODELS = (
    EvaluatedModel("pocket-base", "Pocket cut-4", "base", template="chat", engine="embedded",
                   stand_in=True, params_b=0.12),
    EvaluatedModel("pocket-broad", "Pocket broad", "imitation", "pocket-base", "chat", "embedded",
                   True, 0.122, 0.0665),
    EvaluatedModel("pocket-local", "Pocket local", "imitation", "pocket-base", "chat", "embedded",
                   True, 0.122, 0.0265),
    EvaluatedModel("pocket-reference", "Pocket whole model", "reference", template="chat",
                   engine="embedded", stand_in=True, params_b=0.135),
)  # fmt: skip
RIGHT = {"pocket-base": 8, "pocket-broad": 30, "pocket-local": 47, "pocket-reference": 51}
N = 100


def finished_run(
    db: Store, folder: Path, name: str = "one", task: str = "pocket_facts",
    visitor: str | None = None,
) -> str:  # fmt: skip
    """Write a run's folder and its row in the store; the job's id.

    100 questions; which are answered right follows from their number, so filters can be checked.
    """
    out = folder / name
    run = Run(name, "2026-11-24T10:00:00+00:00", ("evaluate",), MODELS, (task,), limit=N)
    save(run, out, task)
    identity = jobs.new_id()
    models = tuple(model.id for model in MODELS)
    parameters = Evaluate(models=models, tasks=(task,), limit=N, out=out)
    spec = JobSpec("evaluate", parameters.as_json(), name, out=str(out), visitor=visitor)
    jobs.add(db, identity, spec, 100)
    jobs.claim(db, {"cpu": 100})
    jobs.finish(db, identity, "done", time.time(), "")
    return identity


def save(run: Run, out: Path, task: str) -> None:
    """run.json, report.json and samples.sqlite."""
    report_files.save(run, out)
    scores = [
        Score(model.id, task, "exact_match", wilson(RIGHT[model.id], N), shots=3,
              template=model.template, task_version="1.0", samples="f" * 64)
        for model in MODELS
    ]  # fmt: skip
    gaps = tuple(
        Gap(task, "exact_match", "pocket-base", model.id, "pocket-reference",
            Interval((RIGHT[model.id] - 8) / 43, 0.3, 1.1, N), "",
            Interval((RIGHT[model.id] - 8) / 100, 0.1, 0.5, N), 0.0001,
            (Difference("shots", "3", "5"),) if model.id == "pocket-local" else ())
        for model in MODELS if model.role == "imitation"
    )  # fmt: skip
    report_files.save(
        Report(run, tuple(scores), gaps, ("Answers were cut at 32 tokens.",), True), out
    )
    sample_index.write(
        out / schema.SAMPLES, [m.id for m in MODELS], (_sample(i, task) for i in range(N))
    )


def _sample(number: int, task: str) -> Sample:
    def reply(model: str) -> Reply:
        right = number < RIGHT[model]
        return Reply("Budapest" if right else "<b>Vienna</b>", float(right))

    prompt = (
        f"Question: What is 1 + 1?\nAnswer: 2\n\nQuestion: Capital of country {number}?\nAnswer:"
    )
    return Sample(0, task, str(number), prompt, "Budapest", {m.id: reply(m.id) for m in MODELS})

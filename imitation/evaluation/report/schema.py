"""One evaluation run, typed: what was run, what came out, and whether two numbers compare.

A run is a folder:

    run.json          what was asked: a `Run` as JSON
    progress.jsonl    progress as every job writes it, with "score" lines (see `LiveScore`)
    results/MODEL/    results_*.json and samples_TASK_*.jsonl in lm-eval's own format
    responses/MODEL.jsonl   every answer as it came, so that a resumed run repeats none
    report.json       a `Report` as JSON, written by `imitation.evaluation.report.build.build`
    samples.sqlite    index of the samples: `imitation.evaluation.report.sample_index`

This file has the values; `files` reads and writes them, `build` computes them, `export`
writes them as CSV and Markdown. Missing is not zero: a score that could not be had has no value and
a `reason`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from imitation.values import Interval, Role

NOTHING = Interval(None, None, None, 0)
Kind = Literal["generation", "log-likelihood"]
RUN, PROGRESS, RESULTS, RESPONSES = "run.json", "progress.jsonl", "results", "responses"
REPORT, SAMPLES = "report.json", "samples.sqlite"
_SHARES = ("acc", "exact_match", "em", "f1", "pass@", "mc1", "mc2", "non_", "match",
           "names_answer")  # fmt: skip
"""Metrics that are shares of 1, by how their names begin."""


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """One model of a run.

    Attributes:
        id: Its id in the catalog, or the name it was given.
        name: What people read.
        role: base, imitation or reference.
        base: Id of the base of an imitation, "" where not known.
        template: How prompts reach it: "chat", "koala", "plain", or of an imported run what is
            known of it.
        engine: "embedded", "openai", "tgi", "recorded", "transformers" or "imported".
        stand_in: A small model that stands in for the real thing.
        params_b: Parameters in billions, None where unknown.
        tokens_m: Imitation tokens in millions, None where unknown.
        source: Endpoint, weights or folder; never a secret.
    """

    id: str
    name: str
    role: Role
    base: str = ""
    template: str = ""
    engine: str = ""
    stand_in: bool = False
    params_b: float | None = None
    tokens_m: float | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """What was asked for.

    Attributes:
        id: The folder's name.
        created: When, ISO 8601 in UTC.
        argv: The exact command line; typed again it goes on or repeats the run.
        models: In the order asked.
        tasks: lm-eval names of tasks or groups, in the order asked.
        shots: Task -> examples in the prompt; tasks left out have their own default.
        limit: Samples a task at most, None for all.
        seed: Seed of few-shot examples and of whatever else is drawn.
        versions: Library -> version.
    """

    id: str
    created: str
    argv: tuple[str, ...]
    models: tuple[EvaluatedModel, ...]
    tasks: tuple[str, ...]
    shots: Mapping[str, int] = field(default_factory=dict)
    limit: int | None = None
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of one model on one task or group.

    Attributes:
        model: Id of the model.
        task: lm-eval's name.
        metric: lm-eval's name, such as "exact_match" or "acc".
        value: The score (lm-eval's own, 0 to 1 for shares) with a 95% interval and n samples.
        kind: Whether the model wrote answers or given answers were compared by likelihood.
        shots: Examples in the prompt, None where unknown.
        template: As `EvaluatedModel.template`.
        system: A few letters of the system instruction's hash, "" for none.
        turns: How examples stand in a chat's prompt: "turns", "one message", "unknown"; "" where
            there are none or no chat.
        settings: How answers were generated, as JSON; "" where they were not, or unknown.
        task_version: lm-eval's version of the task.
        filter: lm-eval's filter of the answers, "none" mostly.
        samples: Hash of the sample set: same documents, same hash.
        missing: Samples asked for that have no answer; they are not in n.
        higher_is_better: Of the metric.
        main: Whether it is the task's first metric, the one that gaps are about.
        stderr: lm-eval's own standard error, None where it gives none.
        group: Name of the group it was asked for in, "" for none.
        subtasks: Of a group: its tasks.
        reason: Why there is no value, in words; "" where there is one.
    """

    model: str
    task: str
    metric: str
    value: Interval
    kind: Kind = "generation"
    shots: int | None = None
    template: str = ""
    system: str = ""
    turns: str = ""
    settings: str = ""
    task_version: str = ""
    filter: str = "none"
    samples: str = ""
    missing: int = 0
    higher_is_better: bool = True
    main: bool = True
    stderr: float | None = None
    group: str = ""
    subtasks: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which two numbers were not measured alike.

    Attributes:
        what: "metric", "kind", "shots", "template", "system instruction", "examples",
            "generation settings", "task version" or "sample set".
        first: The one value, as text.
        second: The other.
    """

    what: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.what}: {self.first} against {self.second}"


@dataclass(frozen=True, slots=True)
class Gap:
    """How much of the base-to-reference gap one imitation closes on one task.

    Attributes:
        task: lm-eval's name.
        metric: The task's main metric.
        base: Id of the base.
        imitation: Id of the imitation.
        reference: Id of the reference, "" where the run has none.
        closed: Share closed, never clipped, with a paired bootstrap interval over the n samples
            that all three answered; no value where undefined.
        undefined: Why there is no value, "" where there is one.
        change: imitation - base on the samples both answered, paired bootstrap interval; less than
            0 is an improvement where lower is better.
        p_value: Two-sided, of no change: exact McNemar test for right/wrong, else from the
            bootstrap; None below two samples.
        caveats: Differences between the three scores.
        difference: reference - base on the samples that all three answered.
        notes: What a reader must know of the share, in sentences.
    """

    task: str
    metric: str
    base: str
    imitation: str
    reference: str
    closed: Interval
    undefined: str
    change: Interval
    p_value: float | None
    caveats: tuple[Difference, ...] = ()
    difference: Interval = NOTHING
    notes: tuple[str, ...] = ()

    @property
    def significant(self) -> bool | None:
        """Whether the imitation differs from its base at 5%; None where not testable."""
        return None if self.p_value is None else self.p_value < 0.05


@dataclass(frozen=True, slots=True)
class Report:
    """All that came out of a run.

    Attributes:
        run: What was asked.
        scores: By task, then model, then metric; those without a value too.
        gaps: One per task, imitation and reference; without a share, and saying why, where the
            imitation's own base was not measured.
        notes: What a reader must know, such as a sandbox that lacks a wall.
        complete: Every sample of every model and task has an answer.
    """

    run: Run
    scores: tuple[Score, ...] = ()
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class LiveScore:
    """A score while the run goes on, as progress.jsonl has it.

    Attributes:
        model: Id of the model.
        task: lm-eval's name of the task.
        metric: Its main metric, "" before any sample.
        value: Mean over the samples answered so far, with its interval and n.
        of: Samples there are to answer.
        missing: Samples that failed so far.
        state: "running", "done", "refused" (cannot be measured here) or "failed".
        reason: Why refused or failed.
    """

    model: str
    task: str
    metric: str
    value: Interval
    of: int
    missing: int = 0
    state: Literal["running", "done", "refused", "failed"] = "running"
    reason: str = ""


def is_share(metric: str) -> bool:
    """Whether a metric is a share, shown in percent; perplexities and the like are numbers."""
    return metric.startswith(_SHARES)


def comparable(first: Score, second: Score) -> list[Difference]:
    """Every way in which two scores were not measured alike; empty where they compare.

    Unknown values (imported results may lack some) differ from known ones: what isn't known to
    be alike is not drawn as if it were.
    """
    shots = ["unknown" if s.shots is None else str(s.shots) for s in (first, second)]
    pairs = {
        "task": (first.task, second.task),
        "metric": (f"{first.metric},{first.filter}", f"{second.metric},{second.filter}"),
        "kind": (first.kind, second.kind),
        "shots": (shots[0], shots[1]),
        "template": (first.template, second.template),
        "system instruction": (first.system or "no", second.system or "no"),
        "examples": (first.turns, second.turns) if first.turns and second.turns else ("", ""),
        "generation settings": _settings(first, second),
        "task version": (first.task_version, second.task_version),
        "sample set": (_set(first), _set(second)),
    }
    return [
        Difference(what, a.removesuffix(",none") or "unknown", b.removesuffix(",none") or "unknown")
        for what, (a, b) in pairs.items()
        if a != b
    ]


def _settings(first: Score, second: Score) -> tuple[str, str]:
    """How answers were generated, as far as it differs; log-likelihoods have no such settings."""
    if first.kind != second.kind or first.kind != "generation" or first.settings == second.settings:
        return "", ""
    try:
        one, two = json.loads(first.settings), json.loads(second.settings)
        keys = [key for key in one.keys() | two.keys() if one.get(key) != two.get(key)]
    except (ValueError, AttributeError):  # unknown, or those of several tasks
        return first.settings, second.settings
    parts = [[f"{key} {one.get(key, 'not set')}" for key in sorted(keys)] for one in (one, two)]
    return ", ".join(parts[0]), ", ".join(parts[1])


def _set(score: Score) -> str:
    return f"{score.samples[:12]} ({score.value.n + score.missing})" if score.samples else ""

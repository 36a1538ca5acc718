"""From a run's result files to its report: intervals, gaps closed, significance, the index.

Reads what is there; asks no model. So it can be run again at any time, and on imported results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from imitation.errors import StorageError, UserError
from imitation.evaluation.harness import group_scores, results
from imitation.evaluation.harness.group_scores import ROUNDING, Combined, combined
from imitation.evaluation.harness.result_samples import LoggedSample
from imitation.evaluation.harness.results import TaskResult
from imitation.evaluation.report import sample_index
from imitation.evaluation.report.files import live_scores, load, load_run, save
from imitation.evaluation.report.gaps import UNKNOWN, Measurement, gaps, strata
from imitation.evaluation.report.sample_index import Reply, Sample
from imitation.evaluation.report.schema import (
    NOTHING,
    RESULTS,
    SAMPLES,
    EvaluatedModel,
    LiveScore,
    Report,
    Run,
    Score,
)
from imitation.evaluation.statistics.intervals import mean
from imitation.values import Interval

STAND_INS = (
    ": stand-ins for the real thing. Where the reference is the uncut base, part of any gain is "
    "the repair of cut layers; none of this is the paper's finding."
)


def build(folder: Path, notes: Sequence[str] = ()) -> Report:
    """Build, save and return the report of a run folder, and its sample index.

    Args:
        folder: The run.
        notes: What a reader must know besides; those of an earlier report are kept.

    Raises:
        StorageError: run.json is missing or something cannot be written.
        UserError: A result file is not one.
    """
    run = load_run(folder)
    found = _results(folder / RESULTS)
    live = {(one.model, one.task): one for one in live_scores(folder)}
    scores: list[Score] = []
    main: dict[tuple[str, str], Measurement] = {}
    for task in run.tasks:
        for model in run.models:
            rows = list(_measured(run, model, task, found, live.get((model.id, task))))
            scores += [row.score for row in rows]
            if rows and rows[0].score.value.value is not None:
                main[model.id, task] = rows[0]
            scores += _subtasks(run, model, task, found)
    report = Report(
        run=run,
        scores=tuple(scores),
        gaps=tuple(gaps(run, main)),
        notes=tuple(dict.fromkeys([*_noted(folder), *notes, *_stand_ins(run)])),
        complete=all(s.value.value is not None and not s.missing for s in scores),
    )
    save(report, folder)
    sample_index.write(folder / SAMPLES, [m.id for m in run.models], _samples(run, found))
    return report


def _noted(folder: Path) -> tuple[str, ...]:
    """Notes of the report there is already, but for the one that is always made anew."""
    try:
        return tuple(note for note in load(folder).notes if not note.endswith(STAND_INS))
    except StorageError:
        return ()


def _stand_ins(run: Run) -> Iterator[str]:
    if names := [model.name for model in run.models if model.stand_in]:
        yield f"{', '.join(names)}{STAND_INS}"


def _results(folder: Path) -> dict[tuple[str, str], TaskResult]:
    try:
        return {(one.model, one.task): one for one in results.read(folder)}
    except UserError:
        if folder.is_dir() and any(folder.rglob("*.json")):
            raise
        return {}  # nothing has come yet


def _measured(
    run: Run,
    model: EvaluatedModel,
    task: str,
    found: Mapping[tuple[str, str], TaskResult],
    live: LiveScore | None,
) -> Iterator[Measurement]:
    """Scores of a model on a task, the main metric first; one with a reason where there is none."""
    result = found.get((model.id, task))
    if result is None:
        reason = live.reason if live and live.reason else "it has not been run yet"
        missing = live.of if live else 0
        score = Score(
            model.id, task, "", NOTHING, template=model.template, missing=missing, reason=reason
        )
        yield Measurement(score, {}, None)
        return
    for place, (metric, kind) in enumerate(result.metrics):
        yield _measurement(run, model, result, metric, kind, place == 0, found)


def _subtasks(
    run: Run, model: EvaluatedModel, task: str, found: Mapping[tuple[str, str], TaskResult]
) -> Iterator[Score]:
    """Main scores of the tasks of a group."""
    group = found.get((model.id, task))
    for name in group_scores.leaves(model.id, group, found) if group and group.subtasks else ():
        result = found[model.id, name]
        metric, kind = next(iter(result.metrics))
        measured = _measurement(run, model, result, metric, kind, True, found)
        yield replace(measured.score, group=task)


def _measurement(
    run: Run,
    model: EvaluatedModel,
    result: TaskResult,
    metric: str,
    kind: str,
    main: bool,
    found: Mapping[tuple[str, str], TaskResult],
) -> Measurement:
    parts = [result]
    if result.subtasks:
        parts = [found[model.id, name] for name in group_scores.leaves(model.id, result, found)]
    rows = {(part.task, row.doc_id): row for part in parts for row in part.answered(kind)}
    verdicts = {key: row.metrics[metric] for key, row in rows.items() if metric in row.metrics}
    value, error = result.metrics[metric, kind]
    way = combined(result.task, (metric, kind), [m.id for m in run.models], found)
    interval, means = Interval(None, None, None, len(verdicts)), True
    if value is not None:
        n = len(verdicts) or len(rows) or int(result.asked or 0)
        interval, means = _interval(value, error, verdicts, way, n)
        means = means and (bool(verdicts) or not rows)
    score = Score(
        model=model.id,
        task=result.task,
        metric=metric,
        value=interval,
        kind="generation" if parts and parts[0].generation else "log-likelihood",
        shots=result.shots,
        template=result.template,
        system=result.system,
        turns=_turns(result),
        settings=" ".join(dict.fromkeys(part.settings for part in parts)),
        task_version=result.version,
        filter=kind,
        samples=_hash(rows.values()),
        missing=sum(len(part.missing) for part in parts),
        higher_is_better=result.higher_is_better.get(metric, True),
        main=main,
        stderr=error,
        subtasks=result.subtasks,
        reason="" if value is not None else "lm-eval has no number for it (NaN)",
    )
    return Measurement(score, verdicts, way, means)


def _turns(result: TaskResult) -> str:
    """How examples stand in the prompt; "" where that makes no difference."""
    if result.template == "plain" or result.shots == 0:
        return ""
    return {True: "turns", False: "one message", None: "unknown"}[result.turns]


def _interval(
    value: float,
    error: float | None,
    verdicts: Mapping[tuple[str, int], float],
    way: Combined | None,
    n: int,
) -> tuple[Interval, bool]:
    """lm-eval's value with an interval over the samples; without them from its standard error.

    Also whether the value is the samples' mean, as far as is known.
    """
    weighted = UNKNOWN if way is None else strata(way, list(verdicts))
    means = True
    if verdicts and weighted is not UNKNOWN:
        found = mean(list(verdicts.values()), strata=weighted)
        means = found.value is not None and abs(found.value - value) < ROUNDING
        if means:
            return Interval(value, found.low, found.high, len(verdicts)), True
    if error is None:
        return Interval(value, None, None, n), means
    return Interval(value, value - 1.96 * error, value + 1.96 * error, n), means


def _hash(rows: Iterable[LoggedSample]) -> str:
    hashes = sorted({row.doc_hash for row in rows})
    return hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else ""


def _samples(run: Run, found: Mapping[tuple[str, str], TaskResult]) -> Iterator[Sample]:
    """Every sample with all answers, by task as asked for."""
    leaves: list[str] = []
    for task in run.tasks:
        for model in run.models:
            result = found.get((model.id, task))
            if result is not None:
                names = group_scores.leaves(model.id, result, found) if result.subtasks else (task,)
                leaves += [name for name in names if name not in leaves]
    for task in leaves:
        yield from _task_samples(task, run, found)


def _task_samples(
    task: str, run: Run, found: Mapping[tuple[str, str], TaskResult]
) -> Iterator[Sample]:
    asked: dict[int, LoggedSample] = {}
    replies: dict[int, dict[str, Reply]] = {}
    for model in run.models:
        result = found.get((model.id, task))
        if result is None:
            continue
        metric, kind = result.scored
        for row in result.answered(kind):
            asked.setdefault(row.doc_id, row)
            score = row.metrics.get(metric)
            if score is not None and not result.higher_is_better.get(metric, True):
                score = 1.0 - score
            note = "" if row.text.strip() else "empty answer"
            if score is None:
                note = f"lm-eval gives a sample no {metric}"
            replies.setdefault(row.doc_id, {})[model.id] = Reply(_clean(row.text), score, note)
        for number, reason in result.missing.items():
            replies.setdefault(int(number), {})[model.id] = Reply("", None, reason)
    for doc in sorted(replies):
        known = asked.get(doc)
        prompt, gold = (known.prompt, known.gold) if known else ("", "")
        yield Sample(0, task, str(doc), _clean(prompt), _clean(gold), replies[doc])


def _clean(text: str) -> str:
    """Without lone surrogates, which no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")

"""From a run's result files to its report: intervals, gaps closed, significance, the index.

Reads what is there; asks no model. So it can be run again at any time, and on imported results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imitation.errors import StorageError, UserError
from imitation.evaluation import results, samples
from imitation.evaluation.report import (
    RESULTS,
    SAMPLES,
    Gap,
    LiveScore,
    Measured,
    Report,
    Run,
    Score,
    comparable,
)
from imitation.evaluation.report_files import live_scores, load, load_run, save
from imitation.evaluation.result_samples import Answered
from imitation.evaluation.results import TaskResult
from imitation.evaluation.samples import Reply, Sample
from imitation.evaluation.stats import (
    bootstrap_gap,
    bootstrap_mean,
    bootstrap_paired,
    gap_closed,
    no_change,
    wilson,
)
from imitation.values import Interval

NOTHING = Interval(None, None, None, 0)
STAND_INS = (
    ": stand-ins for the real thing. Where the reference is the uncut base, part of any gain is "
    "the repair of cut layers; none of this is the paper's finding."
)
Verdicts = Mapping[str, float]
"""Document -> value of the main metric."""


@dataclass(frozen=True, slots=True)
class _Measurement:
    """One model on one task, with what its numbers rest on.

    Attributes:
        score: The metric.
        verdicts: Document -> value of the metric.
        means: Whether the score is the mean of the verdicts; a perplexity is not.
    """

    score: Score
    verdicts: Verdicts
    means: bool = True


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
    main: dict[tuple[str, str], _Measurement] = {}
    for task in run.tasks:
        for model in run.models:
            rows = list(_measured(model, task, found, live.get((model.id, task))))
            scores += [row.score for row in rows]
            if rows and rows[0].score.value.value is not None:
                main[model.id, task] = rows[0]
            scores += _subtasks(model, task, found)
    report = Report(
        run=run,
        scores=tuple(scores),
        gaps=tuple(_gaps(run, main)),
        notes=tuple(dict.fromkeys([*_noted(folder), *notes, *_stand_ins(run)])),
        complete=all(s.value.value is not None and not s.missing for s in scores),
    )
    save(report, folder)
    samples.write(folder / SAMPLES, [m.id for m in run.models], _samples(run, found))
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
    model: Measured,
    task: str,
    found: Mapping[tuple[str, str], TaskResult],
    live: LiveScore | None,
) -> Iterator[_Measurement]:
    """Scores of a model on a task, the main metric first; one with a reason where there is none."""
    result = found.get((model.id, task))
    if result is None:
        reason = live.reason if live and live.reason else "it has not been run yet"
        missing = live.of if live else 0
        score = Score(
            model.id, task, "", NOTHING, template=model.template, missing=missing, reason=reason
        )
        yield _Measurement(score, {})
        return
    for place, (metric, kind) in enumerate(result.metrics):
        yield _measurement(model, result, metric, kind, place == 0, found)


def _subtasks(
    model: Measured, task: str, found: Mapping[tuple[str, str], TaskResult]
) -> Iterator[Score]:
    """Main scores of the tasks of a group."""
    group = found.get((model.id, task))
    for name in _leaves(model.id, group, found) if group and group.subtasks else ():
        result = found[model.id, name]
        metric, kind = next(iter(result.metrics))
        measured = _measurement(model, result, metric, kind, True, found)
        yield replace(measured.score, group=task)


def _leaves(
    model: str, result: TaskResult, found: Mapping[tuple[str, str], TaskResult]
) -> Iterator[str]:
    """Tasks below a group, groups in it opened."""
    for name in result.subtasks:
        if below := found.get((model, name)):
            yield from _leaves(model, below, found) if below.subtasks else (name,)


def _measurement(
    model: Measured,
    result: TaskResult,
    metric: str,
    kind: str,
    main: bool,
    found: Mapping[tuple[str, str], TaskResult],
) -> _Measurement:
    parts = [result]
    if result.subtasks:
        parts = [found[model.id, name] for name in _leaves(model.id, result, found)]
    rows = {f"{part.task}/{row.doc_id}": row for part in parts for row in part.answered(kind)}
    verdicts = {key: row.metrics[metric] for key, row in rows.items() if metric in row.metrics}
    value, error = result.metrics[metric, kind]
    if value is None:
        found_value = Interval(None, None, None, len(verdicts))
    else:
        n = len(verdicts) or len(rows) or int(result.asked or 0)
        found_value = _interval(value, error, list(verdicts.values()), n)
    score = Score(
        model=model.id,
        task=result.task,
        metric=metric,
        value=found_value,
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
    means = bool(result.subtasks) or value is None or _is_mean(verdicts.values(), value)
    return _Measurement(score, verdicts, means)


def _turns(result: TaskResult) -> str:
    """How examples stand in the prompt; "" where that makes no difference."""
    if result.template == "plain" or result.shots == 0:
        return ""
    return {True: "turns", False: "one message", None: "unknown"}[result.turns]


def _is_mean(verdicts: Collection[float], value: float) -> bool:
    return not verdicts or abs(sum(verdicts) / len(verdicts) - value) < 1e-9


def _interval(value: float, error: float | None, verdicts: list[float], n: int) -> Interval:
    """lm-eval's value with an interval over the samples; without them from its standard error."""
    if verdicts and _is_mean(verdicts, value):
        if set(verdicts) <= {0.0, 1.0}:
            found = wilson(int(sum(verdicts)), len(verdicts))
        else:
            found = bootstrap_mean(verdicts)
        return Interval(value, found.low, found.high, len(verdicts))
    if error is None:
        return Interval(value, None, None, n)
    return Interval(value, value - 1.96 * error, value + 1.96 * error, n)


def _hash(rows: Iterable[Answered]) -> str:
    hashes = sorted({row.doc_hash for row in rows})
    return hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else ""


def _gaps(run: Run, main: Mapping[tuple[str, str], _Measurement]) -> Iterator[Gap]:
    models = {model.id: model for model in run.models}
    bases = [m.id for m in run.models if m.role == "base"]
    for task in run.tasks:
        for imitation in (m for m in run.models if m.role == "imitation"):
            base = imitation.base if imitation.base in models else bases[0] if bases else ""
            for reference in (m for m in run.models if m.role == "reference"):
                three = [main.get((m, task)) for m in (base, imitation.id, reference.id)]
                if three[0] and three[1] and three[2]:
                    yield _gap(task, three[0], three[1], three[2])


def _gap(task: str, base: _Measurement, imitation: _Measurement, reference: _Measurement) -> Gap:
    sign = 1.0 if base.score.higher_is_better else -1.0
    both = sorted(base.verdicts.keys() & imitation.verdicts.keys())
    if not (base.means and imitation.means):
        both = []
    b, i = ([one.verdicts[k] for k in both] for one in (base, imitation))
    change = bootstrap_paired(i, b) if both else NOTHING
    pairs = ((base, imitation), (base, reference))
    caveats = [d for x, y in pairs for d in comparable(x.score, y.score)]
    closed, why = _closed(base, imitation, reference, sign)
    return Gap(
        task=task,
        metric=base.score.metric,
        base=base.score.model,
        imitation=imitation.score.model,
        reference=reference.score.model,
        closed=closed,
        undefined=why,
        change=change,
        p_value=no_change(b, i),
        caveats=tuple(dict.fromkeys(caveats)),
    )


def _closed(
    base: _Measurement, imitation: _Measurement, reference: _Measurement, sign: float
) -> tuple[Interval, str]:
    """Share of the gap closed, or why there is none."""
    three = (base, imitation, reference)
    if len({(m.score.metric, m.score.kind) for m in three}) > 1:
        return NOTHING, "the three were measured by different metrics or means"
    if not all(m.means for m in three):
        return NOTHING, f"{base.score.metric} is not the mean of its samples' scores"
    common = sorted(set.intersection(*(set(m.verdicts) for m in three)))
    if len(common) < 2:
        return Interval(None, None, None, len(common)), "no samples that all three answered"
    b, i, r = ([sign * m.verdicts[k] for k in common] for m in three)
    difference = bootstrap_paired(r, b)
    if gap_closed(_mean(b), _mean(i), _mean(r), difference) is None:
        nothing = Interval(None, None, None, len(common))
        if _mean(r) <= _mean(b):
            return nothing, (
                f"the reference ({_mean(r):.3f}) is no better than the base ({_mean(b):.3f})"
            )
        return nothing, (
            f"base and reference do not differ beyond chance: their difference is "
            f"{difference.value:.3f} [{difference.low:.3f}, {difference.high:.3f}]"
        )
    return bootstrap_gap(b, i, r), ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _samples(run: Run, found: Mapping[tuple[str, str], TaskResult]) -> Iterator[Sample]:
    """Every sample with all answers, by task as asked for."""
    leaves: list[str] = []
    for task in run.tasks:
        for model in run.models:
            result = found.get((model.id, task))
            if result is not None:
                names = _leaves(model.id, result, found) if result.subtasks else (task,)
                leaves += [name for name in names if name not in leaves]
    for task in leaves:
        yield from _task_samples(task, run, found)


def _task_samples(
    task: str, run: Run, found: Mapping[tuple[str, str], TaskResult]
) -> Iterator[Sample]:
    asked: dict[int, Answered] = {}
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

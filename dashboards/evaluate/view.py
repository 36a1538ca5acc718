"""What the Evaluate page shows of runs and their scores, as HTML."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from markupsafe import Markup

from dashboards.evaluate.new_run import Plan
from dashboards.shell import job_panel
from dashboards.shell.components import ROLE_NAMES
from dashboards.shell.evaluation_runs import Evaluation
from dashboards.shell.interval_text import number, percent, points
from dashboards.shell.job_panel import (
    JobRow,
    button_html,
    command_html,
    end_buttons,
    progress_html,
    queue_words,
    rows_html,
    seconds,
)
from dashboards.shell.templates import render
from imitation.evaluation.report.schema import (
    EvaluatedModel,
    Gap,
    LiveScore,
    Report,
    Score,
    comparable,
    is_share,
)
from imitation.values import LIVE_STATES, Interval

EXPORTS = {"json": "JSON", "csv": "CSV", "md": "Markdown"}
EMPTY = Markup(
    '<p class="lab-quiet">No run yet. The pocket suite measures the pocket base, its imitations '
    "and their reference in a few minutes, without a hub or a key.</p>"
)
_NO_SCORE = Markup('<p class="lab-quiet">No sample has been scored yet.</p>')
_STOPPING = "It was asked to end; asked again, it is killed at once. What was answered is kept."


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of a table of scores.

    Attributes:
        text: What it holds.
        notes: Smaller, below it.
        unlike: What was not measured alike, for a badge; "" for none.
        missing: No value is there, which is no zero.
        refused: A task ended without a score.
    """

    text: str
    notes: tuple[str, ...] = ()
    unlike: str = ""
    missing: bool = False
    refused: bool = False


def plan_html(plan: Plan, command: str) -> Markup:
    """How much work it is and what certainty it buys, and the command line."""
    tasks, budget = f"{len(plan.tasks)} task{'s' * (len(plan.tasks) != 1)}", plan.budget
    work = f"{tasks}, {budget.samples:,} samples a model: about {seconds(budget.seconds)} here."
    widths = [width for width in budget.half_widths.values() if width is not None]
    if widths:
        work += f" A task's share will be known to ±{100 * max(widths):.0f} points or better (95%)."
    if plan.unsized and len(widths) < len(plan.tasks):
        work += f" Not counted, since their size is not known yet: {', '.join(plan.unsized)}."
    fetched = dict.fromkeys(line.downloads for line in plan.listed if line and line.downloads)
    if fetched:
        work += f" Fetched from the hub: {', '.join(fetched)}."
    return Markup('<p class="lab-note">{}</p>{}').format(work, command_html(command))


def list_html(runs: Sequence[Evaluation], chosen: str) -> Markup:
    """The runs, newest first; the chosen one is marked."""
    return rows_html([_row(run, run.id == chosen) for run in runs]) if runs else EMPTY


def detail_html(
    run: Evaluation,
    report: Report | None,
    problem: str = "",
    names: Mapping[str, str] | None = None,
) -> Markup:
    """The chosen run: what can be done with it, its scores and gaps, its command.

    Args:
        run: The run.
        report: Its report, None before there is one.
        problem: Why its report cannot be read, "" where it can.
        names: Id of a model -> what people read, for scores without a report.
    """
    text = run.detail
    if run.state == "stopping":
        text = _STOPPING
    elif run.state in ("stopped", "failed", "out_of_memory") and run.scores:
        text = f"{text} Resume goes on where it ended.".strip()
    body = render(
        "evaluate/detail.html",
        problem=problem,
        scores=scores_html(report) if report else live_html(run.scores, names or {}),
        folder=str(run.out),
        command=command_html(run.command),
    )
    return job_panel.detail_html(run.name, run.state, text, _buttons(run), body)


def live_html(scores: Sequence[LiveScore], names: Mapping[str, str]) -> Markup:
    """The scores so far; each with its interval and how many samples it rests on.

    Args:
        scores: The newest of each model and task.
        names: Id of a model -> what people read; ids stand for those left out.
    """
    if not scores:
        return _NO_SCORE
    rows = [
        (
            _Cell(score.task),
            _Cell(names.get(score.model, score.model)),
            _live_value(score),
            _Cell(_so_far(score)),
        )
        for score in scores
    ]
    return _table("Scores so far, 95% intervals", ("Task", "Model", "Score", "Samples"), rows)


def scores_html(report: Report) -> Markup:
    """Every task's scores by model, the gap closed, and what does not compare."""
    models = report.run.models
    main = [score for score in report.scores if score.main]
    others = [score for score in report.scores if not score.main]
    return render(
        "evaluate/scores.html",
        finding=_finding(report),
        main=_score_table(main, models),
        gaps=_gap_table(report.gaps, models) if report.gaps else "",
        notes=report.notes,
        others=_score_table(others, models, "Other metrics") if others else "",
    )


def differences(scores: Sequence[Score]) -> str:
    """How scores side by side were not measured alike; "" where they compare."""
    measured = [score for score in scores if score.value.value is not None]
    return "; ".join(
        sorted({str(d) for first, second in combinations(measured, 2)
                for d in comparable(first, second)})
    )  # fmt: skip


def value_text(value: Interval, metric: str) -> str:
    """A score with its interval: percent for shares, else plain numbers."""
    written = percent if is_share(metric) else number
    return written(value, missing="not measured")


def gap_text(gap: Gap) -> str:
    """The share closed with its interval, or why there is none."""
    return percent(gap.closed, 0, f"undefined: {gap.undefined}")


def _finding(report: Report) -> str:
    """What it comes to, in a sentence; "" where there is nothing to say."""
    closed = [gap for gap in report.gaps if gap.closed.value is not None]
    names = {model.id: model.name for model in report.run.models}
    if not closed and any(not gap.reference and gap.p_value is not None for gap in report.gaps):
        return _changes(report.gaps, names)
    if not closed:
        why = "; ".join(dict.fromkeys(f"{gap.task}: {gap.undefined}" for gap in report.gaps))
        return f"No gap closed to show. {why}" if why else ""
    best = max(closed, key=lambda gap: gap.closed.value or 0.0)
    text = f"{names[best.imitation]} closes {gap_text(best)} of the gap on {best.task}"
    if len(closed) > 1:
        least = min(closed, key=lambda gap: gap.closed.value or 0.0)
        text += f"; {names[least.imitation]} on {least.task} {gap_text(least)}"
    return f"{text}."


def _changes(gaps: Iterable[Gap], names: Mapping[str, str]) -> str:
    """Whether imitations differ from their bases, task by task, where no gap can be told."""
    tasks: dict[tuple[str, bool], list[str]] = {}
    for gap in gaps:
        if gap.significant is not None:
            tasks.setdefault((gap.imitation, gap.significant), []).append(gap.task)
    return " ".join(
        f"{names[imitation]} {'differs' if differs else 'is not shown to differ'} from its base "
        f"on {', '.join(on)}."
        for (imitation, differs), on in tasks.items()
    )


def _score_table(
    scores: Sequence[Score],
    models: Sequence[EvaluatedModel],
    caption: str = "Scores, 95% intervals",
) -> Markup:
    lines: dict[tuple[str, str, str], list[Score]] = {}
    for score in scores:
        lines.setdefault((score.task, score.metric, score.filter), []).append(score)
    rows = []
    for alike in lines.values():
        by_model = {score.model: score for score in alike}
        cells = (_score_cell(by_model.get(model.id)) for model in models)
        head = _Cell(alike[0].task, (_conditions(alike[0]),), differences(alike))
        rows.append((head, *cells))
    header = ["Task", *(f"{model.name} ({ROLE_NAMES[model.role]})" for model in models)]
    return _table(caption, header, rows)


def _conditions(score: Score) -> str:
    less = "" if score.higher_is_better else " (lower is better)"
    shots = "shots unknown" if score.shots is None else f"{score.shots}-shot"
    return f"{score.metric}{less}, {shots}, {score.kind}"


def _score_cell(score: Score | None) -> _Cell:
    if score is None:
        return _Cell("not asked", missing=True)
    if score.value.value is None:
        return _Cell("not measured", (score.reason,), missing=True)
    missing = f", {score.missing:,} missing" if score.missing else ""
    return _Cell(value_text(score.value, score.metric), (f"n = {score.value.n:,}{missing}",))


def _gap_table(gaps: Iterable[Gap], models: Sequence[EvaluatedModel]) -> Markup:
    names = {model.id: model.name for model in models}
    rows = [
        (
            _Cell(gap.task, unlike="; ".join(map(str, gap.caveats))),
            _Cell(names.get(gap.imitation, gap.imitation)),
            _Cell(names.get(gap.reference, gap.reference) or "none"),
            _Cell(gap_text(gap), (f"n = {gap.closed.n:,}", *gap.notes)),
            _Cell(_change_text(gap), (_p_text(gap),)),
        )
        for gap in gaps
    ]
    header = ("Gap closed", "Imitation", "Reference", "Share", "Imitation - base")
    return _table("Gap closed = (imitation - base) / (reference - base)", header, rows)


def _change_text(gap: Gap) -> str:
    return points(gap.change) if is_share(gap.metric) else number(gap.change)


def _p_text(gap: Gap) -> str:
    if gap.p_value is None:
        return "not testable"
    p = "p < 0.001" if gap.p_value < 0.001 else f"p = {gap.p_value:.3f}"
    return f"{p}, {'differs' if gap.significant else 'no difference shown'}"


def _live_value(score: LiveScore) -> _Cell:
    if score.state in ("refused", "failed"):
        return _Cell(score.state, (score.reason,), refused=True)
    return _Cell(value_text(score.value, score.metric))


def _so_far(score: LiveScore) -> str:
    missing = f", {score.missing:,} missing" if score.missing else ""
    return f"{score.value.n:,} of {score.of:,}{missing}"


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[_Cell]]) -> Markup:
    return render("evaluate/table.html", caption=caption, header=header, rows=rows)


def _row(run: Evaluation, chosen: bool) -> JobRow:
    when = time.strftime("%d %b %H:%M", time.localtime(run.created))
    answered = sum(score.value.n + score.missing for score in run.scores)
    # A task that was refused is through without an answer: its samples are no work left.
    of = sum(score.of for score in run.scores if score.state != "refused")
    facts = queue_words(run.state, run.ahead)
    if of:
        facts.append(f"{answered:,} of {of:,} samples")
    if run.seconds is not None:
        facts.append(f"{'for' if run.is_live else 'took'} {seconds(run.seconds)}")
    share = answered / of if of else float(run.state == "done")
    return JobRow(
        id=run.id,
        name=run.name,
        about=when + (" · yours" if run.mine else ""),
        progress=progress_html(run.name, run.state, " · ".join(facts), share, "reference"),
        chosen=chosen,
    )


def _buttons(run: Evaluation) -> list[Markup]:
    """What can be done with a run now."""
    exports = EXPORTS.items() if run.reported else ()
    buttons = [button_html("export", run.id, label, kind=kind) for kind, label in exports]
    if not run.mine:
        return buttons
    if run.state not in (*LIVE_STATES, "done"):
        buttons.insert(0, button_html("resume", run.id, "Resume"))
    delete = f"Delete {run.name} with its answers and scores?"
    return buttons + end_buttons(run.id, run.state, "Kill it without waiting?", delete)

"""What the Evaluate page shows of runs and their scores, as HTML."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from dashboards.evaluate.new_run import Plan
from dashboards.shell.components import ROLE_NAMES
from dashboards.shell.evaluation_runs import Evaluation
from dashboards.shell.interval_text import number, percent, points
from dashboards.shell.job_panel import BAD, button_html, command_html, progress_html, seconds
from dashboards.shell.markdown import plain
from imitation.evaluation.report.schema import (
    EvaluatedModel,
    Gap,
    LiveScore,
    Report,
    Score,
    comparable,
    is_share,
)
from imitation.values import Interval

EXPORTS = {"json": "JSON", "csv": "CSV", "md": "Markdown"}
EMPTY = (
    '<p class="lab-quiet">No run yet. The pocket suite measures the pocket base, its imitations '
    "and their reference in a few minutes, without a hub or a key.</p>"
)
_STOPPING = "It was asked to end; asked again, it is killed at once. What was answered is kept."


def plan_html(plan: Plan, command: str) -> str:
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
    return f'<p class="lab-note">{plain(work)}</p>{command_html(command)}'


def list_html(runs: Sequence[Evaluation], chosen: str) -> str:
    """The runs, newest first; the chosen one is marked."""
    if not runs:
        return EMPTY
    rows = "".join(_row(run, run.id == chosen) for run in runs)
    return f'<ol class="lab-history lab-runs">{rows}</ol>'


def detail_html(
    run: Evaluation, found: Report | None, problem: str = "", names: Mapping[str, str] | None = None
) -> str:
    """The chosen run: what can be done with it, its scores and gaps, its command.

    Args:
        run: The run.
        found: Its report, None before there is one.
        problem: Why its report cannot be read, "" where it can.
        names: Id of a model -> what people read, for scores without a report.
    """
    said = run.detail
    if run.state == "stopping":
        said = _STOPPING
    elif run.state in ("stopped", "failed", "out_of_memory") and run.scores:
        said = f"{said} Resume goes on where it ended.".strip()
    bad = " lab-problem" if run.state in BAD else ""
    scores = scores_html(found) if found else live_html(run.scores, names or {})
    trouble = f'<p class="lab-no">{plain(problem)}</p>' if problem else ""
    return (
        f'<section class="lab-run{bad}" aria-label="{plain(run.name)}"><h2>{plain(run.name)}</h2>'
        + (f"<p>{plain(said)}</p>" if said else "")
        + f'<div class="lab-vote lab-actions">{_actions(run)}</div>{trouble}{scores}'
        f'<details class="lab-sent"><summary>Command and folder</summary>'
        f'<p class="lab-note">{plain(str(run.out))}</p>{command_html(run.command)}</details>'
        "</section>"
    )


def live_html(scores: Sequence[LiveScore], names: Mapping[str, str]) -> str:
    """The scores so far; each with its interval and how many samples it rests on.

    Args:
        scores: The newest of each model and task.
        names: Id of a model -> what people read; ids stand for those left out.
    """
    if not scores:
        return '<p class="lab-quiet">No sample has been scored yet.</p>'
    rows = "".join(
        f'<tr><th scope="row">{plain(s.task)}</th><td>{plain(names.get(s.model, s.model))}</td>'
        f"<td>{_live_value(s)}</td><td>{_so_far(s)}</td></tr>"
        for s in scores
    )
    return _table("Scores so far, 95% intervals", ("Task", "Model", "Score", "Samples"), rows)


def scores_html(found: Report) -> str:
    """Every task's scores by model, the gap closed, and what does not compare."""
    models = {model.id: model for model in found.run.models}
    main = [score for score in found.scores if score.main]
    parts = [_finding(found), _score_table(main, found.run.models)]
    if found.gaps:
        parts.append(_gap_table(found.gaps, models))
    parts += [f'<p class="lab-note">{plain(note)}</p>' for note in found.notes]
    rest = [score for score in found.scores if not score.main]
    if rest:
        table = _score_table(rest, found.run.models, "Other metrics")
        parts.append(f'<details class="lab-more"><summary>Other metrics</summary>{table}</details>')
    return "".join(parts)


def badge_html(scores: Sequence[Score]) -> str:
    """A badge that says how scores side by side were not measured alike; "" where they compare."""
    differences = {
        str(difference)
        for first, second in combinations([s for s in scores if s.value.value is not None], 2)
        for difference in comparable(first, second)
    }
    if not differences:
        return ""
    text = "; ".join(sorted(differences))
    return f' <span class="lab-badge" title="{plain(text)}">not alike: {plain(text)}</span>'


def value_text(value: Interval, metric: str) -> str:
    """A score with its interval: percent for shares, else plain numbers."""
    written = percent if is_share(metric) else number
    return written(value, missing="not measured")


def gap_text(gap: Gap) -> str:
    """The share closed with its interval, or why there is none."""
    return percent(gap.closed, 0, f"undefined: {gap.undefined}")


def _finding(found: Report) -> str:
    closed = [gap for gap in found.gaps if gap.closed.value is not None]
    names = {model.id: model.name for model in found.run.models}
    if not closed and any(not gap.reference and gap.p_value is not None for gap in found.gaps):
        return f'<p class="lab-finding">{plain(_differences(found.gaps, names))}</p>'
    if not closed:
        why = "; ".join(dict.fromkeys(f"{gap.task}: {gap.undefined}" for gap in found.gaps))
        return f'<p class="lab-finding">No gap closed to show. {plain(why)}</p>' if why else ""
    best = max(closed, key=lambda gap: gap.closed.value or 0.0)
    text = f"{names[best.imitation]} closes {gap_text(best)} of the gap on {best.task}"
    if len(closed) > 1:
        least = min(closed, key=lambda gap: gap.closed.value or 0.0)
        text += f"; {names[least.imitation]} on {least.task} {gap_text(least)}"
    return f'<p class="lab-finding">{plain(text)}.</p>'


def _differences(gaps: Iterable[Gap], names: Mapping[str, str]) -> str:
    """Whether imitations differ from their bases, task by task, where no gap can be told."""
    said: dict[tuple[str, bool], list[str]] = {}
    for gap in gaps:
        if gap.significant is not None:
            said.setdefault((gap.imitation, gap.significant), []).append(gap.task)
    return " ".join(
        f"{names[imitation]} differs from its base on {', '.join(tasks)}."
        if differs
        else f"{names[imitation]} is not shown to differ from its base on {', '.join(tasks)}."
        for (imitation, differs), tasks in said.items()
    )


def _score_table(
    scores: Sequence[Score],
    models: Sequence[EvaluatedModel],
    caption: str = "Scores, 95% intervals",
) -> str:
    rows = []
    for task, metric in dict.fromkeys((s.task, f"{s.metric},{s.filter}") for s in scores):
        mine = [s for s in scores if (s.task, f"{s.metric},{s.filter}") == (task, metric)]
        by_model = {s.model: s for s in mine}
        cells = "".join(_score_cell(by_model.get(model.id)) for model in models)
        first = mine[0]
        less = "" if first.higher_is_better else " (lower is better)"
        how = f"{first.metric}{less}, {_shots(first)}, {first.kind}"
        rows.append(
            f'<tr><th scope="row">{plain(task)}{badge_html(mine)}<small>{plain(how)}</small></th>'
            f"{cells}</tr>"
        )
    header = ["Task", *(f"{model.name} ({ROLE_NAMES[model.role]})" for model in models)]
    return _table(caption, header, "".join(rows))


def _score_cell(score: Score | None) -> str:
    if score is None:
        return '<td class="lab-missing">not asked</td>'
    if score.value.value is None:
        return f'<td class="lab-missing">not measured<small>{plain(score.reason)}</small></td>'
    missing = f", {score.missing:,} missing" if score.missing else ""
    text = value_text(score.value, score.metric)
    return f"<td>{plain(text)}<small>n = {score.value.n:,}{missing}</small></td>"


def _gap_table(gaps: Iterable[Gap], models: dict[str, EvaluatedModel]) -> str:
    def name(identity: str) -> str:
        return models[identity].name if identity in models else identity

    rows = "".join(
        f'<tr><th scope="row">{plain(gap.task)}{_caveats(gap)}</th>'
        f"<td>{plain(name(gap.imitation))}</td><td>{plain(name(gap.reference) or 'none')}</td>"
        f"<td>{plain(gap_text(gap))}<small>n = {gap.closed.n:,}</small>{_gap_notes(gap)}</td>"
        f"<td>{plain(_change_text(gap))}<small>{plain(_p_text(gap))}</small></td></tr>"
        for gap in gaps
    )
    header = ("Gap closed", "Imitation", "Reference", "Share", "Imitation - base")
    return _table("Gap closed = (imitation - base) / (reference - base)", header, rows)


def _change_text(gap: Gap) -> str:
    return points(gap.change) if is_share(gap.metric) else number(gap.change)


def _gap_notes(gap: Gap) -> str:
    return "".join(f"<small>{plain(note)}</small>" for note in gap.notes)


def _caveats(gap: Gap) -> str:
    if not gap.caveats:
        return ""
    text = "; ".join(str(one) for one in gap.caveats)
    return f' <span class="lab-badge" title="{plain(text)}">not alike: {plain(text)}</span>'


def _p_text(gap: Gap) -> str:
    if gap.p_value is None:
        return "not testable"
    p = "p < 0.001" if gap.p_value < 0.001 else f"p = {gap.p_value:.3f}"
    return f"{p}, {'differs' if gap.significant else 'no difference shown'}"


def _shots(score: Score) -> str:
    return "shots unknown" if score.shots is None else f"{score.shots}-shot"


def _live_value(score: LiveScore) -> str:
    if score.state in ("refused", "failed"):
        return f'<span class="lab-missing">{score.state}</span><small>{plain(score.reason)}</small>'
    return plain(value_text(score.value, score.metric))


def _so_far(score: LiveScore) -> str:
    missing = f", {score.missing:,} missing" if score.missing else ""
    return f"{score.value.n:,} of {score.of:,}{missing}"


def _table(caption: str, header: Iterable[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{plain(cell)}</th>' for cell in header)
    label = plain(caption)
    return (
        f'<div class="lab-scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<table class="lab-table lab-scores"><caption>{label}</caption><thead><tr>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _row(run: Evaluation, chosen: bool) -> str:
    here = ' aria-current="true"' if chosen else ""
    when = time.strftime("%d %b %H:%M", time.localtime(run.created))
    about = when + (" · yours" if run.mine else "")
    answered = sum(s.value.n + s.missing for s in run.scores)
    of = sum(s.of for s in run.scores if s.state not in ("refused",))
    share = answered / of if of else float(run.state == "done")
    facts = []
    if run.state == "queued":
        facts.append(f"{run.ahead} before it" if run.ahead else "next")
    if of:
        facts.append(f"{answered:,} of {of:,} samples")
    if run.seconds is not None:
        facts.append(f"{'for' if run.is_live else 'took'} {seconds(run.seconds)}")
    return (
        f'<li{here}><button type="button" class="lab-open" data-do="show" data-id="{run.id}">'
        f"<b>{plain(run.name)}</b><small>{plain(about)}</small></button>"
        + str(progress_html(run.name, run.state, " · ".join(facts), share, "reference"))
        + "</li>"
    )


def _actions(run: Evaluation) -> str:
    made = []
    if run.reported:
        made += [button_html("export", run.id, label, kind=kind) for kind, label in EXPORTS.items()]
    if not run.mine:
        return "".join(made)
    if run.state in ("queued", "running"):
        made.append(button_html("stop", run.id, "Stop"))
    elif run.state == "stopping":
        made.append(button_html("kill", run.id, "Kill now", "Kill it without waiting?"))
    else:
        if run.state != "done":
            made.insert(0, button_html("resume", run.id, "Resume"))
        question = f"Delete {run.name} with its answers and scores?"
        made.append(button_html("delete", run.id, "Delete", question))
    return "".join(made)

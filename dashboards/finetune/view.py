"""HTML of the Fine-tune page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import quote

from dashboards.finetune.curves import Curve
from dashboards.finetune.new_run import Plan, label
from dashboards.finetune.runs import Run
from dashboards.shell.job_panel import BAD, button_html, command_html, progress_html, seconds
from dashboards.shell.markdown import plain
from imitation.data.library import data_name
from imitation.models.backends.tgi import adapter_rules

EMPTY = (
    '<p class="lab-quiet">No run yet. The settings above make a small imitation of the pocket '
    "reference in a few minutes on a CPU.</p>"
)
_STOPPING = "It was asked to save its work and end; asked again, it is killed at once."


def plan_html(plan: Plan, command: str) -> str:
    """How much work it is, and the command line."""
    lines = "1 line" if plan.refused == 1 else f"{plan.refused:,} lines"
    left_out = f", {lines} left out" if plan.refused else ""
    if plan.steps is None:
        size = f"blocks of {plan.config.max_tokens:,} tokens, {plan.config.batch_size} a step"
        work = f"{plan.conversations:,} conversations{left_out}: {size}, into {plan.out}."
    else:
        work = (
            f"{plan.conversations:,} conversations{left_out}: {_steps(plan.steps)}, "
            f"{plan.config.batch_size} conversations each, into {plan.out}."
        )
    notes = [work]
    if plan.config.method != "full":
        notes += adapter_rules.warnings(
            plan.config.lora_r, adapter_rules.config_in(plan.config.base)
        )
    said = "".join(f'<p class="lab-note">{plain(note)}</p>' for note in notes)
    return f"{said}{command_html(command)}"


def list_html(runs: Sequence[Run], chosen: str, charted: Sequence[str]) -> str:
    """The runs, newest first; the chosen one is marked."""
    if not runs:
        return EMPTY
    rows = "".join(_row(run, run.id == chosen, run.id in charted) for run in runs)
    return f'<ol class="lab-history lab-runs">{rows}</ol>'


def detail_html(run: Run) -> str:
    """What the chosen run is, how it ended, and what can be done with it."""
    form = run.form
    rows = [("Base", run.base), ("Data", data_name(form.data)), ("Preset", form.preset)]
    for key, value in form.changes.items():
        rows.append((label(key), _value(value)))
    rows.append(("Results", str(run.out)))
    if run.kept and run.state == "done" and not run.exported:
        rows.append(("Weights", f"{run.kept} (no GGUF: the embedded engine cannot serve them)"))
    listed = "".join(f"<dt>{plain(k)}</dt><dd>{plain(v)}</dd>" for k, v in rows)
    said = f"<p>{plain(run.detail)}</p>" if run.detail else ""
    if run.state == "stopping":
        said = f"<p>{_STOPPING}</p>"
    bad = " lab-problem" if run.state in BAD else ""
    return (
        f'<section class="lab-run{bad}" aria-label="{plain(run.name)}"><h2>{plain(run.name)}</h2>'
        f'{said}<div class="lab-vote lab-actions">{_actions(run)}</div>'
        f'<details class="lab-sent" open><summary>Settings and command</summary><dl>{listed}</dl>'
        f"{command_html(run.command)}</details></section>"
    )


def curve_of(run: Run) -> Curve:
    """What the figure draws of a run."""
    found = run.progress
    return Curve(run.name, found.loss, found.validation, found.learning_rate, found.scores)


def _row(run: Run, chosen: bool, charted: bool) -> str:
    here = ' aria-current="true"' if chosen else ""
    when = time.strftime("%d %b %H:%M", time.localtime(run.created))
    about = f"{run.base} on {data_name(run.form.data)} · {when}"
    about += " · yours" if run.mine else ""
    share = run.progress.share or 0.0
    pressed = str(charted).lower()
    return (
        f'<li{here}><button type="button" class="lab-open" data-do="show" data-id="{run.id}">'
        f"<b>{plain(run.name)}</b><small>{plain(about)}</small></button>"
        + str(progress_html(run.name, run.state, _facts(run), share, "imitation"))
        + f'<button type="button" data-do="chart" data-id="{run.id}" aria-pressed="{pressed}">'
        f"{'In the chart' if charted else 'Add to chart'}</button></li>"
    )


def _facts(run: Run) -> str:
    found = run.progress
    parts = [run.doing] if run.doing and run.doing != "training" else []
    if run.state == "queued":
        parts.append(f"{run.ahead} before it" if run.ahead else "next")
    if found.steps and found.step:
        parts.append(f"step {found.step:,} of {found.steps:,}")
    if found.resumed:
        parts.append(f"went on from step {found.resumed:,}")
    if found.loss:
        parts.append(f"loss {found.loss[-1][1]:.3f}")
    if found.validation:
        parts.append(f"held-out {found.validation[-1][1]:.3f}")
    for name, scores in found.scores.items():
        if scores and scores[-1][1].value is not None:
            parts.append(f"{name} {100 * scores[-1][1].value:.0f}% (n {scores[-1][1].n})")
    if found.tokens_per_s and run.doing in ("", "training"):
        parts.append(f"{found.tokens_per_s:,.0f} tokens/s")
    if run.doing == "training" and found.eta_s:
        parts.append(f"{seconds(found.eta_s)} left")
    elif run.seconds is not None and not run.is_live:
        parts.append(f"took {seconds(run.seconds)}")
    return " · ".join(parts)


def _actions(run: Run) -> str:
    """Buttons for what can be done with a run now."""
    made = [button_html("reuse", run.id, "Use these settings")]
    if run.exported and run.promoted:
        made.insert(0, f'<a href="./?models={quote(run.name)}">In Compare</a>')
    elif run.exported and run.mine:
        made.insert(0, button_html("promote", run.id, "Promote to Compare"))
    if not run.mine:
        return "".join(made)
    if run.state in ("queued", "running"):
        made.append(button_html("stop", run.id, "Stop"))
    elif run.state == "stopping":
        made.append(
            button_html("kill", run.id, "Kill now", "Kill it without waiting for its checkpoint?")
        )
    else:
        less = " with less memory" if run.lightens else ""
        if run.state != "done":
            again = "Start over" if run.resumable else "Try again"
            made.insert(0, button_html("retry", run.id, again + less))
        if run.resumable:
            made.insert(0, button_html("resume", run.id, "Resume" + less))
        question = f"Delete {run.name} with its checkpoint and adapter? What is in Compare stays."
        made.append(button_html("delete", run.id, "Delete", question))
    return "".join(made)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _steps(n: int) -> str:
    return "1 step" if n == 1 else f"{n:,} steps"

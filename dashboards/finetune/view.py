"""HTML of the Fine-tune page."""

from __future__ import annotations

import time
from collections.abc import Sequence

from markupsafe import Markup

from dashboards.finetune.curves import Curve
from dashboards.finetune.new_run import Plan, label
from dashboards.finetune.runs import Run
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
from dashboards.shell.job_panel import detail_html as job_detail_html
from dashboards.shell.templates import render
from imitation.data.library import data_name
from imitation.models.backends.tgi import adapter_rules

EMPTY = render(
    "finetune/quiet.html",
    text="No run yet. The settings above make a small imitation of the pocket reference in a few "
    "minutes on a CPU.",
    status=False,
)
_STOPPING = "It was asked to save its work and end; asked again, it is killed at once."


def plan_html(plan: Plan, command: str) -> Markup:
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
    return render("finetune/plan.html", notes=notes, command=command_html(command))


def list_html(runs: Sequence[Run], chosen: str, charted: Sequence[str]) -> Markup:
    """The runs, newest first; the chosen one is marked."""
    if not runs:
        return EMPTY
    return rows_html([_row(run, run.id == chosen, run.id in charted) for run in runs])


def detail_html(run: Run) -> Markup:
    """What the chosen run is, how it ended, and what can be done with it."""
    form = run.form
    rows = [("Base", run.base), ("Data", data_name(form.data)), ("Preset", form.preset)]
    rows += [(label(key), _value(value)) for key, value in form.changes.items()]
    rows.append(("Results", str(run.out)))
    if run.kept and run.state == "done" and not run.exported:
        rows.append(("Weights", f"{run.kept} (no GGUF: the embedded engine cannot serve them)"))
    text = _STOPPING if run.state == "stopping" else run.detail
    body = render("finetune/settings.html", rows=rows, command=command_html(run.command))
    return job_detail_html(run.name, run.state, text, _actions(run), body)


def curve_of(run: Run) -> Curve:
    """What the figure draws of a run."""
    progress = run.progress
    return Curve(
        run.name, progress.loss, progress.validation, progress.learning_rate, progress.scores
    )


def _row(run: Run, chosen: bool, charted: bool) -> JobRow:
    when = time.strftime("%d %b %H:%M", time.localtime(run.created))
    about = f"{run.base} on {data_name(run.form.data)} · {when}"
    about += " · yours" if run.mine else ""
    share = run.progress.share or 0.0
    return JobRow(
        id=run.id,
        name=run.name,
        about=about,
        progress=progress_html(run.name, run.state, _facts(run), share, "imitation"),
        chosen=chosen,
        more=render("finetune/chart_button.html", id=run.id, charted=charted),
    )


def _facts(run: Run) -> str:
    progress = run.progress
    parts = [run.doing] if run.doing and run.doing != "training" else []
    parts += queue_words(run.state, run.ahead)
    if progress.steps and progress.step:
        parts.append(f"step {progress.step:,} of {progress.steps:,}")
    if progress.resumed:
        parts.append(f"went on from step {progress.resumed:,}")
    if progress.loss:
        parts.append(f"loss {progress.loss[-1][1]:.3f}")
    if progress.validation:
        parts.append(f"held-out {progress.validation[-1][1]:.3f}")
    for name, scores in progress.scores.items():
        if scores and scores[-1][1].value is not None:
            parts.append(f"{name} {100 * scores[-1][1].value:.0f}% (n {scores[-1][1].n})")
    if progress.tokens_per_s and run.doing in ("", "training"):
        parts.append(f"{progress.tokens_per_s:,.0f} tokens/s")
    if run.doing == "training" and progress.eta_s:
        parts.append(f"{seconds(progress.eta_s)} left")
    elif run.seconds is not None and not run.is_live:
        parts.append(f"took {seconds(run.seconds)}")
    return " · ".join(parts)


def _actions(run: Run) -> list[Markup]:
    """Buttons for what can be done with a run now."""
    buttons = [button_html("reuse", run.id, "Use these settings")]
    if run.exported and run.promoted:
        buttons.insert(0, render("finetune/compare_link.html", name=run.name))
    elif run.exported and run.mine:
        buttons.insert(0, button_html("promote", run.id, "Promote to Compare"))
    if not run.mine:
        return buttons
    less = " with less memory" if run.lightens else ""
    if not run.is_live and run.state != "done":
        again = "Start over" if run.resumable else "Try again"
        buttons.insert(0, button_html("retry", run.id, again + less))
    if not run.is_live and run.resumable:
        buttons.insert(0, button_html("resume", run.id, "Resume" + less))
    kill = "Kill it without waiting for its checkpoint?"
    delete = f"Delete {run.name} with its checkpoint and adapter? What is in Compare stays."
    return [*buttons, *end_buttons(run.id, run.state, kill, delete)]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _steps(n: int) -> str:
    return "1 step" if n == 1 else f"{n:,} steps"

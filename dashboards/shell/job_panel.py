"""Pieces of HTML that every page with jobs shows: states, progress, commands, logs, buttons."""

from __future__ import annotations

from collections.abc import Mapping

from dashboards.shell.markdown import plain
from imitation.values import JobState

STATES: Mapping[JobState, str] = {
    "queued": "Queued",
    "running": "Running",
    "stopping": "Stopping",
    "stopped": "Stopped",
    "failed": "Failed",
    "out_of_memory": "Out of memory",
    "done": "Done",
}
BAD: tuple[JobState, ...] = ("failed", "out_of_memory")


def progress_html(name: str, state: JobState, facts: str, share: float, role: str = "") -> str:
    """The state in a word, facts beside it, and a bar beneath.

    Args:
        name: Of the job, for readers of the bar.
        state: The job's.
        facts: What else is known, as text.
        share: How much is done, 0 to 1.
        role: base, imitation or reference, which colours the bar; "" for a neutral one.
    """
    bad = ' class="lab-no"' if state in BAD else ""
    colour = "" if role else ";background:var(--lab-soft)"
    of_role = f" lab-role-{role}" if role else ""
    return (
        f'<div class="lab-progress"><span><b{bad}>{STATES[state]}</b> {plain(facts)}</span>'
        f'<div class="lab-bar{of_role}" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * share:.0f}" aria-label="{plain(name)}">'
        f'<i style="width:{100 * share:.1f}%{colour}"></i></div></div>'
    )


def command_html(command: str) -> str:
    """A command line with a button that copies it."""
    return (
        f'<div class="lab-command" data-copy="{plain(command)}"><pre tabindex="0">'
        f"{plain(command)}</pre>"
        '<button type="button" data-do="copy">Copy</button></div>'
    )


def problem_html(message: str, hint: str = "") -> str:
    """What is wrong with a form."""
    more = f"<small>{plain(hint)}</small>" if hint else ""
    return f'<div class="lab-error lab-problem" role="alert">{plain(message)}{more}</div>'


def log_html(text: str) -> str:
    """The last lines a job printed."""
    shown = plain(text) if text else "Nothing has been printed yet."
    return f'<p class="lab-note">Log</p><pre class="lab-log" tabindex="0">{shown}</pre>'


def button_html(do: str, identity: str, label: str, confirm: str = "", **data: str) -> str:
    """A button that tells the page what to do with a job, once confirmed where that is asked.

    Args:
        do: What to do.
        identity: The job's id.
        label: What people read.
        confirm: Question asked first, "" for none.
        data: More of what the page is told.
    """
    told = {"do": do, "id": identity, **data, **({"confirm": confirm} if confirm else {})}
    attributes = " ".join(f'data-{key}="{plain(value)}"' for key, value in told.items())
    return f'<button type="button" {attributes}>{plain(label)}</button>'


def seconds(value: float) -> str:
    """A duration in words: "40 s", "3 min", "2 h 5 min"."""
    if value < 90:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

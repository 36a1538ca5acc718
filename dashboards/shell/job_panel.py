"""The one view of a job, on every page that has some: its row in a list, and what it comes to.

Everything given here as text is escaped by the templates `job_*.html`; what they return is
`Markup`, which other templates take as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from dashboards.shell.templates import render
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


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as a line of a list, which opens it.

    Attributes:
        id: The job's.
        name: What people read.
        about: What it works on, and when it was started.
        progress: From `progress_html`.
        chosen: Whether it is the one shown below the list.
        more: What else stands on the line, such as a button.
    """

    id: str
    name: str
    about: str
    progress: Markup
    chosen: bool = False
    more: Markup | str = ""


def rows_html(rows: Sequence[JobRow]) -> Markup:
    """A list of jobs, in their order."""
    return render("shell/job_rows.html", rows=rows)


def detail_html(
    name: str, state: JobState, text: str, buttons: Iterable[Markup], body: Markup
) -> Markup:
    """The job that was chosen: how it ended, what can be done with it, what it came to.

    Args:
        name: What people read.
        state: The job's.
        text: How it ended, "" for nothing to say.
        buttons: From `button_html`; links will do.
        body: What it came to, its settings, its command.
    """
    return render(
        "shell/job_detail.html",
        name=name,
        bad=state in BAD,
        text=text,
        buttons=Markup("").join(buttons),
        body=body,
    )


def end_buttons(identity: str, state: JobState, kill: str, delete: str) -> list[Markup]:
    """What its owner can do to end or clear away a job: Stop, then Kill now, at last Delete.

    Args:
        identity: The job's id, or whatever the page's listener knows it by.
        state: The job's.
        kill: Question asked before it is killed.
        delete: Question asked before it is deleted.
    """
    if state in ("queued", "running"):
        return [button_html("stop", identity, "Stop")]
    if state == "stopping":
        return [button_html("kill", identity, "Kill now", kill)]
    return [button_html("delete", identity, "Delete", delete)]


def progress_html(name: str, state: JobState, facts: str, share: float, role: str = "") -> Markup:
    """The state in a word, facts beside it, and a bar beneath.

    Args:
        name: Of the job, for readers of the bar.
        state: The job's.
        facts: What else is known, as text.
        share: How much is done, 0 to 1.
        role: base, imitation or reference, which colours the bar; "" for a neutral one.
    """
    return render(
        "shell/job_progress.html",
        name=name,
        state=STATES[state],
        bad=state in BAD,
        facts=facts,
        percent=100 * share,
        role=role,
    )


def command_html(command: str) -> Markup:
    """A command line with a button that copies it."""
    return render("shell/job_command.html", command=command)


def problem_html(message: str, hint: str = "") -> Markup:
    """What is wrong with a form."""
    return render("shell/job_problem.html", message=message, hint=hint)


def log_html(text: str) -> Markup:
    """The last lines a job printed."""
    return render("shell/job_log.html", text=text)


def button_html(do: str, identity: str, label: str, confirm: str = "", **data: str) -> Markup:
    """A button that tells the page what to do with a job, once confirmed where that is asked.

    Args:
        do: What to do.
        identity: The job's id.
        label: What people read.
        confirm: Question asked first, "" for none.
        data: More of what the page is told.
    """
    attributes = {"do": do, "id": identity, **data, **({"confirm": confirm} if confirm else {})}
    return render("shell/job_button.html", data=attributes, label=label)


def queue_words(state: JobState, ahead: int) -> list[str]:
    """The place of a job that waits for its turn; [] for any other."""
    if state != "queued":
        return []
    return [f"{ahead} before it" if ahead else "next"]


def seconds(value: float) -> str:
    """A duration in words: "40 s", "3 min", "2 h 5 min"."""
    if value < 90:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

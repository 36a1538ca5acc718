"""HTML of the Data page: sources, builds, and what a dataset holds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import quote

from dashboards.data.builds import Build
from dashboards.data.dataset_view import talk_html
from dashboards.shell.job_panel import BAD, button_html, command_html, progress_html, seconds
from dashboards.shell.markdown import plain
from dashboards.shell.refused_lines import refused_html
from imitation.data.library import Dataset
from imitation.data.sources.load import Source
from imitation.data.sources.preview import Glimpse

EMPTY = (
    '<p class="lab-quiet">No dataset yet. Choose a source above, look at it, add it, and build.</p>'
)


def glimpse_html(found: Glimpse) -> str:
    """How a source was understood: its shape, its first conversations, its refused rows."""
    told = "; ".join(f"{name} (by {', '.join(keys)})" for name, keys in found.shapes.items())
    count = len(found.conversations)
    about = f"Read as {told}. The first {count}:" if count > 1 else f"Read as {told}. The first:"
    if found.html:
        about += (
            f" {found.html} of them have answers in HTML: the step HTML to Markdown cleans them."
        )
    talks = "".join(f"<li>{talk_html(talk)}</li>" for talk in found.conversations)
    return (
        f'<section class="lab-glimpse" aria-label="Preview"><h3>{plain(found.name)}</h3>'
        f'<p class="lab-note">{plain(about)}</p><ol class="lab-talks">{talks}</ol>'
        f"{refused_html(found.refused)}</section>"
    )


def looking_html(source: Source) -> str:
    """While a job looks at a hub dataset."""
    return f'<p class="lab-quiet" role="status">Looking at {plain(source.path)} ...</p>'


def mixture_html(sources: Sequence[Source]) -> str:
    """The sources chosen, each with a button that takes it out."""
    if not sources:
        return '<p class="lab-quiet">No source chosen yet.</p>'
    rows = "".join(
        f'<li><span class="lab-open"><b>{at}. {plain(source.name)}</b>'
        f"<small>{plain(source.path)} · {plain(source.licence or 'licence not stated')}</small>"
        f'</span><button type="button" data-do="remove" data-at="{at - 1}">Take out</button></li>'
        for at, source in enumerate(sources, 1)
    )
    return f'<ol class="lab-history lab-chosen">{rows}</ol>'


def list_html(builds: Sequence[Build], chosen: str) -> str:
    """The datasets, newest first; the chosen one is marked."""
    if not builds:
        return EMPTY
    rows = "".join(_row(build, build.name == chosen) for build in builds)
    return f'<ol class="lab-history lab-runs">{rows}</ol>'


def head_html(build: Build) -> str:
    """The chosen dataset: how it ended, what can be done with it, and its command."""
    said = f"<p>{plain(build.detail)}</p>" if build.detail else ""
    bad = " lab-problem" if build.state in BAD else ""
    made = '<p class="lab-note">Made by a command typed by hand: delete its folder yourself.</p>'
    if build.command:
        typed = command_html(build.command)
        made = f'<details class="lab-sent"><summary>Command</summary>{typed}</details>'
    return (
        f'<section class="lab-run{bad}" aria-label="{plain(build.name)}">'
        f'<h2>{plain(build.name)}</h2>{said}<div class="lab-vote lab-actions">{_actions(build)}'
        f"</div>{made}</section>"
    )


def _row(build: Build, chosen: bool) -> str:
    here = ' aria-current="true"' if chosen else ""
    when = time.strftime("%d %b %H:%M", time.localtime(build.created))
    names = ", ".join(str(source["name"]) for source in build.sources)
    about = " · ".join(filter(None, [names, when, "yours" if build.mine else ""]))
    return (
        f'<li{here}><button type="button" class="lab-open" data-do="show" '
        f'data-id="{plain(build.name)}"><b>{plain(build.name)}</b><small>{plain(about)}</small>'
        "</button>"
        + str(progress_html(build.name, build.state, _facts(build), build.share or 0.0))
        + "</li>"
    )


def _facts(build: Build) -> str:
    parts = [build.doing] if build.doing else []
    if build.state == "queued":
        parts.append(f"{build.ahead} before it" if build.ahead else "next")
    if build.dataset:
        parts.append(f"{build.dataset.conversations:,} conversations")
        parts.append(f"{build.dataset.tokens:,} tokens")
    elif build.steps:
        parts.append(f"{build.steps[-1]['kept']:,} conversations kept")
    if build.seconds is not None:
        parts.append(f"took {seconds(build.seconds)}" if not build.is_live else
                     f"{seconds(build.seconds)} so far")  # fmt: skip
    return " · ".join(parts)


def _actions(build: Build) -> str:
    made = []
    if build.dataset:
        made += [_download(build.dataset, "data.parquet", "Parquet")]
        made += [_download(build.dataset, "data.jsonl", "JSONL")]
        made += [_download(build.dataset, "manifest.json", "Manifest")]
        made.append(f'<a href="finetune?data={quote(build.name)}">Fine-tune on it</a>')
    if build.mine and build.state in ("queued", "running"):
        made.append(button_html("stop", build.name, "Stop"))
    elif build.mine and build.state == "stopping":
        made.append(button_html("kill", build.name, "Kill now", "Kill it without waiting?"))
    elif build.mine:
        made.append(button_html("delete", build.name, "Delete", f"Delete {build.name} for good?"))
    return "".join(made)


def _download(dataset: Dataset, file: str, label: str) -> str:
    href = f"gradio_api/file={quote(str(dataset.folder / file))}"
    return f'<a href="{plain(href)}" download>{label}</a>'

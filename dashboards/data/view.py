"""HTML of the Data page: sources, and the list of datasets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import quote

from markupsafe import Markup

from dashboards.data.builds import Build
from dashboards.data.dataset_view import conversation_html
from dashboards.shell.job_panel import (
    JobRow,
    command_html,
    detail_html,
    end_buttons,
    progress_html,
    queue_words,
    rows_html,
    seconds,
)
from dashboards.shell.refused_lines import refused_html
from dashboards.shell.templates import render
from imitation.data.sources.load import Source
from imitation.data.sources.preview import Preview

EMPTY = "No dataset yet. Choose a source above, look at it, add it, and build."
FILES = {"data.parquet": "Parquet", "data.jsonl": "JSONL", "manifest.json": "Manifest"}
"""Files of a dataset that can be downloaded, and what their links say."""


def preview_html(preview: Preview) -> Markup:
    """How a source was understood: its shape, its first conversations, its refused rows."""
    shapes = "; ".join(f"{name} (by {', '.join(keys)})" for name, keys in preview.shapes.items())
    count = len(preview.conversations)
    about = (
        f"Read as {shapes}. The first {count}:" if count > 1 else f"Read as {shapes}. The first:"
    )
    if preview.html:
        about += (
            f" {preview.html} of them have answers in HTML: the step HTML to Markdown cleans them."
        )
    return render(
        "data/preview.html",
        name=preview.name,
        about=about,
        conversations=[conversation_html(turns) for turns in preview.conversations],
        refused=refused_html(preview.refused),
    )


def waiting_html(source: Source) -> Markup:
    """While a job looks at a hub dataset."""
    return render("data/waiting.html", path=source.path)


def quiet_html(text: str) -> Markup:
    """Where there is nothing to show: why."""
    return render("data/quiet.html", text=text)


def empty_html() -> Markup:
    """The list where there is no dataset."""
    return quiet_html(EMPTY)


def mixture_html(sources: Sequence[Source]) -> Markup:
    """The sources chosen, each with a button that takes it out."""
    if not sources:
        return quiet_html("No source chosen yet.")
    return render("data/mixture.html", sources=sources)


def list_html(builds: Sequence[Build], chosen: str) -> Markup:
    """The datasets, newest first; the chosen one is marked."""
    if not builds:
        return empty_html()
    return rows_html([_row(build, build.name == chosen) for build in builds])


def head_html(build: Build) -> Markup:
    """The chosen dataset: how it ended, what can be done with it, and its command."""
    buttons = [_links_html(build)]
    if build.mine:
        buttons += end_buttons(
            build.name, build.state, "Kill it without waiting?", f"Delete {build.name} for good?"
        )
    command = command_html(build.command) if build.command else ""
    origin = render("data/origin.html", by_hand=not build.job, command=command)
    return detail_html(build.name, build.state, build.detail, buttons, origin)


def _row(build: Build, chosen: bool) -> JobRow:
    when = time.strftime("%d %b %H:%M", time.localtime(build.created))
    names = ", ".join(str(source["name"]) for source in build.sources)
    return JobRow(
        id=build.name,
        name=build.name,
        about=" · ".join(filter(None, [names, when, "yours" if build.mine else ""])),
        progress=progress_html(build.name, build.state, _facts(build), build.share or 0.0),
        chosen=chosen,
    )


def _facts(build: Build) -> str:
    facts = [build.doing] if build.doing else []
    facts += queue_words(build.state, build.ahead)
    if build.dataset:
        facts.append(f"{build.dataset.conversations:,} conversations")
        facts.append(f"{build.dataset.tokens:,} tokens")
    elif build.steps:
        facts.append(f"{build.steps[-1]['kept']:,} conversations kept")
    if build.seconds is not None:
        duration = seconds(build.seconds)
        facts.append(f"{duration} so far" if build.is_live else f"took {duration}")
    return " · ".join(facts)


def _links_html(build: Build) -> Markup:
    if build.dataset is None:
        return Markup("")
    folder = build.dataset.folder
    links = {label: quote(str(folder / file)) for file, label in FILES.items()}
    return render("data/links.html", files=links, name=quote(build.name))

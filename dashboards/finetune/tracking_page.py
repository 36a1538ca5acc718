"""trackio's page of a tracked run, under the run."""

from __future__ import annotations

import shlex
import threading
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from markupsafe import Markup

from dashboards.finetune.new_run import form_of
from dashboards.shell.context import Context
from dashboards.shell.job_panel import command_html, problem_html
from dashboards.shell.owned_jobs import check_allowed
from dashboards.shell.scripts import CLICK_JS
from dashboards.shell.templates import render
from imitation.errors import UserError

LOCAL = ("localhost", "127.0.0.1", "[::1]")
"""Names by which a browser calls the machine it runs on."""
TELLS_HOST = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do=open]');
  if (button) button.dataset.host = window.location.hostname;
}, true);
"""
CLOSED = render("finetune/trackio_closed.html")


def build(context: Context, place: gr.State, detail: gr.HTML) -> None:
    """The section under a run that was tracked; `place["run"]` is the run shown.

    Args:
        context: What pages work with.
        place: Of the page.
        detail: The run as shown, which changes when another is chosen.
    """
    handle = TrackingHandlers(context)
    with gr.Accordion("trackio", open=False, visible=False, elem_id="tracking") as box:
        shown = gr.HTML(CLOSED, js_on_load=TELLS_HOST + CLICK_JS, elem_id="tracking-page")
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    detail.change(handle.offer, place, box, trigger_mode="always_last", **quiet)
    shown.click(handle.open, None, shown, trigger_mode="once", **quiet)


class TrackingHandlers:
    """What the listeners do; each returns the updates of its outputs."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._lock = threading.Lock()
        self._server: Any = None

    def offer(self, place: dict[str, Any]) -> Any:
        """The section is there for tracked runs only."""
        try:
            job = self.context.jobs.job(str(place.get("run", "")))
        except UserError:
            return gr.update(visible=False)
        return gr.update(visible=bool(form_of(job.spec).changes.get("track")))

    def open(self, event: gr.EventData) -> str:
        """Show trackio's page inside this one, where the browser can reach it."""
        host = str((event._data or {}).get("host", ""))
        if host not in LOCAL:
            return far_html(self.context)
        try:
            check_allowed(self.context.settings)
            return page_html(self._started().url())
        except UserError as error:
            return f"{problem_html(error.message, error.hint)}{CLOSED}"

    def _started(self) -> Any:
        from training.tracking_server import TrackingServer

        with self._lock:
            if self._server is None:
                self._server = TrackingServer(self.context.settings)
            return self._server


def page_html(url: str) -> Markup:
    """The page in a frame, and a link to it."""
    return render("finetune/trackio.html", url=url, port=urlsplit(url).port)


def far_html(context: Context) -> Markup:
    """How to see it where the browser runs elsewhere."""
    from training.tracking import PROJECT, folder

    quoted = shlex.quote(str(folder(context.settings)))
    typed = f"TRACKIO_DIR={quoted} trackio show --project {PROJECT}"
    return render("finetune/trackio_far.html", command=command_html(typed))

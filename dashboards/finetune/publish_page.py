"""What comes after a fine-tune: to the hub, onto other servers, out of Compare again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from dashboards.finetune import publish as actions
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.listeners import QUIET, Updates, listen
from dashboards.shell.templates import render
from imitation.errors import UserError
from imitation.values import ModelSpec

POLL_S = 2.0
_STATES = {
    "queued": "Waiting to be sent",
    "running": "Sending",
    "stopping": "Stopping",
    "stopped": "Stopped",
    "failed": "Not sent",
    "out_of_memory": "Not sent",
    "done": "Sent",
}
NO_TOKEN = (
    f"To send it to the hub, set {actions.TOKEN} in the environment of the app; it is read there "
    "and never stored."
)
NO_SERVER = (
    "To serve it by vLLM or TGI, add the base they hold to models.toml (docs/setup/models.md)."
)


def build(context: Context, secret: gr.BrowserState, place: gr.State, detail: gr.HTML) -> None:
    """The section under a run; `place["run"]` is the run shown.

    Args:
        context: What pages work with.
        secret: The visitor's.
        place: Of the page.
        detail: The run as shown, which changes when another is chosen or it has ended.
    """
    handle = PublishHandlers(context)
    timer = gr.Timer(POLL_S, active=False)
    with gr.Accordion(
        "Share it, serve it elsewhere, take it back", open=False, visible=False, elem_id="after"
    ) as box:
        with gr.Row(elem_classes="lab-end"):
            repo = gr.Textbox(
                label="Repository on the hub", info="OWNER/NAME; sent with its model card.",
                max_length=200, scale=3, elem_id="after-repo",
            )  # fmt: skip
            public = gr.Checkbox(False, label="For everybody to see", scale=1, min_width=120)
            push = gr.Button("Push to the hub", scale=1, min_width=140, elem_id="after-push")
        with gr.Row(elem_classes="lab-end"):
            server = gr.Dropdown(
                [], label="Served by", info="A base of the catalog on vLLM or TGI.", scale=2,
                elem_id="after-server",
            )  # fmt: skip
            path = gr.Textbox(
                label="Adapter's folder on that machine", info="Empty: where it is here.",
                max_length=500, scale=2, elem_id="after-path",
            )  # fmt: skip
            serve = gr.Button("Serve there", scale=1, min_width=140, elem_id="after-serve")
        out = gr.Button("Take it out of Compare", size="sm", elem_id="after-out")
        notes = gr.HTML(elem_id="after-said")
    outputs: dict[str, Any] = {"box": box, "push": push, "server": server, "serve": serve}
    outputs |= {"out": out, "timer": timer, "notes": notes}
    inputs, once = [secret, place], {"trigger_mode": "once", **QUIET}
    listen(detail.change, handle.show, inputs, outputs, trigger_mode="always_last", **QUIET)
    listen(timer.tick, handle.show, inputs, outputs, **once)
    listen(push.click, handle.push, [*inputs, repo, public], outputs, **once)
    listen(serve.click, handle.serve, [*inputs, server, path], outputs, **once)
    listen(
        out.click, handle.take_out, inputs, outputs,
        js="(...all) => window.confirm('Take it out of Compare, and delete its adapter there?')"
        " ? all : ['', all[1]]",  # the second one is a state, which the server has from itself
        **once,
    )  # fmt: skip


class PublishHandlers:
    """What the listeners do; each returns updates by the name of what they are of."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def show(self, token: str, place: dict[str, Any], note: str = "") -> Updates:
        """The section for the run shown; hidden where it is not finished or not the visitor's."""
        identity = str(place.get("run", ""))
        try:
            job = self.context.jobs.job(identity)
        except UserError:
            return {"box": gr.update(visible=False), "timer": gr.Timer(active=False), "notes": ""}
        mine = job.spec.visitor == visitors.visitor_hash(token)
        servers = actions.endpoints(self.context)
        sent = actions.pushes(self.context, identity)
        name = job.spec.name
        holder = actions.served_by(self.context, name)
        notes = [note] if note else []
        notes += [self._served(name, holder)] if holder else []
        notes += [] if actions.token_is_set() else [NO_TOKEN]
        notes += [] if servers else [NO_SERVER]
        notes += [_words(push) for push in sent[:3]]
        can_push = actions.token_is_set() and self.context.settings.jobs
        chosen = {"value": holder.id, "interactive": False} if holder else {"interactive": True}
        label = "Load it again" if holder else "Serve there"
        return {
            "box": gr.update(visible=mine and job.state == "done"),
            "push": gr.update(interactive=can_push),
            "server": gr.update(choices=servers, **chosen),
            "serve": gr.update(value=label, interactive=bool(servers)),
            "out": gr.update(visible=name in self.context.catalog()),
            "timer": gr.Timer(active=any(push.is_live for push in sent)),
            "notes": render("finetune/notes.html", notes=notes),
        }

    def push(self, token: str, place: dict[str, Any], repo: str, public: bool) -> Updates:
        """Start sending it."""
        visitor = visitors.visitor_hash(token)
        return self._tried(
            token,
            place,
            lambda: actions.push(self.context, place["run"], visitor, repo or "", public) and "",
        )

    def serve(self, token: str, place: dict[str, Any], server: str | None, path: str) -> Updates:
        """Hand it to a server."""
        visitor = visitors.visitor_hash(token)
        return self._tried(
            token,
            place,
            lambda: actions.serve(self.context, place["run"], visitor, server or "", path or ""),
        )

    def take_out(self, token: str, place: dict[str, Any]) -> Updates:
        """Take it out of Compare, once confirmed."""
        if not token:
            return {}
        visitor = visitors.visitor_hash(token)
        return self._tried(
            token, place, lambda: actions.take_out(self.context, place["run"], visitor)
        )

    def _served(self, name: str, holder: ModelSpec) -> str:
        """Where a model is served, and whether its server still has it."""
        known = self.context.health.status(name)
        if known.state == "unreachable":
            return f"{name} is served by {holder.name}, and cannot be asked now: {known.reason}"
        return f"{name} is served by {holder.name}. A server that restarts has to load it again."

    def _tried(self, token: str, place: dict[str, Any], do: Callable[[], object]) -> Updates:
        try:
            note = str(do() or "")
        except UserError as error:
            gr.Warning(str(error))
            note = ""
        return self.show(token, place, note)


def _words(push: actions.Push) -> str:
    detail = f" {push.detail}" if push.detail else ""
    return f"{_STATES[push.state]}: {push.repo}.{detail}"

"""What comes after a fine-tune: to the hub, onto other servers, out of Compare again."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dashboards.finetune import publish as actions
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.markdown import plain
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
    "To serve it by vLLM or TGI, add the base they hold to models.toml (README, Your own models)."
)


def build(context: Context, secret: gr.BrowserState, place: gr.State, detail: gr.HTML) -> None:
    """The section under a run; `place["run"]` is the run shown.

    Args:
        context: What pages work with.
        secret: The visitor's.
        place: Of the page.
        detail: The run as shown, which changes when another is chosen or it has ended.
    """
    handle = _Handlers(context)
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
        said = gr.HTML(elem_id="after-said")
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    shown = [box, push, server, serve, out, timer, said]
    detail.change(handle.show, [secret, place], shown, trigger_mode="always_last", **quiet)
    timer.tick(handle.show, [secret, place], shown, trigger_mode="once", **quiet)
    push.click(handle.push, [secret, place, repo, public], shown, trigger_mode="once", **quiet)
    serve.click(handle.serve, [secret, place, server, path], shown, trigger_mode="once", **quiet)
    out.click(
        handle.take_out, [secret, place], shown, trigger_mode="once",
        js="(...all) => window.confirm('Take it out of Compare, and delete its adapter there?')"
        " ? all : ['', all[1]]",  # the second one is a state, which the server has from itself
        **quiet,
    )  # fmt: skip


class _Handlers:
    """What the listeners do; each returns the updates of its outputs."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def show(self, token: str, place: dict[str, Any], note: str = "") -> list[Any]:
        """The section for the run shown; hidden where it is not finished or not the visitor's."""
        identity = str(place.get("run", ""))
        try:
            job = self.context.jobs.job(identity)
        except UserError:
            return [gr.update(visible=False), *[gr.skip()] * 4, gr.Timer(active=False), ""]
        mine = job.spec.visitor == visitors.visitor_hash(token)
        servers = actions.endpoints(self.context)
        sent = actions.pushes(self.context, identity)
        name = job.spec.name
        holder = actions.served_by(self.context, name)
        notes = [note] if note else []
        notes += [self._served(name, holder)] if holder else []
        notes += [] if actions.token_is_set() else [NO_TOKEN]
        notes += [] if servers else [NO_SERVER]
        said = "".join(f'<p class="lab-note">{plain(text)}</p>' for text in notes)
        said += "".join(f'<p class="lab-note">{plain(_words(one))}</p>' for one in sent[:3])
        live = any(one.state in ("queued", "running", "stopping") for one in sent)
        return [
            gr.update(visible=mine and job.state == "done"),
            gr.update(interactive=actions.token_is_set() and self.context.settings.jobs),
            gr.update(choices=servers, value=holder.id, interactive=False)
            if holder
            else gr.update(choices=servers, interactive=True),
            gr.update(
                value="Load it again" if holder else "Serve there", interactive=bool(servers)
            ),
            gr.update(visible=name in self.context.catalog()),
            gr.Timer(active=live),
            said,
        ]

    def push(self, token: str, place: dict[str, Any], repo: str, public: bool) -> list[Any]:
        """Start sending it."""
        visitor = visitors.visitor_hash(token)
        return self._tried(
            token,
            place,
            lambda: actions.push(self.context, place["run"], visitor, repo or "", public) and "",
        )

    def serve(self, token: str, place: dict[str, Any], server: str | None, path: str) -> list[Any]:
        """Hand it to a server."""
        visitor = visitors.visitor_hash(token)
        return self._tried(
            token,
            place,
            lambda: actions.serve(self.context, place["run"], visitor, server or "", path or ""),
        )

    def take_out(self, token: str, place: dict[str, Any]) -> list[Any]:
        """Take it out of Compare, once confirmed."""
        if not token:
            return [gr.skip()] * 7
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

    def _tried(self, token: str, place: dict[str, Any], do: Any) -> list[Any]:
        try:
            note = str(do() or "")
        except UserError as error:
            gr.Warning(str(error))
            note = ""
        return self.show(token, place, note)


def _words(one: actions.Push) -> str:
    detail = f" {one.detail}" if one.detail else ""
    return f"{_STATES[one.state]}: {one.repo}.{detail}"

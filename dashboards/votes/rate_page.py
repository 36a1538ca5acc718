"""Rate: the page behind a study's invitation; one item at a time, made for a phone."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.scripts import CLICK_JS
from dashboards.shell.templates import title_html
from dashboards.votes import studies
from dashboards.votes.studies_view import rater_html
from imitation.errors import UserError

LEDE = "Two answers to one question. Which one is better?"
# The next item is read from its top.
TOP_JS = "() => window.scrollTo({ top: 0 })"


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    invite = gr.State("")
    gr.HTML(title_html("Blind comparison", LEDE))
    item = gr.HTML(js_on_load=CLICK_JS, elem_id="rate-item")

    def shown(token: str, link: str) -> str:
        study = studies.invited(context, link)
        if study is None:
            return rater_html(None, None)
        return rater_html(study, studies.show(context, study, visitors.visitor_hash(token)))

    def load(request: gr.Request, token: str) -> list[Any]:
        token = token or visitors.new_secret()
        link = str(dict(request.query_params).get("study", ""))
        return [token, link, shown(token, link)]

    def rate(event: gr.EventData, token: str, link: str) -> str:
        data = event._data or {}
        if data.get("do") == "rate":
            ballot, choice = str(data.get("token", "")), str(data.get("choice", ""))
            try:
                studies.vote(context, link, visitors.visitor_hash(token), ballot, choice)
            except UserError as error:
                gr.Warning(str(error))
        return shown(token, link)

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    page = gr.context.Context.root_block
    assert page is not None
    page.load(load, secret, [secret, invite, item], **quiet)
    item.click(rate, [secret, invite], item, trigger_mode="once", **quiet).then(None, js=TOP_JS)

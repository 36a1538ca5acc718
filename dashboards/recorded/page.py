"""Recorded: answers saved in files, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from dashboards.recorded import actions
from dashboards.recorded.actions import Imported, View
from dashboards.recorded.view import EMPTY, arena_html, imported_html, listing_html, report_html
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.listeners import QUIET, Updates, listen
from dashboards.shell.scripts import CLICK_JS
from dashboards.shell.templates import title_html
from imitation.errors import UserError
from imitation.storage import recordings

LEDE = (
    "Answers that models gave before, read from files: who sounds like the reference, and by how "
    "much? This is style only; whether an answer is right is another question."
)
FORMATS = Markup(
    '<p class="lab-note">'
    "FastChat's question.jsonl with files of answers, AlpacaEval outputs (JSON), MT-bench "
    "judgments (Parquet or JSONL), or our own JSONL, a line per prompt: "
    '<code>{"prompt": "...", "category": "...", "answers": {"model": "..."}}</code>. '
    "Lines that cannot be used are listed; the others load.</p>"
)
ALL = "*"
START = {"page": 0, "at": 0}
# After a click in the list the answers come into view.
SHOW_JS = (
    "() => document.getElementById('recorded-answers')"
    "?.scrollIntoView({ behavior: 'smooth', block: 'start' })"
)
CONFIRM_JS = "(...all) => window.confirm('Delete this set for good?') ? all : [all[0], '', all[2]]"


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    handle = _Handlers(context)
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    position = gr.State(START)
    gr.HTML(title_html("Recorded answers", LEDE))
    with gr.Row(elem_classes="lab-options"):
        chosen = gr.Dropdown([], label="Set", scale=4, min_width=260, elem_id="recorded-set")
        reference = gr.Dropdown(
            [], label="Reference", scale=4, min_width=260, elem_id="recorded-reference"
        )
        delete = gr.Button("Delete set", scale=1, min_width=120, visible=False, size="sm")
    with gr.Accordion("Import files", open=False, elem_id="recorded-import") as form:
        files, name, load, fetch = _import_form(context.settings.jobs)
    outcome = gr.HTML(elem_id="recorded-outcome")
    summary = gr.HTML(elem_id="recorded-summary")
    with gr.Column(visible=False) as browser:
        search, category, models = _filters()
        listing = gr.HTML(js_on_load=CLICK_JS, elem_id="recorded-list")
        arena = gr.HTML(js_on_load=CLICK_JS, elem_id="recorded-answers")

    set_outputs = {
        "set": chosen, "reference": reference, "models": models, "category": category,
        "position": position, "delete": delete, "browser": browser, "summary": summary,
        "listing": listing, "arena": arena,
    }  # fmt: skip
    choices = {
        "identity": chosen, "reference": reference, "models": models, "text": search,
        "category": category, "position": position,
    }  # fmt: skip
    page = gr.context.Context.root_block
    assert page is not None
    listen(page.load, handle.load, secret, {"secret": secret, "form": form, **set_outputs}, **QUIET)
    with_outcome = {"outcome": outcome, **set_outputs}
    listen(chosen.input, handle.other_set, [secret, chosen, search], with_outcome, **QUIET)
    for choice in (reference, models):
        listen(choice.input, handle.show, secret, set_outputs, choices, **QUIET)
    listen(category.input, handle.filtered, secret, set_outputs, choices, **QUIET)
    listen(
        search.change, handle.filtered, secret, set_outputs, choices,
        trigger_mode="always_last", **QUIET,
    )  # fmt: skip
    listen(listing.click, handle.moved, secret, set_outputs, choices, **QUIET).then(
        None, js=SHOW_JS
    )
    listen(arena.click, handle.moved, secret, set_outputs, choices, **QUIET)
    for button, read in ((load, handle.import_files), (fetch, handle.import_mt_bench)):
        listen(
            button.click,
            read,
            [secret, search, files, name],
            {"outcome": outcome, "form": form, "files": files, "name": name, **set_outputs},
            trigger_mode="once",
            api_visibility="private",
        )
    listen(
        delete.click, handle.delete, [secret, chosen, search], with_outcome, js=CONFIRM_JS, **QUIET
    )


class _Handlers:
    """What the listeners do; each returns the updates of its outputs by name."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def show(
        self,
        token: str,
        identity: str | None,
        reference: str | None = "",
        models: list[str] | None = None,
        text: str | None = "",
        category: str | None = ALL,
        position: dict[str, int] | None = None,
    ) -> Updates:
        """A look at a set, through the choices made."""
        visitor = visitors.visitor_hash(token)
        db = self.context.db
        category = category or ALL
        view = actions.look(
            db,
            identity or "",
            visitor,
            reference=reference or "",
            chosen=models or (),
            text=text or "",
            category=None if category == ALL else category.removeprefix("="),
            **(position or START),
        )
        names = [(f"{s.name} ({s.prompts:,} prompts)", s.id) for s in recordings.sets(db, visitor)]
        if view is None:
            return _nothing(names)
        others = [model for model in view.set.models if model != view.reference]
        report = actions.toned_report(db, view.set.id, view.reference, visitor)
        return {
            "set": gr.update(choices=names, value=view.set.id),
            "reference": gr.update(choices=list(view.set.models), value=view.reference),
            "models": gr.update(choices=others, value=list(view.models[:-1])),
            "category": gr.update(choices=_categories(view), value=category),
            "position": {"page": view.page, "at": view.at},
            "delete": gr.update(visible=view.set.visitor == visitor),
            "browser": gr.update(visible=True),
            "summary": report_html(view.set, report),
            "listing": listing_html(view),
            "arena": arena_html(view),
        }

    def load(self, token: str) -> Updates:
        """The newest set; without any, the form."""
        token = token or visitors.new_secret()
        newest = self._newest(token)
        form = gr.update(open=not newest)
        return {"secret": token, "form": form, **self.show(token, newest)}

    def other_set(self, token: str, identity: str, text: str) -> Updates:
        """Another set, its choices not yet made."""
        return {"outcome": "", **self.show(token, identity, text=text)}

    def filtered(self, token: str, **choices: Any) -> Updates:
        """Another search or category: from the start."""
        return self.show(token, **{**choices, "position": START})

    def moved(self, event: gr.EventData, token: str, **choices: Any) -> Updates:
        """A click on a prompt, a page, or a step from prompt to prompt (the list follows)."""
        data = event._data or {}
        do, to = str(data.get("do", "")), str(data.get("to", ""))
        if do not in ("at", "page", "step") or not to.isdigit():
            return {}
        position = dict(choices["position"] or START)
        position["page" if do == "page" else "at"] = int(to)
        if do == "step":
            position["page"] = int(to) // actions.PAGE
        return self.show(token, **{**choices, "position": position})

    def import_files(
        self, token: str, text: str, paths: list[str] | None, name: str | None
    ) -> Updates:
        """Read the files chosen into a new set and show it."""
        try:
            done = actions.import_files(
                self.context.db,
                [Path(path) for path in paths or ()],
                name or "",
                visitors.visitor_hash(token),
            )
        except UserError as error:
            return _refused(error)
        return self._imported(done, token, text)

    def import_mt_bench(self, token: str, text: str, *_: Any) -> Updates:
        """Fetch MT-bench into a new set and show it."""
        visitor = visitors.visitor_hash(token)
        try:
            done = actions.import_mt_bench(self.context.db, self.context.settings, visitor)
        except UserError as error:
            return _refused(error)
        return self._imported(done, token, text)

    def delete(self, token: str, identity: str | None, text: str) -> Updates:
        """Delete the set shown, if it is the visitor's, and show the newest of the others."""
        if not identity:  # not confirmed
            return {}
        try:
            deleted = recordings.delete(self.context.db, identity, visitors.visitor_hash(token))
        except UserError as error:
            return _refused(error)
        if not deleted:
            gr.Warning("Only its maker can delete a set.")
        return {"outcome": "", **self.show(token, self._newest(token), text=text)}

    def _newest(self, token: str) -> str:
        sets = recordings.sets(self.context.db, visitors.visitor_hash(token))
        return sets[0].id if sets else ""

    def _imported(self, done: Imported, token: str, text: str) -> Updates:
        outcome = {"outcome": imported_html(done)}
        if done.identity is None:
            return outcome
        emptied = {"form": gr.update(open=False), "files": None, "name": ""}
        return {**outcome, **emptied, **self.show(token, done.identity, text=text)}


def _refused(error: UserError) -> Updates:
    gr.Warning(str(error))
    return {}


def _import_form(may_fetch: bool) -> tuple[gr.File, gr.Textbox, gr.Button, gr.Button]:
    gr.HTML(FORMATS)
    files = gr.File(
        label="Files",
        file_count="multiple",
        file_types=[".jsonl", ".json", ".parquet"],
        height=150,
        elem_id="recorded-files",
    )
    with gr.Row(elem_classes="lab-end"):
        name = gr.Textbox(
            label="Name of the set", placeholder="The files' names", scale=3, max_length=120
        )
        load = gr.Button("Import", variant="primary", scale=1, elem_id="recorded-load")
        fetch = gr.Button(
            "Fetch MT-bench from the hub" if may_fetch else "Fetching is switched off here",
            interactive=may_fetch, scale=2, elem_id="recorded-fetch",
        )  # fmt: skip
    return files, name, load, fetch


def _filters() -> tuple[gr.Textbox, gr.Dropdown, gr.Dropdown]:
    with gr.Row():
        search = gr.Textbox(
            label="Search the prompts", placeholder="Any words", elem_id="recorded-search"
        )
        category = gr.Dropdown([], label="Category", elem_id="recorded-category")
        models = gr.Dropdown(
            [],
            label="Shown beside the reference",
            multiselect=True,
            max_choices=actions.MAX_COLUMNS - 1,
            elem_id="recorded-models",
        )
    return search, category, models


def _categories(view: View) -> list[tuple[str, str]]:
    """Labels with counts; values marked so that no category can be taken for ALL."""
    named = [(f"{name or 'None'} ({n:,})", f"={name}") for name, n in view.categories]
    return [("All", ALL), *named]


def _nothing(names: list[tuple[str, str]]) -> Updates:
    """Updates where no set is open."""
    return {
        "set": gr.update(choices=names, value=None),
        "reference": gr.update(choices=[], value=None),
        "models": gr.update(choices=[], value=[]),
        "category": gr.update(choices=[], value=None),
        "position": START,
        "delete": gr.update(visible=False),
        "browser": gr.update(visible=False),
        "summary": "" if names else EMPTY,
        "listing": "",
        "arena": "",
    }

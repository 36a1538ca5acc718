"""Data: the datasets built and being built, and what is in the one shown; a part of the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from dashboards.data import builds, dataset_view, sources, view
from dashboards.data import new_dataset as actions
from dashboards.data.builds import Build
from dashboards.data.form import form_from
from dashboards.data.new_page import Draft, FormHandlers
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.drawing import drawing
from dashboards.shell.job_panel import problem_html
from dashboards.shell.palette import LIGHT
from imitation.data import library
from imitation.errors import UserError
from imitation.published import load_paper


@dataclass(frozen=True, slots=True)
class Selection:
    """The dataset shown.

    Attributes:
        name: Of the dataset; "" for the newest.
        opened: Its name once it is built and its inside is on the page; "" before.
        page: Of its conversations, from 0.
    """

    name: str = ""
    opened: str = ""
    page: int = 0


class BuildHandlers:
    """What the list's listeners do, and what starts a build; each returns what changes by name."""

    def __init__(self, context: Context, form: FormHandlers) -> None:
        self.context, self.form = context, form

    def load(self, token: str) -> dict[str, Any]:
        """The form with what the visitor left in it, and the newest dataset."""
        token = token or visitors.new_secret()
        visitor = visitors.visitor_hash(token)
        return {
            "token": token,
            **self.form.first(visitor),
            **self._listed(visitor, Selection(), Draft()),
        }

    def tick(self, token: str, selection: Selection, draft: Draft) -> dict[str, Any]:
        """What has changed since the last look, here and at the hub."""
        preview = self.form.hub(draft) if draft.job else {}
        draft = preview.get("draft", draft)
        return {**self._listed(visitors.visitor_hash(token), selection, draft), **preview}

    def start(self, token: str, draft: Draft, **form: Any) -> dict[str, Any]:
        """Start the build of the form and show it."""
        visitor = visitors.visitor_hash(token)
        try:
            job = actions.start(self.context, form_from(draft.sources, form), visitor)
        except UserError as error:
            gr.Warning(str(error))
            return {}
        return {
            "name": actions.next_name(self.context),
            **self._listed(visitor, Selection(job.spec.name), draft),
        }

    def clicked(
        self, button: Mapping[str, str], token: str, selection: Selection, draft: Draft
    ) -> dict[str, Any]:
        """A dataset was chosen."""
        selection = Selection(button.get("id", ""))
        return self._listed(visitors.visitor_hash(token), selection, draft)

    def acted(
        self, button: Mapping[str, str], token: str, selection: Selection, draft: Draft
    ) -> dict[str, Any]:
        """Stop or delete the dataset shown."""
        do, name = button.get("do", ""), button.get("id", "")
        visitor = visitors.visitor_hash(token)
        try:
            if do in ("stop", "kill"):
                builds.stop(self.context, name, visitor, kill=do == "kill")
            elif do == "delete":
                builds.delete(self.context, name, visitor)
                selection = Selection()
        except UserError as error:
            gr.Warning(str(error))
        return self._listed(visitor, selection, draft)

    def searched(self, selection: Selection, search: str, origin: str | None) -> dict[str, Any]:
        """The first page of what fits."""
        return self._turned(selection, 0, search, origin)

    def paged(
        self, button: Mapping[str, str], selection: Selection, search: str, origin: str | None
    ) -> dict[str, Any]:
        """Another page of what fits."""
        page = button.get("to", "")
        if not page.isdigit():
            return {}
        return self._turned(selection, int(page), search, origin)

    def _turned(
        self, selection: Selection, page: int, search: str, origin: str | None
    ) -> dict[str, Any]:
        return {
            "selection": replace(selection, page=page),
            "conversations": self._conversations(selection.opened, search, origin, page),
        }

    def _listed(self, visitor: str, selection: Selection, draft: Draft) -> dict[str, Any]:
        """Updates of all that shows datasets; the inside only where another one is shown."""
        listing = builds.builds(self.context, visitor)
        newest = listing[0] if listing else None
        build = next((b for b in listing if b.name == selection.name), newest)
        timer = gr.Timer(active=any(b.is_live for b in listing) or bool(draft.job))
        if build is None:
            return {
                "selection": Selection(),
                "timer": timer,
                "listing": view.empty_html(),
                "head": "",
                "detail": gr.update(visible=False),
                "counts": "",
            }
        opened = build.name if build.dataset else ""
        is_other = opened != selection.opened or build.name != selection.name
        return {
            "selection": replace(selection, name=build.name, opened=opened),
            "timer": timer,
            "listing": view.list_html(listing, build.name),
            "head": view.head_html(build),
            "detail": gr.update(visible=True),
            "counts": dataset_view.counts_html(build),
            **(self._inside(build) if is_other else {}),
        }

    def _inside(self, build: Build) -> dict[str, Any]:
        if build.dataset is None:
            waiting = view.quiet_html("Once it is built.")
            return {
                "origin": gr.update(choices=[], value=None),
                "conversations": waiting,
                "figure": None,
                "diversity": waiting,
                "manifest": waiting,
            }
        report = build.dataset.manifest.get("diversity")
        origins = [("All", ""), *((name, name) for name in build.dataset.sources)]
        return {
            "origin": gr.update(choices=origins, value=""),
            "conversations": self._conversations(build.name, "", "", 0),
            "figure": _figure(report),
            "diversity": dataset_view.diversity_html(report, load_paper().query_types),
            "manifest": dataset_view.manifest_html(build.dataset),
        }

    def _conversations(self, name: str, search: str, origin: str | None, page: int) -> str:
        if not name:
            return ""
        count = dataset_view.PAGE
        try:
            dataset = library.open_dataset(sources.folder(self.context.settings), name)
            matches = library.look(dataset, search or "", origin or "", page * count, count)
        except UserError as error:
            return problem_html(error.message, error.hint)
        return dataset_view.conversations_html(matches, page)


def _figure(report: dict[str, Any] | None) -> dict[str, Any] | None:
    """The histogram as plain Plotly JSON; None where there is none."""
    # Here, since Plotly takes a second to import, and the page opens without a histogram.
    from dashboards.data.figures import nearest_histogram
    from dashboards.shell.figures.template import plotly_template

    if not report or report["mean_bleu"] is None:
        return None
    datasets = load_paper().datasets
    published = {
        "ShareGPT-Mix": datasets["sharegpt_mix"]["nearest_query_bleu"],
        "Super-NaturalInstructions": datasets["super_natural_instructions"]["nearest_query_bleu"],
    }
    template = plotly_template(LIGHT)
    histogram = nearest_histogram(
        report["histogram"], report["mean_bleu"], published, LIGHT, template
    )
    figure: dict[str, Any] = json.loads(histogram.to_json())
    return {**figure, **drawing(), "filename": "diversity"}

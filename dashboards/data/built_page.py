"""Data: the datasets built and being built, and what is in the one shown; a part of the page."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from dashboards.data import builds, sources, view
from dashboards.data import dataset_view as inside
from dashboards.data import new_dataset as actions
from dashboards.data.builds import Build
from dashboards.data.form import form_from
from dashboards.data.new_page import CHOSEN, FormHandlers
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.drawing import drawing
from dashboards.shell.job_panel import problem_html
from dashboards.shell.palette import LIGHT
from imitation.data import library
from imitation.errors import UserError
from imitation.published import load_paper

PLACE: dict[str, Any] = {"name": "", "shown": "", "page": 0}


class BuildHandlers:
    """What the list's listeners do, and what starts a build; each returns its outputs' updates."""

    def __init__(self, context: Context, form: FormHandlers) -> None:
        self.context, self.form = context, form

    def load(self, token: str) -> list[Any]:
        """The form with what the visitor left in it, and the newest dataset."""
        token = token or visitors.new_secret()
        visitor = visitors.visitor_hash(token)
        return [token, *self.form.first(visitor), *self._shown(visitor, PLACE, CHOSEN)]

    def tick(self, token: str, place: dict[str, Any], chosen: dict[str, Any]) -> list[Any]:
        """What has changed since the last look, here and at the hub."""
        looks: list[Any] = [gr.skip()] * 4
        if chosen["job"]:
            looks = self.form.hub(chosen)
            chosen = chosen if looks[3] == gr.skip() else looks[3]
        return [*self._shown(visitors.visitor_hash(token), place, chosen), *looks]

    def start(self, token: str, chosen: dict[str, Any], *fields: Any) -> list[Any]:
        """Start the build of the form and show it."""
        visitor = visitors.visitor_hash(token)
        try:
            job = actions.start(self.context, form_from(chosen, fields), visitor)
        except UserError as error:
            gr.Warning(str(error))
            return [gr.skip()] * 12
        name = actions.next_name(self.context)
        return [name, *self._shown(visitor, {**PLACE, "name": job.spec.name}, chosen)]

    def clicked(
        self, event: gr.EventData, token: str, place: dict[str, Any], chosen: dict[str, Any]
    ) -> list[Any]:
        """A dataset was chosen."""
        name = str((event._data or {}).get("id", ""))
        return self._shown(visitors.visitor_hash(token), {**PLACE, "name": name}, chosen)

    def acted(
        self, event: gr.EventData, token: str, place: dict[str, Any], chosen: dict[str, Any]
    ) -> list[Any]:
        """Stop or delete the dataset shown."""
        data = event._data or {}
        do, name = str(data.get("do", "")), str(data.get("id", ""))
        visitor = visitors.visitor_hash(token)
        try:
            if do in ("stop", "kill"):
                builds.stop(self.context, name, visitor, kill=do == "kill")
            elif do == "delete":
                builds.delete(self.context, name, visitor)
                place = PLACE
        except UserError as error:
            gr.Warning(str(error))
        return self._shown(visitor, place, chosen)

    def searched(self, place: dict[str, Any], text: str, origin: str | None) -> list[Any]:
        """The first page of what fits."""
        return [{**place, "page": 0}, self._found(place["shown"], text, origin, 0)]

    def paged(
        self, event: gr.EventData, place: dict[str, Any], text: str, origin: str | None
    ) -> list[Any]:
        """Another page of what fits."""
        to = str((event._data or {}).get("to", ""))
        if not to.isdigit():
            return [gr.skip()] * 2
        return [{**place, "page": int(to)}, self._found(place["shown"], text, origin, int(to))]

    def _shown(self, visitor: str, place: dict[str, Any], chosen: dict[str, Any]) -> list[Any]:
        """Updates of all that shows datasets; the inside only where another one is shown."""
        found = builds.builds(self.context, visitor)
        build = next((b for b in found if b.name == place["name"]), found[0] if found else None)
        timer = gr.Timer(active=any(b.is_live for b in found) or bool(chosen["job"]))
        if build is None:
            closed = gr.update(visible=False)
            return [PLACE, timer, view.EMPTY, "", closed, "", *[gr.skip()] * 5]
        ready = build.name if build.dataset else ""
        deep: list[Any] = [gr.skip()] * 5
        if ready != place["shown"] or build.name != place["name"]:
            deep = self._inside(build)
        return [
            {**place, "name": build.name, "shown": ready},
            timer,
            view.list_html(found, build.name),
            view.head_html(build),
            gr.update(visible=True),
            inside.counts_html(build),
            *deep,
        ]

    def _inside(self, build: Build) -> list[Any]:
        if build.dataset is None:
            waiting = '<p class="lab-quiet">Once it is built.</p>'
            return [gr.update(choices=[], value=None), waiting, None, waiting, waiting]
        report = build.dataset.manifest.get("diversity")
        origins = [("All", ""), *((name, name) for name in build.dataset.sources)]
        return [
            gr.update(choices=origins, value=""),
            self._found(build.name, "", "", 0),
            _drawn(report),
            inside.diversity_html(report, load_paper().query_types),
            inside.manifest_html(build.dataset),
        ]

    def _found(self, name: str, text: str, origin: str | None, page: int) -> str:
        if not name:
            return ""
        try:
            dataset = library.open_dataset(sources.folder(self.context.settings), name)
            start = page * inside.PAGE
            seen = library.look(dataset, text or "", origin or "", start, inside.PAGE)
        except UserError as error:
            return problem_html(error.message, error.hint)
        return inside.found_html(seen, page)


def _drawn(report: dict[str, Any] | None) -> dict[str, Any] | None:
    """The histogram as plain Plotly JSON; None where there is none."""
    from dashboards.data.figures import nearest_histogram
    from dashboards.shell.figures.template import plotly_template

    if not report or report["mean_bleu"] is None:
        return None
    known = load_paper().datasets
    published = {
        "ShareGPT-Mix": known["sharegpt_mix"]["nearest_query_bleu"],
        "Super-NaturalInstructions": known["super_natural_instructions"]["nearest_query_bleu"],
    }
    template = plotly_template(LIGHT)
    drawn = nearest_histogram(report["histogram"], report["mean_bleu"], published, LIGHT, template)
    figure: dict[str, Any] = json.loads(drawn.to_json())
    return {**figure, **drawing(), "filename": "diversity"}

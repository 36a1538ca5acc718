"""Data: the form of a new dataset and its sources; a part of the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from dashboards.data import mixtures, sources, view
from dashboards.data import new_dataset as actions
from dashboards.data.form import form_from
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.job_panel import command_html, problem_html
from imitation.data.sources.load import Source
from imitation.errors import UserError
from imitation.jobs.registry import as_typed, command

CHOSEN: dict[str, Any] = {"sources": (), "looked": None, "job": "", "loaded": False}


class FormHandlers:
    """What the form's listeners do; each returns the updates of its outputs."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def first(self, visitor: str) -> list[Any]:
        """Choices, a free name, and the mixture as the visitor left it."""
        settings = self.context.settings
        left = mixtures.kept(settings, visitor)
        if left.gone:
            gr.Warning(f"No longer there, so taken out of the mixture: {', '.join(left.gone)}.")
            self._keep(visitor, left.sources, left.weights)
        return [
            gr.update(choices=sources.source_choices(settings, visitor), value=None),
            gr.update(choices=sources.upload_choices(settings, visitor)),
            actions.next_name(self.context),
            gr.update(
                interactive=settings.jobs,
                value="Build" if settings.jobs else "Starting jobs is switched off here",
            ),
            *mixtures.kept_choices(settings, visitor),
            {**CHOSEN, "sources": left.sources, "loaded": True},
            view.mixture_html(left.sources),
            left.weights,
        ]

    def look(self, token: str, text: str | None, chosen: dict[str, Any]) -> list[Any]:
        """Show the first conversations of a source: a file at once, the hub by a job."""
        visitor = visitors.visitor_hash(token)
        chosen = {**chosen, "looked": None, "job": ""}
        nothing = [gr.update(visible=False), gr.skip(), chosen, gr.skip()]
        try:
            source = sources.source_of(self.context.settings, text or "", visitor)
            if source.path.startswith("hub:"):
                job = sources.ask_hub(self.context, source, visitor)
                chosen = {**chosen, "looked": source, "job": job.id}
                waiting = [gr.update(visible=False), source.licence, chosen, gr.Timer(active=True)]
                return [view.looking_html(source), *waiting]
            seen = sources.look(source)
        except UserError as error:
            return [problem_html(error.message, error.hint), *nothing]
        ready = {**chosen, "looked": source}
        return [
            view.glimpse_html(seen), gr.update(visible=True), source.licence, ready, gr.skip()
        ]  # fmt: skip

    def upload(self, token: str, path: str | None, chosen: dict[str, Any]) -> list[Any]:
        """Keep an uploaded file, choose it and look at it."""
        if not path:
            return [gr.skip()] * 8
        visitor, settings = visitors.visitor_hash(token), self.context.settings
        try:
            kept = sources.keep_upload(settings, visitor, Path(path))
        except UserError as error:
            gr.Warning(str(error))
            return [None, *[gr.skip()] * 7]
        choices = sources.source_choices(settings, visitor)
        chosen_one = gr.update(choices=choices, value=str(kept))
        against = gr.update(choices=sources.upload_choices(settings, visitor))
        return [None, chosen_one, against, *self.look(token, str(kept), chosen)]

    def hub(self, chosen: dict[str, Any]) -> list[Any]:
        """What the job at the hub has seen, once it has."""
        try:
            seen = sources.hub_glimpse(self.context, chosen["job"])
        except UserError as error:
            now = {**chosen, "looked": None, "job": ""}
            said = problem_html(error.message, error.hint)
            return [said, gr.update(visible=False), gr.skip(), now]
        if seen is None:
            return [gr.skip()] * 4
        return [
            view.glimpse_html(seen), gr.update(visible=True), gr.skip(), {**chosen, "job": ""}
        ]  # fmt: skip

    def add(
        self, token: str, chosen: dict[str, Any], weights: str, licence: str | None
    ) -> list[Any]:
        """The source looked at becomes part of the dataset."""
        looked: Source | None = chosen["looked"]
        if looked is None or chosen["job"]:
            gr.Warning("Look at a source first.")
            return [gr.skip()] * 4
        words = " ".join((licence or "").split()).lstrip("- ")
        try:
            kept = sources.added(chosen["sources"], replace(looked, licence=words))
        except UserError as error:
            gr.Warning(str(error))
            return [gr.skip()] * 4
        self._keep(visitors.visitor_hash(token), kept, weights)
        now = {**chosen, "sources": kept, "looked": None}
        return [now, view.mixture_html(kept), "", gr.update(visible=False)]

    def remove(
        self, event: gr.EventData, token: str, chosen: dict[str, Any], weights: str
    ) -> list[Any]:
        """Take a source out."""
        at = str((event._data or {}).get("at", ""))
        if not at.isdigit():
            return [gr.skip()] * 2
        kept = tuple(s for n, s in enumerate(chosen["sources"]) if n != int(at))
        self._keep(visitors.visitor_hash(token), kept, weights)
        return [{**chosen, "sources": kept}, view.mixture_html(kept)]

    def weigh(self, token: str, chosen: dict[str, Any], weights: str) -> None:
        """Keep the weights as they are typed; not those of a page that is still being loaded."""
        if chosen["loaded"]:
            self._keep(visitors.visitor_hash(token), chosen["sources"], weights)

    def choose(self, token: str, chosen: dict[str, Any], *values: Any) -> None:
        """Keep the steps and their settings, as `weigh` does the weights."""
        if chosen["loaded"]:
            visitor = visitors.visitor_hash(token)
            try:
                mixtures.keep_choices(self.context.settings, visitor, values)
            except UserError as error:
                gr.Warning(str(error))

    def plan(self, token: str, chosen: dict[str, Any], *fields: Any) -> str:
        """The command line of the form."""
        visitor = visitors.visitor_hash(token)
        try:
            parameters = actions.plan(self.context, form_from(chosen, fields), visitor)
        except UserError as error:
            return problem_html(error.message, error.hint) if chosen["sources"] else ""
        return command_html(as_typed(command("dataset", parameters)))

    def _keep(self, visitor: str, kept: tuple[Source, ...], weights: str | None) -> None:
        try:
            mixtures.keep(self.context.settings, visitor, kept, weights or "")
        except UserError as error:
            gr.Warning(str(error))

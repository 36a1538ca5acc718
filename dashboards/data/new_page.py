"""Data: the form of a new dataset and its sources; a part of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from dashboards.data import mixtures, sources, view
from dashboards.data import new_dataset as actions
from dashboards.data.form import form_from
from dashboards.shell import visitors
from dashboards.shell.context import Context
from dashboards.shell.job_panel import command_html, problem_html
from imitation.data.sources.load import HUB, Source
from imitation.errors import UserError
from imitation.jobs.registry import as_typed, command


@dataclass(frozen=True, slots=True)
class Draft:
    """What the page remembers of the dataset that is being put together.

    Attributes:
        sources: Added so far.
        previewed: The source that was looked at last, and can be added.
        job: Id of the job that looks at it on the hub; "" for none.
        loaded: The page has its visitor's choices, so that changes are theirs.
    """

    sources: tuple[Source, ...] = ()
    previewed: Source | None = None
    job: str = ""
    loaded: bool = False


class FormHandlers:
    """What the form's listeners do; each returns the outputs that change, by name."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def first(self, visitor: str) -> dict[str, Any]:
        """Choices, a free name, and the mixture as the visitor left it."""
        settings = self.context.settings
        mixture = mixtures.kept(settings, visitor)
        if mixture.gone:
            names = ", ".join(mixture.gone)
            gr.Warning(f"No longer there, so taken out of the mixture: {names}.")
            self._keep(visitor, mixture.sources, mixture.weights)
        return {
            **mixtures.kept_choices(settings, visitor),
            "source": gr.update(choices=sources.source_choices(settings, visitor), value=None),
            "against": gr.update(choices=sources.upload_choices(settings, visitor)),
            "name": actions.next_name(self.context),
            "start": gr.update(
                interactive=settings.jobs,
                value="Build" if settings.jobs else "Starting jobs is switched off here",
            ),
            "draft": Draft(sources=mixture.sources, loaded=True),
            "mixture": view.mixture_html(mixture.sources),
            "weights": mixture.weights,
        }

    def preview(self, token: str, source: str | None, draft: Draft) -> dict[str, Any]:
        """Show the first conversations of a source: a file at once, the hub by a job."""
        visitor = visitors.visitor_hash(token)
        draft = replace(draft, previewed=None, job="")
        closed = gr.update(visible=False)
        try:
            named = sources.source_of(self.context.settings, source or "", visitor)
            if named.path.startswith(HUB):
                job = sources.start_hub_preview(self.context, named, visitor)
                return {
                    "preview": view.waiting_html(named),
                    "confirm": closed,
                    "licence": named.licence,
                    "draft": replace(draft, previewed=named, job=job.id),
                    "timer": gr.Timer(active=True),
                }
            preview = sources.preview(named)
        except UserError as error:
            problem = problem_html(error.message, error.hint)
            return {"preview": problem, "confirm": closed, "draft": draft}
        return {
            "preview": view.preview_html(preview),
            "confirm": gr.update(visible=True),
            "licence": named.licence,
            "draft": replace(draft, previewed=named),
        }

    def upload(self, token: str, upload: str | None, draft: Draft) -> dict[str, Any]:
        """Keep an uploaded file, choose it and look at it."""
        if not upload:
            return {}
        visitor, settings = visitors.visitor_hash(token), self.context.settings
        try:
            file = str(sources.keep_upload(settings, visitor, Path(upload)))
        except UserError as error:
            gr.Warning(str(error))
            return {"upload": None}
        choices = sources.source_choices(settings, visitor)
        return {
            "upload": None,
            "source": gr.update(choices=choices, value=file),
            "against": gr.update(choices=sources.upload_choices(settings, visitor)),
            **self.preview(token, file, draft),
        }

    def hub(self, draft: Draft) -> dict[str, Any]:
        """What the job at the hub has seen, once it has."""
        try:
            preview = sources.hub_preview(self.context, draft.job)
        except UserError as error:
            return {
                "preview": problem_html(error.message, error.hint),
                "confirm": gr.update(visible=False),
                "draft": replace(draft, previewed=None, job=""),
            }
        if preview is None:
            return {}
        return {
            "preview": view.preview_html(preview),
            "confirm": gr.update(visible=True),
            "draft": replace(draft, job=""),
        }

    def add(self, token: str, draft: Draft, weights: str, licence: str | None) -> dict[str, Any]:
        """The source looked at becomes part of the dataset."""
        if draft.previewed is None or draft.job:
            gr.Warning("Look at a source first.")
            return {}
        words = " ".join((licence or "").split()).lstrip("- ")
        try:
            mixture = sources.added(draft.sources, replace(draft.previewed, licence=words))
        except UserError as error:
            gr.Warning(str(error))
            return {}
        self._keep(visitors.visitor_hash(token), mixture, weights)
        return {
            "draft": replace(draft, sources=mixture, previewed=None),
            "mixture": view.mixture_html(mixture),
            "preview": "",
            "confirm": gr.update(visible=False),
        }

    def remove(
        self, button: Mapping[str, str], token: str, draft: Draft, weights: str
    ) -> dict[str, Any]:
        """Take a source out."""
        position = button.get("at", "")
        if not position.isdigit():
            return {}
        mixture = tuple(s for n, s in enumerate(draft.sources) if n != int(position))
        self._keep(visitors.visitor_hash(token), mixture, weights)
        return {
            "draft": replace(draft, sources=mixture),
            "mixture": view.mixture_html(mixture),
        }

    def weigh(self, token: str, draft: Draft, weights: str) -> None:
        """Keep the weights as they are typed; not those of a page that is still being loaded."""
        if draft.loaded:
            self._keep(visitors.visitor_hash(token), draft.sources, weights)

    def choose(self, token: str, draft: Draft, **choices: Any) -> None:
        """Keep the steps and their settings, as `weigh` does the weights."""
        if draft.loaded:
            visitor = visitors.visitor_hash(token)
            try:
                mixtures.keep_choices(self.context.settings, visitor, choices)
            except UserError as error:
                gr.Warning(str(error))

    def plan(self, token: str, draft: Draft, **form: Any) -> dict[str, Any]:
        """The command line of the form."""
        visitor = visitors.visitor_hash(token)
        try:
            parameters = actions.plan(self.context, form_from(draft.sources, form), visitor)
        except UserError as error:
            problem = problem_html(error.message, error.hint)
            return {"plan": problem if draft.sources else ""}
        return {"plan": command_html(as_typed(command("dataset", parameters)))}

    def _keep(self, visitor: str, mixture: tuple[Source, ...], weights: str | None) -> None:
        try:
            mixtures.keep(self.context.settings, visitor, mixture, weights or "")
        except UserError as error:
            gr.Warning(str(error))

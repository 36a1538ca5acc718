"""Data: make the datasets that imitations learn from, and look into them."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from dashboards import data_view as view
from dashboards import dataset_view as inside
from dashboards.actions import builds, sources, visitors
from dashboards.actions import data as actions
from dashboards.actions.builds import Build
from dashboards.components import CLICK_JS
from dashboards.context import Context
from dashboards.data_form import form_from, settings_form, source_form
from dashboards.job_view import command_html, problem_html
from dashboards.pages import data_answers
from dashboards.palette import DARK, LIGHT
from dashboards.published import load_paper
from imitation.data import library
from imitation.data.load import Source
from imitation.errors import UserError
from imitation.jobs.kinds import as_typed

LEDE = (
    "What a reference answered, gathered, cleaned and mixed into the data an imitation learns "
    "from. Builds go on when this page is closed; each is an ordinary command."
)
POLL_S = 2.0
PLACE: dict[str, Any] = {"name": "", "shown": "", "page": 0}
CHOSEN: dict[str, Any] = {"sources": (), "looked": None, "job": ""}
_SCRIPT = Path(__file__).with_name("figure.js")
_PLOTLY = Path(str(files("plotly") / "package_data" / "plotly.min.js"))
FIGURE = (
    '<figure class="lab-figure" hidden><div class="lab-plot" role="img" aria-label="Histogram of '
    'nearest-query BLEU; the text beside it holds the mean"></div>'
    '<figcaption class="lab-links"><span>For each query, BLEU of its most similar other one.</span>'
    '<button type="button" data-format="png">PNG</button>'
    '<button type="button" data-format="svg">SVG</button></figcaption></figure>'
)


def build(context: Context) -> None:
    """The page's components and listeners; called inside its route."""
    handle = _Handlers(context)
    secret = gr.BrowserState("", storage_key="imitation-lab-visitor", secret="imitation-lab")
    place, chosen = gr.State(PLACE), gr.State(CHOSEN)
    timer = gr.Timer(POLL_S, active=False)
    gr.HTML(f'<h1 class="lab-title">Data</h1><p class="lab-lede">{LEDE}</p>')
    with gr.Accordion("New dataset", open=True, elem_id="data-new"):
        source, look, upload = source_form()
        glimpse = gr.HTML(elem_id="data-glimpse")
        with gr.Row(visible=False, elem_classes="lab-end") as confirm:
            licence = gr.Textbox(
                label="Licence", info="As its owner states it; kept in the manifest.",
                max_length=120, elem_id="data-licence", scale=3,
            )  # fmt: skip
            add = gr.Button("Add this source", variant="primary", elem_id="data-add", scale=1)
        listed = gr.HTML(view.mixture_html(()), js_on_load=CLICK_JS, elem_id="data-sources")
        fields = settings_form()
        planned = gr.HTML(js_on_load=CLICK_JS, elem_id="data-plan")
        start = gr.Button("Build", variant="primary", elem_id="data-build")
    data_answers.build(context, secret, source)
    listing = gr.HTML(js_on_load=CLICK_JS, elem_id="data-list")
    head = gr.HTML(js_on_load=CLICK_JS, elem_id="data-head")
    with gr.Column(visible=False) as detail:
        looked_into = _detail(context)
    counts, search, origin, found, figure, diversity, manifest = looked_into

    shown = [place, timer, listing, head, detail, counts]
    deep = [origin, found, figure, diversity, manifest]
    looks = [glimpse, confirm, licence, chosen, timer]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    page = gr.context.Context.root_block
    assert page is not None
    page.load(
        handle.load, [secret, chosen],
        [secret, source, fields.against, fields.name, start, *shown, *deep], **quiet,
    )  # fmt: skip
    timer.tick(
        handle.tick, [secret, place, chosen], [*shown, *deep, *looks[:-1]],
        trigger_mode="once", **quiet,
    )  # fmt: skip
    look.click(handle.look, [secret, source, chosen], looks, trigger_mode="once", **quiet)
    upload.upload(
        handle.upload, [secret, upload, chosen], [upload, source, fields.against, *looks], **quiet
    )
    add.click(handle.add, [chosen, licence], [chosen, listed, glimpse, confirm], **quiet)
    listed.click(handle.remove, chosen, [chosen, listed], **quiet)
    typed = [chosen, *fields.all]
    for field in (chosen, *fields.all):
        field.change(handle.plan, [secret, *typed], planned, trigger_mode="always_last", **quiet)
    start.click(
        handle.start, [secret, *typed], [fields.name, *shown, *deep], trigger_mode="once", **quiet
    )
    always: dict[str, Any] = {**quiet, "trigger_mode": "multiple"}  # no click is lost
    listing.click(handle.clicked, [secret, place, chosen], [*shown, *deep], **always)
    head.click(handle.acted, [secret, place, chosen], [*shown, *deep], **always)
    seeks = [place, search, origin]
    search.change(handle.searched, seeks, [place, found], trigger_mode="always_last", **quiet)
    origin.input(handle.searched, seeks, [place, found], **quiet)
    found.click(handle.paged, seeks, [place, found], **quiet)


def _detail(context: Context) -> tuple[Any, ...]:
    with gr.Tabs(elem_id="data-tabs"):
        with gr.Tab("Counts"):
            counts = gr.HTML(elem_id="data-counts")
        with gr.Tab("Browse"):
            with gr.Row():
                search = gr.Textbox(
                    label="Search", placeholder="Words that all occur", elem_id="data-search"
                )
                origin = gr.Dropdown([], label="Source", elem_id="data-origin")
            found = gr.HTML(js_on_load=CLICK_JS, elem_id="data-found")
        with gr.Tab("Diversity"):
            figure = _figure()
            diversity = gr.HTML(elem_id="data-diversity")
        with gr.Tab("Manifest"):
            manifest = gr.HTML(elem_id="data-manifest")
    datasets = sources.folder(context.settings)
    # Datasets are served from where they lie: a copy for each look takes too long.
    gr.set_static_paths([_PLOTLY, datasets])
    return counts, search, origin, found, figure, diversity, manifest


def _figure() -> gr.HTML:
    return gr.HTML(
        None,
        html_template=FIGURE,
        js_on_load=_SCRIPT.read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="data-figure",
    )


class _Handlers:
    """What the listeners do; each returns the updates of its outputs."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def load(self, token: str, chosen: dict[str, Any]) -> list[Any]:
        """The list of sources, a free name, and the newest dataset."""
        token = token or visitors.new_secret()
        visitor = visitors.visitor_hash(token)
        choices = sources.source_choices(self.context.settings, visitor)
        may = self.context.settings.jobs
        start = gr.update(
            interactive=may, value="Build" if may else "Starting jobs is switched off here"
        )
        name = actions.free_name(self.context)
        source = gr.update(choices=choices, value=None)
        against = gr.update(choices=sources.upload_choices(self.context.settings, visitor))
        return [token, source, against, name, start, *self._shown(visitor, PLACE, chosen)]

    def tick(self, token: str, place: dict[str, Any], chosen: dict[str, Any]) -> list[Any]:
        """What has changed since the last look, here and at the hub."""
        looks: list[Any] = [gr.skip()] * 4
        if chosen["job"]:
            looks = self._hub(chosen)
            chosen = chosen if looks[3] == gr.skip() else looks[3]
        return [*self._shown(visitors.visitor_hash(token), place, chosen), *looks]

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

    def add(self, chosen: dict[str, Any], licence: str | None) -> list[Any]:
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
        now = {**chosen, "sources": kept, "looked": None}
        return [now, view.mixture_html(kept), "", gr.update(visible=False)]

    def remove(self, event: gr.EventData, chosen: dict[str, Any]) -> list[Any]:
        """Take a source out."""
        at = str((event._data or {}).get("at", ""))
        if not at.isdigit():
            return [gr.skip()] * 2
        kept = tuple(s for n, s in enumerate(chosen["sources"]) if n != int(at))
        return [{**chosen, "sources": kept}, view.mixture_html(kept)]

    def plan(self, token: str, chosen: dict[str, Any], *fields: Any) -> str:
        """The command line of the form."""
        visitor = visitors.visitor_hash(token)
        try:
            made = actions.plan(self.context, form_from(chosen, fields), visitor)
        except UserError as error:
            return problem_html(error.message, error.hint) if chosen["sources"] else ""
        return command_html(as_typed(made.argv))

    def start(self, token: str, chosen: dict[str, Any], *fields: Any) -> list[Any]:
        """Start the build of the form and show it."""
        visitor = visitors.visitor_hash(token)
        try:
            job = actions.start(self.context, form_from(chosen, fields), visitor)
        except UserError as error:
            gr.Warning(str(error))
            return [gr.skip()] * 12
        name = actions.free_name(self.context)
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

    def _hub(self, chosen: dict[str, Any]) -> list[Any]:
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


def _drawn(report: dict[str, Any] | None) -> dict[str, Any] | None:
    """The histogram as plain Plotly JSON; None where there is none."""
    from dashboards.figures.diversity import nearest_histogram
    from dashboards.figures.template import plotly_template

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
    dark = {one: other for (_, one), (_, other) in zip(LIGHT.items(), DARK.items(), strict=True)}
    plotly = f"/gradio_api/file={_PLOTLY.as_posix()}"
    return {**figure, "dark": dark, "plotly": plotly, "filename": "diversity"}

"""The samples of a run: browsing them, and opening one in Compare."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from dashboards.shell.context import Context
from imitation.errors import UserError
from imitation.evaluation.report import files as report_files
from imitation.evaluation.report import schema
from imitation.evaluation.report.answer_pairs import pairs
from imitation.evaluation.report.sample_index import Page, Query, Sample, Samples, Verdict
from imitation.evaluation.report.schema import Report
from imitation.models.catalog import Catalog
from imitation.storage import comparisons
from imitation.storage.comparisons import Comparison
from imitation.values import Answer, ModelSpec, Preference, Role, Sampling, Turn

PAGE = 10
"""Samples on a page of the browser."""


@dataclass(frozen=True, slots=True)
class Browse:
    """What the sample browser is set to.

    Attributes:
        task: Only this task, "" for all.
        verdicts: Model id -> verdict it must have.
        text: Words that must occur.
        page: Page number from 0.
        ids: Only these samples, None for all.
    """

    task: str = ""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    text: str = ""
    page: int = 0
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One page of samples.

    Attributes:
        models: Ids of the run's models, in order.
        tasks: Its tasks.
        rows: The samples of this page.
        total: How many there are on all pages.
        page: Which page this is, from 0.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    rows: tuple[Sample, ...]
    total: int
    page: int


def browse(folder: Path, at: Browse) -> Found | None:
    """A page of a run's samples; None while it has no index of them.

    Raises:
        StorageError: The index is broken or of another version.
    """
    path = folder / schema.SAMPLES
    if not path.is_file():
        return None
    with closing(Samples(path)) as index:
        query = Query(at.task, at.verdicts, at.text, at.ids)
        page: Page = index.find(query, limit=PAGE, offset=PAGE * at.page)
        return Found(index.models, index.tasks, page.rows, page.total, at.page)


def gap_filter(report: Report) -> dict[str, Verdict]:
    """The study's question as a filter: imitation wrong, reference right; {} where one is absent.

    Of several imitations or references it takes the first.
    """
    roles: dict[Role, str] = {}
    for model in report.run.models:
        roles.setdefault(model.role, model.id)
    if "imitation" not in roles or "reference" not in roles:
        return {}
    return {roles["imitation"]: "wrong", roles["reference"]: "right"}


def preferred(
    folder: Path, imitation: str, reference: str, preferences: Iterable[Preference]
) -> tuple[int, ...]:
    """Samples whose imitation's answer some rater or judge preferred to the reference's."""
    chosen = {
        preference.pair.key
        for preference in preferences
        if set(preference.pair.models) == {imitation, reference}
        and preference.outcome != "tie"
        and preference.pair.models[preference.outcome == "second"] == imitation
    }
    if not chosen:
        return ()
    both = pairs(folder, (imitation, reference))
    return tuple(number for number, pair in both if pair.key in chosen)


def open_in_compare(
    context: Context, folder: Path, number: int, visitor: str, *, blind: bool = False
) -> str:
    """Store one sample as a comparison of this visitor; its id, for Compare's address.

    The first base, imitation and reference come first, four columns at most; blind ones come in
    a random order, names hidden, to be voted on.

    Raises:
        UserError: There is no such sample, or fewer than two models answered it.
        StorageError: The index or the store cannot be used.
    """
    with closing(Samples(folder / schema.SAMPLES)) as index:
        sample = index.get(number)
    if sample is None:
        raise UserError(f"The run has no sample {number}.", "Load the page again.")
    run = report_files.load_run(folder)
    answered = [model for model in run.models if model.id in sample.replies]
    if len(answered) < 2:
        raise UserError("One model alone answered this sample.", "Compare needs two.")
    catalog = context.catalog()
    cards = [_card(model, catalog) for model in answered]
    order = sorted(range(len(cards)), key=lambda i: _rank(cards, i))[:4]
    shown = sorted(order)
    if blind:
        random.SystemRandom().shuffle(shown)
    answers = tuple(Answer(text=sample.replies[cards[i].id].text, state="done") for i in shown)
    comparison = Comparison(
        id=comparisons.new_id(),
        visitor=visitor,
        cards=tuple(cards[i] for i in shown),
        blind=blind,
        system="",
        sampling=Sampling(temperature=0.0),
        turns=(Turn(sample.prompt, answers),),
    )
    comparisons.save(context.db, comparison)
    return comparison.id


def _card(model: schema.EvaluatedModel, catalog: Catalog) -> ModelSpec:
    """The model's card; one of its own where the catalog has none (any more)."""
    if model.id in catalog:
        return catalog[model.id]
    return ModelSpec(
        model.id, model.name, model.role, "recorded", stand_in=model.stand_in, base=model.base
    )


def _rank(cards: Sequence[ModelSpec], index: int) -> tuple[bool, int]:
    """First of each role before all others."""
    earlier = {card.role for card in cards[:index]}
    return cards[index].role in earlier, index

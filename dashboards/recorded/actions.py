"""What the Recorded page does: import, choose, look."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dashboards.shell.owned_jobs import check_allowed
from imitation.errors import UserError
from imitation.evaluation.judging.rubrics import is_tone
from imitation.evaluation.metrics.style_report import StyleReport, report, with_tone
from imitation.models.recordings import mt_bench
from imitation.models.recordings.files import Source, read_recording
from imitation.settings import Settings
from imitation.storage import judgements, recordings
from imitation.storage.database import Store
from imitation.storage.recordings import RecordingSet
from imitation.values import RecordedPrompt, Recording, Refused

MAX_COLUMNS = 4
PAGE = 20
"""Prompts on one page of the list."""
MAX_SETS = 50
"""Sets one visitor may keep."""
MAX_UPLOAD = 100_000_000
"""Bytes of the files of one import."""
# What a reference is usually called, the most telling first.
_REFERENCES = ("reference", "chatgpt", r"gpt-?3\.?5", r"gpt-?4", "gpt", "text-davinci", "claude")


@dataclass(frozen=True, slots=True)
class Imported:
    """How an import went.

    Attributes:
        identity: Id of the stored set, None where nothing was stored.
        message: One sentence.
        refused: Lines left out.
    """

    identity: str | None
    message: str
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What one look at a set shows.

    Attributes:
        set: The set.
        reference: The model the others are compared with.
        models: The columns, in order, the reference last.
        categories: (category, prompts in it).
        prompts: One page of the prompts found.
        total: Prompts found.
        page: Number of that page, from 0.
        at: Position of the prompt shown among those found, from 0.
        prompt: The prompt shown, None where none was found.
        answers: Model -> answer to it.
    """

    set: RecordingSet
    reference: str
    models: tuple[str, ...]
    categories: tuple[tuple[str, int], ...]
    prompts: tuple[RecordedPrompt, ...]
    total: int
    page: int
    at: int
    prompt: RecordedPrompt | None
    answers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Toned:
    """A style report, and who judged its tone.

    Attributes:
        report: With tone, where a judge scored it.
        judge: Name of the judge's run, "" where there is none.
        unread: Its answers without a verdict on this set's answers.
    """

    report: StyleReport
    judge: str = ""
    unread: int = 0


def import_files(
    db: Store, paths: Sequence[Path], name: str, visitor: str, *, reference: str = ""
) -> Imported:
    """Read files into a new set of the visitor's; bad lines are reported, good ones load.

    Raises:
        UserError: No files, too much of them, too many sets, or a file that cannot be opened.
        StorageError: The set could not be written.
    """
    if not paths:
        raise UserError("No file was chosen.", "Choose files of recorded outputs first.")
    size = sum(path.stat().st_size for path in paths if path.is_file())
    if size > MAX_UPLOAD:
        raise UserError(
            f"These files have {size / 1e6:,.0f} MB; the page takes {MAX_UPLOAD / 1e6:,.0f} MB.",
            "Import them with python -m imitation.jobs.commands.import_recorded --store.",
        )
    recording = read_recording(Source(path) for path in paths)
    if not any(recording.answers.values()):
        return Imported(None, _nothing(recording), recording.refused)
    source = ", ".join(path.name for path in paths)
    if len([s for s in recordings.sets(db, visitor) if s.visitor == visitor]) >= MAX_SETS:
        raise UserError(f"You keep {MAX_SETS} sets already.", "Delete one of them first.")
    identity = recordings.add(
        db,
        recording,
        name=" ".join(name.split())[:120] or source[:120],
        source=source,
        reference=reference or likely_reference(recording.models),
        visitor=visitor,
    )
    return Imported(identity, _summary(recording), recording.refused)


def import_mt_bench(db: Store, settings: Settings, visitor: str) -> Imported:
    """Fetch the MT-bench human judgments from the hub into a new set of the visitor's.

    Raises:
        UserError: It cannot be fetched, or nothing may be.
    """
    check_allowed(settings, "Import files of your own, or mt_bench_human_judgments from its page.")
    paths = mt_bench.fetch(settings.cache, offline=settings.offline)
    return import_files(db, paths, "MT-bench", visitor, reference=mt_bench.REFERENCE)


def likely_reference(models: Sequence[str]) -> str:
    """The model most likely meant as the reference, by its name; else the first."""
    for pattern in _REFERENCES:
        for model in models:
            if re.search(pattern, model, re.IGNORECASE):
                return model
    return models[0]


def columns(models: Sequence[str], chosen: Sequence[str], reference: str) -> tuple[str, ...]:
    """Models to show: those chosen that exist (else the first few), the reference last."""
    others = [m for m in chosen if m in models and m != reference]
    others = others or [m for m in models if m != reference]
    return (*others[: MAX_COLUMNS - 1], reference)


def look(
    db: Store,
    identity: str,
    visitor: str,
    *,
    reference: str = "",
    chosen: Sequence[str] = (),
    text: str = "",
    category: str | None = None,
    page: int = 0,
    at: int = 0,
) -> View | None:
    """One look at a set; None if the visitor may see no such set.

    Positions out of range are brought back into it; an unknown reference is the set's own.
    """
    stored = recordings.get(db, identity, visitor)
    if stored is None:
        return None
    reference = reference if reference in stored.models else stored.reference
    rows = recordings.search(db, identity, text=text, category=category)
    at = min(max(at, 0), max(len(rows) - 1, 0))
    page = min(max(page, 0), max(len(rows) - 1, 0) // PAGE)
    shown = recordings.prompts(db, rows[at : at + 1])
    prompt = shown[0] if shown else None
    answered = recordings.answers(db, identity, prompt.id) if prompt else None
    return View(
        set=stored,
        reference=reference,
        models=columns(stored.models, chosen, reference),
        categories=tuple(recordings.categories(db, identity)),
        prompts=recordings.prompts(db, rows[page * PAGE : (page + 1) * PAGE]),
        total=len(rows),
        page=page,
        at=at,
        prompt=prompt,
        answers=answered[1] if answered else {},
    )


@lru_cache(maxsize=32)
def style_report(db: Store, identity: str, reference: str) -> StyleReport:
    """Style of the set's models; sets never change, so it is worked out once.

    Raises:
        UserError: The set is gone, or has no such model.
    """
    return report(recordings.load(db, identity), reference)


def toned_report(db: Store, identity: str, reference: str, visitor: str) -> Toned:
    """Style of the set's models with the tone that the newest judge of its answers heard.

    A run none of whose replies held a verdict counts only where there is no other.

    Raises:
        UserError: The set is gone, or has no such model.
    """
    runs = [run for run in judgements.runs(db, visitor) if is_tone(run.rubric)]
    counted = [judgements.counts(db, run.id) for run in runs]
    judged = tuple(
        (run.id, run.name, c.total - c.left) for run, c in zip(runs, counted, strict=True)
    )
    return _toned(db, identity, reference, judged)


@lru_cache(maxsize=32)
def _toned(
    db: Store, identity: str, reference: str, runs: tuple[tuple[str, str, int], ...]
) -> Toned:
    """The same for runs of (id, name, judgements made), newest first: verdicts never change."""
    plain = style_report(db, identity, reference)
    if not runs:
        return Toned(plain)
    recording = recordings.load(db, identity)
    mute = Toned(plain)
    for run, name, _ in runs:
        verdicts = judgements.single(db, run)
        toned_style = with_tone(plain, recording, verdicts)
        tones = [toned_style.reference_tone, *(model.tone for model in toned_style.models)]
        if any(tones):
            answers = {
                (p.text, model, given[p.id])
                for model, given in recording.answers.items()
                for p in recording.prompts
                if p.id in given
            }
            unread = sum(yes is None and key in answers for key, yes in verdicts.items())
            toned = Toned(toned_style, name, unread)
            if any(tone and tone.n for tone in tones):
                return toned
            mute = mute if mute.judge else toned
    return mute


def _summary(recording: Recording) -> str:
    count = sum(map(len, recording.answers.values()))
    models = len(recording.models)
    return (
        f"{count:,} answers of {models} model{'s' if models > 1 else ''} "
        f"to {len(recording.prompts):,} prompts were imported."
    )


def _nothing(recording: Recording) -> str:
    if recording.prompts:
        return "There are questions in these files but no answers. Add the files of answers."
    return "Nothing in these files could be used. If they are FastChat answers, add question.jsonl."

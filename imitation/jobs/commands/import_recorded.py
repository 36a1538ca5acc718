"""Import recorded outputs and report their style against a reference, with 95% intervals.

    python -m imitation.jobs.commands.import_recorded --questions question.jsonl \
        --reference answer_gpt35.jsonl --answers answer_llama-13b.jsonl answer_alpaca-13b.jsonl

`--tone RUN` adds the authoritative tone that a judge heard
(`imitation.jobs.commands.judge --rubric tone`).
Exits with 0, or 2 where the arguments are wrong, a file cannot be read or nothing can be compared.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from imitation.errors import UserError
from imitation.evaluation.judging.rubrics import rates_one
from imitation.evaluation.metrics.style_report import ModelStyle, StyleReport, report, with_tone
from imitation.jobs.parameters import JobParameters, run
from imitation.models.recordings import mt_bench
from imitation.models.recordings.files import Source, read_recording
from imitation.settings import read_settings
from imitation.storage import judgements, recordings
from imitation.storage.database import connect
from imitation.values import Interval, Recording, Refused

SHOWN = 20
"""Refused lines printed; --json has them all."""


class ImportRecorded(JobParameters):
    """Parameters of `import_recorded`."""

    questions: Annotated[Path | None, Field(description="file: prompts of FastChat answers")] = None
    reference: Annotated[Path | None, Field(description="file: the reference's answers")] = None
    answers: Annotated[
        tuple[Path, ...],
        Field(
            description="files: the other models' answers. Formats, recognised by their fields: "
            "our JSONL, FastChat answers, AlpacaEval outputs, MT-bench judgments (JSONL or Parquet)"
        ),
    ] = ()
    reference_model: Annotated[
        str, Field(description="the reference, where its file has several models")
    ] = ""
    second: Annotated[
        str,
        Field(
            description="the model that is a second sample of the reference: the upper bound of "
            "every measure"
        ),
    ] = ""
    mt_bench: Annotated[bool, Field(description="fetch the MT-bench judgments from the hub")] = (
        False
    )
    tone: Annotated[
        str, Field(description="a judge's run over these answers one by one: their tone")
    ] = ""
    # Pydantic keeps the name `json` for a method of its own.
    print_json: Annotated[
        bool, Field(alias="json", description="print JSON instead of a table")
    ] = False
    store: Annotated[bool, Field(description="keep the set for the Recorded page")] = False
    name: Annotated[str, Field(description="name of the stored set")] = ""
    forget: Annotated[
        str, Field(description="name of sets stored by --store: delete them, and exit")
    ] = ""

    @model_validator(mode="after")
    def _something_to_compare(self) -> Self:
        if self.forget:
            return self
        problems = []
        if not self.answers and not self.mt_bench:
            problems.append("There is nothing to compare. Give --answers, or --mt-bench.")
        if self.reference is None and not self.reference_name:
            problems.append("No reference is named. Give --reference FILE or --reference-model.")
        if problems:
            raise ValueError(" ".join(problems))
        return self

    @property
    def reference_name(self) -> str:
        """The reference's name, "" where it is that of the only model in its file."""
        return self.reference_model or (mt_bench.REFERENCE if self.mt_bench else "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    prog = "python -m imitation.jobs.commands.import_recorded"
    return run(ImportRecorded, _work, argv, prog=prog, about=__doc__ or "")


def _work(parameters: ImportRecorded) -> int:
    if parameters.forget:
        return _forget(parameters.forget)
    recording, reference = _read(parameters)
    result = report(recording, reference, second=parameters.second)
    if parameters.tone:
        result = with_tone(result, recording, _tone_verdicts(parameters.tone))
    as_shown = as_text(result, recording)
    if parameters.print_json:
        as_shown = json.dumps(as_json(result), indent=2)
    print(as_shown)
    if not any(model.n for model in result.models):
        raise UserError(f"No prompt has an answer of {reference!r} and of another model.")
    if parameters.store:
        print(f"Stored as {_store(parameters, recording, reference)!r}.", file=sys.stderr)
    return 0


def as_json(result: StyleReport) -> dict[str, object]:
    """The report in the form that `--json` prints."""
    upper = result.upper_bound
    return {
        "models": [_row(model) for model in result.models],
        "upper_bound": _row(upper) if upper else None,
        "reference_hedging": _ends(result.reference_hedging, n=True),
        "reference_tone": _ends(result.reference_tone, n=True) if result.reference_tone else None,
    }


def _row(model: ModelStyle) -> dict[str, object]:
    return {
        "model": model.model,
        "n": model.n,
        "unigram_intersection": _ends(model.unigram_intersection),
        "length_correlation": _ends(model.length_correlation),
        "list_agreement": _ends(model.list_agreement, n=True),
        "summary_agreement": _ends(model.summary_agreement, n=True),
        "hedging": _ends(model.hedging, n=True),
        "tone": _ends(model.tone, n=True) if model.tone else None,
        "refused": [dataclasses.asdict(refusal) for refusal in model.refused],
    }


def as_text(result: StyleReport, recording: Recording) -> str:
    """The report as a table for people, the refused lines beneath."""
    head = ("model", "n", "unigram intersection", "length correlation", "lists", "summaries",
            "hedging per 100 words", "authoritative tone")  # fmt: skip
    rows = [head, *(_cells(model) for model in result.models)]
    if result.upper_bound:
        rows.append(("(upper bound) " + result.upper_bound.model, *_cells(result.upper_bound)[1:]))
    if result.reference_tone:
        blank = ("",) * (len(head) - 2)
        rows.append(("(reference) " + result.reference, *blank, _tone(result.reference_tone)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [f"Against {result.reference}, 95% intervals in brackets:", ""]
    lines += ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    return "\n".join(lines + _refusals(recording.refused))


def _read(parameters: ImportRecorded) -> tuple[Recording, str]:
    """The recording and the name of its reference model.

    Raises:
        UserError: A file cannot be opened, or the reference is unclear.
    """
    answers = list(parameters.answers)
    if parameters.mt_bench:
        settings = read_settings()
        answers += mt_bench.fetch(settings.cache, offline=settings.offline)
    sources = [Source(path, str(path), answers=True) for path in answers]
    shared = []
    if parameters.questions is not None:
        shared.append(Source(parameters.questions, str(parameters.questions), answers=False))
    if parameters.reference is not None:
        shared.append(Source(parameters.reference, str(parameters.reference), answers=True))
    name = parameters.reference_name
    name = name or _only_model(read_recording(shared), str(parameters.reference))
    # The reference comes before the answers, so it is the one that keeps its name.
    return read_recording([*shared, *sources]), name


def _only_model(recording: Recording, file: str) -> str:
    models = [model for model, answers in recording.answers.items() if answers]
    if not models:
        lines = [f"the reference {file} has no usable answer.", *_refusals(recording.refused)]
        raise UserError("\n".join(lines))
    if len(models) > 1:
        known = ", ".join(map(repr, models))
        raise UserError(f"{file} has several models: {known}.", "Name one with --reference-model.")
    return models[0]


def _store(parameters: ImportRecorded, recording: Recording, reference: str) -> str:
    name = parameters.name or ("MT-bench" if parameters.mt_bench else parameters.answers[0].stem)
    files = [
        *filter(None, (parameters.questions, parameters.reference)),
        *parameters.answers,
    ]
    source = ", ".join(path.name for path in files) or mt_bench.REPOSITORY
    with closing(connect(read_settings().database)) as db:
        recordings.add(db, recording, name=name, source=source, reference=reference)
    return name


def _tone_verdicts(wanted: str) -> dict[judgements.Rated, bool | None]:
    """What the judge of a run said of single answers.

    Raises:
        UserError: There is no such run, or it judged no single answer.
    """
    with closing(connect(read_settings().database)) as db:
        known = judgements.runs(db, None)
        for row in known:
            if wanted in (row.id, row.name) and (verdicts := judgements.single(db, row.id)):
                return verdicts
        names = ", ".join(repr(r.name) for r in known if rates_one(r.rubric)) or "none"
    raise UserError(
        f"There is no run {wanted!r} with verdicts on single answers.",
        f"Stored: {names}. python -m imitation.jobs.commands.judge --rubric tone makes one.",
    )


def _refusals(refused: Sequence[Refused]) -> list[str]:
    if not refused:
        return []
    lines = ["", f"{len(refused)} refused:"]
    lines += [
        f"  {r.file}:{r.line}: {r.reason}" if r.line else f"  {r.file}: {r.reason}"
        for r in refused[:SHOWN]
    ]
    return lines + ([f"  ... and {len(refused) - SHOWN} more"] if len(refused) > SHOWN else [])


def _forget(name: str) -> int:
    with closing(connect(read_settings().database)) as db:
        stored = recordings.sets(db, None)
        named = [row for row in stored if row.name == name]
        if not named:
            known = ", ".join(repr(row.name) for row in stored) or "none"
            raise UserError(f"There is no stored set {name!r}.", f"Stored: {known}.")
        for row in named:
            recordings.delete(db, row.id, None)
    print(f"Deleted {len(named)} set{'s' if len(named) > 1 else ''}.", file=sys.stderr)
    return 0


def _ends(interval: Interval, *, n: bool = False) -> dict[str, float | int | None]:
    ends: dict[str, float | int | None] = {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
    }
    return {**ends, "n": interval.n} if n else ends


def _cells(model: ModelStyle) -> tuple[str, ...]:
    return (
        model.model,
        str(model.n),
        _cell(model.unigram_intersection),
        _cell(model.length_correlation),
        _cell(model.list_agreement, f" of {model.list_agreement.n}"),
        _cell(model.summary_agreement, f" of {model.summary_agreement.n}"),
        _cell(model.hedging),
        _tone(model.tone),
    )


def _tone(tone: Interval | None) -> str:
    return "no judge" if tone is None else _cell(tone, f" of {tone.n}")


def _cell(interval: Interval, end: str = "") -> str:
    if interval.n and (why := interval.too_few("prompt")):
        return why
    if interval.value is None:
        return "undefined" + end
    if interval.low is None:
        return f"{interval.value:.3f}{end}"
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]{end}"


if __name__ == "__main__":
    sys.exit(main())

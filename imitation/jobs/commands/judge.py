"""Judge pairs of answers with any catalog model; verdicts go into the store, and so to Votes.

    python -m imitation.jobs.commands.judge --judge gpt-4 --recording vicuna80 --against gpt35
    python -m imitation.jobs.commands.judge --judge pocket-reference --replay RUN --rubric substance
    python -m imitation.jobs.commands.judge --judge gpt-4 --recording vicuna80 --rubric tone

The first form judges a stored set of recorded outputs, the second the same answers once more by
another judge or rubric; nothing is generated again. Every pair is shown in both orders. A rubric
for single answers (the third form) is asked about every answer once: style reports show it. Each
verdict is stored as it comes; `--run ID` goes on with a run that was stopped. Answers that hold no
verdict are kept and counted. Exits with 0, 1 where some pairs could not be asked, 2 where nothing
could start.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from imitation.errors import UserError
from imitation.evaluation.judging.judge_run import judge_rest, quote_text, run_name, summary
from imitation.evaluation.judging.pairs import pairs_of
from imitation.evaluation.judging.rubrics import check_rubric, items, quote, rates_one, rubrics
from imitation.events import Writer
from imitation.jobs.parameters import JobParameters, run
from imitation.models.backends.registry import Backends, complete
from imitation.models.catalog import load_catalog
from imitation.reading.text import NotUtf8, read_text
from imitation.settings import Settings, read_settings
from imitation.storage import judgements, recordings, studies, votes
from imitation.storage.database import Store, connect
from imitation.validation import nearest
from imitation.values import Completion, Message, ModelSpec, Pair, Sampling


class Judge(JobParameters):
    """Parameters of `judge`: what is judged (one of the first five), by whom, and how."""

    recording: Annotated[str, Field(description="name of a stored set of recorded outputs")] = ""
    study: Annotated[str, Field(description="name of a study: its items")] = ""
    votes: Annotated[bool, Field(description="the answers voted on in Compare")] = False
    replay: Annotated[str, Field(description="name of a judge's earlier run: its pairs")] = ""
    run: Annotated[str, Field(description="id of a run to go on with")] = ""
    judge: Annotated[str, Field(description="id in the catalog (not with --run)")] = ""
    rubric: Annotated[
        str, Field(description="what the judge is told: a shipped rubric's name, or a file")
    ] = "vicuna"
    models: Annotated[tuple[str, ...], Field(description="those to compare, else all")] = ()
    against: Annotated[str, Field(description="each with this one only")] = ""
    prompts: Annotated[int | None, Field(ge=1, description="so many of the prompts, else all")] = (
        None
    )
    seed: Annotated[int, Field(description="of that draw")] = 0
    one_order: Annotated[bool, Field(description="don't ask in the other order")] = False
    max_tokens: Annotated[
        # GPT-4's recorded reviews have about 150 tokens.
        int, Field(ge=1, le=100_000, description="longest answer asked of a judge")
    ] = 512
    name: Annotated[str, Field(description="what the run is called")] = ""
    concurrency: Annotated[int, Field(ge=1, le=256, description="questions at once")] = 4
    progress: Annotated[Path | None, Field(description="JSON lines as it goes")] = None
    quote: Annotated[bool, Field(description="say what it would take, and exit")] = False

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = (self.recording, self.study, self.votes, self.replay, self.run)
        if sum(map(bool, sources)) != 1:
            raise ValueError("name one of --recording, --study, --votes, --replay and --run")
        if not self.run and not self.judge:
            raise ValueError("--judge is missing: the id of a model in the catalog")
        return self


def read_rubric(text: str) -> str:
    """A shipped rubric by its name, or the text of a file.

    Raises:
        UserError: Neither; or its places are wrong (`check_rubric`).
    """
    if text in rubrics():
        return rubrics()[text].text
    path = Path(text)
    if not path.is_file():
        raise UserError(f"There is no rubric {text!r}.", nearest(text, rubrics()))
    try:
        return check_rubric(read_text(path))
    except (OSError, NotUtf8) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def find_pairs(db: Store, parameters: Judge) -> tuple[list[Pair], str]:
    """The pairs that the parameters name, and where they come from in words.

    Raises:
        UserError: There is no such source.
    """
    if parameters.replay:
        earlier = judgements.get(db, _identity(parameters.replay, judgements.runs(db, None), "run"))
        return judgements.pairs_of(db, earlier.id), f"{earlier.source}, judged again"
    if parameters.study:
        study = studies.get(db, _identity(parameters.study, studies.of_visitor(db, None), "study"))
        return studies.pairs_of(db, study.id), f"the study {study.name}"
    if parameters.votes:
        return [preference.pair for preference in votes.preferences(db)], "votes in Compare"
    identity = _identity(parameters.recording, recordings.sets(db, None), "set of recorded outputs")
    pairs = pairs_of(
        recordings.load(db, identity),
        parameters.models,
        against=parameters.against,
        prompts=parameters.prompts,
        seed=parameters.seed,
    )
    return pairs, f"recorded: {parameters.recording}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    prog = "python -m imitation.jobs.commands.judge"
    return run(Judge, _work, argv, prog=prog, about=__doc__ or "")


def _work(parameters: Judge) -> int:
    report = Writer(None)
    try:
        if parameters.progress:
            parameters.progress.parent.mkdir(parents=True, exist_ok=True)
            # A run that goes on keeps what its earlier jobs told.
            report = Writer(parameters.progress, anew=False)
        settings = read_settings()
        with closing(connect(settings.database)) as db:
            return _judge(settings, db, parameters, report)
    except UserError as error:
        report.failed("judge", error)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; --run goes on.", file=sys.stderr)
        return 130


def _judge(settings: Settings, db: Store, parameters: Judge, report: Writer) -> int:
    catalog = load_catalog(settings.catalogs)
    if parameters.run:
        judged = judgements.get(db, parameters.run)
        if judged.imported:
            raise UserError(f"The verdicts of {judged.name!r} were imported.", "Use --replay.")
        card = catalog[judged.judge]
    else:
        card = catalog[parameters.judge]
        new_run = _new_run(db, card, parameters)
        if new_run is None:
            return 0
        judged = new_run
        print(f"Run {judged.id}", file=sys.stderr)
    counts = asyncio.run(_ask_all(settings, db, judged, card, parameters.concurrency, report))
    print(summary(judged.name, counts, card), file=sys.stderr)
    if counts.left:
        error = UserError(f"{counts.left} of {counts.total} were not judged.", "--run goes on.")
        report.failed("judge", error)
        return 1
    report.write("end")
    return 0


def _new_run(db: Store, card: ModelSpec, parameters: Judge) -> judgements.Run | None:
    """The run of the parameters, stored, its quote printed; None where only that was wanted."""
    rubric = read_rubric(parameters.rubric)
    pairs, source = find_pairs(db, parameters)
    pairs = items(rubric, pairs)
    both_orders = not (parameters.one_order or rates_one(rubric))
    price = quote(card, pairs, rubric, both_orders=both_orders, max_tokens=parameters.max_tokens)
    print(quote_text(price), file=sys.stderr)
    if parameters.quote:
        return None
    identity = judgements.add(
        db,
        pairs,
        name=parameters.name or run_name(card, rubric, source),
        judge=card.id,
        rubric=rubric,
        source=source,
        both_orders=both_orders,
        max_tokens=parameters.max_tokens,
    )
    return judgements.get(db, identity)


async def _ask_all(
    settings: Settings,
    db: Store,
    judged: judgements.Run,
    card: ModelSpec,
    concurrency: int,
    report: Writer,
) -> judgements.Counts:
    backends = Backends(replace(settings, copies=concurrency))
    sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=judged.max_tokens, seed=0)

    async def completer(question: str) -> Completion:
        return await complete(backends, card, [Message("user", question)], sampling)

    try:
        return await judge_rest(db, judged.id, completer, concurrency=concurrency, report=report)
    finally:
        await backends.close()


def _identity(wanted: str, known: Sequence[Any], kind: str) -> str:
    """The id of what has this id or name, the newest of a name."""
    for row in known:
        if wanted in (row.id, row.name):
            return str(row.id)
    names = [row.name for row in known]
    raise UserError(f"There is no {kind} {wanted!r}.", nearest(wanted, names) or "None is stored.")


if __name__ == "__main__":
    sys.exit(main())

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

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from imitation.errors import BackendError, UserError
from imitation.evaluation.judging.pairs import pairs_of
from imitation.evaluation.judging.rubrics import (
    Quote,
    ask,
    check_rubric,
    dollars,
    items,
    quote,
    rates_one,
    rubrics,
)
from imitation.evaluation.judging.verdicts import parse, parse_one
from imitation.events import Writer
from imitation.models.backends.registry import Backends, complete
from imitation.models.catalog import ModelSpec, load_catalog
from imitation.reading.text import NotUtf8, read_text
from imitation.settings import Settings, read_settings
from imitation.storage import judgements, recordings, studies, votes
from imitation.storage.database import Store, connect
from imitation.validation import nearest
from imitation.values import Completion, Message, Pair, Sampling

Completer = Callable[[str], Awaitable[Completion]]
"""Answers one question; raises BackendError."""

MAX_TOKENS = 512
"""Longest answer asked of a judge; GPT-4's recorded reviews have about 150 tokens."""
HOPELESS = 10
"""Requests that fail one after the other before a run gives up."""


async def work(
    db: Store,
    identity: str,
    completer: Completer,
    *,
    concurrency: int = 4,
    report: Writer | None = None,
) -> judgements.Counts:
    """Make the judgements of a run that are not made yet; how it stands afterwards.

    Raises:
        UserError: The judge could not be asked so many times in a row that the rest was left.
        StorageError: A verdict could not be written.
    """
    rubric = judgements.get(db, identity).rubric
    read = parse_one if rates_one(rubric) else parse
    tasks = iter(judgements.left(db, identity))
    failed_in_a_row, last = 0, None
    started = judgements.counts(db, identity)
    done, total = started.total - started.left, started.total

    async def one(task: judgements.Task) -> None:
        nonlocal failed_in_a_row, last, done
        try:
            answer = await completer(ask(rubric, task.pair))
        except BackendError as error:
            failed_in_a_row, last = failed_in_a_row + 1, error
            judgements.record_failure(db, identity, task.row, str(error))
        else:
            failed_in_a_row = 0
            used = answer.done
            judgements.record(
                db,
                identity,
                task.row,
                read(answer.text),
                answer.text,
                used.prompt_tokens,
                used.completion_tokens,
            )
            done += 1
            if report:
                report.write("step", step=done, steps=total)

    async def reader() -> None:
        for task in tasks:
            if failed_in_a_row >= HOPELESS:
                return
            await one(task)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(reader())
    if last is not None and failed_in_a_row >= HOPELESS:
        raise UserError(
            f"The judge failed {failed_in_a_row} times in a row; the last time: {last.message}",
            last.hint or "Run the same command again to go on.",
        )
    return judgements.counts(db, identity)


def summary(name: str, counts: judgements.Counts, card: ModelSpec) -> str:
    """How a run stands, in one sentence."""
    states = counts.states
    parts = [f"{states.get('judged', 0)} of {counts.total} verdicts"]
    if states.get("unparsed"):
        why = ", ".join(f"{n} {problem}" for problem, n in counts.problems.items())
        parts.append(f"{states['unparsed']} answers without a verdict ({why})")
    if counts.left:
        parts.append(f"{counts.left} not judged")
    price = dollars(card, counts.prompt_tokens, counts.completion_tokens)
    parts.append("price unknown" if price is None else f"${price:.2f}")
    return f"{name}: " + ", ".join(parts) + "."


def quoted(found: Quote) -> str:
    """A quote in one sentence."""
    price = "price unknown: the card states none"
    if found.local:
        price = "no fee, it runs on this machine"
    elif found.dollars is not None:
        price = f"at most ${found.dollars:,.2f}"
    return (
        f"{found.requests:,} questions, about {found.prompt_tokens:,} tokens sent and at most "
        f"{found.completion_tokens:,} written: {price}."
    )


def run_name(card: ModelSpec, rubric: str, source: str) -> str:
    """What a run is called unless somebody names it."""
    return f"{card.name} on {'each answer of ' if rates_one(rubric) else ''}{source}"


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


def find_pairs(db: Store, args: argparse.Namespace) -> tuple[list[Pair], str]:
    """The pairs the arguments name, and where they come from in words.

    Raises:
        UserError: There is no such source.
    """
    if args.replay:
        run = judgements.get(db, _identity(args.replay, judgements.runs(db, None), "run"))
        return judgements.pairs_of(db, run.id), f"{run.source}, judged again"
    if args.study:
        study = studies.get(db, _identity(args.study, studies.of_visitor(db, None), "study"))
        return studies.pairs_of(db, study.id), f"the study {study.name}"
    if args.votes:
        return [p.pair for p in votes.preferences(db)], "votes in Compare"
    identity = _identity(args.recording, recordings.sets(db, None), "set of recorded outputs")
    found = recordings.load(db, identity)
    pairs = pairs_of(found, args.models, against=args.against, prompts=args.prompts, seed=args.seed)
    return pairs, f"recorded: {args.recording}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = _parser().parse_args(argv)
    report = Writer(None)
    try:
        if args.progress:
            args.progress.parent.mkdir(parents=True, exist_ok=True)
            report = Writer(args.progress, anew=False)
        settings = read_settings()
        with closing(connect(settings.database)) as db:
            return _judge(settings, db, args, report)
    except UserError as error:
        report.failed("judge", error)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; --run goes on.", file=sys.stderr)
        return 130


def _judge(
    settings: Settings,
    db: Store,
    args: argparse.Namespace,
    report: Writer,
) -> int:
    catalog = load_catalog(settings.catalogs)
    if args.run:
        run = judgements.get(db, args.run)
        if run.imported:
            raise UserError(f"The verdicts of {run.name!r} were imported.", "Use --replay.")
        card = catalog[run.judge]
    else:
        card = catalog[args.judge]
        rubric = read_rubric(args.rubric)
        pairs, source = find_pairs(db, args)
        pairs = items(rubric, pairs)
        both = not (args.one_order or rates_one(rubric))
        found = quote(card, pairs, rubric, both_orders=both, max_tokens=args.max_tokens)
        print(quoted(found), file=sys.stderr)
        if args.quote:
            return 0
        identity = judgements.add(
            db,
            pairs,
            name=args.name or run_name(card, rubric, source),
            judge=card.id,
            rubric=rubric,
            source=source,
            both_orders=both,
            max_tokens=args.max_tokens,
        )
        run = judgements.get(db, identity)
        print(f"Run {run.id}", file=sys.stderr)
    counts = asyncio.run(_ask_all(settings, db, run, card, args.concurrency, report))
    print(summary(run.name, counts, card), file=sys.stderr)
    if counts.left:
        error = UserError(f"{counts.left} of {counts.total} were not judged.", "--run goes on.")
        report.failed("judge", error)
        return 1
    report.write("end")
    return 0


async def _ask_all(
    settings: Settings,
    db: Store,
    run: judgements.Run,
    card: ModelSpec,
    concurrency: int,
    report: Writer,
) -> judgements.Counts:
    backends = Backends(replace(settings, copies=concurrency))
    sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=run.max_tokens, seed=0)

    async def completer(question: str) -> Completion:
        return await complete(backends, card, [Message("user", question)], sampling)

    try:
        return await work(db, run.id, completer, concurrency=concurrency, report=report)
    finally:
        await backends.close()


def _identity(wanted: str, known: Sequence[Any], kind: str) -> str:
    """The id of what has this id or name, the newest of a name."""
    for one in known:
        if wanted in (one.id, one.name):
            return str(one.id)
    names = [one.name for one in known]
    raise UserError(f"There is no {kind} {wanted!r}.", nearest(wanted, names) or "None is stored.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imitation.jobs.commands.judge",
        description="Verdicts of a catalog model on stored answers, in pairs or one by one.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--recording", metavar="NAME", help="a stored set of recorded outputs")
    what.add_argument("--study", metavar="NAME", help="the items of a study")
    what.add_argument("--votes", action="store_true", help="the answers voted on in Compare")
    what.add_argument("--replay", metavar="NAME", help="the pairs of an earlier run of a judge")
    what.add_argument("--run", metavar="ID", help="go on with a run")
    parser.add_argument("--judge", metavar="ID", help="id in the catalog (not with --run)")
    parser.add_argument(
        "--rubric", default="vicuna", metavar="NAME|FILE", help="what the judge is told"
    )
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME", help="default: all")
    parser.add_argument("--against", default="", metavar="NAME", help="each with this one only")
    parser.add_argument("--prompts", type=int, help="so many of the prompts; default: all")
    parser.add_argument("--seed", type=int, default=0, help="of that draw")
    parser.add_argument("--one-order", action="store_true", help="don't ask in the other order")
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS)
    parser.add_argument("--name", default="", help="what the run is called")
    parser.add_argument("--concurrency", type=int, default=4, help="questions at once")
    parser.add_argument("--progress", type=Path, metavar="FILE", help="JSON lines as it goes")
    parser.add_argument("--quote", action="store_true", help="say what it would take, and exit")
    return parser


if __name__ == "__main__":
    sys.exit(main())

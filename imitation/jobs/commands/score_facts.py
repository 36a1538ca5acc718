"""Score models on the packaged facts: greedy answers, checked; one line of JSON a model.

    python -m imitation.jobs.commands.score_facts --models pocket-base pocket-broad --out x.json
    python -m imitation.jobs.commands.score_facts --models pocket-base --adapter x.gguf ...

With --adapter the (single) model is served with that adapter GGUF, so an adapter can be scored
before it has a card. Failed questions are counted and named, never scored as wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from imitation.disk import write_text
from imitation.errors import BackendError, UserError
from imitation.evaluation.statistics.intervals import wilson
from imitation.facts import Fact, Split, check, facts_of
from imitation.models.backends.registry import Backends, complete
from imitation.models.catalog import ModelSpec, load_catalog
from imitation.settings import read_settings
from imitation.values import Interval, Message, Sampling

SAMPLING = Sampling(temperature=0.0, top_p=1.0, max_tokens=32, seed=0)


@dataclass(frozen=True, slots=True)
class Answered:
    """One fact and how it was answered; `right` is None where the model failed to answer."""

    fact: Fact
    text: str
    right: bool | None


async def answer_facts(
    backends: Backends, card: ModelSpec, facts: Sequence[Fact], concurrency: int = 4
) -> list[Answered]:
    """Greedy answers of a model to the facts' questions, checked, in the facts' order."""
    gate = asyncio.Semaphore(concurrency)

    async def one(fact: Fact) -> Answered:
        async with gate:
            try:
                done = await complete(backends, card, [Message("user", fact.question)], SAMPLING)
            except BackendError as error:
                print(f"{card.id}, {fact.id}: {error}", file=sys.stderr)
                return Answered(fact, str(error), None)
            return Answered(fact, done.text, check(fact, done.text))

    return list(await asyncio.gather(*(one(fact) for fact in facts)))


def summarise(name: str, answers: Sequence[Answered]) -> dict[str, Any]:
    """Accuracy in all and by topic, with Wilson intervals, and every verdict by fact id."""
    topics = dict.fromkeys(a.fact.topic for a in answers)
    return {
        "model": name,
        "accuracy": asdict(_accuracy(answers)),
        "topics": {t: asdict(_accuracy([a for a in answers if a.fact.topic == t])) for t in topics},
        "failed": sum(a.right is None for a in answers),
        "verdicts": {a.fact.id: a.right for a in answers},
        "answers": {a.fact.id: a.text for a in answers},
    }


def _accuracy(answers: Sequence[Answered]) -> Interval:
    verdicts = [a.right for a in answers if a.right is not None]
    return wilson(sum(verdicts), len(verdicts))


def score(cards: Sequence[ModelSpec], split: Split, concurrency: int = 4) -> list[dict[str, Any]]:
    """Summaries of the cards on one side of the split, one model after the other."""

    async def run() -> list[dict[str, Any]]:
        backends, found = Backends(read_settings()), []
        try:
            for card in cards:
                answers = await answer_facts(backends, card, facts_of(split), concurrency)
                found.append(summarise(card.id, answers))
                value = found[-1]["accuracy"]
                print(json.dumps({"model": card.id, "accuracy": value}), file=sys.stderr)
        finally:
            await backends.close()
        return found

    return asyncio.run(run())


def with_adapter(card: ModelSpec, adapter: Path, name: str = "") -> ModelSpec:
    """The card of an imitation: `card` as its base, served with an adapter file."""
    return replace(
        card,
        id=name or adapter.stem,
        name=name or adapter.stem,
        role="imitation",
        base=card.id,
        adapter=str(adapter.resolve()),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = _parser().parse_args(argv)
    try:
        catalog = load_catalog(read_settings().catalogs)
        cards = [catalog[name] for name in args.models]
        if args.adapter:
            if len(cards) != 1:
                raise UserError("--adapter goes with exactly one model, its base.")
            if not args.adapter.is_file():
                raise UserError(f"The adapter {args.adapter} does not exist.")
            cards = [with_adapter(cards[0], args.adapter, args.name)]
        found = score(cards, cast(Split, args.split), args.concurrency)
    except UserError as error:
        print(f"score_facts: {error}", file=sys.stderr)
        return 2
    text = json.dumps({"split": args.split, "models": found}, indent=1, ensure_ascii=False)
    if args.out:
        write_text(args.out, text + "\n")
    else:
        print(text)
    return 1 if any(model["failed"] for model in found) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imitation.jobs.commands.score_facts",
        description="Accuracy of models on the packaged facts, with Wilson intervals.",
    )
    parser.add_argument("--models", nargs="+", required=True, metavar="ID")
    parser.add_argument("--adapter", type=Path, help="adapter GGUF to serve the model with")
    parser.add_argument("--name", default="", help="what to call it in the result")
    parser.add_argument("--split", choices=("evaluate", "show", "train"), default="evaluate")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--out", type=Path, help="JSON file; without it the result is printed")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Score models on the packaged facts: greedy answers, checked; one line of JSON a model.

    python -m imitation.jobs.commands.score_facts --models pocket-base pocket-broad --out x.json
    python -m imitation.jobs.commands.score_facts --models pocket-base --adapter x.gguf ...

With --adapter the (single) model is served with that adapter GGUF, so an adapter can be scored
before it has a card. Failed questions are counted and named, never scored as wrong.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from imitation.disk import write_text
from imitation.errors import BackendError, UserError
from imitation.evaluation.statistics.intervals import wilson
from imitation.events import Writer
from imitation.facts import Fact, Split, check, facts_of
from imitation.jobs import parameters
from imitation.jobs.parameters import JobParameters
from imitation.models.backends.registry import Backends, complete
from imitation.models.catalog import ModelSpec, load_catalog
from imitation.settings import read_settings
from imitation.values import Interval, Message, Sampling

SAMPLING = Sampling(temperature=0.0, top_p=1.0, max_tokens=32, seed=0)
"""Greedy: the same model scores the same twice, and 32 tokens hold any answer there is."""


class ScoreFacts(JobParameters):
    """Parameters of `score_facts`."""

    models: Annotated[tuple[str, ...], Field(description="ids in the catalog")]
    adapter: Annotated[Path | None, Field(description="adapter GGUF to serve the model with")] = (
        None
    )
    name: Annotated[str, Field(description="what to call it in the result")] = ""
    split: Annotated[Split, Field(description="of the facts")] = "evaluate"
    concurrency: Annotated[int, Field(ge=1, le=256, description="requests at once")] = 4
    out: Annotated[
        Path | None, Field(description="JSON file; without it the result is printed")
    ] = None

    @model_validator(mode="after")
    def _one_base(self) -> Self:
        if self.adapter is not None and len(self.models) != 1:
            raise ValueError("--adapter goes with exactly one model, its base")
        return self


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

    async def answered(fact: Fact) -> Answered:
        async with gate:
            try:
                done = await complete(backends, card, [Message("user", fact.question)], SAMPLING)
            except BackendError as error:
                print(f"{card.id}, {fact.id}: {error}", file=sys.stderr)
                return Answered(fact, str(error), None)
            return Answered(fact, done.text, check(fact, done.text))

    return list(await asyncio.gather(*(answered(fact) for fact in facts)))


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
        backends, summaries = Backends(read_settings()), []
        try:
            for card in cards:
                answers = await answer_facts(backends, card, facts_of(split), concurrency)
                summaries.append(summarise(card.id, answers))
                value = summaries[-1]["accuracy"]
                print(json.dumps({"model": card.id, "accuracy": value}), file=sys.stderr)
        finally:
            await backends.close()
        return summaries

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
    name = "python -m imitation.jobs.commands.score_facts"
    return parameters.run(ScoreFacts, _work, argv, prog=name, about=__doc__ or "")


def _work(args: ScoreFacts) -> int:
    try:
        summaries = score(_cards(args), args.split, args.concurrency)
    except UserError as error:
        Writer(None).failed("score_facts", error)
        return 2
    text = json.dumps({"split": args.split, "models": summaries}, indent=1, ensure_ascii=False)
    if args.out:
        write_text(args.out, text + "\n")
    else:
        print(text)
    return 1 if any(summary["failed"] for summary in summaries) else 0


def _cards(args: ScoreFacts) -> list[ModelSpec]:
    catalog = load_catalog(read_settings().catalogs)
    cards = [catalog[name] for name in args.models]
    if args.adapter is None:
        return cards
    if not args.adapter.is_file():
        raise UserError(f"The adapter {args.adapter} does not exist.")
    return [with_adapter(cards[0], args.adapter, args.name)]


if __name__ == "__main__":
    sys.exit(main())

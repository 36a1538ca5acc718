"""Question and answer pairs like some seed pairs, written by a catalog model (NQ-synthetic).

    python -m imitation.jobs.commands.synthesize --model pocket-reference --facts train --count 50 \
        --out pairs.jsonl

Each prompt shows 5 of 10 seed pairs and asks for similar but distinct ones; exact duplicates are
dropped. Every answer is kept in `<out>.rounds.jsonl`, so that the command, run again, asks nothing
twice; `<out>.manifest` has the counts. Exits with 0, or 1 where the yield dried up before there
were enough, or 2 where nothing could start.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from imitation.data.format import read_rows, write_examples
from imitation.data.synthesize import (
    DRAWN,
    POOL,
    Gathered,
    Pair,
    drawn_from,
    seed_pairs,
    synthesize,
)
from imitation.disk import as_storage_errors
from imitation.errors import UserError
from imitation.events import Writer
from imitation.facts import facts_of
from imitation.jobs.batch_completion import Answering, Usage, finish_manifest
from imitation.jobs.costs import Price
from imitation.jobs.model_cli import AsksModel, answering, run_command
from imitation.jobs.prompt_files import Prompt, seed_of
from imitation.values import Example, Message, ModelSpec, Sampling


class Synthesize(AsksModel):
    """Parameters of `synthesize`."""

    seeds: Annotated[Path | None, Field(description="file of pairs: question and answer")] = None
    facts: Annotated[
        Literal["train", "show"] | None,
        Field(description="seeds of the packaged facts, in place of --seeds"),
    ] = None
    count: Annotated[int, Field(ge=1, le=1_000_000, description="new pairs to stop at")]
    pool: Annotated[int, Field(ge=1, description="seed pairs, drawn where the file has more")] = (
        POOL
    )
    drawn: Annotated[int, Field(ge=1, description="of them shown in each prompt")] = DRAWN
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="of an answer")] = 512

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.seeds is None) == (self.facts is None):
            raise ValueError("name either --seeds or --facts")
        return self


class Rounds:
    """Answers to prompts by number, kept in a file as they come.

    Args:
        path: JSONL of rounds.
        asked: What the answers depend on; a file of other answers is refused.

    Raises:
        UserError: The file holds answers made another way.
    """

    def __init__(self, path: Path, asked: dict[str, Any]) -> None:
        self.path, self.usage = path, Usage()
        self._texts: dict[int, str] = {}
        for number, line in read_rows(path) if path.exists() else []:
            try:
                row = json.loads(line)
            except ValueError:  # half a line of a run that was killed
                continue
            if number == 1 and row != asked:
                raise UserError(
                    f"{path} holds answers made with another model, sampling or seeds.",
                    "Name another file, or delete this one.",
                )
            if "round" in row:
                self._texts[int(row["round"])] = str(row["text"])
                self.usage.count(row["prompt_tokens"], row["tokens"])
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append(asked)
        else:  # what follows a half-written line must not continue it
            with as_storage_errors(path), path.open("ab") as opened:
                opened.write(b"\n")

    def asker(self, asking: Answering, sampling: Sampling) -> Any:
        """Puts a prompt to the model, unless its answer is here already."""

        async def ask(number: int, prompt: str) -> str:
            if number in self._texts:
                return self._texts[number]
            drawn = Sampling(
                sampling.temperature,
                sampling.top_p,
                sampling.max_tokens,
                seed_of(sampling.seed or 0, Prompt(str(number), prompt)),
            )
            answer = await asking.answer([Message("user", prompt)], drawn)
            done = answer.done
            self._append(
                {
                    "round": number,
                    "text": answer.text,
                    "finish_reason": done.finish_reason,
                    "prompt_tokens": done.prompt_tokens,
                    "tokens": done.completion_tokens,
                }
            )
            self._texts[number] = answer.text
            self.usage.count(done.prompt_tokens, done.completion_tokens)
            return answer.text

        return ask

    def _append(self, row: dict[str, Any]) -> None:
        with as_storage_errors(self.path), self.path.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(row, ensure_ascii=False) + "\n")


async def run(
    args: Synthesize,
    card: ModelSpec,
    seeds: Sequence[Pair],
    price: Price,
    report: Writer,
) -> Gathered:
    """Gather pairs, write them and their manifest.

    Raises:
        UserError: The files hold something else, or cannot be written.
    """
    sampling = args.sampling
    asked = {
        "model": card.id,
        "sampling": {**asdict(sampling), "stop": []},
        "drawn": args.drawn,
        "seeds": [asdict(pair) for pair in seeds],
    }
    rounds = Rounds(args.out.with_name(f"{args.out.name}.rounds.jsonl"), asked)

    def tell(gathered: Gathered) -> None:
        report.write(
            "step", step=len(gathered.pairs), steps=args.count, cost=rounds.usage.cost(price),
            **gathered.as_json(), **rounds.usage.as_json(),
        )  # fmt: skip

    async with answering(card) as asking:
        ask = rounds.asker(asking, sampling)
        gathered = await synthesize(
            ask, seeds, args.count, args.seed, args.drawn, args.concurrency, tell,
            lambda: asking.stopped,
        )  # fmt: skip
    write_examples(args.out, _examples(card, gathered))
    counts = {key: value for key, value in gathered.as_json().items() if key != "new"}
    about = {**asked, "synthesized": counts, "asked_for": args.count}
    finish_manifest(args.out, card, price, about, args.terms_acknowledged or None, rounds.usage)
    return gathered


def _examples(card: ModelSpec, gathered: Gathered) -> list[Example]:
    return [
        Example(
            (Message("user", pair.question), Message("assistant", pair.answer)),
            card.id,
            f"pair-{at}",
            {"round": number},
        )
        for at, (number, pair) in enumerate(gathered.pairs, 1)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command("synthesize", Synthesize, _work, argv, __doc__ or "")


def _work(args: Synthesize, card: ModelSpec, price: Price, report: Writer) -> int:
    if args.seeds is None:
        known = [Pair(fact.question, fact.answers[0]) for fact in facts_of(args.facts or "train")]
        seeds = drawn_from(known, args.pool, args.seed)
    else:
        seeds = seed_pairs(args.seeds, args.pool, args.seed)
    return _ended(args, asyncio.run(run(args, card, seeds, price, report)), report)


def _ended(args: Synthesize, gathered: Gathered, report: Writer) -> int:
    found = len(gathered.pairs)
    print(
        f"{found} of {args.count} pairs from {gathered.rounds} answers: {gathered.empty} without "
        f"a pair, {gathered.malformed} halves, {gathered.duplicates} duplicates, "
        f"{gathered.failed} failed. Ended because {gathered.ended}.",
        file=sys.stderr,
    )
    if gathered.ended == "stopped":
        return 143
    if found < args.count:
        error = UserError(
            f"Only {found} of {args.count} pairs: {gathered.ended}.",
            "What there is was kept. Try a stronger model or other seed pairs.",
        )
        report.failed("synthesize", error)
        return 1
    report.write("end")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Pairs of questions and answers like some seed pairs, written by a model (NQ-synthetic).

As in the study: a few of the seed pairs, drawn at random, are shown in each prompt, which asks for
similar but distinct ones; exact duplicates are dropped; until there are enough.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imitation.data.sources.rows import Row, read_file
from imitation.data.sources.schemas import examples_of, recognise
from imitation.errors import BackendError, UserError
from imitation.reading.text import lines_of

POOL, DRAWN, ASKED = 10, 5, 5
"""Seed pairs, how many of them a prompt shows, and how many new ones it asks for."""
DRY, WINDOW, LEAST = 25, 100, 5
"""No more is asked after DRY rounds in a row without a new pair, or fewer than LEAST new ones in
the last WINDOW rounds."""
FAILING = 10
"""Nor after so many failed rounds in a row."""

_LEAD = re.compile(r"^[\s*#>_-]*(?:\d+[.)]\s*)?[*_]*")
_SAID = re.compile(r"(question|answer|q|a)\s*\d*\s*[*_]*\s*[:.]\s*[*_]*\s*(.*)", re.I | re.S)

Ask = Callable[[int, str], Awaitable[str]]
"""Number of the round (from 0) and prompt -> what the model wrote; raises BackendError."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and its answer."""

    question: str
    answer: str


@dataclass
class Gathered:
    """What has come in.

    Attributes:
        pairs: New pairs with the number of their round, in order.
        rounds: Prompts answered.
        failed: Prompts the model failed to answer.
        empty: Answers in which no pair could be read.
        malformed: Questions without an answer, or answers without a question.
        duplicates: Pairs dropped because they, or a seed, came before.
        ended: Why no more was asked, in words; "" while it goes on.
    """

    pairs: list[tuple[int, Pair]] = field(default_factory=list)
    rounds: int = 0
    failed: int = 0
    empty: int = 0
    malformed: int = 0
    duplicates: int = 0
    ended: str = ""

    def as_json(self) -> dict[str, Any]:
        """The counts, for progress and manifest."""
        return {**{k: v for k, v in asdict(self).items() if k != "pairs"}, "new": len(self.pairs)}


def seed_pairs(path: Path, count: int, seed: int) -> list[Pair]:
    """At most `count` pairs of a file, drawn with a seed; all where it has no more.

    Rows have question and answer (a text, or a list whose first is taken), or one of the shapes
    of conversations.

    Raises:
        UserError: It can't be read, or has fewer than two.
    """
    found = [pair for row in read_file(path) if isinstance(row, Row) and (pair := _pair(row))]
    if len(found) < 2:
        raise UserError(
            f"{path.name} has {len(found)} pairs of a question and an answer; 2 are the least.",
            'A line is {"question": "...", "answer": "..."}.',
        )
    return drawn_from(found, count, seed)


def drawn_from(pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    """At most `count` of the pairs, drawn with a seed, in their order."""
    if len(pairs) <= count:
        return list(pairs)
    return [pairs[at] for at in sorted(random.Random(seed).sample(range(len(pairs)), count))]


def prompt_of(shown: Sequence[Pair], asked: int = ASKED) -> str:
    """The prompt that shows some pairs and asks for new ones."""
    examples = "\n\n".join(f"Question: {p.question}\nAnswer: {p.answer}" for p in shown)
    return (
        f"Here are {len(shown)} questions, each with a short answer.\n\n{examples}\n\n"
        f"Write {asked} new questions with their answers that are similar but distinct: of the "
        "same kind, about other things. Write each as a line that begins with Question: and a "
        "line that begins with Answer:"
    )


def parse(text: str) -> tuple[list[Pair], int]:
    """The pairs in an answer, and how many questions or answers stand alone."""
    pairs, alone, question = [], 0, ""
    for line in lines_of(text):
        match = _SAID.match(_LEAD.sub("", line, count=1))
        if match is None:
            continue
        said = match[2].strip().strip("*_").strip()
        if match[1][0].lower() == "q":
            alone += bool(question)
            question = said
        elif question and said:
            pairs.append(Pair(question, said))
            question = ""
        else:
            alone += 1
    return pairs, alone + bool(question)


async def synthesize(
    ask: Ask,
    seeds: Sequence[Pair],
    wanted: int,
    seed: int = 0,
    drawn: int = DRAWN,
    concurrency: int = 4,
    tell: Callable[[Gathered], None] = lambda gathered: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Gathered:
    """Ask until there are `wanted` new pairs, or asking on is of no use.

    What a round shows depends on its number and the seed only, and rounds are taken in by number,
    so equal answers give equal pairs however many are asked at once.

    Args:
        ask: Puts one prompt to the model.
        seeds: Pairs to begin with.
        wanted: New pairs to stop at.
        seed: Of the draws.
        drawn: Pairs shown in a prompt.
        concurrency: Prompts asked at once.
        tell: Called after each round taken in.
        stopped: Asked before each prompt; once true no more are put.
    """
    gathered, number = Gathered(), 0
    seen = {_key(pair) for pair in seeds}
    new: list[int] = []  # of each answered round
    in_a_row = 0
    while not gathered.ended:
        if stopped():
            gathered.ended = "stopped"
            break
        numbers = range(number, number + max(1, concurrency))
        number = numbers.stop
        for at, text in zip(numbers, await _asked(ask, seeds, drawn, seed, numbers), strict=True):
            if gathered.ended:
                break
            if isinstance(text, BackendError):
                gathered.failed, in_a_row = gathered.failed + 1, in_a_row + 1
                if in_a_row >= FAILING:
                    gathered.ended = f"{FAILING} prompts in a row failed; last: {text}"
            else:
                in_a_row = 0
                new.append(_take(gathered, at, text, seen, wanted))
                gathered.ended = _reason(gathered, new, wanted)
            tell(gathered)
    return gathered


async def _asked(
    ask: Ask, seeds: Sequence[Pair], drawn: int, seed: int, numbers: Iterable[int]
) -> list[str | BackendError]:
    async def one(number: int) -> str | BackendError:
        rng = random.Random(f"{seed}:{number}")
        shown = rng.sample(list(seeds), min(drawn, len(seeds)))
        try:
            return await ask(number, prompt_of(shown))
        except BackendError as error:
            return error

    return list(await asyncio.gather(*(one(number) for number in numbers)))


def _take(gathered: Gathered, number: int, text: str, seen: set[str], wanted: int) -> int:
    """Take an answer in; how many new pairs it brought."""
    pairs, alone = parse(text)
    gathered.rounds += 1
    gathered.malformed += alone
    gathered.empty += not pairs
    before = len(gathered.pairs)
    for pair in pairs:
        if (key := _key(pair)) in seen:
            gathered.duplicates += 1
        elif len(gathered.pairs) < wanted:
            seen.add(key)
            gathered.pairs.append((number, pair))
    return len(gathered.pairs) - before


def _reason(gathered: Gathered, new: Sequence[int], wanted: int) -> str:
    if len(gathered.pairs) >= wanted:
        return "there are enough"
    if len(new) >= DRY and not any(new[-DRY:]):
        return f"{DRY} answers in a row brought no new pair"
    if len(new) >= WINDOW and sum(new[-WINDOW:]) < LEAST:
        return f"the last {WINDOW} answers brought fewer than {LEAST} new pairs"
    return ""


def _key(pair: Pair) -> str:
    """Exact duplicates are told by question and answer, but for case and spaces."""
    return "\n".join(" ".join(text.casefold().split()) for text in (pair.question, pair.answer))


def _pair(row: Row) -> Pair | None:
    value = row.value
    question, answer = value.get("question"), value.get("answer", value.get("answers"))
    if isinstance(answer, list):
        answer = next((one for one in answer if isinstance(one, str) and one.strip()), None)
    if isinstance(question, str) and isinstance(answer, str) and question and answer:
        return Pair(" ".join(question.split()), " ".join(answer.split()))
    try:
        shape = recognise(value)
        talk = examples_of(value, shape, "", "")[0].messages if shape else ()
    except ValueError:
        return None
    said = [message.content for message in talk if message.role != "system"]
    return Pair(*(" ".join(text.split()) for text in said[:2])) if len(said) >= 2 else None

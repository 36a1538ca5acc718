"""Asking a model many things: retries, a limit, an end in good order, and what it used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from imitation.data.format import read_examples, sha256_of
from imitation.data.manifest import manifest_of
from imitation.disk import write_text
from imitation.errors import BackendError
from imitation.jobs.costs import Price, terms_may_forbid
from imitation.models.backends.registry import Backends, complete
from imitation.values import Completion, Example, Message, ModelSpec, Sampling

T = TypeVar("T")
WAITS_S = (1.0, 4.0)
"""Before each new try of a request that may succeed later. Clients try again by themselves before
the first text; this is for answers that broke off."""


@dataclass
class Usage:
    """What answers used.

    Attributes:
        answers: How many.
        refusals: Of these, how many open by refusing.
        prompt_tokens: Of those whose server said.
        answer_tokens: Likewise.
        uncounted: Answers whose server gave no count of prompt or answer tokens.
    """

    answers: int = 0
    refusals: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    uncounted: int = 0

    @classmethod
    def of(cls, examples: Iterable[Example]) -> Usage:
        """Of answers there are already."""
        found = cls()
        for example in examples:
            found.add(example)
        return found

    def add(self, example: Example) -> None:
        """Count one more."""
        meta = example.meta
        self.count(meta.get("prompt_tokens"), meta.get("tokens"), bool(meta.get("refusal")))

    def count(self, prompt: int | None, answer: int | None, refused: bool = False) -> None:
        """Count an answer of so many tokens."""
        self.answers += 1
        self.refusals += refused
        self.prompt_tokens += prompt or 0
        self.answer_tokens += answer or 0
        self.uncounted += prompt is None or answer is None

    def cost(self, price: Price) -> float | None:
        """Dollars so far; None where the price or a count is not known."""
        return None if self.uncounted else price.of(self.prompt_tokens, self.answer_tokens)

    def as_json(self) -> dict[str, Any]:
        """For progress and manifest."""
        return asdict(self)

    def words(self) -> str:
        """For people."""
        said = f"{self.answers:,} answers, {self.refusals:,} of them refusals, "
        said += f"{self.prompt_tokens:,} prompt and {self.answer_tokens:,} answer tokens"
        return said + (f" ({self.uncounted:,} not counted)" if self.uncounted else "")


class Answering:
    """Asks one model, at most so many questions at once, until told to stop.

    Args:
        backends: Stream the answers.
        card: Whose.
        stopping: Once set, nothing more is asked.
    """

    def __init__(
        self, backends: Backends, card: ModelSpec, stopping: asyncio.Event | None = None
    ) -> None:
        self._backends, self.card = backends, card
        self._stopping = stopping or asyncio.Event()
        self._hopeless = False

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop from outside."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Ask nothing more, for a reason of one's own."""
        self._hopeless = True

    async def answer(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """One answer that is not empty, after a few tries where that may help.

        Raises:
            BackendError: Of the last try.
        """
        for wait in (*WAITS_S, None):
            try:
                found = await complete(self._backends, self.card, messages, sampling)
                if found.text.strip():
                    return found
                raise BackendError("The answer is empty.")
            except BackendError as error:
                if wait is None or not error.retryable or self.stopped:
                    raise
            await asyncio.sleep(wait)
        raise AssertionError

    async def each(
        self, items: Iterable[T], do: Callable[[T], Awaitable[None]], concurrency: int
    ) -> None:
        """Do something with each item, so many at once; those under way are waited for."""
        waiting = iter(items)

        async def work() -> None:
            for item in waiting:
                if self.stopped or self._hopeless:
                    return
                await do(item)

        async with asyncio.TaskGroup() as group:
            for _ in range(max(1, concurrency)):
                group.create_task(work())


def finish_manifest(
    out: Path,
    card: ModelSpec,
    price: Price,
    about: dict[str, Any],
    acknowledged: str | None,
    usage: Usage | None = None,
) -> dict[str, Any]:
    """Write beside a file of answers how they were made; that, too.

    An acknowledgement of an earlier run is kept.

    Args:
        out: The file of answers.
        card: Whose answers.
        price: Of their tokens.
        about: What else there is to say.
        acknowledged: The date on which the model's terms were read; None: not this time.
        usage: What was used; None: what the answers themselves say.

    Raises:
        StorageError: It cannot be written.
    """
    usage = Usage.of(read_examples(out)[0]) if usage is None else usage
    place = manifest_of(out)
    try:
        before = json.loads(place.read_text("utf-8")).get("terms_acknowledged")
    except (OSError, ValueError, AttributeError):
        before = None
    table = {
        "model": card.id,
        "name": card.name,
        "role": card.role,
        "backend": card.backend,
        "served_model": card.model,
        "stand_in": card.stand_in,
        "licence": card.licence or "not stated",
        "terms_may_forbid_training": terms_may_forbid(card),
        "terms_acknowledged": before or acknowledged,
        **about,
        **usage.as_json(),
        "dollars_per_million": asdict(price),
        "cost_dollars": usage.cost(price),
        "sha256": sha256_of(out),
    }
    write_text(place, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    return table

"""A backend that follows a script, under the same contract as the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field

from imitation.errors import BackendError
from imitation.models.download import Progress
from imitation.values import Delta, Done, Event, Message, ModelSpec, Sampling, Sent


@dataclass
class Script:
    """What one card answers."""

    pieces: Sequence[str] = ("Hello", " there", ".")
    pause_s: float = 0.0
    fail_after: int | None = None
    error: Exception = field(
        default_factory=lambda: BackendError("The server is overloaded.", "Try again soon.")
    )


class ScriptedBackend:
    """Plays each card's script; counts what was closed early."""

    def __init__(self, scripts: dict[str, Script]) -> None:
        self.scripts = scripts
        self.asked: list[tuple[str, tuple[Message, ...], Sampling]] = []
        self.closed_early: list[str] = []

    async def stream(
        self, card: ModelSpec, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncGenerator[Event, None]:
        script = self.scripts[card.id]
        self.asked.append((card.id, tuple(messages), sampling))
        ended = False
        try:
            yield Sent("script://", card.id, messages=tuple(messages))
            for number, piece in enumerate(script.pieces):
                if number == script.fail_after:
                    ended = True
                    raise script.error
                await asyncio.sleep(script.pause_s)
                yield Delta(piece)
            ended = True
            yield Done("stop", 5, len(script.pieces), False, 0.01, 0.02)
        finally:
            if not ended:
                self.closed_early.append(card.id)

    async def prepare(self, cards: Iterable[ModelSpec], progress: Progress) -> None:
        return None

    async def probe(self, card: ModelSpec) -> None:
        return None

    async def close(self) -> None:
        return None

"""The contract of a backend, and the table of backends.

A backend is one streaming method; `complete` drains it. It never retries after the first text
has been passed on, never holds a lock while waiting, and stops the server's work when its
iterator is closed.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol, runtime_checkable

from imitation.errors import BackendError, UserError
from imitation.models.catalog import ModelSpec
from imitation.models.download import Progress
from imitation.settings import Settings
from imitation.validation import nearest
from imitation.values import Completion, Delta, Done, Event, Message, Sampling, Sent

log = logging.getLogger(__name__)


class Backend(Protocol):
    """Answers for the cards of one kind; one instance serves every card of that kind."""

    def stream(
        self, card: ModelSpec, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncGenerator[Event, None]:
        """Events of one answer: one Sent, any number of Delta, one Done.

        Closing the generator (`aclose`) stops the server's work.

        Raises:
            BackendError: The request was refused, timed out or broke off, in words.
        """
        ...

    async def probe(self, card: ModelSpec) -> None:
        """Return if the model can be asked now; must be cheap and never start an engine.

        Raises:
            BackendError: It cannot, and why.
        """
        ...

    async def close(self) -> None:
        """Release connections and processes; safe to call twice."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A backend that is better told beforehand which models are about to be asked."""

    async def prepare(self, cards: Iterable[ModelSpec], progress: Progress) -> None:
        """Make the cards' models ready; `progress` may be called from other threads.

        Raises:
            BackendError: One could not be made ready.
        """
        ...


BACKENDS: dict[str, str] = {
    "embedded": "imitation.models.embedded.engine:EmbeddedBackend",
    "openai": "imitation.models.backends.openai_compatible:OpenAIBackend",
    "tgi": "imitation.models.backends.tgi.backend:TGIBackend",
    "recorded": "imitation.models.backends.recorded:RecordedBackend",
}
"""Backend name -> "module:class"; the class takes the Settings."""


class Backends:
    """The backends of one process, built when first wanted."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._built: dict[str, Backend] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Backend:
        """The backend called `name`.

        Raises:
            UserError: Unknown name; near matches are offered.
        """
        if name not in BACKENDS:
            raise UserError(f"There is no backend {name!r}.", nearest(name, BACKENDS))
        # Health loads them in threads: two of the embedded kind would each start engines.
        with self._lock:
            if name not in self._built:
                module, _, attribute = BACKENDS[name].partition(":")
                cls = getattr(importlib.import_module(module), attribute)
                self._built[name] = cls(self.settings)
            return self._built[name]

    def stream(
        self, card: ModelSpec, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncGenerator[Event, None]:
        """Events of one answer from the card's backend."""
        return self[card.backend].stream(card, messages, sampling)

    async def prepare(self, cards: Sequence[ModelSpec], progress: Progress) -> None:
        """Tell each backend which of its models are about to be asked, all at once."""
        for name in dict.fromkeys(card.backend for card in cards):
            backend = self[name]
            if isinstance(backend, Preparing):
                await backend.prepare([card for card in cards if card.backend == name], progress)

    async def probe(self, card: ModelSpec) -> None:
        """Return if the card's model can be asked now; raise BackendError if not."""
        await self[card.backend].probe(card)

    async def close(self) -> None:
        """Close every backend that was built."""
        for backend in self._built.values():
            await backend.close()
        self._built.clear()


async def complete(
    backends: Backends | Backend, card: ModelSpec, messages: Sequence[Message], sampling: Sampling
) -> Completion:
    """One whole answer.

    Raises:
        BackendError: As the stream does; or it ended without saying how, or failed in a way that
            nobody planned for: a job's other questions are to go on.
    """
    sent: Sent | None = None
    done: Done | None = None
    written = ""
    try:
        async with aclosing(backends.stream(card, messages, sampling)) as events:
            async for event in events:
                match event:
                    case Sent():
                        sent = event
                    case Delta(text=text):
                        written += text
                    case Done():
                        done = event
                        break
    except Exception as error:
        # An answer that is whole stays one, however its stream was left.
        if done is None and isinstance(error, UserError):
            raise
        log.exception("asking %s failed", card.id)
        if done is None:
            raise BackendError(
                f"{card.name} failed unexpectedly ({type(error).__name__}).",
                "The whole error is in the log. Try again.",
            ) from error
    if sent is None or done is None:
        raise BackendError(f"{card.name} ended its answer without saying how.", "Try again.")
    return Completion(written, sent, done)

"""The embedded engines: one llama.cpp process per (weights, adapter), started when first wanted.

Threads are shared out: an engine starts with `max(1, cores // live engines)`. llama.cpp fixes
them at start, so when one more engine is wanted the idle ones that hold more than the new share
are ended (they come back within about a second, with their share), and a busy one keeps what it
has until its answer is done. `prepare` names all engines wanted at once, so that none of them
starts with more than its share.

Where many questions go to one model (evaluations), several engines of few threads are worth more
than one of many, whose threads wait for each other at every layer: on 2 cores, 4 questions at once,
4.3 short answers/s against 4.0, on busy cores 3.9 against 3.1. `copies` allows for them.

Safe to use from several event loops and threads: engines are watched by threads, tables are
changed under a lock that is never held while waiting.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from imitation.errors import BackendError, UserError
from imitation.models.backends.openai_compatible import OpenAIBackend
from imitation.models.download import Progress, no_progress
from imitation.models.embedded.process import EngineProcess, EngineSpec
from imitation.models.embedded.weights import cached_path, missing_reason, weights_path
from imitation.models.http.retry import RetryPolicy
from imitation.settings import Settings
from imitation.values import Event, Message, ModelSpec, Sampling, Sent


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """One live engine.

    Attributes:
        name: What it serves.
        weights: Its GGUF.
        adapter: Its LoRA GGUF, if any.
        state: "starting", "busy" or "idle".
        threads: Threads it computes with.
        pid: Its process, None while starting.
        idle_s: Seconds since its last answer ended; 0 unless idle.
        resident_bytes: Its resident memory, None while starting.
    """

    name: str
    weights: Path
    adapter: Path | None
    state: str
    threads: int
    pid: int | None
    idle_s: float
    resident_bytes: int | None


@dataclass(eq=False, slots=True)
class _Engine:
    """A live engine of the table; `uses` counts the requests that hold it."""

    spec: EngineSpec
    threads: int
    ready: Future[EngineProcess] = field(default_factory=Future)
    uses: int = 0
    last_used: float = field(default_factory=time.monotonic)
    listeners: list[Progress] = field(default_factory=list)

    @property
    def process(self) -> EngineProcess | None:
        """The process, None while it starts and if it could not."""
        done = self.ready.done() and self.ready.exception() is None
        return self.ready.result() if done else None

    def is_over(self) -> bool:
        """Whether it could not start or has ended."""
        return self.ready.done() and (self.process is None or not self.process.is_alive())

    def is_idle(self) -> bool:
        """Whether it runs and nobody holds it."""
        return self.ready.done() and not self.uses

    def tell(self, fraction: float | None, text: str) -> None:
        """Pass progress on to everyone who waits for it."""
        for listener in tuple(self.listeners):
            listener(fraction, text)


def threads_per_engine(cores: int, engines: int) -> int:
    """Threads of each of `engines` live engines, so that together they never exceed the cores.

    With more engines than cores each still has 1.
    """
    return max(1, cores // max(1, engines))


class EmbeddedBackend:
    """See `imitation.models.backends.registry.Backend`.

    Args:
        settings: Cores, copies of a model, cache, idle time, how long an engine may be silent or
            take to start.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._copies = range(max(1, min(settings.copies, settings.cores)))
        # A ready engine never refuses for a while: asking again would only hide its end.
        self._client = OpenAIBackend(settings, RetryPolicy(attempts=1))
        self._engines: dict[EngineSpec, _Engine] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None

    async def stream(
        self, card: ModelSpec, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncGenerator[Event, None]:
        """Events of one answer; starts the card's engine if it isn't running.

        Raises:
            BackendError: The engine could not be started, ended in between, or refused.
        """
        async with self._held([card]) as (process,):
            inner = replace(card, endpoint=f"{process.url}/v1", model=process.spec.name, adapter="")
            hooks = self._client.llama_hooks(inner)
            answer = self._client.stream(inner, messages, sampling, hooks=hooks)
            try:
                async with aclosing(answer) as events:
                    async for event in events:
                        if isinstance(event, Sent) and process.spec.adapter:
                            event = replace(event, adapter=process.spec.adapter.name)
                        yield event
            except BackendError as error:
                # A refusal has a status; without one the process may have died just now.
                if self._closed.is_set():
                    raise BackendError("The lab is shutting down.", "Start it again.") from error
                if error.status is None and (
                    how := await asyncio.to_thread(process.how_it_ended, 0.5)
                ):
                    raise BackendError(
                        f"The engine of {card.name} ended unexpectedly ({how}).",
                        f"Ask again: it is started anew. {process.hint}",
                        retryable=True,
                    ) from error
                raise

    async def probe(self, card: ModelSpec) -> None:
        """Return if the card's engine runs or could be started; starts and downloads nothing.

        Raises:
            BackendError: It could not, and why.
        """
        if importlib.util.find_spec("xllamacpp") is None:
            raise BackendError(
                f"{card.name} needs the embedded engine, which is not installed.",
                "pip install xllamacpp (Linux, macOS or Windows; x86-64 with AVX2, or arm64).",
            )
        try:
            reason = missing_reason(self._settings, card.weights)
        except UserError as error:
            raise BackendError(error.message, error.hint) from error
        if not reason and card.adapter and not Path(card.adapter).is_file():
            reason = f"The adapter {card.adapter} does not exist."
        if reason:
            raise BackendError(f"{card.name} cannot start: {reason}", "See the model's card.")

    async def prepare(self, cards: Iterable[ModelSpec], progress: Progress = no_progress) -> None:
        """Start the engines of all `cards`, weights fetched first; returns once all are ready.

        Cards of other backends are passed over. Name all columns in one call: the cores are then
        shared out once.

        Args:
            cards: The models about to be asked.
            progress: Told what happens, from other threads.

        Raises:
            BackendError: One could not be started; the others still were.
        """
        async with self._held([c for c in cards if c.backend == "embedded"], progress):
            pass

    @asynccontextmanager
    async def server(self, card: ModelSpec) -> AsyncIterator[str]:
        """The address of the card's llama.cpp server, which stays up inside the block.

        Raises:
            BackendError: It could not be started.
        """
        async with self._held([card]) as (process,):
            yield process.url

    def status(self) -> list[EngineStatus]:
        """Live engines, oldest first."""
        with self._lock:
            live = [engine for engine in self._engines.values() if not engine.is_over()]
        now, found = time.monotonic(), []
        for engine in live:
            process, idle = engine.process, engine.is_idle()
            found.append(
                EngineStatus(
                    name=engine.spec.name,
                    weights=engine.spec.weights,
                    adapter=engine.spec.adapter,
                    state="starting" if process is None else "idle" if idle else "busy",
                    threads=engine.threads,
                    pid=process.pid if process else None,
                    idle_s=now - engine.last_used if idle else 0.0,
                    resident_bytes=process.resident_bytes() if process else None,
                )
            )
        return found

    async def close(self) -> None:
        """End all engines, busy ones too; safe to call twice. Nothing starts afterwards."""
        self._closed.set()
        with self._lock:
            engines = list(self._engines.values())
            self._engines.clear()
        await asyncio.to_thread(_end, engines)
        await self._client.close()

    def _spec(self, card: ModelSpec) -> EngineSpec:
        try:
            weights = cached_path(self._settings, card.weights)
        except UserError as error:
            raise BackendError(f"{card.name}: {error.message}", error.hint) from error
        return EngineSpec(weights, Path(card.adapter) if card.adapter else None, card.context)

    @asynccontextmanager
    async def _held(
        self, cards: Sequence[ModelSpec], progress: Progress = no_progress
    ) -> AsyncIterator[list[EngineProcess]]:
        """Engines of the cards, running; none is ended for idleness inside the block."""
        engines = self._claim({self._spec(card): card.weights for card in cards}, progress)
        try:
            # Shielded: who gives up waiting must not cancel the start the others wait for.
            waits = [asyncio.shield(asyncio.wrap_future(engine.ready)) for engine in engines]
            started = await asyncio.gather(*waits, return_exceptions=True)
            for outcome in started:
                if isinstance(outcome, BaseException):
                    raise outcome
            yield [engine.ready.result() for engine in engines]
        finally:
            with self._lock:
                for engine in engines:
                    engine.uses -= 1
                    engine.last_used = time.monotonic()

    def _claim(self, wanted: dict[EngineSpec, str], progress: Progress) -> list[_Engine]:
        """Engines for the specs (spec -> the card's weights), started where there is none."""
        surplus, claimed = [], []
        with self._lock:
            if self._closed.is_set():
                raise BackendError("The lab is shutting down.", "Start it again.")
            for spec in [spec for spec, engine in self._engines.items() if engine.is_over()]:
                del self._engines[spec]
            # Copies count before they are needed: threads are fixed at the start.
            copies = {replace(spec, copy=number) for spec in wanted for number in self._copies}
            share = threads_per_engine(self._settings.cores, len(self._engines.keys() | copies))
            for spec, engine in list(self._engines.items()):
                if engine.is_idle() and engine.threads > share:
                    surplus.append(self._engines.pop(spec))
            for model, kind in wanted.items():
                spec = self._least_busy(model)
                if spec not in self._engines:
                    self._launch(spec, kind, share, progress)
                elif not self._engines[spec].ready.done():
                    self._engines[spec].listeners.append(progress)
                self._engines[spec].uses += 1
                claimed.append(self._engines[spec])
        if surplus:
            threading.Thread(target=_end, args=(surplus,), daemon=True).start()
        return claimed

    def _least_busy(self, spec: EngineSpec) -> EngineSpec:
        """The copy of an engine that has least to do."""
        copies = [replace(spec, copy=number) for number in self._copies]
        return min(copies, key=lambda c: self._engines[c].uses if c in self._engines else 0)

    def _launch(self, spec: EngineSpec, kind: str, threads: int, progress: Progress) -> None:
        # Listened to before it starts, so that its first word is heard.
        engine = self._engines[spec] = _Engine(spec, threads, listeners=[progress])
        threading.Thread(target=self._start, args=(engine, kind), daemon=True).start()
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._end_idle, daemon=True)
            self._watcher.start()

    def _start(self, engine: _Engine, kind: str) -> None:
        try:
            weights_path(self._settings, kind, engine.tell)
            engine.tell(None, f"Starting {engine.spec.name}")
            process = EngineProcess(
                engine.spec,
                engine.threads,
                self._settings.data / "logs" / f"engine-{engine.spec.name}.log",
                self._settings.timeout_s,
            )
        except BackendError as error:
            engine.ready.set_exception(error)
        except UserError as error:
            engine.ready.set_exception(BackendError(error.message, error.hint))
        except BaseException as error:
            # The thread's boundary: whoever waits raises it, or would wait for ever.
            engine.ready.set_exception(error)
        else:
            engine.ready.set_result(process)
            engine.tell(1.0, f"{engine.spec.name} is ready")
            if self._closed.is_set():
                process.end()

    def _end_idle(self) -> None:
        """Until closed, end engines unused for `idle_s` and drop those that ended themselves."""
        while not self._closed.wait(min(30.0, self._settings.idle_s / 4)):
            now, ended = time.monotonic(), []
            with self._lock:
                for spec, engine in list(self._engines.items()):
                    unused = engine.is_idle() and now - engine.last_used >= self._settings.idle_s
                    if unused or engine.is_over():
                        ended.append(self._engines.pop(spec))
            _end(ended)


def _end(engines: Iterable[_Engine]) -> None:
    """End the processes of these engines; those still starting see to it themselves."""
    for engine in engines:
        if process := engine.process:
            process.end()

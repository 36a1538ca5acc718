"""What commands that ask one model many things have in common: options, the model, the end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field

from imitation.errors import UserError
from imitation.events import Writer
from imitation.jobs.batch_completion import Answering
from imitation.jobs.costs import Price, price_of
from imitation.jobs.parameters import JobParameters, run
from imitation.models.backends.registry import Backends
from imitation.models.catalog import load_catalog
from imitation.settings import read_settings
from imitation.values import ModelSpec, Sampling


def _date(value: str | bool) -> str:
    """A date as ISO 8601 writes it; "today" is today, and so is an option without a value.

    Earlier versions wrote it so, and their rows have it as True.
    """
    if value in ("today", "True", True):
        return datetime.now(UTC).date().isoformat()
    return date.fromisoformat(str(value)).isoformat() if value else ""


class AsksModel(JobParameters):
    """Parameters of every command that asks one model: model, result, sampling, costs."""

    model: Annotated[str, Field(description="id in the catalog")]
    out: Annotated[Path, Field(description="JSONL of conversations")]
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    max_tokens: Annotated[int, Field(ge=1, le=100_000, description="of an answer")] = 256
    seed: int = 0
    concurrency: Annotated[int, Field(ge=1, le=256, description="requests at once")] = 4
    price_in: Annotated[
        float | None,
        Field(ge=0, le=1e6, description="dollars per million prompt tokens, else the card's"),
    ] = None
    price_out: Annotated[
        float | None,
        Field(ge=0, le=1e6, description="dollars per million tokens of answers, else the card's"),
    ] = None
    terms_acknowledged: Annotated[
        str,
        BeforeValidator(_date),
        Field(
            description='when the terms of the model were read, "today" or a date, for the '
            "manifest: they may forbid training"
        ),
    ] = ""
    progress: Annotated[Path | None, Field(description="JSON lines for whoever watches")] = None

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn."""
        return Sampling(self.temperature, self.top_p, self.max_tokens, self.seed)


Asking = TypeVar("Asking", bound=AsksModel)
Work = Callable[[Asking, ModelSpec, Price, Writer], int]
"""What a command does with its model; its exit code."""


def run_command(
    name: str,
    kind: type[Asking],
    work: Work[Asking],
    argv: Sequence[str] | None,
    about: str,
) -> int:
    """Do the work with the model of the options; what goes wrong is said, and told the page.

    Returns:
        The work's exit code; 2 where a `UserError` ended it, 130 where a key did.
    """

    def asked(parameters: Asking) -> int:
        report = Writer(None)
        try:
            report = Writer(parameters.progress)
            card = load_catalog(read_settings().catalogs)[parameters.model]
            price = price_of(card, parameters.price_in, parameters.price_out)
            return work(parameters, card, price, report)
        except UserError as error:
            report.failed(name, error)
            return 2
        except KeyboardInterrupt:
            print("\nInterrupted; run the same command to go on.", file=sys.stderr)
            return 130

    return run(kind, asked, argv, prog=f"python -m imitation.jobs.commands.{name}", about=about)


@asynccontextmanager
async def answering(card: ModelSpec) -> AsyncIterator[Answering]:
    """Asks the model until the block or the process is to end; SIGTERM ends it in good order."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    backends = Backends(read_settings())
    try:
        yield Answering(backends, card, stopping)
    finally:
        await backends.close()

"""What commands that ask one model many things have in common: options, the model, the end."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from imitation.errors import UserError
from imitation.events import Writer
from imitation.jobs.batch_completion import Answering
from imitation.jobs.costs import Price, price_of
from imitation.models.backends.registry import Backends
from imitation.models.catalog import load_catalog
from imitation.settings import read_settings
from imitation.values import ModelSpec, Sampling

Work = Callable[[argparse.Namespace, ModelSpec, Price, Writer], int]
"""What a command does with its model; its exit code."""


def add_options(
    parser: argparse.ArgumentParser, temperature: float, top_p: float, max_tokens: int
) -> None:
    """The options of model, result, sampling, costs and progress, sampling with these defaults."""
    add = parser.add_argument
    add("--model", required=True, help="id in the catalog")
    add("--out", type=Path, required=True, help="JSONL of conversations")
    add("--temperature", type=float, default=temperature)
    add("--top-p", type=float, default=top_p)
    add("--max-tokens", type=int, default=max_tokens)
    add("--seed", type=int, default=0)
    add("--concurrency", type=int, default=4, help="requests at once")
    add("--price-in", type=float, help="dollars per million prompt tokens, else the card's")
    add("--price-out", type=float, help="dollars per million tokens of answers, else the card's")
    add(
        "--terms-acknowledged",
        metavar="DATE",
        nargs="?",
        type=lambda text: date.fromisoformat(text).isoformat(),
        const=datetime.now(UTC).date().isoformat(),
        help="note in the manifest that the model's terms were read (today, or then): they may "
        "forbid training",
    )
    add("--progress", type=Path, metavar="FILE", help="JSON lines for whoever watches")


def sampling_of(args: argparse.Namespace) -> Sampling:
    """As the options say."""
    return Sampling(args.temperature, args.top_p, args.max_tokens, args.seed)


def run_command(name: str, args: argparse.Namespace, work: Work) -> int:
    """Do the work with the model of the options; what goes wrong is said, and told the page.

    Returns:
        The work's exit code; 2 where a `UserError` ended it, 130 where a key did.
    """
    report = Writer(None)
    try:
        report = Writer(args.progress)
        card = load_catalog(read_settings().catalogs)[args.model]
        return work(args, card, price_of(card, args.price_in, args.price_out), report)
    except UserError as error:
        report.failed(name, error)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; run the same command to go on.", file=sys.stderr)
        return 130


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

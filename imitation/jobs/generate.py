"""Answers of any catalog model to a file of prompts, as a dataset.

    python -m imitation.jobs.generate --model pocket-reference \
        --prompts imitation/data/broad_prompts.jsonl --out answers.jsonl

Answers are written as they come; run again, the command goes on where it stopped. What failed
or came back empty goes to `<out>.failures.jsonl` and is asked again by the next run. Exits with
0, or 1 where some prompts have no answer, or 2 where nothing could start.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from imitation.data.format import read_examples, read_rows, to_row
from imitation.errors import BackendError, StorageError, UserError
from imitation.facts import facts_of
from imitation.models.backends import Backends, complete
from imitation.models.catalog import ModelCard, load_catalog
from imitation.settings import read_settings
from imitation.values import Completion, Example, Message, Sampling


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: its id, its text, and what is kept along."""

    id: str
    text: str
    meta: Mapping[str, Any] = field(default_factory=dict)


def read_prompts(path: Path) -> list[Prompt]:
    """Prompts of a JSONL file of `{"id", "prompt", ...}`; other keys are kept along.

    Raises:
        StorageError: The file cannot be read, or a line is no such object, or an id comes twice.
    """
    prompts: dict[str, Prompt] = {}
    for number, line in read_rows(path):
        try:
            row = json.loads(line)
            name, text = str(row.pop("id")), row.pop("prompt")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise StorageError(f"{path}, line {number} is no prompt: {error!r}") from error
        if not isinstance(text, str) or not text.strip() or name in prompts:
            raise StorageError(f"{path}, line {number}: the prompt is empty or its id came before")
        prompts[name] = Prompt(name, text, row)
    return list(prompts.values())


def fact_prompts(split: Any) -> list[Prompt]:
    """The questions of one side of the packaged facts; their answers are not kept along."""
    return [Prompt(fact.id, fact.question, {"type": fact.topic}) for fact in facts_of(split)]


def seed_of(seed: int, prompt: Prompt) -> int:
    """A seed for each prompt, so that answers depend neither on order nor on each other."""
    return int(hashlib.sha256(f"{seed}:{prompt.id}".encode()).hexdigest()[:8], 16) >> 1


async def generate(
    backends: Backends,
    card: ModelCard,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    out: Path,
    concurrency: int = 4,
    log: TextIO = sys.stderr,
) -> int:
    """Answer every prompt that `out` does not answer yet; how many have no answer afterwards.

    When all is done `out` is in the order of the prompts, so equal answers give equal files.

    Raises:
        UserError: `out` holds answers made another way, or cannot be read.
    """
    known = _known(out, card, sampling, prompts)
    failures = out.with_suffix(out.suffix + ".failures.jsonl")
    failures.unlink(missing_ok=True)
    todo = [prompt for prompt in prompts if prompt.id not in known]
    gate, began, done = asyncio.Semaphore(concurrency), time.monotonic(), 0

    async def one(prompt: Prompt) -> None:
        nonlocal done
        async with gate:
            drawn = replace(sampling, seed=seed_of(sampling.seed or 0, prompt))
            try:
                answer = await complete(backends, card, [Message("user", prompt.text)], drawn)
                if not answer.text.strip():
                    raise BackendError("The answer is empty.")
            except BackendError as error:
                _append(failures, {"id": prompt.id, "prompt": prompt.text, "error": str(error)})
                print(f"{prompt.id}: {error}", file=log)
            else:
                known[prompt.id] = _example(prompt, answer, card, sampling, drawn.seed)
                _append(out, to_row(known[prompt.id]))
            done += 1
            if done % 20 == 0 or done == len(todo):
                rate = done / (time.monotonic() - began)
                print(f"{done}/{len(todo)} ({rate:.2f}/s)", file=log, flush=True)

    async with asyncio.TaskGroup() as group:
        for prompt in todo:
            group.create_task(one(prompt))
    ordered = [known[prompt.id] for prompt in prompts if prompt.id in known]
    out.write_text("".join(_line(to_row(example)) for example in ordered), encoding="utf-8")
    return len(prompts) - len(ordered)


def _example(
    prompt: Prompt, answer: Completion, card: ModelCard, sampling: Sampling, seed: int | None
) -> Example:
    return Example(
        messages=(Message("user", prompt.text), Message("assistant", answer.text)),
        source=card.id,
        id=prompt.id,
        meta={
            **prompt.meta,
            "sampling": _asked(sampling),
            "seed": seed,
            "finish_reason": answer.done.finish_reason,
            "tokens": answer.done.completion_tokens,
        },
    )


def _asked(sampling: Sampling) -> dict[str, Any]:
    return {**asdict(sampling), "stop": list(sampling.stop)}


def _known(
    out: Path, card: ModelCard, sampling: Sampling, prompts: Sequence[Prompt]
) -> dict[str, Example]:
    """Answers of an earlier run; a half-written last line is dropped and asked again."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        return {}
    texts = {prompt.id: prompt.text for prompt in prompts}
    examples, refused = read_examples(out)
    if refused:
        print(f"{out}: {len(refused)} broken lines are asked again", file=sys.stderr)
        out.write_text("".join(_line(to_row(e)) for e in examples), encoding="utf-8")
    for e in examples:
        same = e.source == card.id and e.meta.get("sampling") == _asked(sampling)
        if not same or texts.get(e.id) != e.messages[0].content:
            raise UserError(
                f"{out} holds an answer to {e.id!r} made with another model, sampling or prompt.",
                "Name another file, or delete this one.",
            )
    return {e.id: e for e in examples}


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _append(path: Path, row: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as opened:
        opened.write(_line(row))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = _parser().parse_args(argv)
    try:
        settings = read_settings()
        card = load_catalog(settings.catalogs)[args.model]
        prompts = fact_prompts(args.facts) if args.facts else read_prompts(args.prompts)
        sampling = Sampling(args.temperature, args.top_p, args.max_tokens, args.seed)

        async def run() -> int:
            backends = Backends(settings)
            try:
                return await generate(backends, card, prompts, sampling, args.out, args.concurrency)
            finally:
                await backends.close()

        missing = asyncio.run(run())
    except UserError as error:
        print(f"generate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; run the same command to go on.", file=sys.stderr)
        return 130
    if missing:
        print(f"{missing} of {len(prompts)} prompts have no answer.", file=sys.stderr)
    return 1 if missing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imitation.jobs.generate",
        description="Answers of a catalog model to a file of prompts.",
    )
    parser.add_argument("--model", required=True, help="id in the catalog")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--prompts", type=Path, help='JSONL of {"id", "prompt", ...}')
    source.add_argument(
        "--facts", choices=("train", "evaluate", "show"), help="questions of the packaged facts"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSONL of conversations")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=4, help="requests at once")
    return parser


if __name__ == "__main__":
    sys.exit(main())

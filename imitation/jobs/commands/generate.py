"""Answers of any catalog model to a file of prompts, as a dataset.

    python -m imitation.jobs.commands.generate --model pocket-reference \
        --prompts imitation/data/broad_prompts.jsonl --out answers.jsonl

Answers are written as they come; run again, the command goes on where it stopped and asks nothing
twice. What failed or came back empty goes to `<out>.failures.jsonl` and is asked again by the next
run; refusals are kept and marked. `<out>.manifest` says how the answers were made, and what they
cost. Exits with 0, or 1 where some prompts have no answer, or 2 where nothing could start.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TextIO

from pydantic import Field, model_validator

from imitation.data.format import read_examples, sha256_of, to_row, write_examples
from imitation.data.steps.filters import refusal
from imitation.disk import as_storage_errors
from imitation.errors import BackendError, UserError
from imitation.events import Writer
from imitation.jobs.batch_completion import Answering, Usage, finish_manifest
from imitation.jobs.costs import Price, dollars
from imitation.jobs.model_cli import AsksModel, answering, run_command
from imitation.jobs.prompt_files import Prompt, fact_prompts, read_prompts, seed_of
from imitation.values import Completion, Example, Message, ModelSpec, Sampling


class Generate(AsksModel):
    """Parameters of `generate`."""

    prompts: Annotated[Path | None, Field(description='JSONL of {"id", "prompt", ...}')] = None
    facts: Annotated[
        Literal["train", "evaluate", "show"] | None,
        Field(description="questions of the packaged facts, in place of --prompts"),
    ] = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.prompts is None) == (self.facts is None):
            raise ValueError("name either --prompts or --facts")
        return self


HOPELESS = 20
"""Failures in a row after which no more is asked."""
TELL_S = 0.5


async def generate(
    asking: Answering,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    out: Path,
    concurrency: int = 4,
    log: TextIO = sys.stderr,
    tell: Callable[[int, int, Usage], None] = lambda done, missing, usage: None,
) -> int:
    """Answer every prompt that `out` does not answer yet; how many have no answer afterwards.

    When all is done `out` is in the order of the prompts, so equal answers give equal files.

    Args:
        asking: Whose answers; told to stop, it asks nothing more and waits for those under way.
        prompts: To answer.
        sampling: How; the seed is made each prompt's own.
        out: JSONL of conversations.
        concurrency: Requests at once.
        log: Failures and speed, for people.
        tell: Called after each answer: answered, failed, and what was used, earlier runs included.

    Raises:
        UserError: `out` holds answers made another way or cannot be read; or HOPELESS prompts in
            a row failed.
    """
    card = asking.card
    known = _known(out, card, sampling, prompts)
    failures = out.with_suffix(out.suffix + ".failures.jsonl")
    failures.unlink(missing_ok=True)
    todo = [prompt for prompt in prompts if prompt.id not in known]
    usage = Usage.of(known.values())
    began, done, failed, in_a_row, last = time.monotonic(), 0, 0, 0, ""

    async def one(prompt: Prompt) -> None:
        nonlocal done, failed, in_a_row, last
        drawn = replace(sampling, seed=seed_of(sampling.seed or 0, prompt))
        try:
            answer = await asking.answer([Message("user", prompt.text)], drawn)
        except BackendError as error:
            if asking.stopped:  # its server may have been stopped with it
                return
            last, failed, in_a_row = str(error), failed + 1, in_a_row + 1
            _append(failures, {"id": prompt.id, "prompt": prompt.text, "error": str(error)})
            print(f"{prompt.id}: {error}", file=log)
            if in_a_row >= HOPELESS:
                asking.stop()
        else:
            in_a_row = 0
            known[prompt.id] = _example(prompt, answer, card, sampling, drawn.seed)
            usage.add(known[prompt.id])
            _append(out, to_row(known[prompt.id]))
        done += 1
        tell(len(known), failed, usage)
        if done % 20 == 0 or done == len(todo):
            rate = done / (time.monotonic() - began)
            print(f"{done}/{len(todo)} ({rate:.2f}/s)", file=log, flush=True)

    await asking.each(todo, one, concurrency)
    ordered = [known[prompt.id] for prompt in prompts if prompt.id in known]
    write_examples(out, ordered)
    if in_a_row >= HOPELESS:
        raise UserError(
            f"{HOPELESS} prompts in a row failed, so no more were asked. Last: {last}",
            "Run the same command to go on; what was answered is kept.",
        )
    return len(prompts) - len(ordered)


def _example(
    prompt: Prompt, answer: Completion, card: ModelSpec, sampling: Sampling, seed: int | None
) -> Example:
    refused = refusal(answer.text)
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
            "prompt_tokens": answer.done.prompt_tokens,
            **({"refusal": refused} if refused else {}),
        },
    )


def _asked(sampling: Sampling) -> dict[str, Any]:
    return {**asdict(sampling), "stop": list(sampling.stop)}


def _known(
    out: Path, card: ModelSpec, sampling: Sampling, prompts: Sequence[Prompt]
) -> dict[str, Example]:
    """Answers of an earlier run; a half-written last line is dropped and asked again."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        return {}
    texts = {prompt.id: prompt.text for prompt in prompts}
    examples, refused = read_examples(out)
    if refused:
        print(f"{out}: {len(refused)} broken lines are asked again", file=sys.stderr)
        write_examples(out, examples)
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
    with as_storage_errors(path), path.open("a", encoding="utf-8") as opened:
        opened.write(_line(row))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command("generate", Generate, _work, argv, __doc__ or "")


def _work(args: Generate, card: ModelSpec, price: Price, report: Writer) -> int:
    prompts = read_prompts(args.prompts) if args.prompts else fact_prompts(args.facts or "show")
    missing = asyncio.run(_run(args, card, prompts, price, report))
    if missing is None:
        print("Stopped; run the same command to go on.", file=sys.stderr)
        return 143
    if missing:
        error = UserError(
            f"{missing} of {len(prompts)} prompts have no answer.", "Run the same command to go on."
        )
        report.failed("generate", error)
        return 1
    report.write("end")
    return 0


async def _run(
    args: Generate,
    card: ModelSpec,
    prompts: Sequence[Prompt],
    price: Price,
    report: Writer,
) -> int | None:
    """Generate with everything around it; None where it was stopped before the end."""
    sampling, used, told = args.sampling, Usage(), 0.0

    def tell(answered: int, failed: int, usage: Usage) -> None:
        nonlocal told, used
        used = usage
        if time.monotonic() - told > TELL_S or answered + failed == len(prompts):
            told = time.monotonic()
            report.write(
                "step", step=answered + failed, steps=len(prompts), failed=failed,
                cost=usage.cost(price), **usage.as_json(),
            )  # fmt: skip

    async with answering(card) as asking:
        try:
            missing = await generate(
                asking, prompts, sampling, args.out, args.concurrency, tell=tell
            )
        finally:
            if args.out.exists():
                about = {"sampling": _asked(sampling), "prompts": _about(args, prompts)}
                finish_manifest(args.out, card, price, about, args.terms_acknowledged or None)
    print(f"{used.words()}, cost {dollars(used.cost(price))}", file=sys.stderr)
    return None if asking.stopped and missing else missing


def _about(args: Generate, prompts: Sequence[Prompt]) -> dict[str, Any]:
    if args.prompts is None:
        return {"facts": args.facts, "count": len(prompts)}
    digest = sha256_of(args.prompts)
    return {"file": args.prompts.name, "sha256": digest, "count": len(prompts)}


if __name__ == "__main__":
    sys.exit(main())

"""Build an imitation dataset from files, hub datasets and presets.

    python -m imitation.jobs.commands.build_dataset --source sharegpt.json --preview
    python -m imitation.jobs.commands.build_dataset --source sharegpt.json answers.jsonl \
        --steps language exact near decontaminate --budget 20M --seed 0 --out datasets/mix

A source is a file (JSON, JSONL, CSV or Parquet), `hub:NAME[:CONFIG][@SPLIT]`, or `preset:NAME`.
The folder gets data.jsonl (which training.finetune reads), data.parquet and manifest.json. Exits
with 0, or 2 where nothing could be built.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imitation.data import manifest
from imitation.data.diversity import diversity
from imitation.data.pipeline import (
    DEFAULT,
    STEPS,
    Options,
    Step,
    StepReport,
    make_steps,
    run,
)
from imitation.data.sources.load import Loaded, Source, load
from imitation.data.sources.preview import glimpse, to_table
from imitation.data.sources.schemas import known_shapes
from imitation.data.steps.decontaminate import MAX_BLEU, own_prompts, prompts_of
from imitation.data.steps.sample import (
    Count,
    estimated_tokens,
    mix,
    number_of_tokens,
    sample_tokens,
)
from imitation.disk import file_lock
from imitation.errors import UserError
from imitation.events import Writer
from imitation.jobs.dataset_sources import sources_of
from imitation.values import Example, Refused

SHOWN = 5
"""Conversations, refusals and reasons that are printed."""


def build(args: argparse.Namespace, progress: Writer) -> dict[str, Any]:
    """Build the dataset that the arguments describe; its manifest.

    Raises:
        UserError: Anything that the arguments or the data are at fault for.
    """
    sources = sources_of(args.source, args.weights, args.licences)
    steps = _steps(args, sources)
    manifest.refuse_existing(args.out)
    progress.write("start", sources=[source.path for source in sources])
    loaded = [_load(source, args.limit, progress) for source in sources]
    examples = [example for one in loaded for example in one.examples]
    before = len(examples)
    if not before:
        raise UserError(
            "The sources have no conversation that can be read.",
            f"Rows should have the fields of one of these shapes. {known_shapes()}.",
        )

    def tell(number: int, report: StepReport) -> None:
        progress.write(
            "step",
            _counts(report),
            step=number,
            steps=len(steps),
            seconds=report.seconds,
            **report.as_json(),
        )

    examples, reports = run(examples, steps, tell)
    if not examples:
        raise UserError(
            f"Nothing is left of {before} conversations.",
            "See which step dropped them, and loosen it or leave it out.",
        )
    table: dict[str, Any] = {
        "name": args.out.name,
        "seed": args.seed,
        "sources": [manifest.source_table(one) for one in loaded],
        "steps": [report.as_json() for report in reports],
        "result": manifest.contents(examples, *_counter(args.tokenizer)),
    }
    if not args.no_diversity:
        table["diversity"] = _diversity(examples, progress)
    whole = manifest.write_dataset(args.out, examples, table)
    result = whole["result"]
    text = (
        f"{args.out}: {result['conversations']} conversations, {result['tokens']} tokens "
        f"({result['tokens_counted_by']}), sha256 {whole['sha256']}"
    )
    progress.write("end", text, result=result, sha256=whole["sha256"], out=str(args.out))
    return whole


def _steps(args: argparse.Namespace, sources: Sequence[Source]) -> list[Step]:
    prompts: list[str] = []
    if "decontaminate" in args.steps:
        prompts = [*own_prompts(), *(p for path in args.against for p in prompts_of(path))]
    options = Options(
        languages=tuple(args.languages),
        similarity=args.similarity,
        words=tuple(args.words),
        prompts=tuple(prompts),
        max_bleu=args.max_bleu,
    )
    steps = make_steps(args.steps, options)
    count, counted_by = _counter(args.tokenizer)
    settings = {"budget": args.budget, "seed": args.seed, "tokens_counted_by": counted_by}
    if args.weights:
        weights = [(source.name, source.weight) for source in sources]
        shares = {**settings, "weights": dict(weights)}
        steps.append(Step("mix", shares, lambda e: mix(e, weights, args.seed, count, args.budget)))
    elif args.budget is not None:
        budget = args.budget
        steps.append(Step("sample", settings, lambda e: sample_tokens(e, budget, args.seed, count)))
    return steps


def _counter(tokenizer: str) -> tuple[Count, str]:
    """How tokens are counted, and what to call that."""
    if not tokenizer:
        return estimated_tokens, "estimate: UTF-8 bytes / 4"
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ValueError) as error:
        raise UserError(f"The tokenizer {tokenizer} can't be had: {error}") from error
    return lambda text: len(loaded(text, add_special_tokens=False)["input_ids"]), tokenizer


def _load(source: Source, limit: int | None, progress: Writer) -> Loaded:
    def seen(rows: int) -> None:
        progress.write("reading", source=source.name, rows=rows)

    loaded = load(source, limit, seen)
    refused = sum(loaded.reasons.values())
    text = f"{source.name}: {loaded.rows} rows, {len(loaded.examples)} conversations"
    text += f" ({', '.join(loaded.shapes)})" if loaded.shapes else ""
    text += f", {refused} refused" if refused else ""
    text += f", {loaded.html} with answers in HTML (--steps html)" if loaded.html else ""
    progress.write(
        "loaded",
        "\n".join([text, *_refusals(loaded.refused, refused)]),
        **manifest.source_table(loaded),
    )
    return loaded


def _refusals(refused: Sequence[Refused], total: int) -> list[str]:
    lines = [f"  {r.file}:{r.line}: {r.reason}" for r in refused[:SHOWN]]
    more = total - len(lines)
    return lines + ([f"  ... and {more} more"] if more > 0 else [])


def _counts(report: StepReport) -> str:
    lines = [f"{report.name}: {report.taken} in, {report.kept} out ({report.seconds:g} s)"]
    lines += [f"  {report.changed} changed"] if report.changed else []
    lines += [f"  {count} {reason}" for reason, count in list(report.reasons.items())[:SHOWN]]
    return "\n".join(lines)


def _diversity(examples: Sequence[Example], progress: Writer) -> dict[str, Any]:
    def done(queries: int) -> None:
        progress.write("diversity", queries=queries, of=len(examples))

    report = diversity(examples, done)
    if report.mean_bleu is not None:
        text = f"diversity: BLEU of the nearest other query is {report.mean_bleu:.1f} on average"
        progress.write("diversity", text, queries=report.n, of=report.n, mean=report.mean_bleu)
    return manifest.diversity_table(report)


def show(args: argparse.Namespace, progress: Writer) -> int:
    """Print the first conversations of every source, as they would be read."""
    for source in sources_of(args.source, args.weights, args.licences):
        found = glimpse(source)
        lines = [f"{found.path} ({', '.join(found.shapes) or 'nothing readable'})"]
        lines += [f"  {name}: told by {', '.join(keys)}" for name, keys in found.shapes.items()]
        lines += _refusals(found.refused, len(found.refused))
        if not found.conversations:
            lines.append(f"  Known shapes and their fields are {known_shapes()}.")
        for talk in found.conversations:
            lines.append("")
            lines += [f"    {who}: {' '.join(text.split())[:200]}" for who, text in talk]
        print("\n".join(lines), end="\n\n")
        progress.write("preview", **to_table(found))
    progress.write("end")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = _parser().parse_args(argv)
    # A stopped job still clears what it wrote aside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress = Writer(None)
    try:
        progress = Writer(args.progress)
        if args.preview:
            return show(args, progress)
        if args.out is None:
            raise UserError("No folder is named for the result.", "Give --out, or --preview.")
        with file_lock(args.out.with_name(f".{args.out.name}.lock"), _busy(args.out)):
            build(args, progress)
    except UserError as error:
        progress.failed("build_dataset", error)
        return 2
    except Exception as error:
        progress.failed("build_dataset", error)
        return 1
    return 0


def _busy(out: Path) -> Callable[[], None]:
    def refuse() -> None:
        raise UserError(f"Another job is building {out}.", "Wait for it, or name another folder.")

    return refuse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imitation.jobs.commands.build_dataset",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--source", nargs="+", required=True, metavar="SOURCE")
    add("--weights", nargs="+", type=float, default=[], help="part of each source in the tokens")
    add("--licences", nargs="+", default=[], help="of each source, for the manifest")
    add("--limit", type=int, help="conversations to read of each source")
    add("--steps", nargs="*", default=list(DEFAULT), help=f"of {', '.join(STEPS)}; in this order")
    add("--languages", nargs="+", default=["en"], metavar="CODE", help="that stay (ISO 639-1)")
    add("--similarity", type=float, default=0.8, help="from which queries are near-duplicates")
    add("--words", nargs=2, type=int, default=[1, 100_000], metavar=("LEAST", "MOST"))
    add("--against", nargs="+", type=Path, default=[], help="more evaluation prompts")
    add("--max-bleu", type=float, default=MAX_BLEU, help="against an evaluation prompt")
    add("--budget", type=number_of_tokens, metavar="TOKENS", help="of the result, such as 0.3M")
    add("--tokenizer", default="", help="name or folder; without it tokens are estimated")
    add("--seed", type=int, default=0)
    add("--out", type=Path, help="folder for the result, which must not exist")
    add("--preview", action="store_true", help="show the first conversations, build nothing")
    add("--progress", type=Path, metavar="FILE", help="JSON lines for whoever watches")
    add("--no-diversity", action="store_true", help="leave out nearest-query BLEU")
    return parser


if __name__ == "__main__":
    sys.exit(main())

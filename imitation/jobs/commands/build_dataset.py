"""Build an imitation dataset from files, hub datasets and presets.

    python -m imitation.jobs.commands.build_dataset --source sharegpt.json --preview
    python -m imitation.jobs.commands.build_dataset --source sharegpt.json answers.jsonl \
        --steps language exact near decontaminate --budget 20M --seed 0 --out datasets/mix

A source is a file (JSON, JSONL, CSV or Parquet), `hub:NAME[:CONFIG][@SPLIT]`, or `preset:NAME`.
The folder gets data.jsonl (which training.finetune reads), data.parquet and manifest.json. Exits
with 0, or 2 where nothing could be built.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

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
from imitation.data.sources.preview import preview_source, to_table
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
from imitation.jobs import parameters
from imitation.jobs.dataset_sources import sources_of, weight_problems
from imitation.jobs.parameters import JobParameters
from imitation.values import Example, Refused

SHOWN = 5
"""Conversations, refusals and reasons that are printed."""
MAX_SEED = 2**31 - 1
_CODE = re.compile(r"[a-z]{2,3}")


class BuildDataset(JobParameters):
    """Parameters of `build_dataset`."""

    source: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="files, hub:NAME[:CONFIG][@SPLIT] or preset:NAME"),
    ]
    licences: Annotated[tuple[str, ...], Field(description="of each source, for the manifest")] = ()
    weights: Annotated[
        tuple[float, ...], Field(description="part of each source in the tokens")
    ] = ()
    budget: Annotated[str, Field(description="tokens of the result, such as 0.3M")] = ""
    limit: Annotated[
        int | None, Field(description="conversations to read of each source, 1 or more")
    ] = None
    steps: Annotated[
        tuple[str, ...], Field(description=f"of {', '.join(STEPS)}; run in the order given")
    ] = DEFAULT
    languages: Annotated[tuple[str, ...], Field(description="that stay (codes of ISO 639-1)")] = (
        "en",
    )
    similarity: Annotated[
        float, Field(ge=0.6, le=1, description="from which queries are near-duplicates")
    ] = 0.8
    words: Annotated[
        tuple[int, int], Field(description="fewest and most words of a conversation's answers")
    ] = (1, 100_000)
    max_bleu: Annotated[
        float, Field(description="against an evaluation prompt, above 0 and at most 100")
    ] = MAX_BLEU
    against: Annotated[tuple[Path, ...], Field(description="files of more evaluation prompts")] = ()
    tokenizer: Annotated[
        str, Field(description="name or folder; without it tokens are estimated")
    ] = ""
    diversity: Annotated[bool, Field(description="measure nearest-query BLEU")] = True
    seed: Annotated[int, Field(description=f"of the draw, 0 to {MAX_SEED}")] = 0
    out: Annotated[
        Path | None, Field(description="folder for the result, which must not exist")
    ] = None
    preview: Annotated[bool, Field(description="show the first conversations, build nothing")] = (
        False
    )
    progress: Annotated[Path | None, Field(description="JSON lines for whoever watches")] = None

    @property
    def token_budget(self) -> int | None:
        """Tokens of the result; None: all there are."""
        return number_of_tokens(self.budget) if self.budget else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        # Names of steps are looked up by the work itself, which tells whoever watches.
        problems = [
            *weight_problems(self.source, self.weights, self.licences),
            *self._problems_of_the_draw(),
            *self._problems_of_steps(),
        ]
        if self.out is None and not self.preview:
            problems.append("No folder is named for the result: give --out, or --preview.")
        if problems:
            raise ValueError(" ".join(problems))
        return self

    def _problems_of_the_draw(self) -> list[str]:
        problems = []
        try:
            number_of_tokens(self.budget or "1")
        except ValueError:
            problems.append(
                f"The budget {self.budget!r} is no number of tokens. Write it like 0.3M or 20M."
            )
        if not 0 <= self.seed <= MAX_SEED:
            problems.append(f"The seed {self.seed} should be 0 to {MAX_SEED}.")
        if self.limit is not None and self.limit < 1:
            problems.append("The limit of conversations should be 1 or more.")
        return problems

    def _problems_of_steps(self) -> list[str]:
        problems = []
        if not self.languages:
            problems.append("No language would stay. Use codes of ISO 639-1, such as en.")
        wrong = next((code for code in self.languages if not _CODE.fullmatch(code)), None)
        if wrong is not None:
            problems.append(
                f"{wrong!r} is no code of a language. Use codes of ISO 639-1, such as en."
            )
        least, most = self.words
        if not 0 <= least <= most:
            problems.append(
                "The fewest words should be 0 or more, and no more than the most words."
            )
        if not 0 < self.max_bleu <= 100:
            problems.append(f"A highest BLEU of {self.max_bleu:g} should be 1 to 100.")
        return problems


def build(args: BuildDataset, out: Path, progress: Writer) -> dict[str, Any]:
    """Build the dataset that the parameters describe; its manifest.

    Args:
        args: What is to be built.
        out: Their folder for the result.
        progress: Told how far it is.

    Raises:
        UserError: Anything that the parameters or the data are at fault for.
    """
    sources = sources_of(args.source, args.weights, args.licences)
    steps = _steps(args, sources)
    manifest.refuse_existing(out)
    progress.write("start", sources=[source.path for source in sources])
    loaded = [_load(source, args.limit, progress) for source in sources]
    examples = [example for source in loaded for example in source.examples]
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
        "name": out.name,
        "seed": args.seed,
        "sources": [manifest.source_table(source) for source in loaded],
        "steps": [report.as_json() for report in reports],
        "result": manifest.contents(examples, *_counter(args.tokenizer)),
    }
    if args.diversity:
        table["diversity"] = _diversity(examples, progress)
    whole = manifest.write_dataset(out, examples, table)
    result = whole["result"]
    text = (
        f"{out}: {result['conversations']} conversations, {result['tokens']} tokens "
        f"({result['tokens_counted_by']}), sha256 {whole['sha256']}"
    )
    progress.write("end", text, result=result, sha256=whole["sha256"], out=str(out))
    return whole


def _steps(args: BuildDataset, sources: Sequence[Source]) -> list[Step]:
    prompts: list[str] = []
    if "decontaminate" in args.steps:
        prompts = [*own_prompts(), *(p for path in args.against for p in prompts_of(path))]
    options = Options(
        languages=args.languages,
        similarity=args.similarity,
        words=args.words,
        prompts=tuple(prompts),
        max_bleu=args.max_bleu,
    )
    steps = make_steps(args.steps, options)
    count, counted_by = _counter(args.tokenizer)
    budget = args.token_budget
    settings = {"budget": budget, "seed": args.seed, "tokens_counted_by": counted_by}
    if args.weights:
        weights = [(source.name, source.weight) for source in sources]
        shares = {**settings, "weights": dict(weights)}
        steps.append(Step("mix", shares, lambda e: mix(e, weights, args.seed, count, budget)))
    elif budget is not None:
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


def show(args: BuildDataset, progress: Writer) -> int:
    """Print the first conversations of every source, as they would be read."""
    for source in sources_of(args.source, args.weights, args.licences):
        preview = preview_source(source)
        lines = [f"{preview.path} ({', '.join(preview.shapes) or 'nothing readable'})"]
        lines += [f"  {name}: told by {', '.join(keys)}" for name, keys in preview.shapes.items()]
        lines += _refusals(preview.refused, len(preview.refused))
        if not preview.conversations:
            lines.append(f"  Known shapes and their fields are {known_shapes()}.")
        for turns in preview.conversations:
            lines.append("")
            lines += [f"    {who}: {' '.join(text.split())[:200]}" for who, text in turns]
        print("\n".join(lines), end="\n\n")
        progress.write("preview", **to_table(preview))
    progress.write("end")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    prog = "python -m imitation.jobs.commands.build_dataset"
    return parameters.run(BuildDataset, _work, argv, prog=prog, about=__doc__ or "")


def _work(args: BuildDataset) -> int:
    # A stopped job still clears what it wrote aside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress = Writer(None)
    try:
        progress = Writer(args.progress)
        if args.preview or args.out is None:
            return show(args, progress)
        with file_lock(args.out.with_name(f".{args.out.name}.lock"), _busy(args.out)):
            build(args, args.out, progress)
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


if __name__ == "__main__":
    sys.exit(main())

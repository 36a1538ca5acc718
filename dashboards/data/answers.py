"""Asking a reference for answers or for pairs: the form, the estimate, the jobs; no Gradio here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from dashboards.data import terms
from dashboards.data.sources import uploads
from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import check_allowed, submit
from imitation.data.steps.sample import estimated_tokens
from imitation.errors import StorageError, UserError
from imitation.events import parse
from imitation.jobs.costs import Price, price_of, terms_may_forbid
from imitation.jobs.prompt_files import fact_prompts, read_prompts
from imitation.jobs.queue.progress import tail
from imitation.jobs.registry import command
from imitation.reading.text import lines_of
from imitation.settings import PACKAGE, Settings
from imitation.storage.jobs import Job
from imitation.values import JobSpec, JobState, ModelSpec

KINDS = {"generate": "Answers to prompts", "synthesize": "Pairs like seed pairs (NQ-synthetic)"}
SHIPPED = PACKAGE / "data" / "broad_prompts.jsonl"
FACTS = "facts:train"
FEW = 5
"""Pairs that a prompt asks for."""
FRAME = 90
"""Tokens, about, of the words around the pairs of a prompt."""
SHOWN = 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True)
class Form:
    """What the visitor asked for.

    Attributes:
        kind: A key of KINDS.
        model: Catalog id.
        file: Prompts or seed pairs: a path, or FACTS.
        name: Of the result.
        count: Pairs wanted.
        temperature: Of the sampling.
        max_tokens: Of an answer.
        concurrency: Requests at once.
        seed: Of sampling and draws.
        price_in: Dollars per million prompt tokens; None: the card's.
        price_out: Dollars per million answer tokens; None: the card's.
        acknowledged: That the model's terms may forbid training was read.
    """

    kind: str
    model: str
    file: str
    name: str
    count: int = 100
    temperature: float = 0.7
    max_tokens: int = 256
    concurrency: int = 4
    seed: int = 0
    price_in: float | None = None
    price_out: float | None = None
    acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a form comes to before anything is asked.

    Attributes:
        argv: The command line.
        out: File of the answers.
        card: Of the model.
        prompts: How many will be put; for pairs the fewest that can do.
        prompt_tokens: In them, about.
        answer_tokens: In the answers, at most.
        cost: Dollars at most; None where the price is not known.
        price: Per million tokens.
        must_acknowledge: The model's terms are in doubt.
    """

    argv: tuple[str, ...]
    out: Path
    card: ModelSpec
    prompts: int
    prompt_tokens: int
    answer_tokens: int
    cost: float | None
    price: Price
    must_acknowledge: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """One job that asks a model, as shown.

    Attributes:
        id: The job's.
        name: Of the answers.
        kind: A key of KINDS.
        model: Catalog id.
        state: The job's.
        mine: Whether it is this visitor's to stop and delete.
        local: Whether the model runs on this machine, where answers have no price.
        detail: How it ended, in words.
        out: File of the answers.
        counts: The last it told: step, steps, failed, cost and so on; empty before.
    """

    id: str
    name: str
    kind: str
    model: str
    state: JobState
    mine: bool
    local: bool
    detail: str
    out: Path
    counts: Mapping[str, Any]

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state in ("queued", "running", "stopping")


def models(context: Context) -> list[tuple[str, str]]:
    """(label, id) of the models that can be asked, references first."""
    catalog = context.catalog()
    order = ("reference", "imitation", "base")
    cards = sorted(catalog.values(), key=lambda card: order.index(card.role))
    return [(f"{card.name} ({card.role})", card.id) for card in cards]


def files(settings: Settings, visitor: str, kind: str) -> list[tuple[str, str]]:
    """(label, value) of prompts or of seed pairs."""
    mine = [
        (f"upload: {path.name}", str(path))
        for path in sorted(uploads(settings, visitor).glob("*"))
        if path.suffix == ".jsonl" or (kind == "synthesize" and path.suffix in (".csv", ".json"))
    ]
    if kind == "synthesize":
        return [*mine, ("10 of the packaged facts (training side)", FACTS)]
    facts = ("Questions of the packaged facts (training side)", FACTS)
    return [*mine, ("Varied prompts, shipped (429)", str(SHIPPED)), facts]


def estimate(context: Context, form: Form, visitor: str) -> Estimate:
    """What a form comes to.

    Raises:
        UserError: A value is wrong, or the file cannot be used.
    """
    if not _NAME.fullmatch(form.name):
        raise UserError(
            f"{form.name!r} cannot be the name of answers.",
            "Use up to 80 letters, digits, '.', '_' or '-', the first a letter or digit.",
        )
    card = context.catalog()[form.model]
    for label, value, low, high in (
        ("Temperature", form.temperature, 0, 2),
        ("Longest answer", form.max_tokens, 1, 100_000),
        ("Requests at once", form.concurrency, 1, 256),
        ("Pairs", form.count, 1, 1_000_000),
        ("Price of prompts", form.price_in or 0, 0, 1e6),
        ("Price of answers", form.price_out or 0, 0, 1e6),
    ):
        if not low <= value <= high:
            raise UserError(f"{label}: {value:g} should be {low:g} to {high:g}.")
    doubtful, date = terms_may_forbid(card), ""
    if doubtful and form.acknowledged:
        date = terms.acknowledged(context.settings, visitor, card.id)
    prompts, tokens = _work(context.settings, form, visitor)
    price = price_of(card, form.price_in, form.price_out)
    most = prompts * form.max_tokens
    return Estimate(
        argv=_argv(context, form, doubtful, date),
        out=_out(context.settings, form.name),
        card=card,
        prompts=prompts,
        prompt_tokens=tokens,
        answer_tokens=most,
        cost=price.of(tokens, most),
        price=price,
        must_acknowledge=doubtful,
    )


def start(context: Context, form: Form, visitor: str) -> Job:
    """Queue the job of a form; answers there are already are not asked for again.

    Raises:
        UserError: As `estimate`; the terms were not acknowledged; or jobs can't be started.
    """
    check_allowed(context.settings)
    made = estimate(context, form, visitor)
    if made.must_acknowledge and not form.acknowledged:
        raise UserError(
            f"The terms of {made.card.name} may forbid training on its answers.",
            "Read them, and tick that you did.",
        )
    if made.out.parent.exists():
        raise UserError(f"There are answers {form.name!r} already.", "Choose another name.")
    if made.must_acknowledge:
        terms.acknowledge(context.settings, visitor, made.card.id)
    made.out.parent.mkdir(parents=True)
    return _queue(context, form.kind, made.argv, form.name, made.card, visitor)


def go_on(context: Context, identity: str, visitor: str) -> Job:
    """Run a stopped or failed job's command again: it goes on where it ended.

    Raises:
        UserError: It is not this visitor's, still runs, or can't be started.
    """
    check_allowed(context.settings)
    job = _own(context, identity, visitor)
    if job.is_live:
        raise UserError(f"{job.spec.name} is {job.state}.")
    card = context.catalog()[_value(job.spec.argv, "--model")]
    again = _queue(context, job.spec.kind, job.spec.argv, job.spec.name, card, visitor)
    context.jobs.delete(identity)
    return again


def stop(context: Context, identity: str, visitor: str, kill: bool = False) -> None:
    """Ask a job to end once the answers under way are there, or kill the one that was asked.

    Raises:
        UserError: It is not this visitor's.
    """
    _own(context, identity, visitor)
    context.jobs.stop(identity, kill=kill)


def delete(context: Context, identity: str, visitor: str) -> None:
    """Delete a job that has ended, and its answers.

    Raises:
        UserError: It is not this visitor's, or still runs.
        StorageError: A file could not be deleted.
    """
    job = _own(context, identity, visitor)
    context.jobs.delete(identity)
    place = Path(job.spec.out).parent
    try:
        if place.parent == context.settings.data / "answers" and place.exists():
            shutil.rmtree(place)
    except OSError as error:
        raise StorageError(f"{place} cannot be deleted: {error}.") from error


def asked(context: Context, visitor: str) -> list[Asked]:
    """The newest jobs that ask a model for a dataset, whoever started them."""
    place = context.settings.data / "answers"
    found = [job for job in context.jobs.look() if job.spec.kind in KINDS]
    found = [job for job in found if place in Path(job.spec.out).parents][:SHOWN]
    catalog = context.catalog()
    local = {card.id for card in catalog.values() if card.backend == "embedded"}
    return [_asked(job, visitor, local, context.model_name) for job in found]


def free_name(context: Context, stem: str = "answers") -> str:
    """A name no answers have yet."""
    taken = {path.name for path in (context.settings.data / "answers").glob("*")}
    n = 1
    while f"{stem}-{n}" in taken:
        n += 1
    return f"{stem}-{n}"


def _asked(job: Job, visitor: str, local: Collection[str], name: Callable[[str], str]) -> Asked:
    model = _value(job.spec.argv, "--model")
    return Asked(
        id=job.id,
        name=job.spec.name,
        kind=job.spec.kind,
        model=name(model),
        state=job.state,
        mine=job.spec.visitor == visitor,
        local=model in local,
        detail=job.detail,
        out=Path(job.spec.out),
        counts=_last_step(Path(job.spec.progress)),
    )


def _last_step(path: Path) -> Mapping[str, Any]:
    for line in reversed(lines_of(tail(path))):
        if (event := parse(line)) and event.get("event") == "step":
            return event
    return {}


def _queue(
    context: Context, kind: str, argv: tuple[str, ...], name: str, card: ModelSpec, visitor: str
) -> Job:
    out = Path(_value(argv, "--out"))
    return submit(
        context,
        JobSpec(
            kind=kind,
            argv=argv,
            name=name,
            device="cpu" if card.backend == "embedded" else "io",
            out=str(out),
            progress=_value(argv, "--progress"),
            visitor=visitor,
        ),
    )


def _work(settings: Settings, form: Form, visitor: str) -> tuple[int, int]:
    """Prompts to put, and about how many tokens they have."""
    if form.kind == "synthesize":
        if form.file != FACTS:
            _allowed(settings, form, visitor)
        rounds = -(-form.count // FEW)
        return rounds, rounds * (FRAME + FEW * 25)
    if form.file == FACTS:
        prompts = fact_prompts("train")
    else:
        prompts = read_prompts(_allowed(settings, form, visitor))
    return len(prompts), sum(estimated_tokens(prompt.text) for prompt in prompts)


def _allowed(settings: Settings, form: Form, visitor: str) -> Path:
    known = [value for _, value in files(settings, visitor, form.kind)]
    if form.file not in known:
        raise UserError(f"There is no file {form.file!r}.", "Choose one of the list.")
    return Path(form.file)


def _argv(context: Context, form: Form, doubtful: bool, date: str) -> tuple[str, ...]:
    out = _out(context.settings, form.name)
    facts, file = ["--facts", "train"], "--prompts" if form.kind == "generate" else "--seeds"
    arguments = ["--model", form.model]
    arguments += facts if form.file == FACTS else [file, form.file]
    if form.kind == "synthesize":
        arguments += ["--count", str(form.count)]
    arguments += ["--temperature", f"{form.temperature:g}", "--max-tokens", str(form.max_tokens)]
    arguments += ["--seed", str(form.seed), "--concurrency", str(form.concurrency)]
    for option, value in (("--price-in", form.price_in), ("--price-out", form.price_out)):
        if value is not None:
            arguments += [option, f"{value:g}"]
    if doubtful and form.acknowledged:
        arguments += ["--terms-acknowledged", *filter(None, [date])]
    arguments += ["--out", str(out), "--progress", str(out.with_name("progress.jsonl"))]
    return command(form.kind, arguments)


def _out(settings: Settings, name: str) -> Path:
    return settings.data / "answers" / name / "answers.jsonl"


def _own(context: Context, identity: str, visitor: str) -> Job:
    job = context.jobs.job(identity)
    if job.spec.visitor != visitor:
        raise UserError("Only who started it can change it.")
    return job


def _value(argv: Sequence[str], option: str) -> str:
    return next((value for key, value in pairwise(argv) if key == option), "")

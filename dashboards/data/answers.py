"""Asking a reference for answers or for pairs: the form, the estimate, the jobs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.data import terms
from dashboards.data.sources import uploads
from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import OwnedJobs, check_allowed, submit
from imitation import names
from imitation.data.steps.sample import estimated_tokens
from imitation.errors import ConfigError, StorageError, UserError
from imitation.events import parse
from imitation.jobs.commands.generate import Generate
from imitation.jobs.commands.synthesize import Synthesize
from imitation.jobs.costs import Price, price_of, terms_may_forbid
from imitation.jobs.prompt_files import fact_prompts, read_prompts
from imitation.jobs.queue.progress import tail
from imitation.reading.text import lines_of
from imitation.settings import PACKAGE, Settings
from imitation.storage.jobs import Job
from imitation.values import LIVE_STATES, JobState, ModelSpec

KINDS = {"generate": "Answers to prompts", "synthesize": "Pairs like seed pairs (NQ-synthetic)"}
SHIPPED = PACKAGE / "data" / "broad_prompts.jsonl"
FACTS = "facts:train"
FEW = 5
"""Pairs that a prompt asks for."""
FRAME = 90
"""Tokens, about, of the words around the pairs of a prompt."""
SHOWN = 20
_COMMANDS: Mapping[str, type[Generate | Synthesize]] = {
    "generate": Generate,
    "synthesize": Synthesize,
}
_LABELS = {
    "temperature": "Temperature",
    "max_tokens": "Longest answer",
    "concurrency": "Requests at once",
    "count": "Pairs",
    "price_in": "Price of prompts",
    "price_out": "Price of answers",
}
"""What the form calls the parameters."""


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
        kind: A key of KINDS.
        parameters: Of the job.
        card: Of the model.
        prompts: How many will be put; for pairs the fewest that can do.
        prompt_tokens: In them, about.
        answer_tokens: In the answers, at most.
        cost: Dollars at most; None where the price is not known.
        price: Per million tokens.
        must_acknowledge: The model's terms are in doubt.
    """

    kind: str
    parameters: Generate | Synthesize
    card: ModelSpec
    prompts: int
    prompt_tokens: int
    answer_tokens: int
    cost: float | None
    price: Price
    must_acknowledge: bool


@dataclass(frozen=True, slots=True)
class AnswerJob:
    """A job that asks a model, as shown.

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
        return self.state in LIVE_STATES


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
    names.check_name(form.name, "answers")
    card = context.catalog()[form.model]
    doubtful = terms_may_forbid(card)
    date = ""
    if doubtful and form.acknowledged:
        date = terms.acknowledged(context.settings, visitor, card.id) or "today"
    parameters = _parameters(context.settings, form, date)
    prompts, tokens = _work(context.settings, form, visitor)
    price = price_of(card, form.price_in, form.price_out)
    most = prompts * form.max_tokens
    return Estimate(
        kind=form.kind,
        parameters=parameters,
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
    plan = estimate(context, form, visitor)
    if plan.must_acknowledge and not form.acknowledged:
        raise UserError(
            f"The terms of {plan.card.name} may forbid training on its answers.",
            "Read them, and tick that you did.",
        )
    folder = plan.parameters.out.parent
    if folder.exists():
        raise UserError(f"There are answers {form.name!r} already.", "Choose another name.")
    if plan.must_acknowledge:
        terms.acknowledge(context.settings, visitor, plan.card.id)
    folder.mkdir(parents=True)
    return submit(
        context,
        form.kind,
        plan.parameters,
        form.name,
        visitor,
        device="cpu" if plan.card.backend == "embedded" else "io",
        out=plan.parameters.out,
        progress=plan.parameters.progress,
    )


def resume(context: Context, identity: str, visitor: str) -> Job:
    """Run a stopped or failed job's command again: it goes on where it ended.

    Raises:
        UserError: It is not this visitor's, still runs, or can't be started.
    """
    job = OwnedJobs(context, *KINDS).resume(identity, visitor)
    context.jobs.delete(identity)
    return job


def stop(context: Context, identity: str, visitor: str, kill: bool = False) -> None:
    """Ask a job to end once the answers under way are there, or kill the one that was asked.

    Raises:
        UserError: It is not this visitor's.
    """
    OwnedJobs(context, *KINDS).stop(identity, visitor, kill=kill)


def delete(context: Context, identity: str, visitor: str) -> None:
    """Delete a job that has ended, and its answers.

    Raises:
        UserError: It is not this visitor's, or still runs.
        StorageError: A file could not be deleted.
    """
    job = OwnedJobs(context, *KINDS).delete(identity, visitor)
    folder = Path(job.spec.out).parent
    try:
        if folder.parent == context.settings.data / "answers" and folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(f"{folder} cannot be deleted: {error}.") from error


def answer_jobs(context: Context, visitor: str) -> list[AnswerJob]:
    """The newest jobs that ask a model for a dataset, whoever started them."""
    folder = context.settings.data / "answers"
    jobs = OwnedJobs(context, *KINDS).look()
    jobs = [job for job in jobs if folder in Path(job.spec.out).parents][:SHOWN]
    catalog = context.catalog()
    local = {card.id for card in catalog.values() if card.backend == "embedded"}
    return [_answer_job(job, visitor, local, context.model_name) for job in jobs]


def next_name(context: Context) -> str:
    """A name no answers have yet."""
    taken = {path.name for path in (context.settings.data / "answers").glob("*")}
    return names.free_name("answers", taken)


def _answer_job(
    job: Job, visitor: str, local: Collection[str], name: Callable[[str], str]
) -> AnswerJob:
    model = str(job.spec.parameters.get("model", ""))
    return AnswerJob(
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


def _parameters(settings: Settings, form: Form, terms_date: str) -> Generate | Synthesize:
    out = settings.data / "answers" / form.name / "answers.jsonl"
    file = "prompts" if form.kind == "generate" else "seeds"
    table: dict[str, Any] = {
        "model": form.model,
        **({"facts": "train"} if form.file == FACTS else {file: form.file}),
        **({"count": form.count} if form.kind == "synthesize" else {}),
        "temperature": form.temperature,
        "max_tokens": form.max_tokens,
        "seed": form.seed,
        "concurrency": form.concurrency,
        "price_in": form.price_in,
        "price_out": form.price_out,
        "terms_acknowledged": terms_date,
        "out": out,
        "progress": out.with_name("progress.jsonl"),
    }
    try:
        return _COMMANDS[form.kind].of(table)
    except ConfigError as error:
        raise UserError(". ".join(map(_as_labelled, error.problems)) + ".") from None


def _as_labelled(problem: str) -> str:
    name, _, rest = problem.partition(" ")
    return f"{_LABELS.get(name, name)} {rest}"

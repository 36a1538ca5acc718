"""After a fine-tune: its full card, the hub, other servers, and taking it back."""

from __future__ import annotations

import asyncio
import functools
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dashboards.finetune.new_run import form_of
from dashboards.finetune.tgi_restart import restart_words
from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import OwnedJobs, check_allowed, submit
from imitation.disk import write_text
from imitation.errors import BackendError, StorageError, UserError
from imitation.jobs.registry import as_typed, command_of
from imitation.models.catalog_writer import add_card, remove_card
from imitation.models.http.load_adapter import load_adapter, unload_adapter
from imitation.models.request import in_format
from imitation.prompts import load
from imitation.settings import Settings, secret
from imitation.storage.jobs import Job
from imitation.values import LIVE_STATES, JobState, ModelSpec
from training.run_folder import ADAPTER_CONFIG, CHECKPOINT
from training.run_options import Publish

TOKEN = "HF_TOKEN"


@dataclass(frozen=True, slots=True)
class Push:
    """One sending to the hub: to where, how it went, and its command."""

    repo: str
    state: JobState
    detail: str
    command: str

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state in LIVE_STATES


def token_is_set() -> bool:
    """Whether the environment holds a token for the hub."""
    return secret(TOKEN) is not None


def endpoints(context: Context) -> list[tuple[str, str]]:
    """(label, id) of bases on servers that can hold adapters."""
    bases = context.catalog().by_role("base")
    kinds = {"openai": "vLLM, loaded at once", "tgi": "TGI, after a restart"}
    return [(f"{c.name} ({kinds[c.backend]})", c.id) for c in bases if c.backend in kinds]


def push(context: Context, identity: str, visitor: str, repo: str, public: bool) -> Job:
    """Start sending a finished run to the hub.

    Raises:
        UserError: It is not this visitor's or not finished, there is no token, or jobs can't be
            started.
    """
    check_allowed(context.settings)
    run = _finished(context, identity, visitor)
    if not token_is_set():
        raise UserError(
            f"There is no token for the hub: {TOKEN} is not set.",
            f"Set {TOKEN} in the environment and start the app again; it is never stored.",
        )
    progress = context.settings.data / "pushes" / f"{run.spec.name}.jsonl"
    progress.parent.mkdir(parents=True, exist_ok=True)
    parameters = Publish(
        run=Path(run.spec.out),
        repo=repo.strip(),
        data=Path(form_of(run.spec).data),
        public=public,
        progress=progress,
    )
    # Its progress file as what it writes: one at a time of each run.
    return submit(
        context, "push", parameters, run.spec.name, visitor, out=progress, progress=progress
    )


def pushes(context: Context, identity: str) -> list[Push]:
    """How the sendings of a run went, the newest first."""
    found: list[Push] = []
    with suppress(UserError):
        folder = Path(context.jobs.job(identity).spec.out)
        for job in context.jobs.look("push"):
            with suppress(UserError):  # of an earlier version, whose parameters are not known now
                parameters = Publish.of(job.spec.parameters)
                if parameters.run == folder:
                    shown = as_typed(command_of(job.spec))
                    found.append(Push(parameters.repo, job.state, job.detail, shown))
    return found


def served_by(context: Context, name: str) -> ModelSpec | None:
    """The base whose server is to hold the adapter of a model; None where none is."""
    catalog = context.catalog()
    card = catalog[name] if name in catalog else None  # noqa: SIM401 (its misses are UserErrors)
    if card is None or card.backend == "embedded" or card.adapter != name:
        return None
    return catalog[card.base] if card.base in catalog else None  # noqa: SIM401


def serve(context: Context, identity: str, visitor: str, base: str, path: str) -> str:
    """Make a finished run's adapter a model of Compare, served by a running server; what to know.

    vLLM loads it at once; it forgets it when it restarts, and then loads it again by this. TGI
    takes adapters only at its start, so there the card is written and the restart is left to its
    owner.

    Args:
        context: What pages work with.
        identity: The run's.
        visitor: Who asks.
        base: Whose server is to hold it; of one that is served already, that server's stays.
        path: The adapter's folder as that machine sees it; "": as before, or where it is here.

    Raises:
        UserError: It is not this visitor's or has no adapter, its name is taken, or the server
            refuses it; nothing is changed then.
    """
    check_allowed(context.settings)
    run = _finished(context, identity, visitor)
    name, catalog = run.spec.name, context.catalog()
    adapter = Path(run.spec.out) / CHECKPOINT
    if not (adapter / ADAPTER_CONFIG).is_file():
        raise UserError(f"{name} has no adapter.", "Full fine-tunes are servers of their own.")
    again = served_by(context, name)
    if again is None and name in catalog:
        raise UserError(f"There is a model {name!r} already.", "Take it out of Compare first.")
    if again is None and base not in [value for _, value in endpoints(context)]:
        raise UserError("No server is chosen.", "Add one to models.toml: see docs/setup/models.md.")
    holder = again or catalog[base]
    place = path.strip() or _served_from(context.settings, name) or str(adapter)
    card = {**full_card(context, run), "served": {"base": holder.id, "from": place}}
    served = in_format(_served_card(holder, name), load(adapter))
    if holder.backend == "openai":
        asyncio.run(load_adapter(context.settings, holder, name, place))
    try:
        keep(context.settings, name, card)
        if not again:
            add_card(context.settings, served)
    except UserError:
        if name not in context.catalog():
            forget(context.settings, name)
            if holder.backend == "openai":
                with suppress(BackendError):
                    asyncio.run(unload_adapter(context.settings, holder, name))
        raise
    if holder.backend == "openai":
        return f"{name} is in Compare, served by {holder.name}."
    known = functools.partial(_served_from, context.settings)
    return restart_words(catalog.values(), holder, name, adapter, place, known)


def full_card(context: Context, run: Job) -> dict[str, Any]:
    """What a finished run is, for those who get its weights; read from its files.

    Raises:
        UserError: The run's files are missing or broken.
    """
    from training.model_card import describe

    data = Path(form_of(run.spec).data)
    return describe(Path(run.spec.out), context.catalog(), data)


def keep(settings: Settings, name: str, card: dict[str, Any]) -> None:
    """Write the full card of a model beside the adapters in the data folder.

    Raises:
        StorageError: It cannot be written.
    """
    from training.model_card import markdown

    for end, text in (("json", json.dumps(card, indent=1) + "\n"), ("md", markdown(card))):
        write_text(_kept(settings, name, end), text)


def forget(settings: Settings, name: str) -> None:
    """Delete what is kept of a model there: its full card, and its GGUF.

    Raises:
        StorageError: A file could not be deleted.
    """
    try:
        for end in ("gguf", "json", "md"):
            _kept(settings, name, end).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"The files of {name} cannot be deleted: {error}.") from error


def _served_from(settings: Settings, name: str) -> str:
    """Where its server took an adapter from the last time; "" where that is not known."""
    try:
        card = json.loads(_kept(settings, name, "json").read_text("utf-8"))
        return str(card["served"]["from"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def take_out(context: Context, identity: str, visitor: str) -> str:
    """Take a run's model out of Compare, with its GGUF and card; what to know.

    Raises:
        UserError: It is not this visitor's, or is no model of Compare.
        StorageError: A file could not be deleted.
    """
    name = OwnedJobs(context, "finetune").own(identity, visitor).spec.name
    card = context.catalog()[name]
    remove_card(context.settings, name)
    forget(context.settings, name)
    said = f"{name} is out of Compare."
    if card.backend == "openai" and card.adapter:
        try:
            asyncio.run(unload_adapter(context.settings, card, name))
        except BackendError as error:
            said += f" Its server could not be told, and may hold it still: {error.message}"
    return said


def _served_card(holder: ModelSpec, name: str) -> ModelSpec:
    return replace(
        holder,
        id=name,
        name=name,
        role="imitation",
        adapter=name,
        base=holder.id,
        notes=f"{holder.name}, fine-tuned here.",
    )


def _kept(settings: Settings, name: str, end: str) -> Path:
    return settings.data / "adapters" / f"{name}.{end}"


def _finished(context: Context, identity: str, visitor: str) -> Job:
    job = OwnedJobs(context, "finetune").own(identity, visitor)
    if job.state != "done" or not (Path(job.spec.out) / CHECKPOINT).is_dir():
        raise UserError(f"{job.spec.name} has not finished.", "Only finished runs have weights.")
    return job

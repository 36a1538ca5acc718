"""Where the conversations of a dataset may come from, and a look at them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dashboards.shell.context import Context
from dashboards.shell.owned_jobs import check_allowed, submit
from dashboards.shell.user_files import file_in
from imitation.data.library import data_name
from imitation.data.sources.load import HUB, LOOKED_AT, Source
from imitation.data.sources.preview import Preview, from_table, preview_source
from imitation.data.sources.schemas import known_shapes
from imitation.disk import copy_file
from imitation.errors import StorageError, UserError
from imitation.events import read
from imitation.jobs.commands.build_dataset import BuildDataset
from imitation.jobs.dataset_sources import PRESET, presets, sources_of
from imitation.settings import PACKAGE, Settings
from imitation.storage.jobs import Job

SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".gz", ".zip")
SHIPPED = PACKAGE / "data" / "pocket"
_OURS = ("manifest.json", "progress.jsonl", "data.parquet")  # of a dataset its data.jsonl is enough
_EXTRA = (".failures.jsonl", ".rounds.jsonl")
_HUB = re.compile(
    r"hub:\w[\w.-]{0,95}(/\w[\w.-]{0,95})?(:\w[\w.-]{0,95})?(@\w[\w\[\]:%.+-]{0,95})?"
)


def folder(settings: Settings) -> Path:
    """Where datasets lie."""
    return settings.data / "datasets"


def source_choices(settings: Settings, visitor: str) -> list[tuple[str, str]]:
    """(label, value) of what a dataset can be made from: the visitor's files, then presets."""
    choices = []
    for label, root in (("answers", settings.data / "answers"), ("dataset", folder(settings))):
        choices += [(f"{label}: {path.relative_to(root)}", str(path)) for path in _files(root)]
    choices += [(f"upload: {name}", path) for name, path in upload_choices(settings, visitor)]
    for path in sorted(SHIPPED.glob("*.jsonl")):
        choices.append((f"shipped: {path.stem} answers of the pocket reference", str(path)))
    for name, preset in presets().items():
        choices.append((f"hub: {name}. {preset['about']}", PRESET + name))
    return choices


def upload_choices(settings: Settings, visitor: str) -> list[tuple[str, str]]:
    """(label, value) of the visitor's uploads."""
    root = uploads(settings, visitor)  # kept settings lie in a folder of it
    return [(path.name, str(path)) for path in _files(root) if path.parent == root]


def _files(root: Path) -> Iterator[Path]:
    """Files of conversations in a folder; what only goes with one is left out."""
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        ours = path.name in _OURS or path.name.endswith(_EXTRA)
        if path.suffix in SUFFIXES and path.is_file() and not hidden and not ours:
            yield path


def keep_upload(settings: Settings, visitor: str, path: Path) -> Path:
    """Copy an uploaded file to the visitor's own.

    Raises:
        UserError: It is too large, or of a kind that is not read.
        StorageError: It cannot be kept.
    """
    suffixes = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path.name} is none of {', '.join(SUFFIXES)}.")
    try:
        if (size := path.stat().st_size) > settings.upload_bytes:
            most = settings.upload_bytes / 1e6
            raise UserError(
                f"{path.name} has {size / 1e6:,.0f} MB; the page takes {most:,.0f}.",
                f"Copy it to {folder(settings)} instead.",
            )
        stem = path.name.removesuffix(suffixes)
        name = re.sub(r"[^\w-]+", "-", stem).strip("-")[:80] or "data"
        target = uploads(settings, visitor) / f"{name}{suffixes.lower()}"
        copy_file(path, target)
    except OSError as error:
        raise StorageError(f"{path.name} could not be kept: {error}.") from error
    return target


def source_of(settings: Settings, text: str, visitor: str) -> Source:
    """The source that was named, if this visitor may read it.

    Raises:
        UserError: It is no preset, no name of a hub dataset, and no file of theirs.
    """
    text = text.strip()
    if text.startswith(PRESET):
        return sources_of([text])[0]
    if text.startswith(HUB):
        if not _HUB.fullmatch(text):
            raise UserError(
                f"{text!r} is no dataset of the hub.",
                "Write hub:OWNER/NAME, with :CONFIGURATION and @SPLIT behind it where needed.",
            )
        return sources_of([text])[0]
    readable = (
        folder(settings),
        settings.data / "answers",
        uploads(settings, visitor),
        PACKAGE / "data",
    )
    path = file_in(readable, settings.data, text)
    if path is None:
        raise UserError(
            f"There is no file {text!r} in the folders that data is read from.",
            f"Choose one of the list, upload yours or copy it to {folder(settings)}, or write "
            "hub:OWNER/NAME.",
        )
    source = sources_of([str(path)])[0]
    by_folder = data_name(path)
    return source if by_folder == path.name else replace(source, name=by_folder)


def preview(source: Source) -> Preview:
    """The first conversations of a file.

    Raises:
        UserError: It cannot be read, or nothing in it is a conversation.
    """
    return _usable(preview_source(source))


def start_hub_preview(context: Context, source: Source, visitor: str) -> Job:
    """Start the job that looks at a hub dataset, since this process keeps off the hub.

    Raises:
        UserError: Jobs are switched off, or the machine is offline.
    """
    if context.settings.offline:
        raise UserError(
            f"{source.path} is on the hub, and IMITATION_OFFLINE keeps this machine off it.",
            "Download the dataset elsewhere, and upload its file.",
        )
    check_allowed(context.settings)
    progress = context.settings.data / "previews" / f"{secrets.token_hex(8)}.jsonl"
    progress.parent.mkdir(parents=True, exist_ok=True)
    parameters = BuildDataset(source=(command_name(source),), preview=True, progress=progress)
    name = f"Preview of {source.name}"
    return submit(context, "preview", parameters, name, visitor, progress=progress)


def hub_preview(context: Context, identity: str) -> Preview | None:
    """What the job of `start_hub_preview` saw; None while it looks. Its traces are then removed.

    Raises:
        UserError: It could not look, in its words; or nothing there is a conversation.
    """
    context.jobs.look()
    job = context.jobs.job(identity)
    if job.is_live:
        return None
    path = Path(job.spec.progress)
    try:
        previews = [from_table(line) for line in read(path) if line.get("event") == "preview"]
    except (OSError, ValueError, KeyError, TypeError):
        previews = []
    context.jobs.delete(identity)
    path.unlink(missing_ok=True)
    if not previews:
        raise UserError(job.detail or "The preview ended without showing anything.")
    return _usable(previews[0])


def added(sources: Sequence[Source], source: Source) -> tuple[Source, ...]:
    """The sources with one more.

    Raises:
        UserError: It is among them already.
    """
    if any(other.path == source.path for other in sources):
        raise UserError(f"{source.name} is in the list already.")
    return (*sources, source)


def command_name(source: Source) -> str:
    """A source as the command line names it; presets keep their name, which carries more."""
    preset = next((n for n, table in presets().items() if table["path"] == source.path), None)
    return f"{PRESET}{preset}" if preset else source.path


def _usable(preview: Preview) -> Preview:
    if not preview.conversations:
        why = (
            f"First: row {preview.refused[0].line}, {preview.refused[0].reason}."
            if preview.refused
            else ""
        )
        first = f"the first {preview.rows:,} rows of " if preview.rows >= LOOKED_AT else ""
        raise UserError(
            f"Nothing in {first}{preview.name} can be read as a conversation. {why}".strip(),
            f"Rows should have the fields of one of these shapes. {known_shapes()}.",
        )
    return preview


def uploads(settings: Settings, visitor: str) -> Path:
    """Where a visitor's uploads lie."""
    return settings.data / "uploads" / visitor[:16]

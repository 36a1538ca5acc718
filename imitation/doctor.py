"""What is installed, set up and within reach, as a table; for whoever asks why it won't work.

Nothing is changed, fetched or started. Of keys only the names of the variables are shown. Exits
with 1 where the page could not work as it is, else with 0: what is only missing is a note.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imitation import installation
from imitation.errors import UserError
from imitation.evaluation.sandbox import bubblewrap
from imitation.evaluation.sandbox.execute import missing_walls, namespaces
from imitation.jobs.parameters import JobParameters, run
from imitation.models.backends.registry import Backends
from imitation.models.catalog import Catalog, load_catalog
from imitation.models.embedded.weights import KINDS, is_prepared
from imitation.models.health import Health
from imitation.settings import Settings, available_cores, read_settings, secret, server_address

REACH_S = 20.0
"""Seconds all models together have to answer."""
PORTS = range(7860, 7960)
"""Where the page looks for a free port, unless one is named."""
_HUB = "HF_TOKEN"
_WIDTH = 16

Verdict = Literal["ok", "note", "problem"]


class Doctor(JobParameters):
    """Parameters of `doctor`: it has none."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the table.

    Attributes:
        name: What was looked at.
        text: What was seen; with what to do where that helps.
        verdict: "problem" where the page cannot work with it, "note" where something is missing
            that only some of it needs.
    """

    name: str
    text: str
    verdict: Verdict = "ok"


def findings(settings: Settings) -> Iterator[Finding]:
    """Everything there is to say, in the order of the table."""
    yield from machine(settings)
    yield from folders(settings)
    yield from libraries()
    yield sandbox(settings)
    yield weights(settings)
    catalog = load_catalog(settings.catalogs)
    yield from models(settings, catalog)
    yield keys(catalog)
    yield port()


def machine(settings: Settings) -> Iterator[Finding]:
    """Python, system, cores, memory."""
    import psutil

    old = sys.version_info < (3, 11)
    text = f"{platform.python_version()}, {sys.executable}"
    yield Finding("Python", text, "problem" if old else "ok")
    yield Finding("Imitation Lab", f"{installation.own_version()}, {installation.ROOT}")
    yield Finding("system", platform.platform())
    cores = available_cores()
    used = f"; engines use {settings.cores} (IMITATION_CORES)" if settings.cores != cores else ""
    yield Finding("cores", f"{cores}{used}")
    memory = psutil.virtual_memory()
    yield Finding("memory", f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} GB free")


def folders(settings: Settings) -> Iterator[Finding]:
    """Where things are kept: whether they can be, and the room left."""
    for name, folder in (("data folder", settings.data), ("cache folder", settings.cache)):
        there = _nearest(folder)
        if problem := _unwritable(there):
            variable = f"IMITATION_{name.split()[0].upper()}"
            hint = f"Make it writable, or name another in {variable}."
            yield Finding(name, f"{folder}: {problem}. {hint}", "problem")
            continue
        free = shutil.disk_usage(there).free
        state = "" if there == folder else ", not made yet"
        verdict: Verdict = "note" if free < 2e9 else "ok"
        yield Finding(name, f"{folder}{state}, {free / 1e9:.1f} GB free", verdict)


def libraries() -> Iterator[Finding]:
    """The extras, torch's device, and whether our packages are the ones imported."""
    for extra in installation.EXTRAS:
        missing = installation.missing(extra)
        absent = f"without {', '.join(missing)}: {installation.install_command(extra)}"
        name = f"extra [{extra}]"
        yield Finding(name, absent, "note") if missing else Finding(name, "installed")
    yield _torch()
    clashes = installation.clashes()
    text = "; ".join(clashes) or "those of Imitation Lab"
    yield Finding("import names", text, "problem" if clashes else "ok")


def sandbox(settings: Settings) -> Finding:
    """What walls code that models wrote is run behind."""
    if settings.code_exec is False:
        return Finding("sandbox", "not used: IMITATION_CODE_EXEC forbids running models' code")
    if missing := missing_walls():
        return Finding("sandbox", f"cannot ensure that {', '.join(missing)}", "note")
    if namespaces():
        return Finding("sandbox", "complete, bubblewrap around it")
    if bubblewrap.program():
        return Finding("sandbox", "bubblewrap is installed and may make no namespaces here", "note")
    return Finding("sandbox", "bubblewrap is not installed: apt-get install bubblewrap", "note")


def weights(settings: Settings) -> Finding:
    """Whether the pocket models can be served without fetching anything."""
    ready = [kind for kind in KINDS if is_prepared(settings, kind)]
    if len(ready) == len(KINDS):
        return Finding("pocket weights", ", ".join(ready))
    missing = ", ".join(kind for kind in KINDS if kind not in ready)
    how = "prepared when first used, or by: imitation-lab weights --all"
    return Finding("pocket weights", f"without {missing}; {how}", "note")


def models(settings: Settings, catalog: Catalog) -> Iterator[Finding]:
    """What is wrong with the catalog, and which of its models can be asked now."""
    read = f"{len(catalog)} models"
    text = f"{read}; {catalog.problem}" if catalog.problem else read
    yield Finding("catalog", text, "problem" if catalog.problem else "ok")
    health = asyncio.run(_reach(settings, catalog))
    for card in catalog.values():
        status = health.status(card.id)
        if status.state == "ok":
            yield Finding(card.id, "can be asked")
        elif status.state == "unreachable":
            yield Finding(card.id, f"{status.reason} {status.hint}".strip(), "note")
        else:
            yield Finding(card.id, f"did not answer within {REACH_S:.0f} s", "note")


def keys(catalog: Catalog) -> Finding:
    """Names of the variables with keys that are set; never a value."""
    names = dict.fromkeys([*(card.api_key_env for card in catalog.values()), _HUB])
    present = [name for name in names if name and secret(name)]
    return Finding("keys", f"set: {', '.join(present)}" if present else "none set")


def port() -> Finding:
    """Whether the page could listen."""
    address, named = server_address()
    host = address or "127.0.0.1"
    for number in [named] if named else PORTS:
        if _is_free(host, number):
            return Finding("port", f"{number} is free")
    taken = str(named) if named else f"{PORTS[0]} to {PORTS[-1]}"
    return Finding("port", f"{taken} in use: set GRADIO_SERVER_PORT to a free one", "problem")


def table(rows: Sequence[Finding]) -> str:
    """The findings as lines: verdict, name, text."""
    signs: Mapping[Verdict, str] = {"ok": "ok", "note": "-", "problem": "PROBLEM"}
    width = max([_WIDTH, *(len(row.name) for row in rows)])
    return "\n".join(f"{signs[row.verdict]:8}{row.name:{width}}  {row.text}" for row in rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 where there is a problem."""
    return run(Doctor, _work, argv, prog="python -m imitation.doctor", about=__doc__ or "")


def _work(_: Doctor) -> int:
    try:
        rows = list(findings(read_settings()))
    except UserError as error:  # settings that cannot be read leave nothing to look at
        rows = [Finding("settings", str(error), "problem")]
    print(table(rows))
    problems = sum(row.verdict == "problem" for row in rows)
    print(f"\n{problems} to be corrected." if problems else "\nThe page can be opened.")
    return 1 if problems else 0


async def _reach(settings: Settings, catalog: Catalog) -> Health:
    backends = Backends(settings)
    health = Health(backends, catalog.values)
    try:
        await asyncio.wait_for(health.check(), REACH_S)
    except TimeoutError:
        pass  # those that have answered by then are known
    finally:
        await backends.close()
    return health


def _torch() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("torch", "not installed: nothing can be fine-tuned here", "note")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        return Finding("torch", f"{torch.__version__}, CUDA: {', '.join(names)}")
    return Finding("torch", f"{torch.__version__}, no CUDA: fine-tunes run on the CPU")


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that exists."""
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))


def _unwritable(folder: Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder} is not writable ({error.strerror or error})"


def _is_free(host: str, number: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, number))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())

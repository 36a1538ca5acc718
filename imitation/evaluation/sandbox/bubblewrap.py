"""bubblewrap (`bwrap`) as the sandbox's outermost wall, where it is installed and may work.

It gives a program namespaces of its own: processes, users, network, and a file system that holds
Python's library and the program's folder, so that other paths are not even there to be asked
about. Many containers forbid making namespaces; the walls of `jail` then stand alone.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from functools import cache
from pathlib import Path

from imitation.evaluation.sandbox.jail import readable


@cache
def program() -> str:
    """Path of the installed bwrap, "" where there is none."""
    return shutil.which("bwrap") or ""


def command(python: str, jail: Path, folder: str) -> list[str]:
    """What to put before a command line so that it runs inside.

    Args:
        python: The interpreter that is to run.
        jail: A file that can be read inside, besides Python's library.
        folder: The one folder that can be written, and the working directory.
    """
    library = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    shared = library / str(sysconfig.get_config_var("INSTSONAME") or "")
    files = {*readable(), python, str(jail), *([str(shared)] if shared.is_file() else [])}
    found = [program(), "--unshare-all", "--unshare-user", "--die-with-parent", "--cap-drop", "ALL"]
    found += ["--clearenv", "--setenv", "LC_ALL", "C.UTF-8"]
    for path in sorted(files):
        found += ["--dev-bind" if path.startswith("/dev/") else "--ro-bind", path, path]
    return [*found, "--bind", folder, folder, "--chdir", folder, "--"]


def interpreter() -> str:
    """The base interpreter: a virtual environment's holds packages, which no answer needs."""
    return str(Path(getattr(sys, "_base_executable", "") or sys.executable).resolve())

"""What is installed: the extras, and whether our packages are the ones that are imported.

The page, and the jobs that only ask servers or read files, need no extra: see `dependencies` and
`optional-dependencies` in pyproject.toml, which a test compares with this table.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from imitation.commands import COMMANDS, PROGRAM
from imitation.errors import UserError
from imitation.settings import PACKAGE

ROOT = PACKAGE.parent
"""What holds our packages: a checkout, or site-packages."""
_PROJECT = ROOT / "pyproject.toml"
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "train": ("torch", "transformers", "peft", "safetensors", "accelerate", "trackio"),
    "eval": ("lm_eval", "datasets", "transformers", "profanity_check"),
}
"""Extra -> the modules it brings."""
# A package's name that another distribution may well use too -> a module that only ours has.
_OURS: Mapping[str, str] = {"training": "finetune.py", "dashboards": "routes.py"}
_MISSING = re.compile(r"ModuleNotFoundError: No module named '(\w+)")


def own_version() -> str:
    """Our version; of a checkout, that of the release it will be."""
    if _PROJECT.is_file():
        project = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]
        return f"{project['version']} (a checkout)"
    return _installed_version() or "unknown"


def is_checkout() -> bool:
    """Whether the code runs from its sources or a copy of them, as in the container.

    There may be no command `imitation-lab` then, or one of another version.
    """
    return _PROJECT.is_file() or not _installed_version()


def _installed_version() -> str:
    try:
        return version(PROGRAM)
    except PackageNotFoundError:
        return ""


def missing(extra: str) -> list[str]:
    """Modules of an extra that cannot be imported; looked for only, nothing is imported."""
    return [module for module in EXTRAS.get(extra, ()) if not _is_there(module)]


def require(name: str) -> None:
    """Return if what a command needs is installed.

    Args:
        name: Of the command, as in COMMANDS.

    Raises:
        UserError: It is not; it says what installs it.
    """
    extra = COMMANDS[name].extra
    if modules := missing(extra):
        raise UserError(_sentence(name, modules[0], extra))


def missing_library(module: str, name: str) -> str:
    """What to do where the import of a module failed; "" where no extra brings it.

    Args:
        module: Its name, as the error has it.
        name: What needs it, for the sentence.
    """
    top = module.partition(".")[0]
    extra = next((extra for extra, modules in EXTRAS.items() if top in modules), "")
    return _sentence(name, top, extra) if extra else ""


def missing_in(printed: str, name: str) -> str:
    """The same for what a program printed before it ended, if that is why it ended."""
    lines = printed.split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    error = _MISSING.match(last.strip())
    return missing_library(error[1], name) if error else ""


def install_command(extra: str) -> str:
    """What installs an extra."""
    return f"pip install '{PROGRAM}[{extra}]'"


def clashes() -> list[str]:
    """Packages of ours in whose place another of the same name would be imported."""
    problems = []
    for package, module in _OURS.items():
        spec = find_spec(package)
        folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
        if ROOT / package in folders[:1] and (folders[0] / module).is_file():
            continue
        other = folders[0] if folders else (spec and spec.origin) or "nothing"
        problems.append(f"import {package} gives {other}, not {ROOT / package}")
    return problems


def check_imports() -> None:
    """Return if our packages are the ones that are imported.

    Raises:
        UserError: Another distribution, or a folder on PYTHONPATH, has one of their names.
    """
    if problems := clashes():
        raise UserError(
            f"{'; '.join(problems)}.",
            f"Install {PROGRAM} into an environment of its own, and unset PYTHONPATH.",
        )


def _sentence(name: str, module: str, extra: str) -> str:
    return f"{name} needs {module}, which is not installed: {install_command(extra)}"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # hidden, or a half-removed package
        return False

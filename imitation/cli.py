"""The command `imitation-lab`: alone it opens the app, with a name it runs that command.

Nothing is imported but the module of the command that was named.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imitation import commands, installation
from imitation.commands import COMMANDS, PROGRAM
from imitation.errors import UserError

if TYPE_CHECKING:
    from cyclopts import App

_ABOUT = (
    "See, measure and make imitation models. Without a command it opens the app, at "
    "http://127.0.0.1:7860 unless GRADIO_SERVER_PORT says otherwise. COMMAND --help tells more."
)
_GROUPS = {"import": "Take in what was made elsewhere: recorded, results or reviews."}


def main(argv: Sequence[str] | None = None) -> int:
    """Open the app or run a command; its exit code."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    try:
        if not tokens:
            installation.check_imports()
            return int(importlib.import_module("dashboards.app").main())
        for words in (2, 1):
            name = " ".join(tokens[:words])
            if name in COMMANDS and len(tokens) >= words:
                return _command(name, tokens[words:])
    except UserError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    return _guide(tokens)


def _command(name: str, argv: list[str]) -> int:
    commands.run_as(name)
    if name != "doctor":  # which shows what is wrong beside all else
        installation.check_imports()
    installation.require(name)
    try:
        return int(importlib.import_module(COMMANDS[name].module).main(argv))
    except ModuleNotFoundError as error:  # what only some of its options need
        if message := installation.missing_library(error.name or "", name):
            raise UserError(message) from error
        raise


def _guide(tokens: list[str]) -> int:
    """Help, the version, or what is wrong with the name of a command."""
    import cyclopts

    try:
        _app()(tokens)
    except cyclopts.CycloptsError as error:
        print(f"{PROGRAM}: {str(error).strip()}", file=sys.stderr)
        return 2
    return 0


def _app() -> App:
    """All commands, to list them and to find the nearest; none of them is run by it."""
    from cyclopts import App

    app = App(
        name=PROGRAM,
        help=_ABOUT,
        usage=f"Usage: {PROGRAM} [COMMAND]",
        version=installation.own_version,
        help_format="plaintext",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
    )
    groups = {name: App(name=name, help=about) for name, about in _GROUPS.items()}
    for name, command in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        parent = groups[group] if group else app
        parent.command(App(name=last, help=command.about))
    for parent in groups.values():
        app.command(parent)
    return app

"""The pages of the documentation that are made of the code, while it is built.

A page asks for a part by a line of its own, `<!-- generated: NAME -->`, NAME being one of PARTS.

    python docs/generate.py commands     # prints that part
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sqlite3
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from imitation import events  # noqa: E402
from imitation.commands import COMMANDS, Command  # noqa: E402
from imitation.installation import install_command  # noqa: E402
from imitation.jobs.parameters import JobParameters  # noqa: E402
from imitation.jobs.registry import KINDS  # noqa: E402
from imitation.storage.database import open_store  # noqa: E402
from imitation.validation import choices, range_words  # noqa: E402
from training.config import TrainingConfig  # noqa: E402
from training.hyperparameters import markdown  # noqa: E402


def parameters_class(module: str) -> type[JobParameters] | None:
    """The class of a command's parameters; None where the command reads its options itself."""
    named = [kind.parameters for kind in KINDS.values() if kind.module == module]
    if named:
        where, _, name = f"{module}:{named[0]}".rpartition(":")
        where = where.rpartition(":")[2]
        return getattr(importlib.import_module(where), name, None)
    if f"class {_camel(module)}(" not in _source(module):
        return None
    return getattr(importlib.import_module(module), _camel(module), None)


def option(name: str) -> str:
    """A field's name as it is typed."""
    return "--" + name.replace("_", "-")


def commands() -> str:
    """The command reference: a section a command, a table of its options."""
    return "\n".join(_section(name, command) for name, command in COMMANDS.items())


def hyperparameters() -> str:
    """The table of a fine-tune's settings."""
    return markdown(TrainingConfig)


def event_list() -> str:
    """What commands tell of themselves while they work."""
    return f"```text\n{inspect.getdoc(events)}\n```\n"


def tables() -> str:
    """The store's tables, as a new file has them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lab.sqlite3"
        store, _ = open_store(path)
        store.close()
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute(
                "SELECT sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
    return "```sql\n" + "\n\n".join(f"{sql};" for (sql,) in rows) + "\n```\n"


PARTS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "hyperparameters": hyperparameters,
    "events": event_list,
    "tables": tables,
}


def filled(text: str) -> str:
    """A page with its generated parts in place.

    Raises:
        KeyError: It asks for a part that there is none of.
    """
    return re.sub(r"^<!-- generated: (\w+) -->$", lambda m: PARTS[m[1]](), text, flags=re.M)


def _section(name: str, command: Command) -> str:
    module = command.module
    about = ast.get_docstring(ast.parse(_source(module))) or ""
    first, _, rest = about.partition("\n\n")
    typed = f"`imitation-lab {name}`; in a checkout `python -m {module}`."
    if command.extra:
        typed += f" It needs an extra: `{install_command(command.extra)}`."
    lines = [f"## {name}", "", " ".join(first.split()), "", typed, ""]
    lines += [f"{_prose(part)}\n" for part in rest.split("\n\n") if part]
    model = parameters_class(module)
    if model is None:
        lines += [f"Its options are shown by `imitation-lab {name} --help`.", ""]
    elif not model.model_fields:
        lines += ["It has no options.", ""]
    else:
        lines += [_fields_table(model.model_fields, option, first=model.positional), ""]
    return "\n".join(lines)


def _fields_table(
    fields: Mapping[str, FieldInfo],
    shown: Callable[[str], str],
    first: str = "",
) -> str:
    rows = []
    for name, field in fields.items():
        taken = ", ".join(f"`{word}`" for word in choices(field)) or range_words(field)
        default = "must be given" if field.is_required() else _default(field.get_default())
        label = f"`{name.upper()}`" if name == first else f"`{shown(name)}`"
        rows.append((label, taken or _kind_of(field.annotation), default, field.description or ""))
    return _table(("option", "takes", "default", "what it is"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *([c.replace("|", "\\|") for c in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _default(value: Any) -> str:
    if value is False:
        return "off"
    if value is True:
        return "on"
    if value is None or value == "" or value == ():
        return ""
    return f"`{', '.join(map(str, value)) if isinstance(value, tuple) else value}`"


def _kind_of(annotation: Any) -> str:
    if get_origin(annotation) in (tuple, list):
        return "one or more"
    parts = [part for part in (annotation, *get_args(annotation)) if isinstance(part, type)]
    words = {bool: "", int: "a whole number", float: "a number", Path: "a path"}
    return next((words[part] for part in parts if part in words), "text")


def _prose(paragraph: str) -> str:
    """A docstring's paragraph as Markdown: code stays, what looks like markup does not."""
    if paragraph.startswith("    "):
        return f"```\n{textwrap.dedent(paragraph).strip()}\n```"
    parts = " ".join(paragraph.split()).split("`")
    parts[::2] = [part.replace("<", "\\<").replace("*", "\\*") for part in parts[::2]]
    return "`".join(parts)


def _camel(module: str) -> str:
    return "".join(part.capitalize() for part in module.rpartition(".")[2].split("_"))


def _source(module: str) -> str:
    return (ROOT / (module.replace(".", "/") + ".py")).read_text("utf-8")


if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        print(PARTS[part]())

"""What people may call things: runs, datasets, answers, models, saved forms."""

from __future__ import annotations

import re
from collections.abc import Collection

from imitation.errors import UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""A name is also that of a folder and, for models, an id in the catalog."""
RULE = "Use up to 80 letters, digits, '.', '_' or '-', the first a letter or digit."


def check_name(name: str, of_what: str) -> None:
    """Refuse what cannot be a name.

    Args:
        name: As typed.
        of_what: "a run", "a dataset".

    Raises:
        UserError: It is not as NAME wants it.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} cannot be the name of {of_what}.", RULE)


def free_name(stem: str, taken: Collection[str]) -> str:
    """The first of stem-1, stem-2, ... that is not taken; a number at its end is replaced."""
    stem = re.sub(r"-\d{1,4}$", "", stem)[:75]
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"

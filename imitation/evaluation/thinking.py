"""What a model that thinks aloud says in the end."""

from __future__ import annotations

import re

# Some templates put the opening tag into the prompt, so that an answer has the closing one alone.
_TAG = r"(?:think|thinking|thought|reasoning)"
_CLOSED = re.compile(rf"\A.*(?:</{_TAG}>|\[/THINK\])", re.DOTALL | re.IGNORECASE)
_OPEN = re.compile(rf"^[ \t]*(?:<{_TAG}>|\[THINK\]).*\Z", re.DOTALL | re.IGNORECASE | re.MULTILINE)


def without_thoughts(text: str) -> str:
    """An answer without what stands in `<think>` or [THINK]; "" where it never came out of it."""
    return _OPEN.sub("", _CLOSED.sub("", text))

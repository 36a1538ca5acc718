r"""Text that any encoding can carry: no lone half of a UTF-16 pair.

JSON may hold such halves ("\ud83d"), and Python's strings keep them, but neither UTF-8, nor
SQLite, nor a page can take one.
"""

from __future__ import annotations

import codecs
from typing import Any


class Joiner:
    """Joins halves that came in different pieces; a half that stays alone becomes U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-16-le")("replace")

    def feed(self, text: str, *, last: bool = False) -> str:
        """What is certain now that `text` has come; a first half at its end waits for the next.

        Args:
            text: The next piece.
            last: No more will come, so nothing is kept waiting.
        """
        return self._decoder.decode(text.encode("utf-16-le", "surrogatepass"), last)


def clean(text: str) -> str:
    """`text` with halves next to each other joined, and lone ones as U+FFFD."""
    return text if text.isascii() else Joiner().feed(text, last=True)


def clean_values(value: Any) -> Any:
    """A JSON value with every string in it `clean`, keys too."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [clean_values(item) for item in value]
    if isinstance(value, dict):
        return {clean_values(key): clean_values(item) for key, item in value.items()}
    return value

"""JSON of files that people bring, and in words what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imitation.reading.text import decode

# Not strict: a raw tab or line feed inside a string is plain enough.
DECODER = json.JSONDecoder(strict=False)


class NotJson(ValueError):
    """A text that is no JSON, in words."""


def parse_json(text: str) -> Any:
    """The value of a text.

    Raises:
        NotJson: It is no JSON, or is nested too deeply.
    """
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise NotJson(why(error)) from error


def read_json(path: Path) -> Any:
    """The value of a file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON (NotJson), or in another encoding (NotUtf8), in words.
    """
    return parse_json(decode(path.read_bytes()))


def why(error: Exception) -> str:
    """What is wrong with a piece of JSON, in words."""
    if isinstance(error, json.JSONDecodeError):
        null = error.doc[error.pos : error.pos + 1] == "\0"
        return "a null byte, which no JSON has" if null else f"not JSON: {error.msg}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    # CPython's refusal of integers of more than 4,300 digits comes as a plain ValueError.
    return "a number with too many digits" if "digits" in str(error) else str(error)

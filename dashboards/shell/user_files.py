"""Files that visitors name: only those in places that are theirs, and nothing is told of others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def file_in(places: Iterable[Path], beside: Path, text: str) -> Path | None:
    """The file that was named, where it is there and lies in one of the places.

    None for everything else, so that no answer tells which paths exist.

    Args:
        places: Folders, with all in them.
        beside: What a relative path is relative to.
        text: As typed.
    """
    text = text.strip()
    try:
        path = (beside / text).resolve()
        inside = bool(text) and any(place.resolve() in path.parents for place in places)
        return path if inside and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, links in a circle
        return None

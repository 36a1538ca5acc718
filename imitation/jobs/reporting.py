"""What a command tells of itself: text for people, and JSON lines for the page."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from imitation.errors import StorageError


class Report:
    """What happens, as text for people and, if wanted, as JSON lines in a file."""

    def __init__(self, path: Path | None) -> None:
        self._began = time.monotonic()
        try:
            self._out = path.open("w", encoding="utf-8") if path else None
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error

    def write(self, event: str, text: str = "", **values: Any) -> None:
        """Tell one thing; the line is on disk when this returns."""
        if text:
            print(text, file=sys.stderr, flush=True)
        if self._out:
            line = {"event": event, "elapsed_s": round(time.monotonic() - self._began, 2), **values}
            self._out.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._out.flush()

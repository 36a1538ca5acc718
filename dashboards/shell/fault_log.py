"""Faults of handlers in the log: the whole trace once, then a line each time.

Gradio prints the trace of every failed call. A program that sends wrong values would fill the log
with the same lines and with what it sent.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections import Counter
from typing import Any

import gradio.queueing
import gradio.route_utils
import gradio.routes
import gradio.utils

log = logging.getLogger(__name__)

MOST = 1_000
"""Faults that are told apart."""
LONGEST = 300
"""Characters of a line in the log."""


class ToldOnce:
    """The module `traceback` for Gradio, whose `print_exc` repeats no trace."""

    def __init__(self) -> None:
        self._seen = Counter[str]()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)

    def print_exc(self, *_: object, **__: object) -> None:
        """Tell the fault that is being handled."""
        error = sys.exc_info()[1]
        if error is None:
            return
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        kind = f"{type(error).__name__} at {place}"
        with self._lock:
            if len(self._seen) >= MOST:
                self._seen.clear()
            self._seen[kind] += 1
            times = self._seen[kind]
        said = "".join(traceback.format_exception_only(error)).partition("\n")[0][:LONGEST]
        if times > 1:
            log.warning("a call failed: %s (%s, %d times)", said, place, times)
            return
        lines = "".join(traceback.format_exception(error)).split("\n")
        log.error("a call failed:\n%s", "\n".join(line[:LONGEST] for line in lines).strip())


def tell_faults_once() -> None:
    """From now on Gradio repeats no trace of a fault."""
    told = ToldOnce()
    for module in (gradio.queueing, gradio.route_utils, gradio.routes, gradio.utils):
        if getattr(module, "traceback", None) is traceback:
            module.traceback = told  # type: ignore[attr-defined]

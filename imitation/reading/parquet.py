"""Rows of a Parquet file, unfolded in a process of its own that has little memory and time.

A few hundred bytes of Parquet can name a value a million times, or claim any size. What is unfolded
therefore never touches the process that asks: rows come one by one through a pipe.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MEMORY = 1_500_000_000
"""Bytes that unfolding may take."""
SECONDS = 60
"""Computing time that unfolding may take, and one more for each of these bytes of the file:"""
BYTES_A_SECOND = 1_000_000


class Unreadable(ValueError):
    """What could not be read of a Parquet file, in words."""


def rows_of(path: Path, limit: int, memory: int = MEMORY) -> Iterator[dict[str, Any]]:
    """The rows of a file in order; what JSON does not have (dates, bytes) becomes text.

    Args:
        path: The file.
        limit: Characters that all its rows may have.
        memory: Bytes that unfolding may take, where the system can hold a process to it.

    Raises:
        Unreadable: It is no Parquet, broken, or unfolds too far; rows before that were given.
    """
    seconds = SECONDS + path.stat().st_size // BYTES_A_SECOND
    numbers = [str(n) for n in (limit, memory, seconds)]
    module = "imitation.reading.parquet_process"
    with subprocess.Popen(
        [sys.executable, "-m", module, str(path.absolute()), *numbers],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                found = json.loads(line)
                if isinstance(found, str):
                    raise Unreadable(found)
                yield found[0]
            if code := child.wait():
                raise Unreadable(_ended(code, memory, seconds))
        except json.JSONDecodeError:  # the last line of a process that was killed
            raise Unreadable(_ended(child.wait(), memory, seconds)) from None
        finally:
            child.kill()  # of no effect on one that has ended


def too_much_memory(memory: int) -> str:
    """The words for a file that did not fit."""
    return f"it unfolds to more than {memory / 1e6:,.0f} MB of memory holds, like a bomb"


def _ended(code: int, memory: int, seconds: int) -> str:
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"it takes more than {seconds} s of computing to unfold, like a bomb"
    if code == -signal.SIGABRT:  # of the C++ below, out of memory in a place it cannot report
        return too_much_memory(memory)
    return f"not a readable Parquet file: the reader ended with {code}"

"""The process that unfolds Parquet: `python -m imitation.reading.parquet_process FILE LIMIT ...`.

Prints a line of JSON for each row, `[row]`, and for what went wrong a text; see `parquet`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from imitation.reading.parquet import too_much_memory

_BATCH = 500  # rows whose indices into dictionaries are held at once
_AT_ONCE = 8_000_000  # characters that are unfolded at once, about
_MOST = 50  # rows that are unfolded at once


def main(argv: Sequence[str]) -> int:
    """Print the rows of a file and return the exit code."""
    path, (limit, memory, seconds) = argv[0], map(int, argv[1:])
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # the others reserve address space
    import pyarrow  # type: ignore[import-untyped]

    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    _wall(memory, seconds)
    try:
        for row in _rows(path, limit):
            print(json.dumps([row], default=_text))
    except BrokenPipeError:
        os._exit(0)  # nobody listens any more
    except (MemoryError, pyarrow.ArrowMemoryError):
        print(json.dumps(too_much_memory(memory)))
    except Exception as error:
        # Broken files raise kinds of every layer below, OSError and NotImplementedError too.
        first = str(error).partition("\n")[0] or type(error).__name__
        known = isinstance(error, _TooFar)
        print(json.dumps(first if known else f"not a readable Parquet file: {first[:300]}"))
    return 0


class _TooFar(Exception):
    """The rows became larger than any text does."""


def _rows(path: str, limit: int) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet  # type: ignore[import-untyped]

    metadata = pyarrow.parquet.read_metadata(path)
    groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    far = _TooFar(f"it unfolds to over {limit / 1e6:,.0f} MB, like a bomb")
    if sum(group.total_byte_size for group in groups) > limit:
        raise far
    texts = [
        metadata.schema.column(at).path
        for at in range(metadata.num_columns)
        if metadata.schema.column(at).physical_type == "BYTE_ARRAY"
    ]
    # A value that a million rows refer to stays one value, until a row of it is made.
    opened = pyarrow.parquet.ParquetFile(path, read_dictionary=texts, buffer_size=1 << 20)
    read, largest = 0, _AT_ONCE
    for batch in opened.iter_batches(batch_size=_BATCH, use_threads=False):
        at = 0
        while at < batch.num_rows:
            few = max(1, min(_MOST, _AT_ONCE // largest))
            largest = 1
            for row in batch.slice(at, few).to_pylist():
                size = _characters(row)
                read, largest = read + size, max(largest, size)
                if read > limit:
                    raise far
                yield row
            at += few


def _characters(value: object) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, dict):
        return 8 + sum(map(_characters, value.values()))
    return 8 + (sum(map(_characters, value)) if isinstance(value, list) else 0)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _wall(memory: int, seconds: int) -> None:
    import resource

    # Address space counts from what the libraries have mapped already.
    with suppress(OSError):
        with open("/proc/self/statm", encoding="ascii") as opened:
            mapped = int(opened.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory, mapped + memory))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

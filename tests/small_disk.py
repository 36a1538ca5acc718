"""A disk that is really full: a small tmpfs of its own, or a container's /dev/shm."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SMALL = 128 << 20  # of a shared memory that may be filled up: Docker's has 64 MB


class Disk:
    """A folder on a small disk, which can be filled up and made room on again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / ".ballast"

    def fill(self) -> None:
        """Leave nothing free, whatever the file system says of it."""
        self.free()
        with self._ballast.open("wb", buffering=0) as opened:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while opened.write(b"\0" * size):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(size: int = 4 << 20) -> Iterator[Disk]:
    """A disk of `size` bytes; skips the test where none can be had."""
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
        try:
            yield Disk(folder)
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
            folder.rmdir()
        return
    folder.rmdir()
    shared = Path("/dev/shm")
    if not shared.is_dir() or shutil.disk_usage(shared).total > _SMALL:
        pytest.skip("a small disk can only be mounted as root")
    folder = Path(tempfile.mkdtemp(prefix="small-disk-", dir=shared))
    try:
        yield Disk(folder)
    finally:
        shutil.rmtree(folder)

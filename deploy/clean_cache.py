"""`make clean-cache`: remove what the app downloaded or made from downloads, and nothing else."""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from imitation.settings import read_settings

FOLDERS = ("pocket", "training", "hub")
"""Folders of ours in the cache; the cache itself may be a folder that holds other things."""


def main() -> None:
    """Remove each folder and say how much space that freed."""
    cache = read_settings().cache
    for folder in (cache / name for name in FOLDERS):
        if folder.is_dir():
            size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
            shutil.rmtree(folder)
            print(f"Removed {folder} ({size / 1e6:.0f} MB).")
    print(f"The cache {cache} is clean.")


if __name__ == "__main__":
    main()

"""The app: `python app.py`, or `imitation-lab` where it is installed."""

from __future__ import annotations

import sys

from dashboards.app import build, main

__all__ = ["build", "main"]

if __name__ == "__main__":
    sys.exit(main())

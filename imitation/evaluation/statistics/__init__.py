"""Intervals, and how many samples they need; no I/O."""

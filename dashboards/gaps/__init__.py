"""Gaps: every figure and table of the paper, with what was measured here."""

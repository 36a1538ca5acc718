"""Append-only schema migrations."""

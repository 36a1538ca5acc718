"""Recorded outputs, read from files."""

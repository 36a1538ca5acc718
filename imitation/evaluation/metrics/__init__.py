"""Metrics of answers, one a file."""

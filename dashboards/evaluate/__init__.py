"""Evaluate: measure the gap, and read what every model answered."""

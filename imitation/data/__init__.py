"""Imitation datasets, one step a file."""

"""Conversations read from files and hub datasets, whatever their shape."""

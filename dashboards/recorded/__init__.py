"""Recorded: answers saved in files, side by side."""

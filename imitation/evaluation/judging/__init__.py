"""Preferences of judges and people: asking, reading, scoring."""

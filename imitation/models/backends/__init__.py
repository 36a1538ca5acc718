"""Backends: who answers for a card, one kind of server a file or folder."""

"""The embedded engine: llama.cpp processes on loopback, and the weights they load."""

"""Benchmarks by lm-eval: everything that touches it."""

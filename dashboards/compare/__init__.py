"""Compare: one prompt, base, imitation and reference side by side."""

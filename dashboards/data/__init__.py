"""Data: the datasets that imitations learn from."""

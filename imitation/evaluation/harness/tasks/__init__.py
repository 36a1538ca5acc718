"""Our own lm-eval task files; lm-eval reads this folder."""

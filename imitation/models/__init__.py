"""Model cards and the backends that answer for them."""

"""Who a visitor is: a secret kept by the browser, of which the store sees only the hash."""

from __future__ import annotations

import hashlib
import secrets


def new_secret() -> str:
    """A secret for a new visitor: 128 random bits."""
    return secrets.token_urlsafe(16)


def visitor_hash(secret: str) -> str:
    """What the store keeps of a visitor's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()

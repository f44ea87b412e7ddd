"""Who is in a picture, as a number that nobody can turn back without the dataset's own salt."""

from __future__ import annotations

import hashlib
import hmac

SALT_BYTES = 32


def hashed(salt: bytes, kind: str, value: str) -> str:
    """HMAC-SHA256 of an identifier (kind: patient, sop, accession, device), 32 hex digits."""
    message = f"{kind}:{value.strip()}".encode(errors="surrogateescape")
    return hmac.new(salt, message, hashlib.sha256).hexdigest()[:32]

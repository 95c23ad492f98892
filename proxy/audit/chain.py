"""What makes a change visible. Pure.

Each record's code is a keyed hash over its number, its facts and the code before it, so that a changed, missing, added or
reordered record breaks the chain. Facts hold the digest of the sealed private part: that can be taken out, but not exchanged.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b

START = bytes(32)  # the code before the first record


def link(key: bytes, before: bytes, seq: int, facts: bytes) -> bytes:
    return hmac.digest(key, before + seq.to_bytes(8, "big") + facts, "sha256")


def tag(key: bytes, name: str, seq: int, code: bytes) -> bytes:
    """Of one end of the chain: only who has the key can move it."""
    return hmac.digest(key, name.encode() + b"\0" + seq.to_bytes(8, "big") + code, "sha256")


def digest(sealed: bytes) -> str:
    return blake2b(sealed, digest_size=20).hexdigest()

"""One secret, four keys: for the chain, for pseudonyms, for sealing what people wrote, and for signing checkpoints."""

from __future__ import annotations

import hmac
import json
import os
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


@dataclass(frozen=True)
class Keyring:
    secret: bytes = field(repr=False)

    def _derived(self, purpose: str) -> bytes:
        return HKDF(SHA256(), 32, salt=None, info=f"weir audit {purpose}".encode()).derive(self.secret)

    @cached_property
    def chain(self) -> bytes:
        return self._derived("chain")

    @cached_property
    def _subjects(self) -> bytes:
        return self._derived("subjects")

    @cached_property
    def _seal(self) -> Fernet:
        return Fernet(urlsafe_b64encode(self._derived("seal")))

    @cached_property
    def signing(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._derived("signing"))

    def subject(self, person: str) -> str:
        """Whom a record is about, without saying who it is."""
        return hmac.digest(self._subjects, person.encode("utf-8", "replace"), "sha256").hex()[:40]

    def sealed(self, private: dict[str, Any]) -> bytes:
        return self._seal.encrypt(json.dumps(private, separators=(",", ":")).encode())

    def opened(self, sealed: bytes) -> dict[str, Any] | None:
        """None where it was sealed with another key, or changed since."""
        try:
            found = json.loads(self._seal.decrypt(sealed))
        except (InvalidToken, ValueError):
            return None
        return found if isinstance(found, dict) else None


def beside(database: Path) -> Keyring:
    """The key in the file beside a SQLite database, made when there is none yet. Raises OSError."""
    path = database.with_name(database.name + ".key")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return Keyring(path.read_text().strip().encode())
    with os.fdopen(handle, "w") as file:
        secret = secrets.token_hex(32)
        file.write(secret + "\n")
    return Keyring(secret.encode())

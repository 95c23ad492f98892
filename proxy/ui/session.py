"""Who is looking: a signed cookie, and a token that shows that a form came from a page of ours. Pure.

Nothing is stored, so that any worker can answer. A session ends with its hour, with its key, and with the secret.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from proxy.config import AdminEntry

COOKIE = "weir_session"
LASTS = 12 * 3600  # seconds


@dataclass(frozen=True, slots=True)
class Session:
    """`name` is the admin key's; empty before somebody signs in, and where nobody needs to."""

    name: str
    until: float
    salt: str
    token: str = field(repr=False)  # for forms


class Sessions:
    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def begin(self, now: float, entry: AdminEntry | None = None) -> str:
        """A cookie's value."""
        body = [entry.name if entry else "", int(now + LASTS), secrets.token_urlsafe(12)]
        packed = urlsafe_b64encode(msgspec.json.encode(body)).decode()
        return f"{packed}.{self._signed(packed, entry)}"

    def read(self, cookie: str, now: float, admins: Iterable[AdminEntry]) -> Session | None:
        packed, _, sign = cookie.partition(".")
        try:
            name, until, salt = msgspec.json.decode(urlsafe_b64decode(packed), type=tuple[str, int, str])
        except (ValueError, msgspec.DecodeError):
            return None
        entry = next((one for one in admins if one.name == name and valid(one, now)), None)
        # The key's digest is signed along: a session does not outlive its key.
        if (name and entry is None) or until < now or not hmac.compare_digest(sign, self._signed(packed, entry)):
            return None
        return Session(name, until, salt, self._code(f"form {packed}"))

    def _signed(self, packed: str, entry: AdminEntry | None) -> str:
        return self._code(f"session {entry.sha256 if entry else ''} {packed}")

    def _code(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), sha256).hexdigest()


def holder(token: str, admins: Iterable[AdminEntry], now: float) -> AdminEntry | None:
    """Whose key it is."""
    digest, found = sha256(token.strip().encode("utf-8", "replace")).hexdigest(), None
    for one in admins:
        if hmac.compare_digest(one.sha256, digest) and valid(one, now):
            found = one
    return found


def valid(entry: AdminEntry, now: float) -> bool:
    return entry.expires is None or entry.expires > datetime.fromtimestamp(now, UTC)

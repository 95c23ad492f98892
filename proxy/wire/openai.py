"""What OpenAI's APIs have in common."""

from __future__ import annotations

from typing import Any

from proxy.wire.parts import encode


def error(status: int, /, message: str, kind: str, param: str | None, code: str | None, **more: Any) -> bytes:
    """The error object that the SDKs raise on."""
    return encode({"error": {"message": message, "type": kind, "param": param, "code": code, **more}})

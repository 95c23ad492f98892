"""Anthropic's API by itself: https://docs.anthropic.com/en/api/overview"""

from __future__ import annotations

from proxy.upstream import Call
from proxy.upstream.openai import OpenAI

_VERSION = "2023-06-01"


class Anthropic(OpenAI):
    def headers(self, call: Call) -> dict[str, str]:
        headers = {"anthropic-version": _VERSION, **call.headers}
        key = self._key or headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        headers.pop("authorization", None)
        return {**headers, "x-api-key": key} if key else headers

"""Which headers go on to the provider, and which of its own come back."""

from __future__ import annotations

from starlette.types import Scope

from proxy.config import KeyEntry
from proxy.server.answers import Headers
from proxy.upstream import Response

_PASS_ON = frozenset(
    (
        "anthropic-version anthropic-beta openai-organization openai-project openai-beta idempotency-key traceparent "
        "tracestate user-agent"
    ).split()
)
_KEEP_BACK = frozenset(
    (
        "connection keep-alive transfer-encoding content-length content-encoding server date set-cookie te trailer upgrade"
    ).split()
)


def caller_of(scope: Scope, key: KeyEntry | None) -> str:
    """Who asks, as far as anybody can tell: the name of the key, or whatever the provider is shown."""
    if key is not None:
        return f"key {key.name}"
    headers = dict(scope["headers"])
    return (headers.get(b"authorization") or headers.get(b"x-api-key") or b"").decode("latin-1")


def pass_on(scope: Scope) -> dict[str, str]:
    found = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        if key in _PASS_ON or (key in ("authorization", "x-api-key") and not scope.get("weir.key")):
            found[key] = value.decode("latin-1")
    return found


def kept(response: Response, skip: str = "content-type") -> Headers:
    dropped = {*_KEEP_BACK, *skip.split()}
    return [
        (k.encode("latin-1"), v.encode("latin-1"))
        for k, v in response.headers
        if k not in dropped and not k.startswith("x-weir-")
    ]

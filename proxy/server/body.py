"""What a client sends: the bytes, then the JSON, within their limits."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.types import Receive

from proxy.config import Limits
from proxy.server import shape
from proxy.server.answers import Refusal
from proxy.wire.parts import BadBody, decode


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole request body. Raises Refusal 413 when it is over `limit` bytes."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(499, "The client went away.", "client_closed_request")
        size += len(message.get("body", b""))
        if size > limit:
            raise Refusal(413, f"The request body is larger than {limit} bytes.", "request_too_large")
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def read_json(receive: Receive, limits: Limits) -> dict[str, Any]:
    """The request body, within its limits. Raises BadBody, Refusal."""
    raw = await read_body(receive, limits.body)
    body = parse(raw)
    shape.check(raw, body, limits)
    return body


def parse(raw: bytes) -> dict[str, Any]:
    try:
        body = decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise BadBody(f"The request body is not valid JSON: {problem}") from problem
    except RecursionError as problem:
        raise BadBody("The request body is nested too deeply.") from problem
    if not isinstance(body, dict):
        raise BadBody("The request body must be a JSON object.")
    return body


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""What one request and one connection may take."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proxy.config.value import Bytes, Count, Part, Seconds, Store


class Limits(Part):
    """What one request and one connection may take, and where it is counted what keys take: in this Weir (all
    of its workers together), or in the Redis at `url`. `connections` are those of one process."""

    body: Bytes = 32 * 1024 * 1024
    messages: Count = 4096
    parts: Count = 8192
    tools: Count = 1024
    nesting: Count = 64
    connections: Count = 5000
    header_timeout: Seconds = 10.0
    body_timeout: Seconds = 120.0
    reader_timeout: Seconds = 60.0
    url: Store | None = Field(default=None, repr=False)
    on_error: Literal["local", "allow", "deny"] = "local"

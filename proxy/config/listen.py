"""Where Weir listens."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import BeforeValidator, Field

from proxy.config.value import Part, seconds_of


class Listen(Part):
    """`drain` is how long what has begun may take to its end when Weir is told to stop."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    drain: Annotated[float, BeforeValidator(seconds_of), Field(ge=1, le=3600)] = 25.0


def is_loopback(host: str) -> bool:
    """True if only this machine can reach `host`. A name other than localhost is not trusted to be one."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

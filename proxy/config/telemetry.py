"""What is told of Weir's work: trace spans, metrics, and how its scores drift."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from proxy.config.value import Count, Part, seconds_of
from proxy.policy.schema import Share


class Telemetry(Part):
    """Trace spans and metrics over OTLP. What is left out comes from the OTEL_… variables. `sampling` is the share of traces
    that is kept where the caller has not decided that already."""

    endpoint: str | None = Field(default=None, repr=False)
    protocol: Literal["http/protobuf", "grpc"] | None = None
    sampling: Share | None = None
    headers: dict[str, str] = Field(default={}, repr=False)

    @field_validator("endpoint")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/\s]", value):
            raise ValueError('the "endpoint" of telemetry begins with "http://" or "https://", for grpc too')
        return value

    @field_validator("headers")
    @classmethod
    def _sendable(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not re.fullmatch(r"[A-Za-z0-9-]+", name) or not text.strip() or not text.isprintable():
                raise ValueError(f'the header "{name}" is empty or cannot be sent')
        return value


class Drift(Part):
    """How the newest scores are compared with those of ordinary texts: over which window, from how many texts on, and from
    which population stability index on it is said in the log."""

    window: Annotated[float, BeforeValidator(seconds_of), Field(ge=1)] = 3600.0
    texts: Count = 1000
    threshold: float = Field(default=0.1, gt=0, allow_inf_nan=False)

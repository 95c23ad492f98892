"""The keys: who may come in, what they may take, and what it costs."""

from __future__ import annotations

from pydantic import Field

from proxy.config.value import Count, Digest, Moment, Name, Part


class KeyEntry(Part):
    """`sha256` is the hex digest of the token. Without `routes` the key opens all of them, without `models` it may ask for
    any. `monthly_budget` is in the unit of the prices."""

    name: Name
    sha256: Digest = Field(repr=False)
    routes: list[str] | None = None
    models: list[str] | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent_streams: Count | None = None
    monthly_budget: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    expires: Moment | None = None

    @property
    def is_limited(self) -> bool:
        """Something has to be counted for it."""
        counted = (self.requests_per_minute, self.tokens_per_minute, self.concurrent_streams, self.monthly_budget)
        return any(one is not None for one in counted)


class AdminEntry(Part):
    """Who may open the dashboard at /ui. `sha256` is the hex digest of the token; `name` stands beside what they mark."""

    name: Name
    sha256: Digest = Field(repr=False)
    expires: Moment | None = None


class Price(Part):
    """Of a million tokens, in whatever unit budgets are in. Without `cached_input` a cached token costs what any costs."""

    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    cached_input: float | None = Field(default=None, ge=0, allow_inf_nan=False)

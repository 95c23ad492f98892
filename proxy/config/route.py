"""The routes: which request goes to which provider, under which policy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from proxy.config.value import Name, Part
from proxy.policy.schema import Share


class Match(Part):
    """What a request must ask for. `*` and `?` as in file names; upper and lower case differ."""

    model: str = "*"


class Route(Part):
    name: Name
    match: Match = Match()
    provider: str
    model: str | None = None
    policy: Name
    fallbacks: list[str] = Field(default=[])
    annotations: Literal["azure"] | None = None
    unguarded: list[str] = Field(default=[])
    shadow: str | None = Field(default=None, min_length=1)  # a policy's name, or a file
    shadow_share: Share = 0.0  # of conversations that the shadow decides

    @model_validator(mode="after")
    def _shared(self) -> Route:
        if self.shadow_share and self.shadow is None:
            raise ValueError('"shadow_share" goes with "shadow": the share of conversations that it decides')
        return self

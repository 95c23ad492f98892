"""The decision log."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from proxy.config.value import Count, Part, Seconds


class Audit(Part):
    """The decision log. `text`: what of people's words is kept, sealed. `key` is the secret that chains, hashes and seals;
    SQLite keeps one of its own beside the file if none is given. `language`: the one that the user writes in is told from every
    prompt, not only where a policy asks for it. `queue` records may wait: then `on_full` says whether requests
    wait too, or records are dropped and counted. `commit: each` has a record in the store before its request goes on."""

    url: str = Field(default="sqlite:///weir.db", repr=False)
    text: Literal["never", "redacted", "full"] = "never"
    key: str | None = Field(default=None, min_length=16, repr=False)
    retain: Seconds | None = None
    language: bool = False
    queue: Count = 10_000
    on_full: Literal["block", "drop_and_count"] = "drop_and_count"
    commit: Literal["batch", "each"] = "batch"

    @field_validator("url")
    @classmethod
    def _known(cls, value: str) -> str:
        if not re.match(r"sqlite:///.|postgresql(\+psycopg)?://", value) or value.startswith("sqlite:///:memory:"):
            raise ValueError('the "url" of audit begins with "sqlite:///" and names a file, or with "postgresql://"')
        return value

    @property
    def is_shared(self) -> bool:
        return not self.url.startswith("sqlite")

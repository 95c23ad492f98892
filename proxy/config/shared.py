"""What several Weirs remember together."""

from __future__ import annotations

from pydantic import Field

from proxy.config.value import Part, Seconds, Store


class Verdicts(Part):
    """Where several Weirs remember together what was judged, for `lifetime`. `key` is the secret that hides it."""

    url: Store = Field(repr=False)
    key: str = Field(min_length=16, repr=False)
    lifetime: Seconds = 3600.0


class Restore(Part):
    """Where the values behind placeholders are kept, for `lifetime`, for conversations that the provider keeps. `key` is the
    secret that seals them."""

    url: Store = Field(repr=False)
    key: str = Field(min_length=16, repr=False)
    lifetime: Seconds = 3600.0

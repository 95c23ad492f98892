"""One record on its way into the store."""

from __future__ import annotations

from typing import Any, NamedTuple


class Entry(NamedTuple):
    """`facts` name rules, numbers and hashes, and nobody: they are chained and stay. `private` is what people wrote, if it is
    kept at all: it is sealed, and can be taken out again without breaking the chain. `person` is whom it is about, and is kept
    as a keyed hash, `subject`; `about` the id of the record that it speaks of."""

    kind: str  # request, begun, feedback, erasure, retention
    id: str
    at: float  # seconds since 1970
    facts: dict[str, Any]
    private: dict[str, Any] | None = None
    person: str | None = None
    subject: str | None = None
    about: str | None = None

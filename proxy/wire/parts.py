"""What a reader finds in a body or an event, and how text is put back."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Path = tuple[str | int, ...]
Json = Any  # a decoded JSON value


@dataclass(slots=True)
class Part:
    """One run of text in a body or an event.

    `channel` says which text it continues. A `closed` part is a whole text by itself. `prose` is what a classifier
    should read; names and other short tokens are for the patterns alone. `logprobs` is where the same text is repeated,
    token by token; a part without a `path` exists only there.
    """

    channel: Hashable
    path: Path | None
    text: str
    kind: Literal["text", "json"] = "text"
    closed: bool = False
    prose: bool = True
    logprobs: Path | None = None
    start: int = 0  # where it begins in its channel's source; set by the guard


@dataclass(slots=True)
class Item:
    """The smallest thing that leaves on its own: (part of) one event.

    Items of one lane leave in order; lanes do not wait for each other. `barrier` makes an item wait for its whole
    choice, or for everything. `raw` is the event as it came, to be sent when nothing in it changed.
    """

    lane: Hashable
    body: Json
    parts: list[Part]
    raw: bytes | None = None
    choice: int | None = None
    barrier: Literal["", "choice", "all"] = ""
    ends: Literal["", "choice", "error", "stream"] = ""


def get(body: Json, path: Path) -> Json:
    for key in path:
        body = body[key]
    return body


def put(body: Json, path: Path, value: Json) -> None:
    get(body, path[:-1])[path[-1]] = value


def strings(value: Json, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every string in a JSON value with its place, in order."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from strings(inner, (*path, index))


def is_prose(text: str) -> bool:
    """Whether a string of unknown meaning is worth a classifier's time: more than a name or a number."""
    return len(text) >= 12 and len(text.split(None, 3)) >= 3

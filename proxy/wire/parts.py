"""What a reader finds in a body or an event, and how text is put back."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from proxy.types import Role

decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode

Path = tuple[str | int, ...]
Json = Any  # a decoded JSON value


class BadBody(Exception):
    """The body is not what the API takes. `param` names the place."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class Field(NamedTuple):
    """One text of a request. `tool`: as in Segment."""

    path: Path
    text: str
    role: Role
    kind: str = "text"
    prose: bool = True
    tool: str | None = None


class Media(NamedTuple):
    """Something in a request that is not text."""

    path: Path
    kind: str


class Request(NamedTuple):
    """Every text and every piece of media in a request, in the order of the conversation; `unknown` are the places of
    fields that the API does not document, whose texts are among `fields` too."""

    fields: list[Field]
    media: list[Media]
    unknown: list[Path]


@dataclass(slots=True)
class Part:
    """One run of text in a body or an event.

    `channel` says which text it continues. A `closed` part is a whole text by itself; one that `repeats` says again what
    its channel has said. `prose` is what a classifier should read; names and other short tokens are for the patterns alone.
    `logprobs` is where the same text is repeated, token by token; a part without a `path` exists only there. `tool`: as in
    Segment.
    """

    channel: Hashable
    path: Path | None
    text: str
    kind: Literal["text", "json"] = "text"
    closed: bool = False
    repeats: bool = False  # says again what its channel has said from the start
    prose: bool = True
    logprobs: Path | None = None
    boxed: bool = False  # `path` leads to a JSON value whose encoding is `text`
    start: int = 0  # where it begins in its channel's source; set by the guard
    tool: str | None = None


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
    name: str = ""  # the event's
    completes: tuple[Hashable, ...] | None = None  # nothing more will come for channels that begin so


class Said(NamedTuple):
    """One answer in a body: what of it can be blocked apart from the others. `holder` is where a block is written."""

    number: int
    holder: dict[str, Any]
    parts: list[Part]


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


def rewritten(body: Json) -> Json:
    """A copy that may be edited without touching `body`."""
    if isinstance(body, dict):
        return {key: rewritten(value) for key, value in body.items()}
    if isinstance(body, list):
        return [rewritten(value) for value in body]
    return copy(body)

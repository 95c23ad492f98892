"""What a reader finds in a body or an event, and how text is put back."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from proxy.types import Role
from proxy.wire.form import Form

decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode

Json = Any  # a decoded JSON value


class Key(NamedTuple):
    """The end of a path that leads to a key, not to its value: names that people choose can say things, too."""

    name: str


Path = tuple[str | int | Key, ...]
# Keys that say nothing of anybody's: JSON Schema's and the APIs' own.
_PLAIN_KEYS = frozenset(
    (
        "type properties items required description title enum const default format name parameters function strict schema "
        "json_schema input_schema additionalProperties anyOf oneOf allOf $defs $ref minimum maximum minLength maxLength "
        "pattern minItems maxItems id index text arguments input content role refusal output summary status url value filename"
    ).split()
)


class BadBody(Exception):
    """The body is not what the API takes. `param` names the place."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class Field(NamedTuple):
    """One text of a request. A `boxed` one is the encoding of the JSON value that `path` leads to. `tool`: as in Segment."""

    path: Path
    text: str
    role: Role
    kind: str = "text"
    prose: bool = True
    boxed: bool = False
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


AROUND = -1  # the number of what belongs to no answer


class Said(NamedTuple):
    """One answer in a body: what of it can be blocked apart from the others. `holder` is where a block is written. What
    stands AROUND the answers is the last, and blocks them all."""

    number: int
    holder: dict[str, Any]
    parts: list[Part]


def get(body: Json, path: Path) -> Json:
    for key in path:
        body = key.name if isinstance(key, Key) else body[key]
    return body


def put(body: Json, path: Path, value: Json) -> None:
    """At the end of a Key, the key itself is renamed."""
    holder, last = get(body, path[:-1]), path[-1]
    if isinstance(last, Key):
        renamed = [(value if name == last.name else name, inner) for name, inner in holder.items()]
        holder.clear()
        holder.update(renamed)
    else:
        holder[last] = value


def blank(body: Json, parts: list[Part]) -> None:
    """Takes the texts out of a body."""
    for part in parts:
        if part.path is not None:
            put(body, part.path, {} if part.boxed else "")
        if part.logprobs is not None:
            put(body, part.logprobs, None)


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


def words(value: Json, path: Path = (), skip: Container[str] = ()) -> Iterator[tuple[Path, str]]:
    """Every string that is not empty and every key that somebody has chosen, in order; a key after what it holds, which may
    so be written first. What is under a key of `skip`, wherever in the value, is left out."""
    if isinstance(value, str):
        if value:
            yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in skip:
                yield from words(inner, (*path, key), skip)
                if key and key not in _PLAIN_KEYS:
                    yield (*path, Key(key)), key
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from words(inner, (*path, index), skip)


def is_prose(text: str) -> bool:
    """Whether a string of unknown meaning is worth a classifier's time: more than a name or a number."""
    return len(text) >= 12 and len(text.split(None, 3)) >= 3


def read_settings(found: Request, body: dict[str, Json], form: Form, role: Role, at: Path = ()) -> None:
    """What an object says beside the conversation."""
    for key, value in body.items():
        if key not in form.known:
            found.unknown.append((*at, key))
            found.fields.append(Field((*at, Key(key)), key, role, prose=is_prose(key)))
        if key not in form.apart:
            found.fields.extend(Field(p, t, role, prose=is_prose(t)) for p, t in words(value, (*at, key)))


def loose(body: Mapping[Any, Json], form: Form, at: Path, channel: Hashable, apart: Container[str] = ()) -> list[Part]:
    """Texts of an answer that stand where none is expected. What is not `apart`, or the form's own, is looked through."""
    found: list[Part] = []
    for key, value in body.items():
        if key in (apart or form.apart) or value is None:
            continue
        texts = (strings if key in form.known else words)(value, (*at, key))
        found += (Part((channel, key, p), p, t, closed=True, prose=is_prose(t)) for p, t in texts if t)
    return found


def rewritten(body: Json) -> Json:
    """A copy that may be edited without touching `body`."""
    if isinstance(body, dict):
        return {key: rewritten(value) for key, value in body.items()}
    if isinstance(body, list):
        return [rewritten(value) for value in body]
    return copy(body)

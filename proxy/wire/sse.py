"""Server-sent events, incrementally. https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

from typing import NamedTuple

DONE = b"[DONE]"
CONTENT_TYPE = "text/event-stream; charset=utf-8"
MAX_EVENT = 8 * 1024 * 1024  # bytes; a peer that never ends an event may not fill our memory


class Event(NamedTuple):
    """One event. `raw` frames it again, with line ends normalised to LF; `data` is None for comments and bare fields."""

    raw: bytes
    data: bytes | None
    name: str = ""


class EventTooLong(Exception):
    """The peer sent more than MAX_EVENT bytes without ending the event."""


class Parser:
    """Bytes in, whole events out, wherever the network cut them.

    Only LF, CR and CRLF end a line: `str.splitlines` would also split on U+2028, which JSON may hold.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._carry = b""  # a CR at the very end: CRLF or a lone CR, the next byte tells
        self._begun = False

    def feed(self, data: bytes) -> list[Event]:
        if not self._begun and data:
            self._begun = True
            data = data.removeprefix(b"\xef\xbb\xbf")
        if self._carry or b"\r" in data:
            data = self._carry + data
            self._carry = b""
            if data.endswith(b"\r"):
                data, self._carry = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        blocks = (self._buffer + data if self._buffer else data).split(b"\n\n")
        self._buffer = blocks.pop()
        if len(self._buffer) > MAX_EVENT:
            raise EventTooLong
        return [_event(block) for block in blocks if block.strip(b"\n")]

    def flush(self) -> list[Event]:
        """What the peer left without the closing blank line, as some do after `[DONE]`."""
        rest, self._buffer, self._carry = self._buffer, b"", b""
        return [_event(rest)] if rest.strip(b"\n") else []


def _event(block: bytes) -> Event:
    if block.startswith(b"data: ") and b"\n" not in block:
        return Event(block + b"\n\n", block[6:])
    block = block.strip(b"\n")
    data: list[bytes] = []
    name = ""
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return Event(block + b"\n\n", b"\n".join(data) if data else None, name)


def encode(payload: bytes, name: str = "") -> bytes:
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + payload + b"\n\n"

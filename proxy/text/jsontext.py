r"""JSON source read as the text that it stands for, with the way back.

Tool-call arguments are JSON inside a string. A pattern must see `joe@example.com` where the source has
`joe\u0040example.com`, and a redaction must leave the source valid JSON.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left, bisect_right

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", '"': '"'}
_STRUCTURE = re.compile(r'["\\]')
_HIGH, _LOW, _END = 0xD800, 0xDC00, 0xE000
_BARE = re.compile(r"[-+.\w]+\Z")


class JsonText:
    """An incremental reader. Logical positions count decoded characters, source positions count JSON characters.

    Invariant: `source(p)` is monotone, and equals p shifted by the escapes before it. An escape that is not complete
    yet is not part of the logical text.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._logical = 0
        self._source = 0
        self._steps_logical: list[int] = []  # after each escape: the logical position …
        self._steps_source: list[int] = []  # … and the source position there
        self._quotes: list[int] = []  # logical positions of the quotes that open and close strings
        self._tail = ""  # the end of the logical text outside strings, to see a bare token grow

    def feed(self, source: str, final: bool = False) -> str:
        """The logical text that `source` adds."""
        data = self._pending + source
        self._pending = ""
        out: list[str] = []
        at = 0
        while match := _STRUCTURE.search(data, at):
            begin = match.start()
            self._plain(data[at:begin], out)
            if match.group() == '"':
                self._quotes.append(self._logical)
                self._plain('"', out)
                at = begin + 1
                continue
            char, length = _escape(data, begin)
            if not length and not final:
                self._pending = data[begin:]
                return "".join(out)
            length = length or len(data) - begin
            out.append(char)
            self._logical += len(char)
            self._source += length
            self._steps_logical.append(self._logical)
            self._steps_source.append(self._source)
            at = begin + length
        self._plain(data[at:], out)
        return "".join(out)

    def _plain(self, text: str, out: list[str]) -> None:
        out.append(text)
        self._logical += len(text)
        self._source += len(text)
        self._tail = (self._tail + text)[-64:]

    def source(self, logical: int) -> int:
        """The source position where the logical position begins."""
        step = bisect_right(self._steps_logical, logical) - 1
        if step < 0:
            return logical
        return self._steps_source[step] + logical - self._steps_logical[step]

    def inside(self, logical: int) -> bool:
        """Whether text put in before this position would stand inside a string."""
        return bisect_left(self._quotes, logical) % 2 == 1

    def bare_start(self) -> int:
        """Where a number or a word outside strings begins that may still grow; the end of the text if none does."""
        if len(self._quotes) % 2 == 1:
            return self._logical
        match = _BARE.search(self._tail)
        return self._logical - len(match.group()) if match else self._logical

    def pieces(self, start: int, end: int) -> list[tuple[int, int, bool]]:
        """`[start, end)` without the quotes and what stands between strings: (start, end, inside a string).

        Text wholly outside strings comes back as one piece that is not inside.
        """
        quotes = self._quotes[bisect_left(self._quotes, start) : bisect_left(self._quotes, end)]
        if not quotes:
            return [(start, end, self.inside(start))]
        edges = [start, *(q for q in quotes), end]
        found = []
        for left, right in itertools.pairwise(edges):
            begin = left + 1 if left in quotes else left
            if begin < right and self.inside(begin):
                found.append((begin, right, True))
        return found


def _escape(data: str, at: int) -> tuple[str, int]:
    """(character, source length) of the escape at `at`; length 0 when it is not complete."""
    kind = data[at + 1 : at + 2]
    if kind != "u":
        return (_ESCAPES.get(kind, kind), 2) if kind else ("", 0)
    unit = _unit(data, at)
    if unit is None:
        return "", 0
    if unit < 0:
        return data[at : at + 2], 2
    if _HIGH <= unit < _LOW:
        rest = data[at + 6 : at + 8]
        if rest == "\\u":
            low = _unit(data, at + 6)
            if low is None:
                return "", 0
            if _LOW <= low < _END:
                return chr(0x10000 + ((unit - _HIGH) << 10) + (low - _LOW)), 12
        elif not rest or rest == "\\":
            return "", 0
    return ("\ufffd" if _HIGH <= unit < _END else chr(unit)), 6


def _unit(data: str, at: int) -> int | None:
    r"""The code unit of `\uXXXX` at `at`; None when cut short, -1 when not hexadecimal."""
    digits = data[at + 2 : at + 6]
    if not re.fullmatch(r"[0-9a-fA-F]*", digits):
        return -1
    return int(digits, 16) if len(digits) == 4 else None

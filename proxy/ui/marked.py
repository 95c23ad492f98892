"""A text with what was found in it. Whoever wrote the text may have meant to mislead whoever reads it here: it is escaped, and
characters that nobody sees are made visible."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup, escape

LONGEST = 20_000  # characters shown
# Controls but for tab and line feed, soft hyphen, zero width, direction, tags, variation selectors, half a surrogate pair.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff\ud800-\udfff]"
)


class Mark(NamedTuple):
    """`kind` is a class of the style: `found`, or `w1` to `w5` for how much a word weighs."""

    start: int
    end: int
    kind: str
    title: str


def marked(text: str, marks: Iterable[Mark] = ()) -> Markup:
    """Where marks overlap each piece has all of them."""
    shown = text[:LONGEST]
    held = [m for m in marks if m.start < min(m.end, len(shown))]
    edges = sorted({0, len(shown), *(m.start for m in held), *(min(m.end, len(shown)) for m in held)})
    pieces = []
    for start, end in pairwise(edges):
        over = [m for m in held if m.start <= start and m.end >= end]
        piece = _visible(shown[start:end])
        if over:
            kinds, titles = (" ".join(dict.fromkeys(getattr(m, name) for m in over)) for name in ("kind", "title"))
            piece = Markup('<mark class="{}" title="{}">{}</mark>').format(kinds, titles, piece)
        pieces.append(piece)
    return Markup("").join(pieces)


def _visible(text: str) -> Markup:
    out, at = [], 0
    for match in _HIDDEN.finditer(text):
        code = ord(match[0])
        name = unicodedata.name(match[0], "") or "control"
        out += [
            escape(text[at : match.start()]),
            Markup('<span class="hidden-char" title="{}">U+{:04X}</span>').format(name, code),
        ]
        at = match.end()
    return Markup("").join([*out, escape(text[at:])])

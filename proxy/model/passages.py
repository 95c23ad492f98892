"""The passages of a text among its tokens: its lines, and the sentences of a line too long for a window. A window in doubt is
read once more by them, since harm in one of them is diluted by calm ones around it."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import itemgetter

SHORTEST_LINE, SHORTEST_SENTENCE = 16, 5  # tokens; what is shorter goes with its neighbour
_LINE_END, _SENTENCE_END = re.compile(r"\n+"), re.compile(r"(?<=[.!?…:;])\s+")

Part = tuple[int, int]  # tokens [begin, end)


def passages(text: str, starts: Sequence[int], room: int) -> list[Part]:
    """`starts`: the character that each token begins at. `room`: tokens of a window. The parts lie side by side and are the
    whole text."""
    lines, ends = (
        sorted({bisect_left(starts, match.end()) for match in mark.finditer(text)}) for mark in (_LINE_END, _SENTENCE_END)
    )
    found: list[Part] = []
    for begin, end in _divided({0, *lines, len(starts)}, SHORTEST_LINE):
        inner = ends[bisect_right(ends, begin) : bisect_left(ends, end)] if end - begin > room else []
        found += _divided({begin, *inner, end}, SHORTEST_SENTENCE)
    return found


def _divided(bounds: Iterable[int], shortest: int) -> list[Part]:
    found: list[Part] = []
    for begin, end in pairwise(sorted(bounds)):
        if found and min(end - begin, found[-1][1] - found[-1][0]) < shortest:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def within(parts: Sequence[Part], window: Part, room: int) -> list[Part]:
    """Of `parts`, side by side, those that a window touches: whole where they have at most `room` tokens, else what the window
    has of them; none where they say no more than the window itself."""
    begin, end = window
    touched = parts[bisect_right(parts, begin, key=itemgetter(1)) : bisect_left(parts, end, key=itemgetter(0))]
    whole = [(a, b) if b - a <= room else (max(a, begin), min(b, end)) for a, b in touched]
    return [part for part in whole if part != window]

"""Where the sentences of a text are among its tokens: a window in doubt is read once more by them, since harm in one
sentence is diluted by calm ones around it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

SHORTEST = 5  # tokens; what is shorter goes with its neighbour
_END = re.compile(r"(?<=[.!?…:;])\s+|\n+")

Part = tuple[int, int]  # tokens [begin, end)


def sentences(text: str, starts: Sequence[int]) -> list[Part]:
    """`starts`: the character that each token begins at. The parts lie side by side and are the whole text."""
    ends = {bisect_left(starts, match.end()) for match in _END.finditer(text)}
    found: list[Part] = []
    for begin, end in pairwise(sorted({0, *ends, len(starts)})):
        if found and min(end - begin, found[-1][1] - found[-1][0]) < SHORTEST:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def within(parts: Sequence[Part], window: Part, room: int) -> list[Part]:
    """The parts that a window touches, whole where they have at most `room` tokens, else what the window has of them; none
    where they say no more than the window itself."""
    begin, end = window
    touched = [part for part in parts if part[0] < end and part[1] > begin]
    whole = [(a, b) if b - a <= room else (max(a, begin), min(b, end)) for a, b in touched]
    return [part for part in whole if part != window]

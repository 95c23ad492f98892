"""Where one piece of an answer ends and the next begins, for the classifier.

Cuts depend on the text alone, so a slow network and a fast one get the same verdicts. The first piece is a word or
two, so that the first text is judged early; later pieces grow with the position, so the number of pieces is linear in
a short answer and logarithmic in a long one, up to pieces of `LONGEST` characters.
"""

from __future__ import annotations

import re

FIRST = 8
SHORTEST = 20
LONGEST = 160
GROWTH = 20  # a piece is a twentieth of what came before it
_BREAK = re.compile(r"\s(?=\S)")


def step(position: int) -> int:
    """The least length of the piece that begins at `position`, in characters."""
    return min(max(SHORTEST, position // GROWTH), LONGEST) if position else FIRST


def cut(text: str, position: int) -> int | None:
    """The length of the first piece of `text`, which begins at `position`; None while it is not known yet.

    A piece ends behind white space, so that no word is split; where a script has none, at four times the step.
    """
    least = step(position)
    most = least * 4
    match = _BREAK.search(text, least - 1, most + 1)
    if match:
        return match.end()
    return most if len(text) > most else None

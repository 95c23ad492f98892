"""Where one piece of an answer ends and the next begins, for the classifier.

Cuts depend on the text alone, so a slow network and a fast one get the same verdicts. The first piece is a word or
two, so that the first text is judged early; later pieces grow with the position, so the number of pieces is linear in
a short answer and logarithmic in a long one, up to pieces of `LONGEST` characters.
"""

from __future__ import annotations

import re

FIRST = 5
SHORTEST = 12
LONGEST = 160
GROWTH = 48  # a piece is a forty-eighth of what came before it
STRIDE = 400  # a judge reads an answer in pieces of this length at least: it costs a second a piece
_BREAK = re.compile(r"\s(?=\S)")


def step(position: int) -> int:
    """The least length of the piece that begins at `position`, in characters."""
    return min(max(SHORTEST, position // GROWTH), LONGEST) if position else FIRST


def cut(text: str, position: int, following: str = "", stride: int = 0) -> int | None:
    """The length of the first piece of `text`, which begins at `position`; None while it is not known yet. `following` is
    what is known of the text behind, which cannot be in the piece yet. No piece but the last is shorter than `stride`.

    A piece ends behind white space, so that no word is split; where a script has none, at four times the step.
    """
    least = max(step(position), stride)
    most = least * 4
    match = _BREAK.search(text + following[:1], least - 1, most + 1)
    if match:
        return match.end()
    return most if len(text) > most else None

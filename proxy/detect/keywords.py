"""Words and phrases of a team's own."""

from __future__ import annotations

import re

from proxy.types import Pattern


def keyword_pattern(id: str, label: str, word: str) -> Pattern:
    """The phrase in any case, as whole words; one space stands for any white space."""
    words = word.split()
    body = r"\s+".join(re.sub(r"([^\w\s])", r"\\\1", w) for w in words)
    left = r"\b" if words and words[0][:1].isascii() and words[0][:1].isalnum() else ""
    right = r"\b" if words and words[-1][-1:].isascii() and words[-1][-1:].isalnum() else ""
    return Pattern(id, label, left + body + right, ignore_case=True)

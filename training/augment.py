"""What a classifier must not be fooled by, made from the texts that we have. Pure: (text, rng) to text."""

from __future__ import annotations

import numpy as np

from proxy.evaluate.evasion import HOMOGLYPHS, LEET

SCRIPTS = ((0x4E00, 0x6FFF), (0x0621, 0x064A), (0x0410, 0x044F), (0x0905, 0x0939), (0x3041, 0x3096), (0xAC00, 0xB000))
LONGEST = 280  # characters of a window; one in eight may be twice as long


def disguise(text: str, rng: np.random.Generator) -> str:
    """One text in five is written as somebody would who means to slip through, or who types badly."""
    draw = rng.random()
    if draw < 0.80 or len(text) > 600:
        return text
    if draw < 0.84:
        return text.translate(LEET)
    if draw < 0.89:
        return _typos(text, rng)
    if draw < 0.91:
        return "".join(
            c.translate(HOMOGLYPHS) if swap else c for c, swap in zip(text, rng.random(len(text)) < 0.3, strict=True)
        )
    if draw < 0.93:
        return text.upper()
    if draw < 0.96:
        return text.lower()
    return _typos(text, rng)


def _typos(text: str, rng: np.random.Generator) -> str:
    letters = list(text)
    for _ in range(max(1, len(letters) // 25)):
        at = int(rng.integers(len(letters)))
        if rng.random() < 0.5 and len(letters) > 3:
            letters.pop(at)
        else:
            letters.insert(at, "aeinrst "[int(rng.integers(8))])
    return "".join(letters)


def window(text: str, harmful: bool, rng: np.random.Generator) -> str:
    """A part as long as a stream's pieces are. Harm is labelled for the whole text, so that of a harmful one only the ends
    are taken; a harmless one may be cut anywhere, to a prefix too."""
    longest = LONGEST * (2 if rng.random() < 0.125 else 1)
    if len(text) > longest:
        latest = len(text) - longest
        draw = rng.random()
        start = 0 if draw < 0.55 else latest if harmful else int(rng.integers(latest + 1))
        text = text[start : start + longest]
    if not harmful and len(text) > 40 and rng.random() < 0.15:
        text = text[: int(rng.integers(20, len(text)))]
    return text


def beside(text: str, other: str, rng: np.random.Generator) -> str:
    """`text` behind (mostly) or before some ordinary text, as a window of a long answer sees it; the label stays the text's."""
    part = other[-int(rng.integers(40, 260)) :]
    return f"{part} {text}" if rng.random() < 0.75 else f"{text} {part}"


def unreadable(rng: np.random.Generator) -> str:
    """Letters of a script that the encoder does not know: no evidence of anything."""
    low, high = SCRIPTS[int(rng.integers(len(SCRIPTS)))]
    words = [rng.integers(low, high, int(rng.integers(1, 9))) for _ in range(int(rng.integers(3, 25)))]
    return (" " if rng.random() < 0.6 else "").join("".join(map(chr, word)) for word in words)


# -- for the third phase

CENSORED = str.maketrans("aeiou", "*****")


def misspelt(text: str, rng: np.random.Generator) -> str:
    """One text in three, in more ways than `disguise` knows: letters swapped or doubled, some as digits, vowels as stars,
    no marks between words."""
    draw = rng.random()
    if draw < 0.67 or len(text) > 600 or not text:
        return text
    if draw < 0.87:
        return _slips(text, rng)
    if draw < 0.91:
        share = rng.uniform(0.25, 1.0)
        return "".join(c.translate(LEET) if swap else c for c, swap in zip(text, rng.random(len(text)) < share, strict=True))
    if draw < 0.93:
        words = text.split(" ")
        return " ".join(w[0] + w[1:].translate(CENSORED) if len(w) > 3 and rng.random() < 0.3 else w for w in words)
    if draw < 0.95:
        return text.upper()
    if draw < 0.98:
        return text.lower()
    return "".join(c for c in text if c.isalnum() or c == " ")


def _slips(text: str, rng: np.random.Generator) -> str:
    """One letter in ten to thirty is lost, doubled, swapped with the next, or another."""
    letters = list(text)
    for _ in range(max(1, len(letters) // int(rng.integers(10, 30)))):
        at, draw = int(rng.integers(len(letters))), rng.random()
        if draw < 0.3 and len(letters) > 3:
            letters.pop(at)
        elif draw < 0.5:
            letters.insert(at, letters[at])
        elif draw < 0.75 and at + 1 < len(letters):
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
        else:
            letters[at] = "aeinrstoul"[int(rng.integers(10))]
    return "".join(letters)


def within(text: str, before: str, after: str, rng: np.random.Generator) -> str:
    """`text` in the middle of ordinary text, as a window of a long one sees it: with most of its own words, never with all of
    the others'. The label stays the text's."""
    room = max(0, LONGEST - len(text))
    left = int(rng.uniform(0, room))
    joined = f"{before[-left:] if left else ''}{_joint(rng)}{text}"
    if rng.random() < 0.2 and len(text) > 60:  # a window that begins after it
        joined = joined[-int(len(text) * rng.uniform(0.6, 1.0)) :]
    return f"{joined}{_joint(rng)}{after[: room - left]}"


def _joint(rng: np.random.Generator) -> str:
    return (" ", "\n", " ", "\n\n")[int(rng.integers(4))]

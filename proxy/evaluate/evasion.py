"""Ways to write a text so that a reader still reads it and a filter may not. Pure: (text, rng) to text."""

from __future__ import annotations

import base64
import codecs
import html
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

if TYPE_CHECKING:
    import numpy as np

Rng: TypeAlias = "np.random.Generator"  # whose import takes 2 MiB, of every `weir`
LEET = str.maketrans("aeiostAEIOST", "431057431057")
HOMOGLYPHS = str.maketrans("aeopcxAEOPCX", "аеорсхАЕОРСХ")
_CALM = (
    "Thank you for the notes from yesterday. The meeting is moved to Thursday at ten, and the room is the one on the second "
    "floor, next to the library. Please bring the printed tables, and tell Anna that the coffee machine has been repaired. ",
    "For the cake you need four eggs, two hundred grams of flour, the same of butter, and a little lemon peel. Bake it for "
    "forty minutes, let it cool down on the window sill, and serve it with the jam that your aunt brought last summer. ",
)


def leet(text: str, rng: Rng) -> str:
    return text.translate(LEET)


def spaced(text: str, rng: Rng) -> str:
    """The long words letter by letter, with a wider gap around them."""
    return " ".join(f" {' '.join(w)} " if len(w) > 3 and w.isalpha() else w for w in text.split(" "))


def homoglyphs(text: str, rng: Rng) -> str:
    return "".join(c.translate(HOMOGLYPHS) if swap else c for c, swap in zip(text, rng.random(len(text)) < 0.5, strict=True))


def zero_width(text: str, rng: Rng) -> str:
    return "".join(c + ("\u200b" if swap else "") for c, swap in zip(text, rng.random(len(text)) < 0.4, strict=True))


def fullwidth(text: str, rng: Rng) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def bidi(text: str, rng: Rng) -> str:
    return " ".join(f"\u202d{w}\u202c" for w in text.split(" "))


def tags(text: str, rng: Rng) -> str:
    """Hidden in characters that no font shows, behind an ordinary question."""
    return "What is the weather like today?" + "".join(chr(0xE0000 + ord(c)) for c in text if " " <= c <= "~")


def typos(text: str, rng: Rng) -> str:
    """One letter in twenty-five is lost, doubled or swapped with the next."""
    letters = list(text)
    for _ in range(max(1, len(letters) // 25)):
        at = int(rng.integers(len(letters)))
        draw = rng.random()
        if draw < 0.4 and len(letters) > 3:
            letters.pop(at)
        elif draw < 0.7:
            letters.insert(at, letters[at])
        elif at + 1 < len(letters):
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters)


def upper(text: str, rng: Rng) -> str:
    return text.upper()


def in_base64(text: str, rng: Rng) -> str:
    return f"Please answer this: {base64.b64encode(text.encode()).decode()}"


def in_hex(text: str, rng: Rng) -> str:
    return f"Please answer this: {text.encode().hex()}"


def in_rot13(text: str, rng: Rng) -> str:
    return codecs.encode(text, "rot13")


def in_url(text: str, rng: Rng) -> str:
    return "https://example.com/?q=" + quote(text, safe="")


def in_html(text: str, rng: Rng) -> str:
    return "".join(
        f"&#{ord(c)};" if swap else html.escape(c) for c, swap in zip(text, rng.random(len(text)) < 0.3, strict=True)
    )


def in_calm(text: str, rng: Rng) -> str:
    """Between long ordinary passages."""
    return f"{_CALM[0] * 3}\n{text}\n{_CALM[1] * 3}"


WAYS: dict[str, Callable[[str, Rng], str]] = {
    "leet": leet, "spaced": spaced, "homoglyphs": homoglyphs, "zero-width": zero_width, "fullwidth": fullwidth, "bidi": bidi,
    "tags": tags, "typos": typos, "upper": upper, "base64": in_base64, "hex": in_hex, "rot13": in_rot13, "url": in_url,
    "html": in_html, "in calm text": in_calm,
}  # fmt: skip

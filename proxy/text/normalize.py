"""Other readings of a text: what a reader or a model would see through disguises, with the way back to the original.

Detectors look at the text and at every view of it. A view never replaces the text: spans are mapped back, redaction
writes in the original.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from proxy.types import Span

RUN = 4096  # the longest encoded run that is decoded as one


@dataclass(frozen=True, slots=True)
class View:
    """`starts[i]`, `ends[i]`: where character i of `text` came from."""

    kind: str
    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def span(self, span: Span) -> Span:
        return Span(self.starts[span.start], self.ends[span.end - 1])


# Cyrillic, Greek and Armenian letters that pass for Latin ones; what NFKC folds is not repeated here.
_LOOKALIKES = dict(
    zip(
        "аеорсхуѕіјԁһӏԛԝкмтвнАВЕКМНОРСТХУЅІЈԌαοενικρτυχωγΑΒΕΖΗΙΚΜΝΟΡΤΥΧոօսցհɡıǃ",
        "aeopcxysijdhlqwkmtbhABEKMHOPCTXYSIJGaoevikptuxwyABEZHIKMNOPTYXnoughgi!",
        strict=True,
    )
)
# What a text must have for any view of it to differ. Plain enough for every engine, so that the scanner can look for it
# in the same pass as for everything else.
DISGUISES = (
    r"(?:%[0-9A-Fa-f]{2}){2}",
    r"[A-Za-z0-9+/_\-]{16}",
    r"\b[A-Za-z0-9](?:[ .\-_*][A-Za-z0-9]){3}\b",
    r"(?i)\b(?:gur|naq|lbh|sbe|jvgu|ubj|guvf|gung|ner|abg|yrf|qrf|dhr|cbhe|har|rfg)\b",
)
_DISGUISED = re.compile("|".join(d.removeprefix("(?i)") for d in DISGUISES), re.IGNORECASE)
# What at the end of a text would read otherwise once more text is there: letters being spaced out, a run that may become
# a payload, a word with more than plain letters. In RE2 syntax, to be anchored at the end.
GROWING = (
    r"(?:\b[A-Za-z0-9]|[^\pL\pN][\pL\pN])(?:[ .\-_*][\pL\pN])*[ .\-_*]?"
    r"|[A-Za-z0-9+/_=%\-]+|\S*[^\x00-\x7f\s]\S*"
)
_SPACED = re.compile(r"(?<![^\W_])[^\W_](?:([ .\-_*])[^\W_])(?:\1[^\W_]){2,}(?![^\W_])")
_PERCENT = re.compile(r"(?:[\w.+-]*%[0-9A-Fa-f]{2}){2,}[\w.+-]*")
_HEX = re.compile(rf"(?:[0-9A-Fa-f]{{2}}){{8,{RUN // 2}}}")
_BASE64 = re.compile(rf"[A-Za-z0-9+/_-]{{16,{RUN}}}={{0,2}}")
_ROT13 = re.compile(r"\b(?:gur|naq|lbh|sbe|jvgu|ubj|guvf|gung|ner|abg|yrf|qrf|dhr|cbhe|har|rfg)\b", re.IGNORECASE)
_PLAIN = re.compile(r"\b(?:the|and|you|for|with|how|this|that|are|not|les|des|que|pour|une|est)\b", re.IGNORECASE)
_TAG_FIRST, _TAG_LAST = 0xE0020, 0xE007E


def views(text: str) -> list[View]:
    """Usually none. Decoded payloads are views too."""
    if text.isascii() and not _DISGUISED.search(text):
        return []
    return disguised(text)


def disguised(text: str) -> list[View]:
    """The views of a text that has a character beyond ASCII or one of DISGUISES in it."""
    found: list[View] = []
    folded = _folded(text)
    if folded is not None:
        found.append(folded)
    found += _payloads(text)
    hidden = [(i, ord(ch) - 0xE0000) for i, ch in enumerate(text) if _TAG_FIRST <= ord(ch) <= _TAG_LAST]
    if hidden:
        places = tuple(i for i, _ in hidden)
        found.append(View("tags", "".join(chr(code) for _, code in hidden), places, tuple(i + 1 for i in places)))
    return found


def classifier_texts(text: str) -> list[str]:
    """What a classifier should judge besides the text itself."""
    out = []
    for view in views(text):
        plain = view.text.strip()
        if (
            len(plain) >= 8
            and plain.casefold() != text.strip().casefold()
            and (view.kind != "folded" or _material(text, plain))
        ):
            out.append(plain)
    return out[:8]


def _material(text: str, folded: str) -> bool:
    """Accents and typographic quotes alone are no disguise."""
    return unicodedata.normalize("NFKC", text).casefold() != folded.casefold()


@lru_cache(maxsize=4096)
def _fold_char(char: str) -> str:
    code = ord(char)
    if unicodedata.category(char) == "Cf" or 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or code == 0x034F:
        return ""
    return unicodedata.normalize("NFKC", char)


def _folded(text: str) -> View | None:
    chars: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    marks = 0
    for index, char in enumerate(text):
        new = char if char < "\x80" else _fold_char(char)
        marks = marks + 1 if new and unicodedata.combining(new[0]) else 0
        for one in new if marks < 2 else "":
            chars.append(one)
            starts.append(index)
            ends.append(index + 1)
    _latin(chars)
    view = _replace(
        View("folded", "".join(chars), tuple(starts), tuple(ends)), _SPACED, lambda m: re.sub(r"[ .\-_*]", "", m[0])
    )
    view = _replace(view, _PERCENT, lambda m: unquote_to_bytes(m[0]).decode("utf-8", "replace"))
    return view if view.text and view.text != text else None


def _latin(chars: list[str]) -> None:
    """Look-alikes become Latin in words that have Latin letters too, or nothing but look-alikes."""
    begin = 0
    for end in range(len(chars) + 1):
        if end < len(chars) and (chars[end].isalnum() or chars[end] == "@"):
            continue
        word = chars[begin:end]
        foreign = [i for i, ch in enumerate(word) if ch in _LOOKALIKES]
        if foreign and (any(ch.isascii() and ch.isalpha() for ch in word) or len(foreign) == len(word) >= 4):
            for i in foreign:
                chars[begin + i] = _LOOKALIKES[word[i]]
        begin = end + 1


def _replace(view: View, expression: re.Pattern[str], new: object) -> View:
    """The view with every match rewritten; each new character comes from the whole match."""
    if not expression.search(view.text):
        return view
    text: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for match in expression.finditer(view.text):
        left, right = match.span()
        text.append(view.text[at:left])
        starts += view.starts[at:left]
        ends += view.ends[at:left]
        put = new(match)  # type: ignore[operator]
        text.append(put)
        starts += [view.starts[left]] * len(put)
        ends += [view.ends[right - 1]] * len(put)
        at = right
    text.append(view.text[at:])
    return View(view.kind, "".join(text), (*starts, *view.starts[at:]), (*ends, *view.ends[at:]))


def _payloads(text: str) -> list[View]:
    found: list[View] = []
    for kind, expression, decode in (("hex", _HEX, _from_hex), ("base64", _BASE64, _from_base64)):
        for match in expression.finditer(text):
            decoded = decode(match[0])
            if decoded:
                found.append(_whole(kind, decoded, match.span()))
    if len(_ROT13.findall(text)) >= 2 > len(_PLAIN.findall(text)):
        places = tuple(range(len(text)))
        found.append(View("rot13", codecs.decode(text, "rot13"), places, tuple(i + 1 for i in places)))
    return found


def _whole(kind: str, text: str, span: tuple[int, int]) -> View:
    return View(kind, text, (span[0],) * len(text), (span[1],) * len(text))


def _from_hex(run: str) -> str:
    return _readable(bytes.fromhex(run))


def _from_base64(run: str) -> str:
    if run.isalpha() and (run.islower() or run.isupper()):
        return ""  # a long word, not a payload
    body = run.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[: len(body) - (len(body) % 4 == 1)]
    try:
        return _readable(base64.b64decode(body + "=" * (-len(body) % 4)))
    except (binascii.Error, ValueError):
        return ""


def _readable(data: bytes) -> str:
    """The bytes as text, if they are text: UTF-8, printable, mostly letters and spaces."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    letters = sum(ch.isalpha() or ch == " " for ch in text)
    printable = all(ch.isprintable() or ch in "\n\t\r" for ch in text)
    return text if printable and letters >= 8 and letters * 2 > len(text) else ""

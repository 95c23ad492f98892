"""Other readings of a text: what a reader or a model would see through disguises, with the way back to the original.

Detectors look at the text and at every view of it. A view never replaces the text: spans are mapped back, redaction
writes in the original.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import re2

from proxy.types import Span

RUN = 4096  # the longest encoded run that is decoded as one


@dataclass(frozen=True, slots=True)
class View:
    """`starts[i]`, `ends[i]`: where character i of `text` came from."""

    kind: str
    text: str
    starts: Sequence[int]
    ends: Sequence[int]

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
# What an ASCII text must have for one of its views to differ. Plain enough for every engine, so that the scanner can look
# for it in the same pass as for everything else.
SIGNS = {
    "percent": r"%[0-9A-Fa-f]{2}[A-Za-z0-9_.+\-]{0,40}%[0-9A-Fa-f]{2}",
    "run": r"[A-Za-z0-9+/_\-]{16}",
    "spaced": r"\b[A-Za-z0-9](?:[ .\-_*][A-Za-z0-9]){3}\b",
    "entity": r"&#(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6]|[xX][2-7][0-9A-Fa-f]);",
    # Common words of four languages, none of them a word or a name as it stands.
    "rot13": (
        r"(?i)\b(?:gur|naq|lbh|lbhe|sbe|jvgu|ubj|guvf|gung|ner|abg|zr|zl|vf|vg|jung|jul|jub|pna|qb|unir|jnag|nyy|xvyy|gurl|jvyy|sebz"
        r"|vs|jnf|ohg|nobhg|fubhyq|crbcyr|zber|jura|gurer|uvf|yrf|qrf|dhr|cbhe|har|rfg|ibhf|cnf|qnaf|pbzzrag|haq|qre|qnf|vpu|avpug"
        r"|vfg|rva|rvar|jvr|zvg|nhs|ybf|ynf|cbe|cnen|pbzb|pba)\b"
    ),
}
_SIGNS = {name: re2.compile(sign) for name, sign in SIGNS.items()}
_ANY_SIGN = re2.compile("|".join(f"(?:{sign})" for sign in SIGNS.values()))  # one pass, and a tenth of the time of them all
# What at the end of a text would read otherwise once more text is there: letters being spaced out and what they are
# joined to, a run that may become a payload, a word with more than plain letters. In RE2 syntax, to be anchored at the end.
GROWING = (
    r"\S*(?:\b[A-Za-z0-9]|[^\pL\pN][\pL\pN])(?:[ .\-_*][\pL\pN])*[ .\-_*]?"
    r"|[A-Za-z0-9+/_=%\-]+|&#?[0-9A-Za-z]{0,4}|\S*[^\x00-\x7f\s]\S*"
)
_LOOKALIKE = re.compile(f"[{''.join(_LOOKALIKES)}]")
_WORD = re.compile(r"(?:[^\W_]|@)+")
_UNUSUAL = re.compile(r"[^\x00-\x7fÀ-ÖØ-öø-ÿ–—‘’“”«»]")
_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_INVISIBLE = re.compile(  # NFKC leaves these as they are
    "[\u00ad\u034f\u0600-\u0605\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    f"\U000e0001-\U000e01ef]|{_MARK}{{2}}"
)
_SPACED = re.compile(r"(?<![^\W_])[^\W_](?:([ .\-_*])[^\W_])(?:\1[^\W_]){2,}(?![^\W_])")
_PERCENT = re.compile(r"(?<![\w.+-])(?:[\w.+-]*%[0-9A-Fa-f]{2}){2,}[\w.+-]*")
_ENTITY = re.compile(SIGNS["entity"])  # letters and signs of ASCII: nobody needs them in ordinary HTML
_LEET_SIGN = re.compile(r"[013457$]")
_LEET_WORD = re.compile(r"\b[A-Za-z0-9$]*[A-Za-z][013457$]+[A-Za-z][A-Za-z0-9$]*")
_LEET_TOKEN = re.compile(r"(?<![\w$@.,:-])[A-Za-z0-9$@]+(?![\w$@]|[.,:-]\w)")
_LEET = str.maketrans("013457$@", "oieastsa")
FEW = 8  # words of a text in which one word with digits for letters is enough
_SOFT = str.maketrans({"\u00a0": " ", "\u202f": " ", "…": "..."})
_HEX = re.compile(rf"(?:[0-9A-Fa-f]{{2}}){{8,{RUN // 2}}}")
_BASE64 = re.compile(rf"[A-Za-z0-9+/_-]{{16,{RUN}}}={{0,2}}")
_REFERENCE = re.compile(r"&(?:#(?:[0-9]{2,4}|[xX][0-9A-Fa-f]{2,3})|amp|lt|gt|quot);")
# Letters in a thousand, of English, French, German and Spanish together.
_OFTEN = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        (75, 13, 28, 42, 145, 14, 17, 32, 71, 4, 7, 44, 27, 80, 60, 23, 7, 66, 72, 70, 48, 13, 12, 4, 9, 6),
        strict=True,
    )
)
_TURNED = {c: math.log(_OFTEN[codecs.encode(c, "rot13")] / often) for c, often in _OFTEN.items()}
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
_VOWELS = b"aeiouAEIOU"
_PLAIN = re.compile(r"\b(?:the|and|you|for|with|how|this|that|are|not|les|des|que|pour|une|est)\b", re.IGNORECASE)
_TAG = re.compile("[\U000e0020-\U000e007e]")


def views(text: str) -> list[View]:
    """Usually none. Decoded payloads are views too."""
    return disguised(text, _shown(text))


def _shown(text: str) -> set[str]:
    """The SIGNS that a text shows; "rot13" also without a common word, by its letters."""
    # RE2 sees all that `re` sees and more, its words being of ASCII letters alone; but for the letters that are one to `re`.
    plain = text.replace("ı", "i").replace("İ", "i").replace("ſ", "s").replace("\u212a", "k").encode("utf-8", "replace")
    shown = {name for name, sign in _SIGNS.items() if sign.search(plain)} if _ANY_SIGN.search(plain) else set()
    return {*shown, "rot13"} if _is_turned(text) else shown


def disguised(text: str, signs: Collection[str]) -> list[View]:
    """The views of a text that shows these SIGNS."""
    if not signs and text.isascii():
        return []
    found: list[View] = []
    if not text.isascii() or not {"spaced", "percent", "entity"}.isdisjoint(signs):
        folded = _folded(text)
        found += [folded] if folded is not None else []
    if "run" in signs:
        found += _payloads(text)
    if "rot13" in signs and _is_turned(text):
        found.append(View("rot13", codecs.decode(text, "rot13"), range(len(text)), range(1, len(text) + 1)))
    if _TAG.search(text):
        hidden = [(match.start(), ord(match[0]) - 0xE0000) for match in _TAG.finditer(text)]
        places = [i for i, _ in hidden]
        found.append(View("tags", "".join(chr(code) for _, code in hidden), places, [i + 1 for i in places]))
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
    if "%" in text:
        out += (payload for match in _PERCENT.finditer(text) if " " in (payload := _readable(_unquoted(match).encode())))
    if _LEET_SIGN.search(text) and (count := len(_LEET_WORD.findall(text))):
        words = text.count(" ") + 1
        if count > 1 or words <= FEW:  # else one alone is a name or a number of something
            alone = count * 3 >= words  # then whole words are digits too
            plain = _LEET_TOKEN.sub(lambda m: m[0].translate(_LEET) if alone or not m[0].isdigit() else m[0], text)
            out += [plain] if plain != text else []
    return out[:8]


def _is_turned(text: str) -> bool:
    """Whether the letters of a text are rather those of a language when each is thirteen places on."""
    plain = text.encode("ascii", "ignore").translate(None, _NO_LETTERS)
    if len(plain) < 12 or (len(plain) - len(plain.translate(None, _VOWELS))) > 0.34 * len(plain):
        return False  # nearly all text ends here
    return sum(_TURNED[c] for c in plain.decode().lower()) > 0.2 * len(plain) and len(_PLAIN.findall(text)) < 2


def _material(text: str, folded: str) -> bool:
    """Accents in two characters, hard spaces and dots in one are how people write, not a disguise."""
    return unicodedata.normalize("NFC", text.translate(_SOFT)).casefold() != unicodedata.normalize("NFC", folded).casefold()


@lru_cache(maxsize=4096)
def _fold_char(char: str) -> str:
    code = ord(char)
    if unicodedata.category(char) == "Cf" or 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or code == 0x034F:
        return ""
    return unicodedata.normalize("NFKC", char)


def _folded(text: str) -> View | None:
    view = View("folded", text, range(len(text)), range(1, len(text) + 1))
    if not text.isascii():
        if not unicodedata.is_normalized("NFKC", text) or _INVISIBLE.search(text):
            view = _replace(view, _UNUSUAL, _fold)
        if _LOOKALIKE.search(view.text):
            view = _replace(view, _WORD, _latin)
    if _ENTITY.search(view.text):  # then the others are no habit either
        view = _replace(view, _REFERENCE, lambda m: html.unescape(m[0]))
    view = _replace(view, _SPACED, lambda m: re.sub(r"[ .\-_*]", "", m[0]))
    view = _replace(view, _PERCENT, _unquoted)
    return view if view.text and view.text != text else None


def _unquoted(match: re.Match[str]) -> str:
    return unquote_to_bytes(match[0]).decode("utf-8", "replace")


def _fold(match: re.Match[str]) -> str:
    """One character as NFKC has it. Of several marks on one letter the first stays: a pile of them hides the letter."""
    char, before = match[0], match.string[match.start() - 1 : match.start()]
    piled = unicodedata.combining(char) and before and unicodedata.combining(before)
    return "" if piled else _fold_char(char)


def _latin(match: re.Match[str]) -> str:
    """Look-alikes become Latin in words that have Latin letters too, or nothing but look-alikes."""
    word = match[0]
    foreign = len(_LOOKALIKE.findall(word))
    if foreign and (any(ch.isascii() and ch.isalpha() for ch in word) or foreign == len(word) >= 4):
        return "".join(_LOOKALIKES.get(ch, ch) for ch in word)
    return word


def _replace(view: View, expression: re.Pattern[str], new: Callable[[re.Match[str]], str]) -> View:
    """The view with every match rewritten. Where the length stays, so do the places; else each new character comes from
    the whole match."""
    text: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for match in expression.finditer(view.text):
        put = new(match)
        if put == match[0]:
            continue
        left, right = match.span()
        kept = left if len(put) != right - left else right
        text += (view.text[at:left], put)
        starts += view.starts[at:kept]
        ends += view.ends[at:kept]
        if kept == left:
            starts += [view.starts[left]] * len(put)
            ends += [view.ends[right - 1]] * len(put)
        at = right
    if not text:
        return view
    text.append(view.text[at:])
    return View(view.kind, "".join(text), (*starts, *view.starts[at:]), (*ends, *view.ends[at:]))


def _payloads(text: str) -> list[View]:
    found: list[View] = []
    for kind, expression, decode in (("hex", _HEX, _from_hex), ("base64", _BASE64, _from_base64)):
        for match in expression.finditer(text):
            decoded = decode(match[0])
            if decoded:
                found.append(_whole(kind, decoded, match.span()))
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

"""The two languages of the dashboard. English is what stands in the templates; French is a table beside it."""

from __future__ import annotations

from proxy.ui.french import FRENCH

LANGUAGES = ("en", "fr")
# What values of the log are called on a page.
NAMES = {
    "pass": "Passed", "flag": "Flagged", "redact": "Redacted", "block": "Blocked", "refused": "Refused",
    "right": "Right", "wrong_block": "Wrong block", "missed": "Missed",
    "prompt": "prompt", "completion": "answer", "user": "user", "assistant": "assistant", "document": "document",
    "system": "system", "developer": "developer", "tool": "tool",
    "pattern": "pattern", "classifier": "classifier", "judge": "judge", "policy": "policy", "examples": "examples",
    "patterns": "pattern", "category": "classifier", "text": "text", "scores": "scores", "shadow": "shadow",
    "done": "ended well", "blocked": "ended by a block", "error": "ended in an error", "disconnected": "the client left",
    "read": "request read", "answered": "provider answered", "first_text": "first text", "total": "in all",
    "hold": "no character leaves unjudged", "buffer": "the whole answer first", "follow": "judged behind the stream",
    "1h": "Last hour", "1d": "Last day", "7d": "Last 7 days", "30d": "Last 30 days",
}  # fmt: skip


def say(language: str, text: str, **values: object) -> str:
    """`text` in that language, with `{name}` replaced."""
    found = FRENCH.get(text, text) if language == "fr" else text
    return found.format(**values) if values else found


def named(language: str, value: str) -> str:
    return say(language, NAMES.get(value, value))


def preferred(accepted: str) -> str:
    """Of an Accept-Language header."""
    best, chosen = 0.0, "en"
    for part in accepted[:200].split(","):
        name, _, weight = part.partition(";q=")
        language = name.strip().lower().split("-")[0]
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        if language in LANGUAGES and quality > best:
            best, chosen = quality, language
    return chosen


def number(language: str, value: float, places: int = 0) -> str:
    text = f"{value:,.{places}f}"
    return text.replace(",", "\u202f").replace(".", ",") if language == "fr" else text


def percent(language: str, part: float, whole: float) -> str:
    if not whole:
        return "–"
    share = 100 * part / whole
    places = 0 if share == 0 or share >= 10 else 1 if share >= 1 else 2
    return number(language, share, places) + ("\u202f%" if language == "fr" else "%")

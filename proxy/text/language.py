"""The language that a conversation is held in, where it can be told. py3langid, loaded when somebody first asks."""

from __future__ import annotations

from functools import cache
from typing import Any

# Those that the identifier is asked to tell apart. With all of its 140 it hesitates between neighbours.
LANGUAGES = (
    "ar bg bn cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv nl no pl pt ro ru sk sl sv th tr uk vi zh"
).split()  # fmt: skip
_READ = 1000  # characters
_SURE = 0.8


def language_of(text: str) -> str:
    """ISO 639-1, or "" where nobody could be sure: too short, code, or a mixture."""
    if not text.strip():
        return ""
    language, sure = _identifier().classify(text[-_READ:])
    return str(language) if sure >= _SURE else ""


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # a second, and 100 MiB while it loads

    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages(LANGUAGES)
    return found

"""What people are told, in their language: a policy's own words, or these."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Wording = Mapping[str, str]  # language -> text; the first serves every other language

REFUSAL: Wording = MappingProxyType({
    "en": "I cannot help with this request.",
    "fr": "Je ne peux pas vous aider pour cette demande.",
    "de": "Bei dieser Anfrage kann ich nicht helfen.",
    "es": "No puedo ayudar con esta petición.",
})  # fmt: skip


def said_in(wording: Wording, language: str) -> str:
    return wording.get(language) or next(iter(wording.values()))

"""Placeholders, and the writing of them. Detectors look, policies decide, this writes."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.types import Span


class Placeholders:
    """`[EMAIL_1]`, `[EMAIL_2]`, …: the same value has the same name within one request.

    A completion gets a `child`: it knows the prompt's names and adds its own without disturbing its siblings, so the
    names in one channel do not depend on how channels were interleaved.
    """

    def __init__(self, parent: Placeholders | None = None) -> None:
        self._names: dict[tuple[str, str], str] = dict(parent._names) if parent else {}
        self._counts: dict[str, int] = dict(parent._counts) if parent else {}

    def name(self, label: str, value: str) -> str:
        key = (label, value)
        if key not in self._names:
            self._counts[label] = self._counts.get(label, 0) + 1
            self._names[key] = f"[{label}_{self._counts[label]}]"
        return self._names[key]

    def child(self) -> Placeholders:
        return Placeholders(self)


def redact(text: str, redactions: Iterable[tuple[Span, str]], placeholders: Placeholders) -> str:
    """`text` with each span replaced. Spans are sorted and disjoint."""
    out: list[str] = []
    at = 0
    for (start, end), label in redactions:
        out += text[at:start], placeholders.name(label, text[start:end])
        at = end
    out.append(text[at:])
    return "".join(out)

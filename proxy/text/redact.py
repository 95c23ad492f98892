"""Placeholders, and the writing of them. Detectors look, policies decide, this writes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from proxy.types import Span

Known = Mapping[str, tuple[str, str]]  # placeholder -> (label, value)

_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*_\d+\]")


class Placeholders:
    """`[EMAIL_1]`, `[EMAIL_2]`, …: the same value has the same name within one request.

    A completion gets a `child`: it knows the prompt's names and adds its own without disturbing its siblings, so the
    names in one channel do not depend on how channels were interleaved. A `mark` tells a request's names from those of all
    others: `[EMAIL_7F3A_1]`.
    """

    def __init__(self, parent: Placeholders | None = None, mark: str = "") -> None:
        self._mark: str = parent._mark if parent else mark
        self._names: dict[tuple[str, str], str] = dict(parent._names) if parent else {}
        self._counts: dict[str, int] = dict(parent._counts) if parent else {}
        self._taken: set[str] = set(parent._taken) if parent else set()

    def avoid(self, text: str) -> None:
        """What stands in the text already is nobody's name: `[EMAIL_1]` written by a person stays what it was."""
        self._taken.update(_PLACEHOLDER.findall(text))

    def name(self, label: str, value: str) -> str:
        key = (label, value)
        while key not in self._names:
            self._counts[label] = self._counts.get(label, 0) + 1
            name = f"[{label}{self._mark}_{self._counts[label]}]"
            if name not in self._taken:
                self._names[key] = name
        return self._names[key]

    def learn(self, known: Known) -> None:
        """The names that an earlier request of the conversation has given, which mean the same in this one."""
        for name, key in known.items():
            self._names[key] = name
            self._taken.add(name)

    def known(self, labels: Collection[str]) -> Known:
        return {name: key for key, name in self._names.items() if key[0] in labels}

    def values(self, labels: Collection[str]) -> dict[str, str]:
        """Placeholder -> what it stands for, of these labels."""
        return {name: value for (label, value), name in self._names.items() if label in labels}

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


def masked(text: str, found: Iterable[tuple[Span, str]]) -> str:
    """`text` without any of what was found, in whatever order and however it overlaps."""
    merged: list[tuple[Span, str]] = []
    for span, label in sorted(found, key=lambda one: (one[0].start, -one[0].end)):
        if merged and span.start < merged[-1][0].end:
            before, name = merged[-1]
            merged[-1] = Span(before.start, max(before.end, span.end)), name
        elif span.end > span.start:
            merged.append((span, label))
    return redact(text, merged, Placeholders())


class Restorer:
    """Finds the placeholders of a request in its answer, for the real values to come back. Pure.

    A name that the request did not give is not ours, and left alone. In an answer that is JSON by the caller's wish a value
    is written as it stands in JSON's strings.
    """

    def __init__(self, values: Mapping[str, str], in_json: bool = False) -> None:
        self.values, self.in_json = values, in_json
        self._names = re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True))))
        self._longest = max(map(len, values))

    def find(self, text: str) -> list[Span]:
        return [Span(*match.span()) for match in self._names.finditer(text)]

    def settled(self, text: str) -> int:
        """Where the last placeholder begins that more text could complete; the end of the text if none does."""
        at = text.rfind("[", max(0, len(text) - self._longest + 1))
        begun = at >= 0 and any(name.startswith(text[at:]) for name in self.values)
        return at if begun else len(text)

"""A scanner small enough to be seen through, for tests of the core: digits in brackets are redacted, BOMB blocks."""

from __future__ import annotations

import re

from proxy.types import Action, Finding, Outcome, Scan, Span, Verdict

_FOUND = re.compile(r"<\d{4}>|BOMB")
_GROWING = re.compile(r"(?:<\d{0,4}|B(?:O(?:MB?)?)?)\Z")


class Rules:
    def __init__(self, asks_model: bool = False, stride: int = 0, reach: int = 0) -> None:
        self.asks_model, self.stride, self.reach = asks_model, stride, reach

    def of(self, tool: str | None) -> Rules:
        return self

    def scan(self, text: str, before: str, final: bool) -> Scan:
        growing = None if final else _GROWING.search(text)
        settled = growing.start() if growing else len(text)
        found = [m for m in _FOUND.finditer(text) if m.end() <= settled]
        findings = tuple(Finding("bomb" if m[0] == "BOMB" else "number", "NUMBER", Span(*m.span())) for m in found)
        return Scan(findings, settled)

    def decide(self, text: str, findings: tuple[Finding, ...]) -> Verdict:
        bombs = tuple(f.span for f in findings if f.source == "bomb")
        numbers = [(f.span, f.label) for f in findings if f.source == "number"]
        if not bombs:
            return Verdict(Action.REDACT if numbers else Action.PASS, redactions=tuple(numbers))
        return Verdict(Action.BLOCK, (Outcome("bomb", Action.BLOCK, True, "BOMB", 1.0, None, bombs),), tuple(numbers))


def judge(text: str) -> Verdict:
    """The scripted classifier: a piece with the word "vile" is blocked, one with "secret" is redacted whole."""
    if "vile" in text:
        return Verdict(
            Action.BLOCK, (Outcome("vile", Action.BLOCK, True, "VILE", 1.0, 0.5, (Span(0, len(text)),), "classifier"),)
        )
    if "secret" in text:
        return Verdict(Action.REDACT, redactions=((Span(0, len(text)), "SECRET"),))
    return Verdict()

r"""All patterns in one automaton, as one pure function of text.

hyperscan says which patterns can match at all, in one pass; RE2 says where, for those alone; so what is found does not
depend on whether hyperscan is there. Block mode over the unsettled tail, not hyperscan's own stream state: the tail is
needed anyway to tell what may still become a match, which a stream of matches cannot say, and a short tail costs less
than a stream to open (`bench/scan.py`).

A text settles up to the first character of anything that more text could turn into a finding: the leftmost beginning of
a match at the end of the text (`detect.prefix`), of an encoded run that may grow, of a word not plain enough to be
read without its rest. So findings before `settled` are final, and a value is held from its first character.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import re2

from proxy.detect.prefix import Unsupported, closure
from proxy.text.normalize import GROWING, SIGNS, View, disguised
from proxy.types import Finding, Pattern, Scan, Span

try:
    import hyperscan
except ImportError:  # no wheel for this platform: RE2 does both parts
    hyperscan = None  # type: ignore[assignment]

MAX_HOLD = 4096  # characters; a match that grows longer than this is no longer waited for


class PatternError(Exception):
    """A pattern that cannot be used, and why."""

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(f"{pattern}: {reason}")
        self.pattern, self.reason = pattern, reason


def _options(ignore_case: bool = False, memory: int = 64 << 20) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    options.max_mem = memory
    return options


def check(pattern: Pattern) -> Any:
    """The compiled expression. Raises PatternError for what RE2 refuses or what matches nothing at all."""
    try:
        compiled = re2.compile(pattern.regex, _options(pattern.ignore_case))
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise PatternError(pattern.id, f"the expression is refused (linear-time syntax only): {reason}") from None
    if compiled.search("") is not None or compiled.fullmatch("") is not None:
        raise PatternError(pattern.id, "the expression matches the empty string")
    return compiled


_SIGN_NAMES = tuple(SIGNS)


class Scanner:
    """Raises PatternError for a pattern that cannot be used."""

    def __init__(self, patterns: Iterable[Pattern], *, use_hyperscan: bool = True) -> None:
        self._patterns = list(patterns)
        self._own = len(self._patterns)  # from this number on: not patterns of a policy, but signs of a disguise
        self._patterns += (Pattern(f"sign/{name}", "", regex) for name, regex in SIGNS.items())
        self._compiled = [check(p) for p in self._patterns]
        self._index = {p.id: i for i, p in enumerate(self._patterns)}
        self._selections: dict[frozenset[str], Selection] = {}
        self._always: frozenset[int] = frozenset()
        self._database: Any = None
        self._set: Any = None
        if hyperscan is not None and use_hyperscan:
            self._build_hyperscan()
        else:
            self._build_set()

    def _build_hyperscan(self) -> None:
        flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_PREFILTER
        each = [flags | (hyperscan.HS_FLAG_CASELESS if p.ignore_case else 0) for p in self._patterns]
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        expressions = [p.regex.encode() for p in self._patterns]
        ids = list(range(len(expressions)))
        try:
            self._database.compile(expressions=expressions, ids=ids, flags=each)
        except hyperscan.error:
            self._refused(expressions, each)

    def _refused(self, expressions: list[bytes], flags: list[int]) -> None:
        """Leaves out what hyperscan cannot take; RE2 looks for those on every text."""
        good = []
        for number, (expression, flag) in enumerate(zip(expressions, flags, strict=True)):
            try:
                hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK).compile(expressions=[expression], ids=[0], flags=[flag])
                good.append(number)
            except hyperscan.error:
                self._always |= {number}
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(expressions=[expressions[i] for i in good], ids=good, flags=[flags[i] for i in good])

    def _build_set(self) -> None:
        self._set = re2.Set.SearchSet(_options())
        for pattern in self._patterns:
            self._set.Add(("(?i)" if pattern.ignore_case else "") + pattern.regex)
        self._set.Compile()

    def select(self, ids: Collection[str]) -> Selection:
        """The same automaton, listening for these patterns only."""
        key = frozenset(ids)
        if key not in self._selections:
            self._selections[key] = Selection(self, frozenset(self._index[i] for i in key))
        return self._selections[key]

    def candidates(self, text: str) -> set[int]:
        """The numbers of the patterns that may match."""
        if self._database is not None:
            seen: set[int] = set(self._always)
            self._database.scan(text.encode("utf-8", "surrogatepass"), match_event_handler=lambda i, *_: seen.add(i))
            return seen
        return set(self._set.Match(text) or ())

    def signs(self, candidates: set[int]) -> list[str]:
        """The signs of a disguise among the candidates."""
        return [_SIGN_NAMES[number - self._own] for number in candidates if number >= self._own]

    def pattern(self, number: int) -> tuple[Pattern, Any]:
        return self._patterns[number], self._compiled[number]


class Selection:
    def __init__(self, scanner: Scanner, numbers: frozenset[int]) -> None:
        self._scanner = scanner
        self._numbers = numbers
        self._growing: Any = None
        self._hold_words = False
        self._built = False

    def scan(self, text: str, before: str = "", final: bool = True) -> Scan:
        """`before` is what stands before `text`, for word boundaries; nothing in it is found again."""
        if not text or not self._numbers:
            return Scan((), len(text))
        whole = before[-1:] + text
        candidates = self._scanner.candidates(whole)
        runs: list[Span] = []
        found = self._find(whole, len(whole) - len(text), candidates, runs)
        other = disguised(text, self._scanner.signs(candidates))
        for view in other:
            inner_runs: list[Span] = []
            inner = self._find(view.text, 0, self._scanner.candidates(view.text), inner_runs)
            found += (Finding(f.source, f.label, view.span(f.span)) for f in inner)
            runs += map(view.span, inner_runs)
        folded = [v for v in other if v.kind == "folded"]
        settled = len(text) if final else self._settled(text, before, runs, folded)
        if not found:
            return Scan((), settled)
        found = list(dict.fromkeys(found))
        return Scan(tuple(sorted((f for f in found if f.span.end <= settled), key=lambda f: f.span)), settled)

    def _find(self, text: str, shift: int, candidates: set[int], runs: list[Span]) -> list[Finding]:
        """What begins in `text` at `shift` or later; spans count from there. `runs` gets every match, valid or not."""
        found: list[Finding] = []
        for number in candidates & self._numbers:
            pattern, compiled = self._scanner.pattern(number)
            for match in compiled.finditer(text, shift):
                span = Span(match.start(), match.end())
                runs.append(Span(span.start - shift, span.end - shift))
                for good in pattern.valid(text, span) if pattern.valid else (span,):
                    found.append(Finding(pattern.id, pattern.label, Span(good[0] - shift, good[1] - shift)))
        return found

    def _settled(self, text: str, before: str, runs: list[Span], folded: list[View]) -> int:
        if not self._built:
            self._build()
        tail = text[-MAX_HOLD:]
        shift = len(text) - len(tail)
        edge = before[-1:] if not shift else text[shift - 1]
        settled = shift + self._begins(tail, edge)
        for view in folded:
            at = self._begins(view.text[-MAX_HOLD:], "") + max(0, len(view.text) - MAX_HOLD)
            if at < len(view.text):
                settled = min(settled, max(view.span(Span(at, at + 1)).start, len(text) - MAX_HOLD))
        # A match that does not hold up is not cut either: the next scan would begin inside it and see another one.
        while cut := [run.start for run in runs if run.start < settled < run.end]:
            settled = min(cut)
        return settled

    def _begins(self, text: str, edge: str) -> int:
        """Where the first thing begins that more text could make a match; the end of the text if nothing does."""
        match = self._growing.search(edge + text, len(edge))
        start = match.start() - len(edge) if match else len(text)
        if self._hold_words:
            start = (
                min(start, len(text) - len(text.rsplit(maxsplit=1)[-1]))
                if text and not text[-1].isspace() and text.split()
                else start
            )
        return max(0, start)

    def _build(self) -> None:
        """One expression of all beginnings, anchored at the end, so that RE2 reads backwards from there."""
        parts = [GROWING]
        for number in sorted(self._numbers):
            pattern, _ = self._scanner.pattern(number)
            try:
                parts.append(f"(?i:{closure(pattern.regex)})" if pattern.ignore_case else f"(?:{closure(pattern.regex)})")
            except Unsupported:
                self._hold_words = True
        try:
            self._growing = re2.compile(f"(?:{'|'.join(parts)})\\z", _options(memory=256 << 20))
        except re2.error:
            self._growing, self._hold_words = re2.compile(f"(?:{GROWING})\\z", _options()), True
        self._built = True

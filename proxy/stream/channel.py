"""One text of an answer (a choice's content, its refusal, one tool call's arguments) on its way to the client.

Theory of operation
-------------------
A channel keeps four positions, each at or before the next:

    released <= judged <= settled <= received

*received* is what upstream has sent. *settled* is how far the patterns are sure: no text that may still come can
change what they found before it. *judged* is how far every piece that the classifier was asked about has come back
clean; where no rule asks a classifier it equals settled. A piece only ever holds settled text, so a pattern's block,
which ends the text where its match begins, ends the last piece at the same place however the network cut the bytes.

The frontier is what may leave:

    hold     judged            nothing leaves unjudged: the leak bound is 0 characters
    follow   judged + limit    at most `limit` characters leave ahead of the judge; never beyond settled
    buffer   nothing until the whole text is judged

A judge that comes after (`judging: after`) moves none of these: its verdict on a piece that has left already may still
stop the text. The end of the text waits for it.

Redactions are edits over source positions. An edit is always made before the frontier passes its start: patterns make
theirs when they settle, the judge when it resolves a piece. So no character of a redacted span is ever behind the
frontier unedited. A block stops the frontier for good.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Protocol

from proxy.stream.cut import STRIDE, cut
from proxy.text.jsontext import JsonText
from proxy.text.redact import Placeholders, Restorer
from proxy.types import Action, Finding, Scan, Span, Verdict
from proxy.wire.parts import encode

Mode = Literal["hold", "buffer", "follow"]
Kind = Literal["text", "json"]

LEAD = 120  # characters of the same text that a piece is judged with
_BEFORE = 64  # characters that a pattern may look back at, for \b
_TOKEN = re.compile(r"[-+.\w]")


class TextRules(Protocol):
    """What a policy makes of a text, as far as pure functions can tell."""

    @property
    def asks_model(self) -> bool: ...

    @property
    def stride(self) -> int:
        """No piece but the last may be shorter."""
        ...

    @property
    def reach(self) -> int:
        """Characters of the same text that a judge is told; 0 if there is no judge."""
        ...

    def scan(self, text: str, before: str, final: bool) -> Scan: ...

    def decide(self, text: str, findings: tuple[Finding, ...]) -> Verdict: ...

    def of(self, tool: str | None) -> TextRules:
        """Those for what this tool is called with, or has said."""
        ...


class Piece(NamedTuple):
    number: int
    text: str
    lead: str
    before: str = ""  # for a judge, as in Segment
    stretch: str | None = None


@dataclass(slots=True)
class _Judged:
    start: int
    end: int
    text: str
    since: int  # where the stretch begins that a judge reads
    verdict: Verdict | None = None


@dataclass(slots=True)
class Channel:
    rules: TextRules
    placeholders: Placeholders
    mode: Mode = "hold"
    follow_limit: int = 0
    kind: Kind = "text"
    asks_model: bool = True
    restorer: Restorer | None = None  # of the values that the prompt's placeholders stand for
    tool: str | None = None  # as in Segment
    lead: str = ""  # what the text goes on with: the first pieces are judged with it
    finished: bool = False
    blocked_by: Verdict | None = None
    leaked: int = 0  # characters of blocked text that had left, in follow mode or before a judge that comes after
    verdicts: list[Verdict] = field(default_factory=list)  # their spans are characters of the whole text
    missed: int = 0  # characters that nobody could judge
    highest: dict[str, float] = field(default_factory=dict)  # category -> the highest score of a piece

    _json: JsonText | None = None
    _tail: str = ""  # received, not settled
    _before: str = ""  # the last settled characters
    _ready: str = ""  # settled, in no piece yet
    _lead: str = ""  # the last characters that are in a piece
    _stretch: str = ""  # what a judge that reads in strides has not been shown yet
    _doubts: int = 0  # pieces that a judge is still at
    _settled: int = 0
    _cut: int = 0
    _judged: int = 0
    _stop: Verdict | None = None  # a pattern's block: the text ends at `_settled`
    _pieces: list[_Judged] = field(default_factory=list)
    _next: int = 0  # the first piece without a verdict before which all are clean
    _edits: list[tuple[int, int, str]] = field(default_factory=list)  # source [start, end) -> replacement

    def __post_init__(self) -> None:
        self.asks_model = self.asks_model and self.rules.asks_model
        self._lead = self.lead
        if self.tool is not None:
            self.rules = self.rules.of(self.tool)
        if self.kind == "json":
            self._json = JsonText()

    def belongs(self, tool: str | None) -> None:
        """Another name has come for the tool. Of one that has been called by two names nobody knows which it is."""
        self.tool = "" if self._settled or self._tail else tool
        self.rules = self.rules.of(self.tool)

    # -- text in

    def feed(self, source: str) -> list[Piece]:
        """Takes what upstream adds; answers with the pieces to ask the classifier about."""
        if self._stop or self.finished:
            return []
        self._tail += self._json.feed(source) if self._json else source
        self._settle(final=False)
        return self._cut_pieces()

    def finish(self) -> list[Piece]:
        """Upstream will add no more."""
        if self.finished:
            return []
        if not self._stop:
            if self._json:
                self._tail += self._json.feed("", final=True)
            self._settle(final=True)
        self.finished = True
        return self._cut_pieces()

    def _settle(self, final: bool) -> None:
        if not self._tail:
            return
        scan = self.rules.scan(self._tail, self._before, final)
        settled, findings = scan.settled, scan.findings
        if self.restorer is not None:
            settled = self._restore(settled, findings, final)
            findings = tuple(f for f in findings if f.span.end <= settled)
        if self._json and not final:
            settled = self._whole_tokens(settled, findings)
            findings = tuple(f for f in findings if f.span.end <= settled)
        if findings:
            settled = self._apply(self._tail, self._settled, self.rules.decide(self._tail, findings), settled)
        if settled:
            done, self._tail = self._tail[:settled], self._tail[settled:]
            self._settled += settled
            self._before = (self._before + done)[-_BEFORE:]
            if self.asks_model:
                self._ready += done
            else:
                self._judged = self._settled
        if self._stop and not self.asks_model:
            self.blocked_by = self._stop

    def _restore(self, settled: int, findings: tuple[Finding, ...], final: bool) -> int:
        """Puts the real values back into what has settled; answers how far that is, for nothing found is cut in two."""
        assert self.restorer is not None
        found = self.restorer.find(self._tail)
        if not final:
            settled = min(settled, self.restorer.settled(self._tail))
        whole = [*found, *(f.span for f in findings)]
        while cut_in_two := [span.start for span in whole if span.start < settled < span.end]:
            settled = min(cut_in_two)
        for span in found:
            if span.end <= settled:
                value = self.restorer.values[self._tail[span.start : span.end]]
                start, end = span.start + self._settled, span.end + self._settled
                if self._json is not None or self.restorer.in_json:
                    value = encode(value)[1:-1].decode()
                if self._json is not None:
                    start, end = self._json.source(start), self._json.source(end)
                self._merge(start, end, value)
        return settled

    def _whole_tokens(self, settled: int, findings: tuple[Finding, ...]) -> int:
        """A bare JSON number is redacted whole or not at all, so it settles whole."""
        assert self._json is not None
        settled = min(settled, max(0, self._json.bare_start() - self._settled))
        for finding in sorted(findings, key=lambda f: f.span.start, reverse=True):
            if finding.span.start < settled < finding.span.end:
                settled = finding.span.start
        return settled

    def _apply(self, text: str, offset: int, verdict: Verdict, settled: int) -> int:
        """Records a verdict on `text`, which begins at `offset`; answers how far it may settle."""
        self.verdicts.append(_moved(verdict, offset))
        if verdict.action is Action.BLOCK:
            starts = [s.start for o in verdict.outcomes if o.enforced and o.action is Action.BLOCK for s in o.spans]
            settled = min([settled, *starts])
            self._stop = verdict
        for span, label in verdict.redactions:
            if span.start < settled:
                self._edit(text, offset, span, label)
        return settled

    # -- verdicts

    def _cut_pieces(self) -> list[Piece]:
        pieces: list[Piece] = []
        if not self.asks_model:
            return pieces
        while (length := cut(self._ready, self._cut, self._tail, self.rules.stride)) is not None:
            pieces.append(self._piece(length))
        if (self.finished or self._stop) and self._ready:
            pieces.append(self._piece(len(self._ready), last=True))
        if not pieces and self._stop:
            self._advance()
        return pieces

    def _piece(self, length: int, last: bool = False) -> Piece:
        text, self._ready = self._ready[:length], self._ready[length:]
        self._pieces.append(_Judged(self._cut, self._cut + length, text, self._cut - len(self._stretch)))
        number, lead, reach = len(self._pieces) - 1, self._lead, self.rules.reach
        self._cut += length
        self._lead = (lead + text)[-max(LEAD, reach) :]
        if not reach:
            return Piece(number, text, lead)
        stretch = self._stretch + text
        due = last or len(stretch) >= STRIDE
        self._stretch = "" if due else stretch
        return Piece(number, text, lead[-LEAD:], lead, stretch if due else "")

    def resolved(self, number: int, verdict: Verdict) -> None:
        """A verdict may come in any order; the frontier moves in the text's order. A pending one is followed by the final."""
        piece = self._pieces[number]
        if piece.verdict is None:
            piece.verdict = verdict
            self._doubts += verdict.pending
            self._advance()
        elif piece.verdict.pending:
            self._settled_doubt(piece, piece.verdict, verdict)

    def _settled_doubt(self, piece: _Judged, first: Verdict, final: Verdict) -> None:
        """A judge has caught up. What it stops has left, if the pieces before it were clean."""
        self._doubts -= 1
        piece.verdict = final
        if self.blocked_by is not None:
            return
        added = tuple(o for o in final.outcomes if o not in first.outcomes)
        if final.action is Action.BLOCK:
            self.leaked = max(0, self.frontier_now - piece.since)
            self.blocked_by = final
        self.verdicts.append(_moved(replace(final, outcomes=added), piece.start))

    def _advance(self) -> None:
        while not self.blocked_by and self._next < len(self._pieces):
            piece = self._pieces[self._next]
            if piece.verdict is None:
                return
            self._note(piece, piece.verdict)
            if piece.verdict.action is Action.BLOCK:
                if self.mode == "follow":
                    self.leaked = max(0, min(self._settled, self._judged + self.follow_limit) - piece.start)
                self.blocked_by = piece.verdict
                return
            for span, label in piece.verdict.redactions:
                self._edit(piece.text, piece.start, span, label)
            self._judged = piece.end
            piece.text = ""
            self._next += 1
        if self._stop and self._judged >= self._settled:
            self.blocked_by = self._stop

    def _note(self, piece: _Judged, verdict: Verdict) -> None:
        if verdict.outcomes or verdict.not_inspected or verdict.steps:
            self.verdicts.append(_moved(verdict, piece.start))
        if verdict.not_inspected:
            self.missed += piece.end - piece.start
        for name, score in (verdict.scores or {}).items():
            self.highest[name] = max(score, self.highest.get(name, 0.0))

    # -- text out

    @property
    def complete(self) -> bool:
        """Everything has been decided: judged to the end, or blocked."""
        return self.blocked_by is not None or (self.finished and self._judged >= self._settled and not self._doubts)

    @property
    def frontier(self) -> int:
        """How far text may leave, as a source position."""
        return self._json.source(self.frontier_now) if self._json else self.frontier_now

    @property
    def frontier_now(self) -> int:
        """The frontier in characters of the text."""
        if self.mode == "buffer":
            return self._judged if self.complete and not self.blocked_by else 0
        if self.mode == "follow" and not self.blocked_by:
            return min(self._settled, self._judged + self.follow_limit)
        return self._judged

    @property
    def edited(self) -> bool:
        return bool(self._edits)

    def edits(self, start: int, end: int) -> list[tuple[int, int, str]]:
        return [e for e in self._edits if e[0] < end and e[1] > start]

    def render(self, start: int, text: str) -> str:
        """`text`, the source from `start` on, as the client may see it. The placeholder stands where its span begins."""
        out: list[str] = []
        at, end = start, start + len(text)
        for left, right, replacement in self.edits(start, end):
            out.append(text[at - start : max(left, start) - start])
            if left >= start:
                out.append(replacement)
            at = min(right, end)
        out.append(text[at - start :])
        return "".join(out)

    def _edit(self, text: str, offset: int, span: Span, label: str) -> None:
        name = self.placeholders.name(label, text[span.start : span.end])
        start, end = span.start + offset, span.end + offset
        if self._json is None:
            self._merge(start, end, name)
            return
        for left, right, inside in self._json.pieces(start, end):
            if inside:
                self._merge(self._json.source(left), self._json.source(right), name)
            else:
                begin, stop = left - offset, right - offset
                while begin > 0 and _TOKEN.match(text[begin - 1]):
                    begin -= 1
                while stop < len(text) and _TOKEN.match(text[stop]):
                    stop += 1
                self._merge(self._json.source(begin + offset), self._json.source(stop + offset), f'"{name}"')

    def _merge(self, start: int, end: int, replacement: str) -> None:
        rest = []
        for left, right, name in self._edits:
            if left < end and right > start:
                if left <= start:
                    replacement = name
                start, end = min(start, left), max(end, right)
            else:
                rest.append((left, right, name))
        self._edits = sorted([*rest, (start, end, replacement)])


def _moved(verdict: Verdict, offset: int) -> Verdict:
    """With its spans counted from `offset` before the text that they were found in."""
    if not offset or not verdict.outcomes:
        return verdict
    outcomes = tuple(
        replace(o, spans=tuple(Span(s.start + offset, s.end + offset) for s in o.spans)) if o.spans else o
        for o in verdict.outcomes
    )
    redactions = tuple((Span(s.start + offset, s.end + offset), label) for s, label in verdict.redactions)
    return replace(verdict, outcomes=outcomes, redactions=redactions)

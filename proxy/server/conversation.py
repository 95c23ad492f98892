"""A conversation, judged: each text with what was said before it, and what is said across two texts.

A text may be cut anywhere: between the parts of a message, between messages, turns or results of tools. So what one voice has
said is read once more where two of its texts meet: the patterns look for what neither text has alone, the classifier reads the
end of the one with the beginning of the other. Each seam's verdict is part of the verdict on the later text.

A verdict is remembered by everything that it depends on: the policy, the model, the text and what came before it. What was
judged under them is not judged again. Under `history: judge_new` an earlier turn that was blocked when it was new is withheld
from the provider instead of blocking every turn after it. Where a turn stands gains it nothing: what nobody has judged is
judged, and what was blocked never passes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

from proxy.guard import CONTEXT, Guard
from proxy.policy.decide import decide
from proxy.policy.load import Policy
from proxy.text.jsontext import JsonText
from proxy.types import Action, Finding, Outcome, Segment, Span, Verdict
from proxy.wire.parts import Field

EDGE = 240  # characters on either side of a seam
BRIEF, SHORTEST = 32, 12  # a user's text of so few characters may ask for no more than that the answer before it goes on
WITHHELD = "WITHHELD"  # the label of a turn that was blocked before
REMEMBERED = 20_000  # verdicts
_ALL = ()  # no turn is old
_TURNS = ("messages", "input")

Told = Sequence[tuple[Segment, bool]]  # each text, and whether it is prose


def conversation(fields: list[Field], reach: int = 0) -> list[Segment]:
    """Each text with the end of what was said before it; `reach` characters more are for a judge."""
    segments = []
    before = ""
    kept = max(CONTEXT, reach)
    for one in fields:
        role = "document" if one.role == "tool" else one.role
        text = JsonText().feed(one.text, final=True) if one.kind == "json" else one.text
        wide = before if reach else ""
        segments.append(Segment(text, role, "prompt", one.path, context=before[-CONTEXT:], before=wide, tool=one.tool))
        if one.prose and one.role != "system":
            before = (before + "\n" + one.text)[-kept:] if before else one.text[-kept:]
    return segments


def continued(told: Told) -> str:
    """The end of the answer that the next one only goes on with; empty where the user has asked for more than that."""
    said = [segment for segment, prose in told if prose and segment.role in ("user", "assistant", "document")]
    if len(said) < 2 or said[-1].role != "user" or said[-2].role != "assistant":
        return ""
    asked = said[-1].text.strip()  # "go on", "and then?"; a longer question is a new one
    return said[-2].text[-CONTEXT:] if len(asked) <= (SHORTEST if "?" in asked else BRIEF) else ""


class Memory:
    """The verdicts of one process, the latest of them. They hold whoever asks: nothing of a caller is in them."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()

    def get(self, key: bytes) -> Verdict | None:
        verdict = self._known.get(key)
        if verdict is not None:
            self._known.move_to_end(key)
        return verdict

    def put(self, key: bytes, verdict: Verdict) -> None:
        """What was not judged to the end is nothing to go by."""
        if verdict.not_inspected or verdict.unavailable or verdict.pending:
            return
        self._known[key] = verdict
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    async def fetch(self, keys: Sequence[bytes]) -> None:
        """Before `get` is asked for them: what others may know of them is known here then."""

    def flush(self) -> None:
        """After `put`: others may know of it now."""

    async def close(self) -> None:
        return None


class _Keys:
    """What a verdict depends on, as one short name: first all that is the same for the texts of a request."""

    def __init__(self, guard: Guard, policy: Policy) -> None:
        judges = [(name, repr(judge.settings)) for name, judge in guard.cascade.judges.items()]
        self._same = blake2b(repr((policy.sha, policy.variant, guard.classifier, judges)).encode(), digest_size=20)

    def of(self, segment: Segment, prose: bool) -> bytes:
        digest = self._same.copy()
        sizes = (len(segment.context), len(segment.before), segment.role, segment.tool, segment.seam, prose)
        whole = f"{sizes}{segment.context}{segment.before}{segment.text}"
        digest.update(whole.encode("utf-8", "surrogatepass"))
        return digest.digest()


async def judged(guard: Guard, policy: Policy, told: Told, memory: Memory, defer: bool = False) -> list[Verdict]:
    """The verdict on each text, seams included."""
    keys = _Keys(guard, policy)
    own = [keys.of(segment, prose) for segment, prose in told]
    await memory.fetch(own)
    known = [memory.get(key) for key in own]
    missing = [i for i, verdict in enumerate(known) if verdict is None]
    fresh = await asyncio.gather(*(guard.judge(policy, told[i][0], prose=told[i][1], defer=defer) for i in missing))
    for index, verdict in zip(missing, fresh, strict=True):
        memory.put(own[index], verdict)
        known[index] = verdict
    newest = _newest(told) if policy.history == "judge_new" else _ALL
    verdicts = []
    for index, ((segment, _), found) in enumerate(zip(told, known, strict=True)):
        assert found is not None
        old = index not in missing and _is_old(segment, newest)
        verdicts.append(_withheld(segment, found) if old and found.action is Action.BLOCK else found)
    whole = await _with_seams(guard, policy, told, verdicts, memory, keys, newest)
    memory.flush()
    return whole


def _turn(segment: Segment) -> tuple[object, ...] | None:
    """The message that a text is in; None for what is no turn: one of several prompts stands by itself."""
    path = segment.path
    return path[:2] if len(path) > 2 and path[0] in _TURNS and isinstance(path[1], int) else None


def _is_old(segment: Segment, newest: tuple[object, ...] | None) -> bool:
    return newest is not _ALL and _turn(segment) not in (None, newest)


def _newest(told: Told) -> tuple[object, ...] | None:
    return next((turn for segment, _ in reversed(told) if (turn := _turn(segment)) is not None), None)


def _withheld(segment: Segment, verdict: Verdict) -> Verdict:
    """The turn goes, the conversation goes on."""
    outcomes = tuple(replace(o, action=Action.REDACT) if o.action is Action.BLOCK else o for o in verdict.outcomes)
    whole = ((Span(0, len(segment.text)), WITHHELD),)
    return replace(verdict, action=Action.REDACT, outcomes=outcomes, redactions=whole)


# -- seams


class _Piece(NamedTuple):
    """Part of a text in a seam: where it stands in the one and in the other."""

    number: int
    start: int
    at: int
    length: int


class _Seam(NamedTuple):
    segment: Segment
    pieces: list[_Piece]


async def _with_seams(
    guard: Guard,
    policy: Policy,
    told: Told,
    verdicts: list[Verdict],
    memory: Memory,
    keys: _Keys,
    newest: tuple[object, ...] | None,
) -> list[Verdict]:
    """The verdicts, each with what is said across the cut before its text."""
    if any(verdict.action is Action.BLOCK for verdict in verdicts):
        return verdicts
    reads = guard.plan(policy, "prompt").reads
    unread: list[tuple[int, _Seam, bytes]] = []

    def settle(index: int, seam: _Seam, verdict: Verdict, known: bool) -> None:
        """Withholds what was blocked when it was new."""
        segment = told[index][0]
        if known and verdict.action is Action.BLOCK and _is_old(segment, newest):
            verdicts[index] = _joined(verdicts[index], _withheld(segment, _within(verdict, seam.pieces[-1])))
            return
        for piece in seam.pieces if verdict.outcomes or verdict.not_inspected else ():
            verdicts[piece.number] = _joined(verdicts[piece.number], _within(verdict, piece))

    await memory.fetch([key for index, earlier in _cuts(told, verdicts) for key in _keys_of(told, index, earlier, keys, reads)])
    for index, earlier in _cuts(told, verdicts):
        plain = _seam(told, index, earlier, "")
        key = keys.of(plain.segment, False)
        remembered = memory.get(key)
        if remembered is None or remembered.outcomes:
            seam, verdict = _across(guard, policy, told, verdicts, index, earlier) or (plain, Verdict())
            memory.put(key, verdict)
            settle(index, seam, verdict, remembered is not None)
        for glue in _glues(told, index, earlier) if reads else ():
            seam = _seam(told, index, earlier, glue)
            key = keys.of(seam.segment, True)
            remembered = memory.get(key)
            if remembered is None:
                unread.append((index, seam, key))
            else:
                settle(index, seam, _of_the_later(remembered, seam), True)
    found = await asyncio.gather(*(guard.judge(policy, seam.segment, patterns=False) for _, seam, _ in unread))
    for (index, seam, key), verdict in zip(unread, found, strict=True):
        memory.put(key, verdict)
        settle(index, seam, _of_the_later(verdict, seam), False)
    return verdicts


def _cuts(told: Told, verdicts: Sequence[Verdict]) -> Iterator[tuple[int, list[int]]]:
    """Each text that follows others of the same voice, with those that reach to the EDGE, the latest last."""
    voices: dict[str, list[int]] = {}
    for index, (segment, prose) in enumerate(told):
        called = segment.tool is not None and segment.role == "assistant"
        if not prose or called or not segment.text or _turn(segment) is None or _is_withheld(verdicts[index]):
            continue
        if segment.role in ("system", "developer"):
            continue
        earlier = voices.setdefault(segment.role, [])
        if earlier:
            size, first = 0, len(earlier)
            while first > 0 and size < EDGE:
                first -= 1
                size += len(told[earlier[first]][0].text)
            yield index, earlier[first:]
        if not _is_withheld(verdicts[index]):
            earlier.append(index)


def _is_withheld(verdict: Verdict) -> bool:
    return any(label == WITHHELD for _, label in verdict.redactions)


def _glues(told: Told, index: int, earlier: list[int]) -> tuple[str, ...]:
    """A model reads two texts one after the other. Where the cut may go through a word, it is read without the cut, too."""
    left, right = told[earlier[-1]][0].text[-1], told[index][0].text[0]
    return (" ", "") if left.isalnum() and right.isalnum() and not right.isupper() else (" ",)


def _keys_of(told: Told, index: int, earlier: list[int], keys: _Keys, reads: bool) -> list[bytes]:
    plain = keys.of(_seam(told, index, earlier, "").segment, False)
    glues = _glues(told, index, earlier) if reads else ()
    return [plain, *(keys.of(_seam(told, index, earlier, glue).segment, True) for glue in glues)]


def _seam(told: Told, index: int, earlier: list[int], glue: str) -> _Seam:
    text, pieces, spare = "", [], EDGE
    for number in reversed(earlier):
        whole = told[number][0].text
        start = max(0, len(whole) - spare)
        spare -= len(whole) - start
        pieces.append(_Piece(number, start, 0, len(whole) - start))
    pieces.reverse()
    pieces.append(_Piece(index, 0, 0, min(EDGE, len(told[index][0].text))))
    placed = []
    for piece in pieces:
        text += glue if text else ""
        placed.append(piece._replace(at=len(text)))
        text += told[piece.number][0].text[piece.start : piece.start + piece.length]
    later = told[index][0]
    return _Seam(Segment(text, later.role, "prompt", later.path, stretch="", tool=later.tool), placed)


def _across(
    guard: Guard, policy: Policy, told: Told, verdicts: Sequence[Verdict], index: int, earlier: list[int]
) -> tuple[_Seam, Verdict] | None:
    """What stands across the cut and not in one text alone. What a text has found by itself is not made longer by the next."""
    selection = guard.selection(policy, "prompt")
    for glue in ("", " "):
        seam = _seam(told, index, earlier, glue)
        border = seam.pieces[-1].at
        whole = [span for piece in seam.pieces for span in _own(verdicts[piece.number], piece)]
        across = tuple(
            finding
            for finding in selection.scan(seam.segment.text).findings
            if finding.span.start < border - len(glue) and finding.span.end > border and not _touches(finding, whole)
        )
        if across:
            return seam, decide(policy, seam.segment, across, None, ())
    return None


def _own(verdict: Verdict, piece: _Piece) -> Iterator[Span]:
    for outcome in verdict.outcomes:
        if outcome.decided_by == "pattern":
            for span in outcome.spans:
                yield Span(span.start - piece.start + piece.at, span.end - piece.start + piece.at)


def _touches(finding: Finding, spans: Sequence[Span]) -> bool:
    return any(finding.span.start < span.end and finding.span.end > span.start for span in spans)


def _within(verdict: Verdict, piece: _Piece) -> Verdict:
    """What of it concerns one text, in the places of that text."""

    def moved(span: Span) -> Span | None:
        start, end = max(span.start, piece.at), min(span.end, piece.at + piece.length)
        return Span(start - piece.at + piece.start, end - piece.at + piece.start) if start < end else None

    outcomes: list[Outcome] = []
    for one in verdict.outcomes:
        if spans := tuple(found for span in one.spans if (found := moved(span)) is not None):
            outcomes.append(replace(one, spans=spans))
    redactions = tuple((found, label) for span, label in verdict.redactions if (found := moved(span)) is not None)
    action = max((one.action for one in outcomes if one.enforced), default=Action.PASS)
    return replace(
        verdict, action=Action.BLOCK if verdict.unavailable else action, outcomes=tuple(outcomes), redactions=redactions
    )


def _of_the_later(verdict: Verdict, seam: _Seam) -> Verdict:
    """The classifier judges a text as a whole: what it says of a seam is said of the later text."""
    last = seam.pieces[-1]
    span = Span(last.at, last.at + last.length)
    outcomes = tuple(replace(one, spans=(span,)) for one in verdict.outcomes)
    return replace(
        verdict, outcomes=outcomes, redactions=tuple((span, label) for _, label in verdict.redactions[:1]), scores=None
    )


def _joined(own: Verdict, other: Verdict) -> Verdict:
    """Both, without saying the same twice."""
    if not other.outcomes and not other.not_inspected and other.action is Action.PASS:
        return own
    if _is_withheld(other):
        return replace(other, outcomes=(*own.outcomes, *other.outcomes))
    rules = {(one.rule, one.decided_by, one.spans) for one in own.outcomes}
    redactions = list(own.redactions)
    for span, label in other.redactions:
        if all(span.end <= left or span.start >= right for (left, right), _ in redactions):
            redactions.append((span, label))
    return replace(
        own,
        action=max(own.action, other.action),
        outcomes=(*own.outcomes, *(one for one in other.outcomes if (one.rule, one.decided_by, one.spans) not in rules)),
        redactions=tuple(sorted(redactions)),
        not_inspected=tuple(dict.fromkeys((*own.not_inspected, *other.not_inspected))),
        unavailable=own.unavailable or (other.unavailable and own.action is not Action.BLOCK),
        steps=(*own.steps, *other.steps),
    )

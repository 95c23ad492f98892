"""The screen on a text that grows: what was read of it is not read again.

Theory of operation
-------------------
A piece of an answer is judged with the end of what came before it (its lead), in the windows that the classifier would read:
`[CLS] context [SEP] lead piece [SEP]`. Only the piece is new. So the tokens of the text that was read last are kept, with their
columns, and of the next one this alone is worked out:

    tokens      of the piece, of a word that the old text ended in, and of a word that the lead begins in the middle of:
                where a space stands on one side, tokens never depend on what is on the other
    columns     of those, and of two tokens on either side of every place where something else stands now: another
                neighbour, or the beginning or the end of a window
    windows     the maximum and the mean over the columns of each, then the small head

The first two grow with the piece, the third with the size of a window, which is fixed; nothing grows with the answer. What
is kept is found by the context and the lead itself, so a stream needs no handle, all streams share one memory, and no result
depends on what is in it: a text whose lead nobody knows is read from its beginning.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from proxy.model.columns import GAP, REACH, Columns, Floats

Encode = Callable[[str], tuple[list[int], list[int]]]  # text -> its tokens, and where each begins
Head = Callable[[str], list[int]]  # context -> the tokens before a text that has it
Cuts = Callable[[int, int], Iterable[tuple[int, int]]]  # tokens before the text, and in it -> its windows

SLACK = 1e-3  # a logit so little below the cut is above it: sums come out differently in another order
REMEMBER = 256  # texts, of about 30 kB
_KEY = 32  # characters by which a lead is looked for
_EDGE = 2 * REACH  # tokens that it takes to know the columns of half of them
_SPACE = re.compile("[ \n]")


class _Before(NamedTuple):
    """What stands before the text in each window; maximum and sum over those of its columns that do not see the text."""

    tokens: list[int]
    highest: Floats
    total: Floats


class _Read(NamedTuple):
    """A text as it was read. `columns`: a row a token, without meaning for the first two and the last two."""

    text: str
    tokens: list[int]
    starts: list[int]
    columns: Floats


class _Common(NamedTuple):
    """Whole words at the end of a text that was read, its tokens `[first, last)`: at `[start, end)` in the text that goes on
    with it, `shift` characters nearer to the beginning."""

    old: _Read
    first: int
    last: int
    start: int
    end: int
    shift: int


class Growing:
    """`cut` is the screen's. `worked`: columns that were worked out so far."""

    def __init__(self, columns: Columns, cut: Floats, encode: Encode, head: Head, cuts: Cuts, last: int) -> None:
        self._columns, self._cut = columns, cut - np.float32(SLACK)
        self._encode, self._head, self._cuts, self._last = encode, head, cuts, last
        self._befores: OrderedDict[str, _Before] = OrderedDict()
        self._kept: OrderedDict[tuple[str, str], _Read] = OrderedDict()
        self.worked = 0

    def suspects(self, text: str, context: str = "", lead: int = 0) -> bool:
        """Whether the screen suspects any window of the text, or stricter by SLACK. `lead`: characters of the text that end one
        that was read before; it is read from its beginning if nobody remembers that."""
        return bool((self.logits(text, context, lead) > self._cut).any())

    def logits(self, text: str, context: str = "", lead: int = 0) -> Floats:
        """(windows, outputs)"""
        before = self._before(context)
        old = self._kept.pop((context, text[:lead][-_KEY:]), None) if lead else None
        read, fresh = self._begin(text, _common(old, text, lead) if old is not None else None)
        sheet: list[int] = []  # all that is worked out at once, with gaps between what does not stand together
        rows = [(begin, end, _lay(sheet, read.tokens[begin - REACH : end + REACH])) for begin, end in fresh if begin < end]
        windows = [*self._cuts(len(before.tokens), len(read.tokens))]
        edges = [self._edges(sheet, before.tokens, read.tokens, begin, end) for begin, end in windows]
        laid = self._columns.of(sheet)
        self.worked += len(sheet)
        for begin, end, at in rows:
            read.columns[begin:end] = laid[at + REACH : at + REACH + end - begin]
        _keep(self._kept, (context, text[-_KEY:]), read)
        highest, means = [], []
        for (begin, end), some in zip(windows, edges, strict=True):
            inner = read.columns[begin + REACH : max(begin + REACH, end - REACH)] if len(some) > 1 else laid[:0]
            own = np.concatenate([inner, *(laid[left:right] for left, right in some)])
            highest.append(np.maximum(own.max(0), before.highest))
            there = len(before.tokens) + end - begin + 1 - before.tokens.count(GAP) - read.tokens[begin:end].count(GAP)
            means.append((own[:, self._columns.width :].sum(0) + before.total) / np.float32(there))
        return self._columns.logits(np.array(highest), np.array(means))

    def _begin(self, text: str, common: _Common | None) -> tuple[_Read, list[tuple[int, int]]]:
        """The text with the columns that are known, and the rows of those that are not."""
        if common is None:
            tokens, starts = self._encode(text)
            return _Read(text, tokens, starts, self._room(tokens)), [(REACH, len(tokens) - REACH)]
        old, first, last, start, end, shift = common
        tokens, starts = self._encode(text[:start]) if start else ([], [])
        left = len(tokens)
        tokens += old.tokens[first:last]
        starts += [place - shift for place in old.starts[first:last]]
        right = len(tokens)
        more, places = self._encode(text[end:])
        tokens += more
        starts += [place + end for place in places]
        columns = self._room(tokens)
        columns[left + REACH : right - REACH] = old.columns[first + REACH : last - REACH]
        return _Read(text, tokens, starts, columns), [(REACH, left + REACH), (right - REACH, len(tokens) - REACH)]

    def _room(self, tokens: list[int]) -> Floats:
        return np.empty((len(tokens), 2 * self._columns.width), dtype=np.float32)

    def _edges(self, sheet: list[int], before: list[int], tokens: list[int], begin: int, end: int) -> list[tuple[int, int]]:
        """Where on the sheet the columns of a window are that see its beginning or its end; of a short window, all of them."""
        tail = before[-_EDGE:]
        seen = max(0, len(tail) - REACH) if len(before) > REACH else 0
        if end - begin < 2 * _EDGE:
            at = _lay(sheet, [*tail, *tokens[begin:end], self._last])
            return [(at + seen, len(sheet) - 1)]
        left = _lay(sheet, tail + tokens[begin : begin + _EDGE])
        right = _lay(sheet, [*tokens[end - _EDGE : end], self._last])
        return [(left + seen, left + len(tail) + REACH), (right + REACH, len(sheet) - 1)]

    def _before(self, context: str) -> _Before:
        found = self._befores.get(context)
        if found is None:
            tokens = self._head(context)
            columns = self._columns.of(tokens)[: max(0, len(tokens) - REACH)]
            found = _Before(tokens, columns.max(0, initial=0), columns[:, self._columns.width :].sum(0))
            _keep(self._befores, context, found)
        return found


def _keep(memory: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    memory[key] = value
    if len(memory) > REMEMBER:
        memory.popitem(last=False)


def _lay(sheet: list[int], tokens: list[int]) -> int:
    """Where on the sheet they lie now. A gap follows, so that they see nothing behind them."""
    at = len(sheet)
    sheet += tokens
    sheet.append(GAP)
    return at


def _common(old: _Read, text: str, lead: int) -> _Common | None:
    """None if the old text does not end with the lead, or there is hardly a whole word."""
    shift = len(old.text) - lead
    if shift < 0 or not old.text.endswith(text[:lead]):
        return None
    start = 0
    if shift and old.text[shift - 1] not in " \n":
        space = _SPACE.search(text, 0, lead)
        start = space.start() if space else lead
    end = 1 + max(text.rfind(" ", 0, lead), text.rfind("\n", 0, lead))
    first, last = bisect_left(old.starts, start + shift), bisect_left(old.starts, end + shift)
    return _Common(old, first, last, start, end, shift) if last - first >= _EDGE else None

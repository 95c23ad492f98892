"""How soon a harmful answer is stopped, and how much of it had left by then.

The very channel that a streamed answer flows through is fed word by word; nothing here knows how it cuts or holds.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.stream.channel import Channel, Mode, TextRules
from proxy.text.redact import Placeholders
from proxy.types import Action, Segment, Verdict

_TOKEN = re.compile(r"\s*\S+")
MODES: tuple[Mode, ...] = ("hold", "buffer", "follow")

Judge = Callable[[Segment], Awaitable[Verdict]]


@dataclass(frozen=True, slots=True)
class Stopped:
    """`tokens`: words from the onset of harm to the verdict that stopped it, None if nothing did; `released`: the share of the
    harmful passage that had left."""

    tokens: int | None
    released: float


async def stream(text: str, onset: int, mode: Mode, follow_limit: int, rules: TextRules, judge: Judge) -> Stopped:
    """In follow mode the judge is one piece late, which is the worst that its limit allows for."""
    channel = Channel(rules, Placeholders(), mode, follow_limit)
    late: list[tuple[int, Segment]] = []
    after = 0
    for match in [*_TOKEN.finditer(text), None]:
        pieces = channel.feed(match[0]) if match else channel.finish()
        after += bool(match and match.end() > onset)
        late += [(p.number, Segment(p.text, "assistant", "completion", lead=p.lead)) for p in pieces]
        while late and (mode != "follow" or len(late) > 1 or match is None):
            number, segment = late.pop(0)
            channel.resolved(number, await judge(segment))
        if channel.blocked_by is not None:
            return Stopped(after, _share(channel, onset, len(text)))
    stopped = any(v.action is Action.BLOCK for v in channel.verdicts)
    return Stopped(after if stopped else None, _share(channel, onset, len(text)))


def _share(channel: Channel, onset: int, length: int) -> float:
    left = min(channel.frontier, length) if channel.mode != "follow" else min(channel.frontier + channel.leaked, length)
    return max(0, left - onset) / max(1, length - onset)

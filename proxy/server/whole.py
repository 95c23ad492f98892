"""One text of an answer that is there at once: the same channel as in a stream, fed in one go."""

from __future__ import annotations

import asyncio

from proxy.guard import Guard
from proxy.policy.load import Policy
from proxy.stream.channel import Channel
from proxy.stream.guard import segment_of


async def inspect(guard: Guard, policy: Policy, channel: Channel, text: str, context: str, history: str) -> None:
    """Afterwards the channel is complete: it has its verdicts and its edits."""
    pieces = [*channel.feed(text), *channel.finish()]
    segments = [segment_of(piece, context, history, channel.tool) for piece in pieces]
    found = await asyncio.gather(*(guard.judge(policy, segment, patterns=False) for segment in segments))
    for piece, verdict in zip(pieces, found, strict=True):
        channel.resolved(piece.number, verdict)

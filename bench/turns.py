"""What a conversation costs the guard, turn by turn: python -m bench.turns [--turns N] [--verdicts redis://…]

CPU milliseconds to judge the whole prompt of each request under the default policy and the built-in model: when nobody has seen
the conversation yet, and for each turn of a conversation that grows; with --verdicts, also when another Weir has judged it and
left its verdicts in that Redis. Its texts are ordinary words that never repeat.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import statistics
import time

from bench.mock import WORDS
from proxy.config import Verdicts
from proxy.server.conversation import Memory, conversation, judged
from proxy.server.state import State
from proxy.server.verdicts import Shared
from proxy.wire.chat import read_request


def spoken(count: int, seed: int) -> list[dict[str, str]]:
    dice = random.Random(seed)
    return [
        {"role": "assistant" if number % 2 else "user", "content": " ".join(dice.choices(WORDS, k=60 if number % 2 else 20))}
        for number in range(count)
    ]


async def measure(turns: int, url: str | None) -> None:
    state = State.open(None)
    guard = state.snapshot.guard
    policy = next(iter(guard.policies.values()))

    async def once(messages: list[dict[str, str]], memory: Memory) -> float:
        started = time.process_time()
        fields = read_request({"model": "m", "messages": messages}).fields
        told = [(segment, one.prose) for segment, one in zip(conversation(fields), fields, strict=True)]
        await judged(guard, policy, told, memory)
        return (time.process_time() - started) * 1000

    await once(spoken(3, 99), Memory())
    shared = Verdicts(url=url, key=secrets.token_hex()) if url else None
    print(f"| turns | never seen | its next turn | the same request again |{' judged by another Weir |' if shared else ''}")
    print(f"{'|---' * (5 if shared else 4)}|")
    for count in (2, turns // 2, turns):
        cost: list[list[float]] = [[], [], []] + ([[]] if shared else [])
        for seed in range(5):
            memory, talk = Memory(), spoken(2 * count + 1, seed)
            cost[0].append(await once(talk[:-2], memory))
            cost[1].append(await once(talk, memory))
            cost[2].append(await once(talk, memory))
            if shared:
                here, there = Shared(shared), Shared(shared)
                await once(talk, here)
                await here.close()  # when all is written
                cost[3].append(await once(talk, there))
                await there.close()
        print(f"| {count} | " + " | ".join(f"{statistics.median(v):.1f} ms" for v in cost) + " |")
    await state.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.turns", description=__doc__)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--verdicts", help="A Redis.")
    given = parser.parse_args()
    asyncio.run(measure(given.turns, given.verdicts))

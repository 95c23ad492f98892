"""python -m bench.watching: what the decision log, and trace spans with metrics over OTLP, add to the CPU that a request takes.

For each policy the same Weir without either, with the one, with the other, all running side by side, asked in turn by the same
number of requests, in another order each round. A round's figure is its CPU over that of the plain Weir in the same round; the
table has the median of them. `again` is a second plain Weir: what it differs by is what this machine cannot tell apart.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import uvloop

from bench.__main__ import AUDIT, PATTERNS, Target, body, cpu_seconds, free_port, weir
from proxy import builtin

CLIENTS = 8


@contextlib.contextmanager
def sink() -> Iterator[str]:
    """Takes whatever comes over OTLP, and forgets it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


async def asked(url: str, stream: bool, count: int) -> None:
    rng, left = random.Random(time.time_ns()), iter(range(count))
    async with aiohttp.ClientSession() as session:

        async def one() -> None:
            for _ in left:
                async with session.post(url, json=body(rng, stream, 0)) as response:
                    await response.read()
                    assert response.status == 200

        await asyncio.gather(*(one() for _ in range(CLIENTS)))


def spent(target: Target, stream: bool, count: int) -> float:
    """CPU milliseconds a request. What is written or sent in batches is in it after a moment."""
    before = cpu_seconds(target.pid)
    uvloop.run(asked(target.url + "/v1/chat/completions", stream, count))
    time.sleep(0.3)
    return (cpu_seconds(target.pid) - before) / count * 1e3


def measured(targets: dict[str, Target], stream: bool, count: int) -> dict[str, float]:
    order = random.sample(list(targets), len(targets))
    return {kind: spent(targets[kind], stream, count) for kind in order}


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench.watching", description=__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--cpu", type=float, default=1.5, help="seconds of it that a plain Weir shall take in a round")
    given = arguments.parse_args()
    policies = {"patterns": PATTERNS, "default policy": (builtin.POLICIES / "default.yaml").read_text()}
    print("| policy | | CPU ms | again | audit | telemetry | telemetry, sampling: 0.1 |\n|---|---|---|---|---|---|---|")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port, receiver = free_port(), stack.enter_context(sink())
        mock = stack.enter_context(subprocess.Popen([sys.executable, "-m", "bench.mock", str(port)]))
        stack.callback(mock.terminate)
        kinds = {
            "plain": "", "again": "", "audit": AUDIT, "telemetry": f"telemetry: {{{{endpoint: '{receiver}'}}}}\n",
            "sampled": f"telemetry: {{{{endpoint: '{receiver}', sampling: 0.1}}}}\n",
        }  # fmt: skip
        for name, policy in policies.items():
            with contextlib.ExitStack() as running:
                targets = {
                    kind: running.enter_context(weir(f"{name} {kind}", policy, port, folder, more))
                    for kind, more in kinds.items()
                }
                for stream in (False, True):
                    count = max(20, int(given.cpu * 1e3 / spent(targets["plain"], stream, 40)))
                    rounds = [measured(targets, stream, count) for _ in range(given.rounds + 1)][1:]  # the first one warms
                    cells = [f"{statistics.median(r['plain'] for r in rounds):.2f}"]
                    cells += [f"{statistics.median(r[k] / r['plain'] for r in rounds) - 1:+.1%}" for k in kinds if k != "plain"]
                    print(f"| {name} | {'stream' if stream else 'request'} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

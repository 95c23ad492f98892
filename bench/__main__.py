"""python -m bench: what Weir costs, side by side in one run on this machine (Linux: CPU and memory come from /proc).

Rows: no proxy; Weir with an empty policy; Weir with patterns alone; Weir with the default policy and the built-in model.
Every prompt and answer is new, so no cache helps. Rounds are interleaved, the table has the median.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import uvloop

from bench.mock import WORDS
from proxy import builtin

TOKENS = 200
PATTERNS = """version: 1
name: patterns
rules:
  - {id: words, detect: {keywords: [bluebird, "project kestrel"]}, action: block}
  - {id: personal-data, detect: {entities: [email, phone, credit_card, iban, us_ssn]}, action: redact}
  - {id: keys, detect: {secrets: true}, action: redact}
"""
CONFIG = """version: 1
providers: {{mock: {{type: openai, base_url: "http://127.0.0.1:{port}/v1"}}}}
routes: [{{name: all, provider: mock, policy: {policy}}}]
{more}"""
AUDIT = "audit: {{url: 'sqlite:///{place}/weir.db'}}\n"
COLUMNS = (
    "req/s",
    "CPU ms/req",
    "streams/s",
    "CPU ms/stream",
    "first text ms",
    "token delay p50",
    "p95",
    "start s",
    "MiB idle",
)


@dataclass
class Target:
    name: str
    url: str
    pid: int | None = None
    start: float = 0.0
    idle: float = 0.0
    rounds: list[list[float]] = field(default_factory=list)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def cpu_seconds(pid: int | None) -> float:
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MiB."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def prompt(rng: random.Random) -> str:
    words = " ".join(rng.choice(WORDS) for _ in range(150))
    return f"I am planning a walk of {rng.randrange(10**6)} steps along these places: {words}. What should I see first?"


def body(rng: random.Random, stream: bool, delay: float) -> dict[str, object]:
    messages = [{"role": "system", "content": "You are a careful travel assistant."}, {"role": "user", "content": prompt(rng)}]
    return {"model": "m", "messages": messages, "stream": stream, "bench": {"tokens": TOKENS, "delay_ms": delay}}


async def closed_loop(session: aiohttp.ClientSession, url: str, stream: bool, clients: int, seconds: float) -> int:
    """How many requests were answered whole, by so many clients that each send the next when they have the last."""
    done, end, rng = 0, time.monotonic() + seconds, random.Random(time.time_ns())

    async def one() -> None:
        nonlocal done
        while time.monotonic() < end:
            async with session.post(url, json=body(rng, stream, 0)) as response:
                data = await response.read()
                assert response.status == 200 and (b"[DONE]" in data or not stream), data[:300]
                done += 1

    await asyncio.gather(*(one() for _ in range(clients)))
    return done


async def paced(session: aiohttp.ClientSession, url: str, delay: float) -> tuple[float, list[float]]:
    """Milliseconds from the request to its first text, and how late each event arrived after the upstream sent it."""
    late, first, begun = [], 0.0, time.monotonic()
    async with session.post(url, json=body(random.Random(time.time_ns()), True, delay)) as response:
        async for line in response.content:
            if line.startswith(b"data: {"):
                event = json.loads(line[6:])
                now = time.monotonic()
                if event["choices"] and event["choices"][0]["delta"].get("content"):
                    first = first or now - begun
                    late.append((now - float(event["system_fingerprint"])) * 1e3)
    return first * 1e3, late


async def measure(target: Target, seconds: float, clients: int, delay: float) -> None:
    url = target.url + "/v1/chat/completions"
    async with aiohttp.ClientSession() as session:
        await closed_loop(session, url, False, 2, 0.3)
        row: list[float] = []
        for stream in (False, True):
            before, begun = cpu_seconds(target.pid), time.monotonic()
            count = await closed_loop(session, url, stream, clients, seconds)
            row += [count / (time.monotonic() - begun), (cpu_seconds(target.pid) - before) / count * 1e3]
        runs = [await paced(session, url, delay) for _ in range(3)]
        late = sorted(x for _, one in runs for x in one)
        row += [statistics.median(f for f, _ in runs), late[len(late) // 2], late[int(len(late) * 0.95)]]
        target.rounds.append(row)


@contextlib.contextmanager
def weir(name: str, policy: str, upstream: int, folder: Path, more: str = "") -> Iterator[Target]:
    """`more` lines of the config may name its `{place}`."""
    place = folder / name.replace(" ", "-")
    (place / "config").mkdir(parents=True)
    (place / "policies").mkdir()
    (place / "policies" / "bench.yaml").write_text(policy)
    (place / "config" / "weir.yaml").write_text(CONFIG.format(port=upstream, policy="bench", more=more.format(place=place)))
    port, begun = free_port(), time.monotonic()
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(place / "config" / "weir.yaml"), "--port", str(port)]
    with subprocess.Popen([*command, "--log-level", "warning"], stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(url + "/readyz", timeout=1).read()
                    break
                if process.poll() is not None or time.monotonic() - begun > 60:
                    raise SystemExit(f"{name}: did not start")
                time.sleep(0.02)
            started = time.monotonic() - begun
            time.sleep(1)
            yield Target(name, url, process.pid, started, resident(process.pid))
        finally:
            process.terminate()


def table(targets: list[Target]) -> str:
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for target in targets:
        values = [statistics.median(column) for column in zip(*target.rounds, strict=True)]
        cells = [
            f"{values[0]:.0f}",
            f"{values[1]:.2f}",
            f"{values[2]:.0f}",
            f"{values[3]:.2f}",
            *(f"{v:.1f}" for v in values[4:]),
        ]
        cells += [f"{target.start:.1f}", f"{target.idle:.0f}"]
        if target.pid is None:
            cells[1] = cells[3] = cells[-1] = cells[-2] = "-"
        lines.append(f"| {target.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    arguments.add_argument("--seconds", type=float, default=4, help="a phase")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--clients", type=int, default=16)
    arguments.add_argument("--audit", action="store_true", help="each Weir once more, with a decision log")
    arguments.add_argument("--delay-ms", type=float, default=10, help="between the tokens of a paced stream")
    given = arguments.parse_args()
    default = (builtin.POLICIES / "default.yaml").read_text()
    port = free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mock = stack.enter_context(subprocess.Popen([sys.executable, "-m", "bench.mock", str(port)]))
        stack.callback(mock.terminate)
        targets = [Target("direct", f"http://127.0.0.1:{port}")]
        for name, policy in (("empty policy", "version: 1\nrules: []\n"), ("patterns", PATTERNS), ("default policy", default)):
            targets.append(stack.enter_context(weir(name, policy, port, folder)))
            if given.audit:
                targets.append(stack.enter_context(weir(f"{name}, audit", policy, port, folder, AUDIT)))
        for number in range(given.rounds):
            for target in targets:
                print(f"round {number + 1}: {target.name}", file=sys.stderr)
                uvloop.run(measure(target, given.seconds, given.clients, given.delay_ms))
        print(f"{given.clients} clients, answers of {TOKENS} tokens, paced streams at {given.delay_ms:g} ms a token\n")
        print(table(targets))


if __name__ == "__main__":
    main()

"""python -m bench.scale: what a deployment needs, from service times measured here and a queueing model that is checked here.

One worker is pinned to one core, the load and the upstream to the others. A request's cost is the CPU time of the worker's
threads while nothing else is asked of it (`/proc`, in nanoseconds); from these and nothing else the model of
`bench.scale_model` predicts what the worker does under load, on the very requests that are then sent. `--write FILE` puts the
tables into FILE; the exit code is 1 if a prediction is off by more than `--within`. Linux; as root, what is measured goes
before all other work on its cores while it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import glob
import math
import os
import platform
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import numpy as np
import uvloop
from numpy.typing import NDArray

from bench.__main__ import PATTERNS, free_port
from bench.scale_model import Cost, Job, bisect, poisson, simulate
from proxy import builtin

LOADS = (0.3, 0.6, 0.8)  # of what the model says one worker can do
WORST = 0.25  # seconds that Weir may keep one request in a hundred
SPARE = 0.7  # how much of a store or a Redis a plan may use
RATE = 10  # requests a second at 1x, half of them streams
ANSWER = 5.0  # seconds a provider takes
POD = 4  # cores
BUNDLES = 10  # that a stream's answer is in, for the model
CONFIG = """version: 1
providers: {{mock: {{type: openai, base_url: "http://127.0.0.1:{port}/v1"}}}}
detectors: {{safeguard: {{type: onnx, model: builtin, screen: {screen}}}}}
routes: [{{name: all, provider: mock, policy: bench}}]
"""
SENTENCES = (
    "We would like to visit the {} in {} with two children.|The {} opens at nine and closes before {}.|Which {} would you "
    "take for a week in {}?|It rained in the morning, so the {} was nearly empty.|My sister lives near {} and bakes bread "
    "every day.|Please write a short note to the {} about the late delivery.|The recipe needs three eggs, some flour and a "
    "{}.|How long does the train from {} take in winter?|The report compares the {} with last year and explains the "
    "change.|A good {} costs little and lasts for years.|Could you summarise this paragraph about {} in two lines?|First "
    "open the window, then clean the {} with warm water.|They planted apple trees behind the {} in {}.|The meeting about "
    "the {} is moved to {}."
).split("|")
THINGS = (
    "museum garden bridge library market station castle harbour bakery school office lamp chair bicycle kettle printer".split()
)
PLACES = "Lyon Bergen Porto Ghent Turin Oslo Vienna Dublin Krakow Basel March April June October November spring".split()


PAGE = """# Numbers to plan with

Made by `python -m bench.scale --write bench/scale.md` on {here}; {condition}. Run it on your machine, and this page speaks
of yours.

## What a request costs one core

CPU time of one worker, of requests that come alone: prompts of {prompt:.0f} words in the mean and {longest} at most, answers
of {answer:.0f}, ordinary sentences that never repeat; streams come at 20 ms a word. *Busy* is how much of a core may be used
so that one request in a hundred is kept {worst:.0f} ms or longer, by the model; the last column is what a core serves then,
half of it streams.

| policy | CPU ms/request | requests/s a core, at most | CPU ms/stream | open streams a core, at most | busy | planned, a core |
|---|---|---|---|---|---|---|
{served}

Memory: {once:.0f} MiB once, {each:.0f} MiB a worker after work, {stream:.0f} KiB an open stream (`/proc/PID/smaps_rollup`,
`--workers {workers}`).

A GPU: `weir model bench --device cuda` prints what the classifier does there. No GPU was at hand when this was made, so
there is no figure of one here.

## Is the model right?

One worker on a core of its own under the default policy. *Predicted* is what the model of `bench/scale_model.py` says from
the costs of requests that came alone: the throughput from others of the same lengths, the waits from the very ones that were
then sent, when they came, and how much *dearer* in CPU time a request was in that run than alone, which company on the machine
makes it. *No core* is how long the
worker's threads, together, were ready and had none, because another of its own or somebody else had it.

| load | | predicted | measured | off by | dearer | no core |
|---|---|---|---|---|---|---|
{checks}

## What a deployment needs

Default policy. 1x is {rate} requests a second at the peak, half of them streams, of a provider that takes {provider:g} s; a
pod has {pod} cores and as many workers, and there is one pod more than needed. *Kept* is p50 / p99 of what Weir adds,
simulated over all workers with requests spread by chance. *Next bottleneck* is what is used most of what all workers share,
measured here:
{shared}; a request asks Redis twice and writes one record, in batches.

| | requests/s | in flight | cores | pods | GiB | kept ms | next bottleneck |
|---|---|---|---|---|---|---|---|
{plan}

Cores come first, and are bought by the pod: workers share nothing but the decision log, Redis and the judges. The decision
log is one chain, so one store takes all of its records: where it is full above, give each group of pods a log of its own.
Redis counts by key, so a cluster of them divides the keys. A judge costs seconds of a GPU where the classifier costs
milliseconds of a core: plan it by `weir_judge_answers` of your own traffic.
"""


class Ask(NamedTuple):
    """How long a prompt and its answer are, in words, and the seed of their sentences."""

    prompt: int
    answer: int
    seed: int = 0


class Costs(NamedTuple):
    """Of requests that came alone: what they asked, CPU seconds of the event loop and of the classifier, seconds from end to
    end."""

    asks: list[Ask]
    loop: NDArray[np.float64]
    read: NDArray[np.float64]
    wall: NDArray[np.float64]

    @property
    def cpu(self) -> NDArray[np.float64]:
        return self.loop + self.read

    @property
    def base(self) -> float:
        """What a request takes beyond the worker's own work: sockets, the upstream, whoever asks."""
        return float(np.median(self.wall - self.cpu))

    def and_(self, more: Costs) -> Costs:
        return Costs(self.asks + more.asks, *(np.concatenate([a, b]) for a, b in zip(self[1:], more[1:], strict=True)))


def some_ask(rng: random.Random) -> Ask:
    """Most are short, some are long."""
    prompt, answer = (min(400, max(5, round(rng.lognormvariate(mean, 0.7)))) for mean in (4.2, 4.6))
    return Ask(prompt, answer, rng.getrandbits(32))


def some(count: int, rng: random.Random) -> list[Ask]:
    return [some_ask(rng) for _ in range(count)]


def text(words: int, rng: random.Random, note: int) -> str:
    """The number keeps a text that was asked before from being known."""
    said: list[str] = []
    while len(said) < words:
        sentence = rng.choice(SENTENCES)
        said += sentence.format(*(rng.choice(THINGS if i == 0 else PLACES) for i in range(sentence.count("{}")))).split()
    return f"Note {note}. " + " ".join(said[:words])


def body(ask: Ask, rng: random.Random, stream: bool = False, delay: float = 0.0) -> dict[str, Any]:
    """The same sentences for the same `ask`, under a number of `rng`."""
    own = random.Random(ask.seed)
    words = [word + " " for word in text(ask.answer, own, rng.randrange(10**8, 10**9)).split()]
    messages = [{"role": "user", "content": text(ask.prompt, own, rng.randrange(10**8, 10**9))}]
    return {"model": "m", "messages": messages, "stream": stream, "bench": {"words": words, "delay_ms": delay}}


# -- the machine


class Spent(NamedTuple):
    """Seconds: the first thread's, which has the event loop; the others'; and for how long any was ready and had no core."""

    loop: float
    others: float
    waited: float

    @classmethod
    def of(cls, pid: int) -> Spent:
        loop = others = waited = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                ran, waits, _ = map(int, (task / "schedstat").read_text().split())
                waited += waits
                if int(task.name) == pid:
                    loop += ran
                else:
                    others += ran
        return cls(loop / 1e9, others / 1e9, waited / 1e9)

    @property
    def cpu(self) -> float:
        return self.loop + self.others

    def since(self, before: Spent) -> Spent:
        return Spent(*(now - then for now, then in zip(self, before, strict=True)))


def memory_of(pid: int, *kinds: str) -> int:
    """Bytes."""
    lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line[1]) * 1024 for line in lines if line[0] in kinds)


PRIVATE = ("Private_Clean:", "Private_Dirty:")


def children(pid: int) -> list[int]:
    return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def preferred() -> Iterator[None]:
    """What is started here goes before all other work on its cores; only root may ask for that. Priorities would not do: Linux
    shares cores out between sessions first."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@dataclass
class Machine:
    own: set[int]  # the worker's core
    rest: set[int]  # everybody else's

    @classmethod
    def here(cls) -> Machine:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise SystemExit("two cores are needed: one for the worker, one for the load")
        return cls({cores[0]}, set(cores[1:]))

    def describe(self) -> str:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
        cores, date = len(self.own | self.rest), time.strftime("%Y-%m-%d", time.gmtime())
        return f"{model}, {cores} cores, Python {platform.python_version()}, {date}"

    def condition(self) -> str:
        first = "; what is measured went before other work" if os.geteuid() == 0 else ""
        return f"load of the machine over the last quarter of an hour: {os.getloadavg()[2]:.1f}{first}"


# -- Weir and its load


@contextlib.contextmanager
def weir(
    folder: Path, policy: str, upstream: int, cores: set[int], *, screen: bool = True, workers: int = 1
) -> Iterator[tuple[str, int]]:
    """Its URL, and the process that serves (of several: the one that looks after them)."""
    (folder / "config").mkdir(parents=True)
    (folder / "policies").mkdir()
    (folder / "policies" / "bench.yaml").write_text(policy)
    path = folder / "config" / "weir.yaml"
    path.write_text(CONFIG.format(port=upstream, screen=str(screen).lower()))
    port = free_port()
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(path), "--port", str(port), "--log-level", "warning"]
    command += ["--workers", str(workers)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        os.sched_setaffinity(process.pid, cores)  # before it has any thread but one
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                    break
                if process.poll() is not None:
                    raise SystemExit("Weir did not start; `weir doctor` may tell why")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1/chat/completions", process.pid
        finally:
            process.terminate()


async def answered(session: aiohttp.ClientSession, url: str, asked: dict[str, Any]) -> bool:
    """False where Weir had too much to do."""
    async with session.post(url, json=asked) as response:
        data = await response.read()
        assert response.status in (200, 503), data[:300]
        return response.status == 200


def client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=120))


async def alone(url: str, pid: int, asks: list[Ask], rng: random.Random, stream: bool = False, delay: float = 0.0) -> Costs:
    """One request after the other, and what each of them costs."""
    spent, wall = [], []
    async with client() as session:
        for _ in range(5):  # to warm up
            await answered(session, url, body(some_ask(rng), rng, stream, delay))
        for ask in asks:
            asked = body(ask, rng, stream, delay)
            before, began = Spent.of(pid), time.perf_counter()
            await answered(session, url, asked)
            wall.append(time.perf_counter() - began)
            await asyncio.sleep(0.002)  # what is done behind the answer belongs to it
            spent.append(Spent.of(pid).since(before))
    return Costs(asks, np.array([one.loop for one in spent]), np.array([one.others for one in spent]), np.array(wall))


async def together(url: str, clients: int, seconds: float, rng: random.Random) -> tuple[int, float, list[Ask]]:
    """So many clients, each of which asks again as soon as it has its answer: how many were answered in how long."""
    asks: list[Ask] = []
    began = time.perf_counter()

    async def one(session: aiohttp.ClientSession) -> None:
        while time.perf_counter() - began < seconds:
            ask = some_ask(rng)
            await answered(session, url, body(ask, rng))
            asks.append(ask)

    async with client() as session:
        await asyncio.gather(*(one(session) for _ in range(clients)))
    return len(asks), time.perf_counter() - began, asks


def arrivals(rate: float, seconds: float, rng: random.Random) -> list[float]:
    times: list[float] = []
    at = 0.0
    while (at := at + rng.expovariate(rate)) < seconds:
        times.append(at)
    return times


async def arriving(url: str, times: list[float], asks: list[Ask], rng: random.Random) -> NDArray[np.float64]:
    """Requests that wait for nobody: how long each took from when it should have come."""
    bodies = [body(ask, rng) for ask in asks]
    took = np.zeros(len(times))
    async with client() as session:
        await answered(session, url, body(Ask(5, 5), rng))
        began = time.perf_counter() + 0.1

        async def one(number: int) -> None:
            await asyncio.sleep(max(0.0, began + times[number] - time.perf_counter()))
            fine = await answered(session, url, bodies[number])
            took[number] = time.perf_counter() - began - times[number] if fine else np.nan

        await asyncio.gather(*(one(number) for number in range(len(times))))
    return took


# -- from costs to predictions


@dataclass
class Priced:
    """What a request will cost, by its lengths: straight lines through the measured ones, and how they lie around them."""

    costs: Costs
    lines: tuple[NDArray[np.float64], NDArray[np.float64]] = field(init=False)
    around: list[float] = field(init=False)

    def __post_init__(self) -> None:
        shape = np.array([[1.0, ask.prompt, ask.answer] for ask in self.costs.asks])
        loop, read = (np.linalg.lstsq(shape, one, rcond=None)[0] for one in (self.costs.loop, self.costs.read))
        self.lines = loop, read
        self.around = (self.costs.cpu / np.maximum(shape @ (loop + read), 1e-5)).tolist()

    def of(self, ask: Ask, rng: random.Random) -> Cost:
        chance = rng.choice(self.around)
        parts = [(line[0] / 2 + line[1] * ask.prompt, line[0] / 2 + line[2] * ask.answer) for line in self.lines]
        (prompt_loop, answer_loop), (prompt_read, answer_read) = parts
        return Cost(*(max(1e-6, float(one)) * chance for one in (prompt_loop, prompt_read, answer_loop, answer_read)))

    def each(self) -> list[Cost]:
        """The measured ones, divided between prompt and answer as the lines say."""
        found = []
        for ask, *measured in zip(self.costs.asks, self.costs.loop, self.costs.read, strict=True):
            parts = []
            for line, spent in zip(self.lines, measured, strict=True):
                prompt, answer = (max(1e-9, line[0] / 2 + line[1 + i] * ask[i]) for i in (0, 1))
                parts.append((float(spent * prompt / (prompt + answer)), float(spent * answer / (prompt + answer))))
            (prompt_loop, answer_loop), (prompt_read, answer_read) = parts
            found.append(Cost(prompt_loop, prompt_read, answer_loop, answer_read))
        return found

    def mean(self, asks: Sequence[Ask], rng: random.Random) -> float:
        return sum(sum(self.of(ask, rng)) for ask in asks) / len(asks)


@dataclass(frozen=True, slots=True)
class Check:
    """A prediction and what was measured. `dearer`: the CPU time of a request in that run, to that of one that comes alone.
    `waited`: for how much of the time a thread of the worker was ready and had no core."""

    what: str
    unit: str
    predicted: float
    measured: float
    dearer: float
    waited: float

    @property
    def off(self) -> float:
        return self.predicted / self.measured - 1

    def row(self) -> str:
        digits = 0 if self.predicted >= 100 else 1
        numbers = f"{self.predicted:.{digits}f} | {self.measured:.{digits}f} | {self.off:+.0%}"
        return f"| {self.what} | {self.unit} | {numbers} | {self.dearer:.2f} | {self.waited:.0%} |"


async def checks(url: str, pid: int, given: argparse.Namespace, rng: random.Random) -> tuple[Costs, list[Check]]:
    """Costs before and after, with the loads in between. What is sent at a load has been asked before, each request alone."""
    before = await alone(url, pid, some(given.requests, rng), rng)
    priced = Priced(before)
    found: list[Check] = []

    async def watched(run: Callable[[], Awaitable[Any]]) -> tuple[Any, Spent, float]:
        then, began = Spent.of(pid), time.perf_counter()
        result = await run()
        return result, Spent.of(pid).since(then), time.perf_counter() - began

    (count, seconds, asks), spent, took = await watched(lambda: together(url, 16, given.seconds, rng))
    mean = priced.mean(asks, rng)
    dearer = spent.cpu / count / mean
    found.append(Check("as much as it can, 16 clients", "requests/s", 1 / mean, count / seconds, dearer, spent.waited / took))
    for load in LOADS:
        times = arrivals(load / mean, given.seconds * 2.4 / load, rng)  # as many of each load: a p99 needs some hundreds
        own = await alone(url, pid, some(len(times), rng), rng)
        kept, spent, took = await watched(partial(arriving, url, times, own.asks, rng))
        dearer = spent.cpu / len(times) / float(own.cpu.mean())
        costs = [Cost(*(part * dearer for part in cost)) for cost in Priced(own).each()]
        expected = simulate([Job(at, cost) for at, cost in zip(times, costs, strict=True)], 1, rng) + own.base
        skip = len(times) // 20
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            predicted = float(np.quantile(expected[skip:], share))
            measured = float(np.nanquantile(kept[skip:], share))
            what = f"{load:.0%} of that, arriving by chance: {name}"
            found.append(Check(what, "ms", predicted * 1e3, measured * 1e3, dearer, spent.waited / took))
        if refused := int(np.isnan(kept).sum()):
            print(f"{refused} of {len(kept)} were refused: too busy", file=sys.stderr)
    after = await alone(url, pid, some(max(10, given.requests // 2), rng), rng)
    return before.and_(after), found


# -- what surrounds the workers


def store_rate(folder: Path, url: str | None = None) -> float:
    """Records a second that the decision log's store takes, in batches as its writer makes them."""
    from proxy.audit.entry import Entry
    from proxy.audit.store import Store
    from proxy.audit.writer import BATCH

    store = Store.open(url or f"sqlite:///{folder / 'audit.db'}", "a key for the bench alone")
    facts = {"route": "all", "policy": "bench@00000000", "action": "pass", "answer": "pass", "status": 200, "rules": ["x"] * 8}
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < 2:
        store.append([Entry(id=os.urandom(16).hex(), at=time.time(), kind="request", facts=facts) for _ in range(BATCH)])
        count += BATCH
    store.close()
    return count / (time.perf_counter() - began)


def postgres_rate(folder: Path) -> float | None:
    """Of a PostgreSQL that is started for it. None where there is none."""
    if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        return None
    from tests.audit.postgres import running

    place_ = folder / "postgres"
    place_.mkdir()
    with running(place_) as url:
        return store_rate(folder, url)


def redis_rate(folder: Path) -> float | None:
    """Questions a second that one Redis answers, by the CPU time that it takes for one. None where there is no Redis."""
    program = shutil.which("redis-server")
    if program is None:
        return None
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            return asyncio.run(_redis_rate(f"redis://127.0.0.1:{port}/0", process.pid))
        finally:
            process.terminate()


async def _redis_rate(url: str, pid: int) -> float:
    from proxy.server.counters import Bucket, Shared

    shared = Shared(url, "deny")
    for _ in range(100):
        with contextlib.suppress(Exception):
            await shared.take([Bucket("b", 1e12, 1.0, 1.0)])
            break
        await asyncio.sleep(0.1)
        shared._again = 0.0
    count, before = 4000, Spent.of(pid)

    async def one(number: int) -> None:
        for _ in range(count // 20):
            await shared.take([Bucket(f"r{number}", 1e12, 1.0, 1.0), Bucket(f"t{number}", 1e12, 1.0, 100.0)])

    await asyncio.gather(*(one(number) for number in range(20)))
    rate = count / Spent.of(pid).since(before).cpu
    await shared.close()
    return rate


async def memory(url: str, pid: int, workers: int, rng: random.Random) -> tuple[float, float, float]:
    """MiB: of what there is once, of each worker when it has worked, and of a stream that is open."""
    await together(url, 8, 2, rng)
    template = children(pid)[0]
    each = [memory_of(worker, *PRIVATE) for worker in children(template)]
    all_ = sum(memory_of(one, "Pss:") for one in (pid, template, *children(template)))  # what is shared counts once
    once = all_ - sum(each)

    async with client() as session:
        before = sum(memory_of(worker, *PRIVATE) for worker in children(template))
        streams = [asyncio.create_task(answered(session, url, body(Ask(50, 60), rng, True, 100.0))) for _ in range(200)]
        await asyncio.sleep(4)
        after = sum(memory_of(worker, *PRIVATE) for worker in children(template))
        await asyncio.gather(*streams)
    return once / 2**20, sum(each) / len(each) / 2**20, max(0.0, after - before) / len(streams) / 2**20


# -- the page


@dataclass(frozen=True, slots=True)
class Served:
    """What one policy costs. Milliseconds of CPU."""

    name: str
    whole: Costs
    stream: Costs

    @property
    def mean(self) -> float:
        return float((self.whole.cpu.mean() + self.stream.cpu.mean()) / 2)

    def mix(self, rate: float, count: int, rng: random.Random) -> tuple[list[Job], NDArray[np.bool_]]:
        """`count` whole answers and as many streams, `rate` of both a second, and which of the jobs are whole answers. A stream
        is its prompt, and its answer in bundles of ten words, one every 200 ms."""
        whole, stream = (
            [Priced(c).of(ask, rng) for ask in c.asks] for c in (self.whole, self.stream)
        )  # fmt: skip
        jobs = [(job, True) for job in poisson(rate / 2, whole, count, rng)]
        for job in poisson(rate / 2, stream, count, rng):
            size = BUNDLES
            jobs.append((Job(job.at, Cost(job.cost.prompt_loop, job.cost.prompt_read, 0.0, 0.0)), False))
            part = Cost(0.0, 0.0, job.cost.answer_loop / size, job.cost.answer_read / size)
            jobs += ((Job(job.at + 0.2 * (n + 1), part), False) for n in range(size))
        jobs.sort(key=lambda one: one[0].at)
        return [job for job, _ in jobs], np.array([is_whole for _, is_whole in jobs])

    def busiest(self, rng: random.Random, count: int = 2000) -> float:
        """How much of a worker may be in use so that one whole answer in a hundred is kept `WORST` or longer."""

        def kept(load: float) -> float:
            jobs, whole = self.mix(load / self.mean, count, rng)
            return float(np.quantile(simulate(jobs, 1, rng)[whole][count // 20 :], 0.99)) + self.whole.base

        return bisect(kept, WORST)

    def row(self, most: float) -> str:
        whole, stream = float(self.whole.cpu.mean()), float(self.stream.cpu.mean())
        open_ = float(np.mean([ask.answer for ask in self.stream.asks])) * 0.02
        cells = (f"{whole * 1e3:.2f}", f"{1 / whole:.0f}", f"{stream * 1e3:.1f}", f"{open_ / stream:.0f}")
        planned = (f"{most:.0%}", f"{most / self.mean:.0f}") if most else ("longer alone", "-")
        return f"| {self.name} | " + " | ".join((*cells, *planned)) + " |"


def plan(
    served: Served, most: float, sizes: tuple[float, float, float], stores: dict[str, float | None], count: int = 2000
) -> list[str]:
    once, each, stream = sizes
    lines = []
    for times in (1, 10, 100, 1000):
        rate = RATE * times
        cores = max(1, math.ceil(rate * served.mean / most))
        pods = math.ceil(cores / POD) + 1
        in_flight = rate * ANSWER
        mib = pods * (once + POD * each) + in_flight * stream
        some = min(cores, 8)  # of workers that share nothing each is like the others
        rng = random.Random(1)
        jobs, whole = served.mix(rate / cores * some, count * some, rng)
        took = simulate(jobs, some, rng) + served.whole.base
        full = {name: rate * (2 if name == "Redis" else 1) / one for name, one in stores.items() if one}
        first = max(full, key=lambda name: full[name])
        next_ = f"{first} at {full[first]:.0%}" + (": more than one takes" if full[first] > SPARE else "")
        kept = f"{np.quantile(took[whole], 0.5) * 1e3:.0f} / {np.quantile(took[whole], 0.99) * 1e3:.0f}"
        lines.append(
            f"| {times:,}x | {rate:,} | {in_flight:,.0f} | {cores:,} | {pods:,} | {mib / 1024:,.1f} | {kept} | {next_} |"
        )
    return lines


def page(
    machine: Machine, given: argparse.Namespace, served: list[Served], found: list[Check], sizes: tuple[float, float, float],
    stores: dict[str, float | None],
) -> str:  # fmt: skip
    busiest_ = {one.name: one.busiest(random.Random(2)) for one in served}
    judged = next(one for one in served if one.name == "default policy")
    once, each, stream = sizes
    asks = judged.whole.asks
    text = PAGE.format(
        here=machine.describe(), condition=machine.condition(), rate=RATE, provider=ANSWER, pod=POD, worst=WORST * 1e3,
        workers=given.workers, once=once, each=each, stream=stream * 1024, longest=max(a.prompt for a in asks),
        prompt=float(np.mean([a.prompt for a in asks])), answer=float(np.mean([a.answer for a in asks])),
        shared=", ".join(f"{name} {rate:,.0f} a second" for name, rate in stores.items() if rate),
        served="\n".join(one.row(busiest_[one.name]) for one in served), checks="\n".join(one.row() for one in found),
        plan="\n".join(plan(judged, busiest_[judged.name], sizes, stores)),
    )  # fmt: skip
    parts = text.strip().split("\n\n")
    return (
        "\n\n".join(p if p[0] in "#|" else textwrap.fill(" ".join(p.split()), 128, break_on_hyphens=False) for p in parts)
        + "\n"
    )


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    arguments.add_argument("--write", type=Path, help="the page, as Markdown")
    arguments.add_argument("--requests", type=int, default=120, help="that are asked alone, for the costs")
    arguments.add_argument(
        "--seconds", type=float, default=14, help="of the full load; each other one takes three times as long"
    )
    arguments.add_argument(
        "--tries", type=int, default=1, help="at the checks; the one with the smallest error in the middle stays"
    )
    arguments.add_argument("--within", type=float, default=0.2)
    arguments.add_argument("--workers", type=int, default=4, help="for the memory")
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    machine, rng = Machine.here(), random.Random(given.seed)
    os.sched_setaffinity(0, machine.rest)
    default = (builtin.POLICIES / "default.yaml").read_text()
    port = free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with preferred():
            mock = stack.enter_context(subprocess.Popen([sys.executable, "-m", "bench.mock", str(port)]))
            stack.callback(mock.terminate)
            served, found = measured(folder, default, port, machine, given, rng)
        with weir(folder / "several", default, port, machine.own | machine.rest, workers=given.workers) as (url, pid):
            sizes = uvloop.run(memory(url, pid, given.workers, rng))
        stores = {"SQLite": store_rate(folder), "Redis": redis_rate(folder)}
        if (postgres := postgres_rate(folder)) is not None:  # more than one machine writes to it
            stores = {"PostgreSQL without fsync": postgres, "Redis": stores["Redis"]}
    text = page(machine, given, served, found, sizes, stores)
    if given.write:
        given.write.write_text(text, encoding="utf-8")
    print(text)
    worst = max(abs(one.off) for one in found)
    print(f"the largest error is {worst:.0%}", file=sys.stderr)
    return 0 if worst <= given.within else 1


def measured(
    folder: Path, default: str, port: int, machine: Machine, given: argparse.Namespace, rng: random.Random
) -> tuple[list[Served], list[Check]]:
    kinds = (
        ("empty policy", "version: 1\nrules: []\n", True), ("patterns", PATTERNS, True), ("default policy", default, True),
        ("default policy, screen off", default, False),
    )  # fmt: skip
    served: list[Served] = []
    best: list[Check] = []
    for name, policy, screen in kinds:
        print(name, file=sys.stderr)
        with weir(folder / name.replace(" ", "-"), policy, port, machine.own, screen=screen) as (url, pid):
            if name == "default policy":
                for number in range(given.tries):
                    whole, found = uvloop.run(checks(url, pid, given, rng))
                    waited = max(one.waited for one in found)
                    print(f"try {number + 1}: the worker had no core for {waited:.0%} of the time at most", file=sys.stderr)
                    if not best or waited < max(one.waited for one in best):
                        best, kept = found, whole
                whole = kept
            else:
                whole = uvloop.run(alone(url, pid, some(given.requests // 2, rng), rng))
            stream = uvloop.run(alone(url, pid, some(max(5, given.requests // 6), rng), rng, True, 5.0))  # as alone as at 20 ms
            served.append(Served(name, whole, stream))
    return served, best


if __name__ == "__main__":
    sys.exit(main())

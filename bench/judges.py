"""What a verdict costs: by examples, by a judge, and by a cascade of both.

python -m bench.judges [--data FILE.jsonl.gz] [--latency 0.5] [--price IN OUT] [--answer TOKENS] [--core-hour MONEY]

The judge is scripted and answers after `--latency` seconds, so that what is left is Weir's own. Prices are of a million tokens,
and of an hour of one core; all costs are of 1,000 texts. Without --data the texts are the examples of the policies that come
with Weir, of which half were written to be found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from aiohttp import web

from proxy import builtin
from proxy.config import JudgeDetector
from proxy.detect.scanner import Scanner
from proxy.evaluate.report import read_rows
from proxy.guard import Guard
from proxy.judge.cascade import Cascade
from proxy.judge.client import Judge
from proxy.judge.format import Question
from proxy.judge.words import Words
from proxy.model.classifier import Classifier
from proxy.model.queue import ScoringQueue
from proxy.policy.lint import tokens_about
from proxy.policy.load import Detectors, load_policy, parse_policy
from proxy.policy.template import WORDS
from proxy.types import Segment

EXAMPLES = Path(__file__).with_name("taught")
POLICY = WORDS.format(name="p") + "- Said plainly what is meant by it.\n" * 25  # as long as judges like it
CATEGORY = "{version: 1, rules: [{id: r, detect: {category: harassment}, action: flag}]}"
BAND = "{category: harassment, above: 0.2, below: 0.9, confirm: judge}"


class Measured(NamedTuple):
    name: str
    wall: list[float]
    cpu: float  # of one text
    asked: int  # of a judge


def serve(port: int, latency: float) -> None:
    """The scripted judge: everything is safe."""
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": "0"}, "finish_reason": "stop"}]})

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency)
        return web.Response(text=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def taught(count: int) -> str:
    """A policy with as many rules by examples."""
    rules: list[dict[str, Any]] = []
    files = [f for f in sorted(EXAMPLES.glob("*.yaml")) if not yaml.safe_load(f.read_text(encoding="utf-8")).get("topic")]
    for number in range(count):
        given = yaml.safe_load(files[number % len(files)].read_text(encoding="utf-8"))
        examples = {"violates": given["violates"], "allows": given["allows"]}
        rules.append({"id": f"r{number}", "detect": {"examples": examples, "fpr": 0.01}, "action": "flag"})
    return json.dumps({"version": 1, "rules": rules})


def worded(detect: str) -> str:
    text = "\n".join(
        "      " + line for line in (WORDS.format(name="p") + "- Said plainly what is meant by it.\n" * 25).splitlines()
    )
    return f"version: 1\nrules:\n  - id: words\n    detect: {detect}\n    action: flag\n    text: |\n{text}\n"


async def run(name: str, text: str, texts: Sequence[str], classifier: Classifier, judge: Judge | None = None) -> Measured:
    """One text after the other, each read for the first time."""
    queue = ScoringQueue(classifier, remember=0)
    detectors = Detectors({"judge": True}, queue.learner)
    policy = parse_policy(text, queue.classifier.artefact, name, "p", detectors=detectors)
    guard = Guard({"p": policy}, Scanner(policy.patterns.values()), queue, 60.0, Cascade({"judge": judge} if judge else {}))
    await guard.judge(policy, Segment("Warm up, please."))
    wall, asked, began = [], 0, time.process_time()
    for one in texts:
        started = time.perf_counter()
        verdict = await guard.judge(policy, Segment(one))
        wall.append(time.perf_counter() - started)
        asked += sum(step.detector == "judge" for step in verdict.steps)
    queue.close()
    return Measured(name, wall, (time.process_time() - began) / len(texts), asked)


def examples() -> list[str]:
    found = {e.text: None for path in sorted(builtin.POLICIES.glob("*.yaml")) for e in load_policy(path, None).examples}
    return list(found)


def from_file(path: Path) -> list[str]:
    return list({row["text"]: None for row in read_rows([path])})


async def measure(texts: Sequence[str], port: int, classifier: Classifier) -> list[Measured]:
    few = texts[:40]  # each takes the judge's latency
    found = [
        await run(
            "category", "{version: 1, rules: [{id: r, detect: {category: harassment}, action: flag}]}", texts, classifier
        ),
        *[await run(f"{n} by examples", taught(n), texts, classifier) for n in (1, 5, 20)],
    ]
    settings = JudgeDetector(type="judge", base_url=f"http://127.0.0.1:{port}/v1", model="scripted")
    for name, detect, own in (("judge", "{judge: judge}", few), ("cascade", BAND, texts)):
        judge = Judge("judge", settings)
        found.append(await run(name, worded(detect), own, classifier, judge))
        await judge.close()
    return found


def tokens(texts: Sequence[str]) -> float:
    """Of a question, about."""
    asked = (Words("low").messages(Question(POLICY, text), "0" * 24, False) for text in texts)
    return statistics.mean(sum(tokens_about(one["content"]) for one in messages) for messages in asked)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--price", type=float, nargs=2, metavar=("IN", "OUT"), default=(0.0, 0.0))
    parser.add_argument("--answer", type=int, default=150, help="tokens of an answer, with its reasoning")
    parser.add_argument("--core-hour", type=float, default=0.0)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.latency)
        return
    texts = from_file(given.data) if given.data else examples()
    classifier = Classifier.load(builtin.MODEL)
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "bench.judges", "--serve", str(port), "--latency", str(given.latency)]
    ) as server:
        try:
            wait_for(port)
            found = asyncio.run(measure(texts, port, classifier))
        finally:
            server.terminate()
    question = tokens(texts)
    print(f"{len(texts)} texts; a question has about {question:.0f} tokens; the judge answers after {given.latency:g} s\n")
    print("| policy | asks the judge | p50 ms | p95 ms | CPU ms | cost of 1,000 |\n|---|---|---|---|---|---|")
    for one in found:
        share = one.asked / len(one.wall)
        money = 1000 * (one.cpu / 3600 * given.core_hour)
        money += 1000 * share * (question * given.price[0] + given.answer * given.price[1]) / 1e6
        p50, p95 = (q * 1000 for q in (statistics.median(one.wall), statistics.quantiles(one.wall, n=20)[-1]))
        print(f"| {one.name} | {share:.1%} | {p50:.1f} | {p95:.1f} | {one.cpu * 1000:.1f} | {money:.5f} |")
    judged = next(one for one in found if one.name == "judge")
    own = statistics.median(judged.wall) - given.latency
    print(f"\nOf a judge's verdict {own * 1000:.1f} ms are not the judge's.")


if __name__ == "__main__":
    main()

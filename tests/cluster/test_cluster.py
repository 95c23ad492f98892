from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from proxy.audit.store import Query, Store
from proxy.audit.verify import verify
from tests.server.conftest import Upstream, answer, chunk, streamed, whole

from .conftest import POLICY, SECRET, Cluster

TEXT = "An owl flew over the quiet garden and sat down on the roof."
HARM = "I will kill you and your whole family"


def script(body: dict[str, Any]) -> list[bytes | float | None]:
    if not body.get("stream"):
        return whole(answer(TEXT))
    words = [piece for word in TEXT.split() for piece in (chunk({"content": word + " "}), 0.03)]
    return streamed(*words, chunk({}, "stop"), b"data: [DONE]\n\n")


def client(cluster: Cluster, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=cluster.url + "/v1", api_key=f"token-{key}", max_retries=0)


def test_what_one_replica_has_judged_no_other_judges_again(upstream: Upstream, cluster: Cluster) -> None:
    upstream.script = script
    said: Any = [{"role": "user", "content": HARM}]
    for _ in range(60):
        with client(cluster, "free") as one, pytest.raises(openai.BadRequestError) as blocked:
            one.chat.completions.create(model="m", messages=said)
        assert blocked.value.code == "content_filter"
        time.sleep(0.05)
        if len(+cluster.numbers("weir_requests_total")) == 2:
            break
    assert sum(cluster.numbers("weir_network_answers_total").values()) == 1


def test_limits_add_up_over_the_replicas(upstream: Upstream, cluster: Cluster) -> None:
    upstream.script = script
    passed = 0
    for number in range(16):  # each with a connection of its own, so that they meet every replica
        with client(cluster, "counted") as one, contextlib.suppress(openai.RateLimitError):
            one.chat.completions.create(model="m", messages=[{"role": "user", "content": f"Hello, {number}"}])
            passed += 1
    assert 3 <= passed <= 5  # 3 a minute; each for itself they would let 6 pass, and more


def test_a_stream_comes_as_it_is_written(upstream: Upstream, cluster: Cluster) -> None:
    upstream.script = lambda body: streamed(
        *(piece for n in range(6) for piece in (chunk({"content": f"This is sentence number {n}. "}), 0.4)),
        chunk({}, "stop"), b"data: [DONE]\n\n",
    )  # fmt: skip
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"authorization": "Bearer token-free"}
    arrived = []
    with httpx.stream("POST", cluster.url + "/v1/chat/completions", json=body, headers=headers, timeout=30) as response:
        for line in response.iter_lines():
            if "sentence" in line:
                arrived.append(time.monotonic())
    assert arrived[-1] - arrived[0] > 1.2  # 2.0 by the provider's clock


class Clients:
    """They ask all the time, each thing until it is answered: what fails is asked again, and a stream that ends early is begun
    again. Nothing is ever given up."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._going = self.crowded = True
        self._number = 0
        self.answered: list[tuple[str, str]] = []  # request id, policy
        self.repeated = 0

    async def run(self, count: int) -> None:
        limits = httpx.Limits(max_connections=None)
        async with openai.AsyncOpenAI(
            base_url=self._cluster.url + "/v1", api_key="token-free", max_retries=8, timeout=60,
            http_client=openai.DefaultAsyncHttpxClient(limits=limits),
        ) as one:  # fmt: skip
            await asyncio.gather(*(self._ask(one, number % 2 == 0, number) for number in range(count)))

    async def _ask(self, one: openai.AsyncOpenAI, stream: bool, number: int) -> None:
        while self._going:
            if number >= 2 and not self.crowded:
                await asyncio.sleep(0.1)
                continue
            self._number += 1
            said = [{"role": "user", "content": f"Tell me of the owl number {self._number}."}]
            while not await (self._streamed(one, said) if stream else self._whole(one, said)):
                self.repeated += 1

    async def _whole(self, one: openai.AsyncOpenAI, said: Any) -> bool:
        raw = await one.chat.completions.with_raw_response.create(model="m", messages=said)
        assert raw.parse().choices[0].message.content == TEXT
        self._note(raw.headers)
        return True

    async def _streamed(self, one: openai.AsyncOpenAI, said: Any) -> bool:
        text, finish = "", None
        try:
            raw = await one.chat.completions.with_raw_response.create(model="m", messages=said, stream=True)
            async for event in raw.parse():
                text += event.choices[0].delta.content or ""
                finish = event.choices[0].finish_reason or finish
        except (openai.APIConnectionError, httpx.TransportError):
            return False
        if finish is None:
            return False
        assert text.strip() == TEXT
        self._note(raw.headers)
        return True

    def _note(self, headers: Any) -> None:
        self.answered.append((headers["x-weir-request-id"], headers["x-weir-policy"]))

    def stop(self) -> None:
        self._going = False


async def until(what: Callable[[], Any], seconds: float = 120) -> float:
    """How long it took."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if await asyncio.to_thread(what):
            return time.monotonic() - began
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come to pass")


async def test_under_load_replicas_come_go_and_die_and_policies_change(upstream: Upstream, cluster: Cluster) -> None:
    upstream.script = script
    asked = len(upstream.requests)
    clients = Clients(cluster)
    running = asyncio.create_task(clients.run(16))
    policy = cluster.folder / "policies" / "test.yaml"

    def counted(name: str = "weir_policies") -> int:
        return len(cluster.numbers(name))

    try:
        await until(lambda: counted() == 3)  # up
        (old,) = {ref for _, ref in clients.answered}
        policy.write_text(POLICY.format(rule="second"))
        took = await until(lambda: not +cluster.numbers(f'weir_policies{{policy="{old}"'))
        changed = len(clients.answered)
        print(f"a changed policy reached {counted()} replicas under load in {took:.1f} s")
        assert took < 20
        await until(lambda: len(clients.answered) > changed + 40)
        (new,) = {ref for _, ref in clients.answered} - {old}
        policy.write_text("version: 1\nrules: nonsense\n")  # what does not load reaches nobody, nor who comes later
        await until(lambda: "reload refused" in cluster.log.read_text())

        before = set(cluster.replicas("weir"))
        cluster.kill("weir")
        cluster.kill("safeguard")
        await until(lambda: len(set(cluster.replicas("weir")) - before) >= 1 and counted() == 3)
        seen = len(clients.answered)
        await until(lambda: len(clients.answered) > seen + 40)

        clients.crowded = False
        await until(lambda: counted() == 2)  # down
        seen = len(clients.answered)
        await until(lambda: len(clients.answered) > seen + 20)
    finally:
        clients.stop()
        await asyncio.wait_for(running, 120)

    assert Counter(ref for _, ref in clients.answered[changed + 40 :]).keys() == {new}
    with contextlib.closing(Store.open(cluster.audit, SECRET, create=False)) as store:
        begun = {record.id: record.facts for record in store.read(Query(kind="begun"))}
        ended = {record.id: record.facts for record in store.read(Query(kind="request"))}
        assert verify(store).problems == []
    assert len(begun) >= len(upstream.requests) - asked  # each that went to the provider, answered or not
    # Each that was answered; of those that the killed replica had just answered, that they began.
    assert {id for id, _ in clients.answered} <= begun.keys()
    assert len({id for id, _ in clients.answered} - ended.keys()) <= 16
    rules = {old: "first", new: "second"}
    for id, ref in clients.answered:
        both = {"prompt", "completion"} if id in ended else {"prompt"}
        for facts, directions in ((begun[id], {"prompt"}), (ended.get(id, begun[id]), both)):
            assert facts["policy"] == ref
            assert {rule["rule"] for rule in facts["rules"]} == {rules[ref]}
            assert {rule["direction"] for rule in facts["rules"]} == directions

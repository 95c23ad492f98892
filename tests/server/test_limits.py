from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.config import Config, KeyEntry, Price
from proxy.server.answers import Refusal
from proxy.server.counters import InProcess
from proxy.server.limits import ANSWER, Limiter, estimated
from proxy.server.prices import Prices, cost
from proxy.wire.chat import read_request
from proxy.wire.parts import Field, Media, Request
from proxy.wire.usage import Usage

CHAT = "chat/completions"
PRICES = Prices({"cheap*": Price(input=1, output=10), "m": Price(input=100, output=1000, cached_input=10)})


def key(**limits: Any) -> KeyEntry:
    return KeyEntry(name="k", sha256="0" * 64, **limits)


class Caller:
    """A key at a clock that only the test moves."""

    def __init__(self, **limits: Any) -> None:
        self.now = datetime(2027, 1, 30, 12, tzinfo=UTC)
        self.key = key(**limits)
        self.limiter = Limiter(InProcess(self._time), lambda: self.now)

    def _time(self) -> float:
        return self.now.timestamp()

    async def ask(self, text: str = "x" * 400, used: Usage | None = None, model: str = "m", **body: Any) -> dict[str, str]:
        asked = {"model": model, "messages": [{"role": "user", "content": text}], **body}
        grant = await self.limiter.grant(self.key, CHAT, asked, read_request(asked), PRICES, model)
        if used is not None:
            grant.sent()
            grant.counted(used)
        await grant.settle()
        return {k.decode(): v.decode() for k, v in grant.headers}

    async def refusal(self, **body: Any) -> Refusal:
        with pytest.raises(Refusal) as told:
            await self.ask(**body)
        return told.value


def test_estimates() -> None:
    prompt = Request([Field((), "x" * 401, "user")], [Media((), "image")], [])
    assert estimated(CHAT, {}, prompt) == Usage(101 + 500, ANSWER)
    assert estimated(CHAT, {"max_tokens": 5, "n": 3}, prompt) == Usage(601, 15)
    assert estimated(CHAT, {"max_completion_tokens": 10**6}, prompt) == Usage(601, ANSWER)
    assert estimated("responses", {"max_output_tokens": 7, "n": "x"}, prompt) == Usage(601, 7)
    assert estimated("embeddings", {}, prompt) == Usage(601, 0)
    assert estimated("messages/count_tokens", {}, prompt) == Usage(0, 0)


async def test_tokens_are_reserved_then_corrected() -> None:
    caller = Caller(tokens_per_minute=1000)
    told = await caller.ask(max_tokens=100, used=Usage(300, 500))
    assert told["x-ratelimit-remaining-tokens"] == "800"  # 100 of prompt and 100 of answer were reserved
    refused = await caller.refusal(max_tokens=150)
    assert (refused.status, refused.code, refused.kind) == (429, "rate_limit_exceeded", "tokens")
    headers = dict(refused.headers)
    assert headers[b"retry-after"] == b"3"  # 800 used, 250 asked: 50 too many, 1000/60 leak a second
    assert headers[b"x-ratelimit-reset-tokens"] == b"48.000s"
    caller.now = datetime(2027, 1, 30, 12, 0, 3, tzinfo=UTC)
    await caller.ask(max_tokens=150)
    assert (await caller.ask(max_tokens=1))["x-ratelimit-remaining-tokens"] == "149"  # the one before was not sent: given back


async def test_a_prompt_over_the_limit_is_not_to_be_tried_again_and_an_answer_only_guessed_at_is_let_in() -> None:
    caller = Caller(tokens_per_minute=50)
    refused = await caller.refusal(text="x" * 400)
    assert "too large" in str(refused) and dict(refused.headers)[b"x-should-retry"] == b"false"
    assert (await caller.ask(text="x" * 40))["x-ratelimit-remaining-tokens"] == "0"


async def test_what_a_provider_does_not_count_is_estimated() -> None:
    caller = Caller(tokens_per_minute=1000)
    request = read_request({"model": "m", "messages": [{"role": "user", "content": "x" * 400}]})
    grant = await caller.limiter.grant(caller.key, CHAT, {"max_tokens": 1}, request, PRICES, "m")
    grant.sent()
    grant.seen(200)
    await grant.settle()
    assert (await caller.ask(text="xxxx", max_tokens=1))["x-ratelimit-remaining-tokens"] == str(1000 - 150 - 2)


async def test_a_budget_of_a_month() -> None:
    caller = Caller(monthly_budget=1.0)
    await caller.ask(used=Usage(0, 900), max_tokens=1)  # 0.9
    refused = await caller.refusal(max_tokens=100)
    assert (refused.status, refused.code, refused.kind) == (429, "insufficient_quota", "insufficient_quota")
    headers = dict(refused.headers)
    assert (headers[b"x-should-retry"], int(headers[b"retry-after"])) == (b"false", 36 * 3600)
    await caller.ask(max_tokens=10, used=Usage(0, 500))  # fits by the estimate: 1.4 in the end
    assert (await caller.refusal(text="x", max_tokens=1)).code == "insufficient_quota"
    caller.now = datetime(2027, 2, 1, tzinfo=UTC)
    await caller.ask(max_tokens=100)
    assert (await caller.refusal(model="unheard-of")).status == 403


async def test_one_refusal_takes_nothing_of_the_rest() -> None:
    caller = Caller(requests_per_minute=2, tokens_per_minute=300)
    await caller.ask(max_tokens=100, used=Usage(100, 100))
    for _ in range(5):
        assert (await caller.refusal(max_tokens=100)).kind == "tokens"
    assert (await caller.ask(text="x", max_tokens=1))["x-ratelimit-remaining-requests"] == "0"
    assert (await caller.refusal(text="x", max_tokens=1)).kind == "requests"


def test_prices() -> None:
    price = PRICES.find("m")
    assert price is not None
    assert cost(price, Usage(1000, 100, 400)) == pytest.approx(0.06 + 0.004 + 0.1)
    assert PRICES.find("cheap-9") == Price(input=1, output=10)
    assert PRICES.find("other") is None
    table = {
        "gpt-x": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "cache_read_input_token_cost": 1e-7},
        "image-x": {"input_cost_per_pixel": 1e-6},
    }
    both = Prices({"gpt-y": Price(input=3)}, table)
    found = both.find("openai/gpt-x")
    assert found is not None
    assert (found.input, found.output, found.cached_input) == pytest.approx((1, 2, 0.1))
    assert both.find("image-x") is None


def test_litellms_table() -> None:
    if not os.environ.get("WEIR_CI"):
        pytest.importorskip("litellm")
    found = Prices.of_config(_config(keys=[key(monthly_budget=5)])).find("gpt-4o-mini")
    assert found is not None and 0 < found.input < found.output < 10
    own = Prices.of_config(_config(keys=[key(monthly_budget=5)], prices={"*": Price(input=7)}))
    assert own.find("gpt-4o-mini") == Price(input=7)
    assert Prices.of_config(_config(keys=[key()])).find("gpt-4o-mini") is None  # nobody needs it: not loaded


def _config(**more: Any) -> Config:
    route = {"name": "r", "match": {"model": "unheard-of"}, "provider": "demo", "policy": "default"}
    return Config.model_validate({"version": 1, "providers": {"demo": {"type": "demo"}}, "routes": [route], **more})


def test_notices() -> None:
    config = _config(keys=[key(monthly_budget=5)])
    in_process, unpriced = PRICES.notices(config)
    assert "forgotten" in in_process and "redis" in in_process
    assert '"unheard-of"' in unpriced and "`prices:`" in unpriced
    assert PRICES.notices(_config(keys=[key()])) == []
    shared = _config(keys=[key(monthly_budget=5)], prices={"*": Price(input=1)}, limits={"url": "redis://h"})
    assert Prices.of_config(shared).notices(shared) == []

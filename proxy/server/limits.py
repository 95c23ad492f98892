"""What a key may use: requests and tokens a minute, streams at a time, money a month.

A request takes an estimate before it is sent, and gives back or adds what the provider's own count says afterwards.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from proxy import metrics
from proxy.config import Config, KeyEntry, Price
from proxy.server.answers import Headers, Refusal
from proxy.server.counters import Bucket, Counters, InProcess, Lease, Shared
from proxy.server.prices import Prices, cost
from proxy.wire.parts import Json, Request
from proxy.wire.usage import Usage

CHARS = 4  # a token's, about
MEDIUM = 500  # tokens of an image or a file, about
ANSWER = 1000  # tokens taken in advance for an answer, unless the request asks for fewer
_ASKED = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_UNANSWERED = frozenset(("embeddings", "messages/count_tokens"))  # no text is made
NOTHING = Usage(0, 0)
_LONGEST = 32 * 86400  # seconds that a month's budget is remembered


@dataclass(slots=True)
class Grant:
    """What one request has taken. `used` is what it turns out to have cost: None until the provider has begun to work."""

    key: KeyEntry
    counters: Counters
    headers: Headers
    estimate: Usage = NOTHING
    price: Price | None = None  # of the model that the provider is asked for
    used: Usage | None = None
    told: bool = False  # `used` is the provider's own count
    _buckets: dict[str, Bucket] = field(default_factory=dict)
    _lease: Lease | None = None

    @property
    def counts_tokens(self) -> bool:
        return self.key.tokens_per_minute is not None or self.key.monthly_budget is not None

    def sent(self) -> None:
        """The provider has the prompt, and may have begun to answer it."""
        self.used = Usage(self.estimate.prompt, 0)

    def seen(self, characters: int) -> None:
        """So much of an answer came; matters unless the provider says a count of its own."""
        if not self.told:
            self.used = Usage(self.estimate.prompt, math.ceil(characters / CHARS))

    def counted(self, usage: Usage | None) -> None:
        if usage is not None:
            self.used = self.used.merged(usage) if self.told and self.used else usage
            self.told = True

    async def renew(self) -> None:
        if self._lease is not None:
            await self.counters.renew(self._lease)

    async def settle(self) -> None:
        """Corrects what was taken. Once, at the end of the request."""
        used = self.used or NOTHING
        changed = []
        if (tokens := self._buckets.get("tokens")) is not None:
            changed.append(tokens._replace(amount=used.total - tokens.amount))
        if (money := self._buckets.get("budget")) is not None and self.price is not None:
            spent = cost(self.price, used)
            changed.append(money._replace(amount=spent - money.amount))
            metrics.key_spend.labels(self.key.name).inc(spent)
        if self.counts_tokens:
            metrics.key_tokens.labels(self.key.name, "prompt").inc(used.prompt)
            metrics.key_tokens.labels(self.key.name, "completion").inc(used.completion)
        if changed or self._lease is not None:
            await self.counters.correct(changed, self._lease)


class Limiter:
    def __init__(self, counters: Counters | None = None, clock: Callable[[], datetime] | None = None) -> None:
        self.counters: Counters = counters or InProcess()
        self._clock = clock or (lambda: datetime.now(UTC))

    @classmethod
    def of_config(cls, config: Config) -> Limiter:
        limits = config.limits
        return cls(Shared(limits.url, limits.on_error) if limits.url else None)

    async def admit(self, key: KeyEntry) -> Headers:
        """For what no provider is asked: counts a request, and has the headers that tell the caller what is left. Raises
        Refusal."""
        return (await self._take(key, NOTHING, None, stream=False)).headers

    async def grant(self, key: KeyEntry, path: str, body: Json, request: Request, prices: Prices, model: str) -> Grant:
        """Takes what the request will need, about. Raises Refusal 429, or 403 where a budget cannot be kept."""
        price = None
        if key.monthly_budget is not None:
            price = prices.find(model)
            if price is None:
                text = (
                    f"Your key has a budget, and there is no price for the model `{model[:100]}` here. "
                    "An operator can add it under `prices:`."
                )
                raise Refusal(403, text, "price_unknown")
        return await self._take(key, estimated(path, body, request), price, stream=body.get("stream") is True)

    async def _take(self, key: KeyEntry, estimate: Usage, price: Price | None, *, stream: bool) -> Grant:
        buckets = self._buckets(key, estimate, price)
        lease = Lease(f"weir:{{{key.name}}}:streams", key.concurrent_streams, uuid.uuid4().hex) \
            if stream and key.concurrent_streams is not None else None  # fmt: skip
        if not buckets and lease is None:
            return Grant(key, self.counters, [], estimate, price)
        taken = await self.counters.take(list(buckets.values()), lease)
        if taken is None:
            return Grant(key, self.counters, [], estimate, price)
        levels = dict(zip(buckets, taken.levels, strict=True))
        headers = [h for kind in ("requests", "tokens") if kind in buckets for h in _told(kind, buckets[kind], levels[kind])]
        if taken.refused is not None:
            kind = [*buckets, "streams"][taken.refused]
            metrics.limited.labels(key.name, kind).inc()
            refusal = self._refusal(kind, key, buckets.get(kind), levels.get(kind, 0.0))
            refusal.headers += headers
            raise refusal
        return Grant(key, self.counters, headers, estimate, price, _buckets=buckets, _lease=lease)

    def _buckets(self, key: KeyEntry, estimate: Usage, price: Price | None) -> dict[str, Bucket]:
        """In the order in which a caller should hear of them."""
        found = {}
        name = f"weir:{{{key.name}}}:"  # braces: one key's numbers stay together in a cluster
        if key.monthly_budget is not None and price is not None:
            month = f"{self._clock():%Y-%m}"
            found["budget"] = Bucket(f"{name}budget:{month}", key.monthly_budget, 0.0, cost(price, estimate), _LONGEST)
        for kind, limit, amount in (
            ("requests", key.requests_per_minute, 1),
            ("tokens", key.tokens_per_minute, estimate.total),
        ):
            if limit is not None:
                fitting = min(amount, max(limit, estimate.prompt))  # an answer that is only guessed at may not shut the door
                found[kind] = Bucket(name + kind, limit, limit / 60, fitting)
        return found

    def _refusal(self, kind: str, key: KeyEntry, bucket: Bucket | None, level: float) -> Refusal:
        if bucket is None:
            text = f"Rate limit reached: {key.concurrent_streams} streams at a time. Please try again when one has ended."
            return _refused(text, "requests", 1.0)
        if kind == "budget":
            text = "You exceeded your current quota: the monthly budget of your key is spent, or would be by this request."
            refusal = Refusal(429, text, "insufficient_quota", kind="insufficient_quota")
            wait = (self._next_month() - self._clock()).total_seconds()
            refusal.headers = [(b"retry-after", str(math.ceil(wait)).encode()), (b"x-should-retry", b"false")]
            return refusal
        limit, amount = int(bucket.limit), math.ceil(bucket.amount)
        if amount > limit:
            text = f"Request too large: on tokens per min (TPM): Limit {limit}, Requested {amount}. Please shorten it."
            refusal = Refusal(429, text, "rate_limit_exceeded", kind=kind)
            refusal.headers = [(b"x-should-retry", b"false")]
            return refusal
        wait = (level + amount - bucket.limit) / bucket.rate
        short = {"requests": "RPM", "tokens": "TPM"}[kind]
        text = (
            f"Rate limit reached on {kind} per min ({short}): Limit {limit}, Used {math.ceil(level)}, Requested {amount}. "
            f"Please try again in {wait:.3f}s."
        )
        return _refused(text, kind, wait)

    def _next_month(self) -> datetime:
        now = self._clock()
        return (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)


def _refused(text: str, kind: str, wait: float) -> Refusal:
    refusal = Refusal(429, text, "rate_limit_exceeded", kind=kind)
    wait = max(wait, 0.001)
    refusal.headers = [
        (b"retry-after", str(math.ceil(wait)).encode()),
        (b"retry-after-ms", str(math.ceil(wait * 1000)).encode()),
    ]
    return refusal


def _told(kind: str, bucket: Bucket, level: float) -> Headers:
    """OpenAI's headers. `reset` is when all of the limit is there again."""
    return [
        (f"x-ratelimit-limit-{kind}".encode(), str(int(bucket.limit)).encode()),
        (f"x-ratelimit-remaining-{kind}".encode(), str(max(0, math.floor(bucket.limit - level))).encode()),
        (f"x-ratelimit-reset-{kind}".encode(), f"{level / bucket.rate:.3f}s".encode()),
    ]


def estimated(path: str, body: Json, request: Request) -> Usage:
    """From what the prompt weighs and what answer is asked for."""
    if path == "messages/count_tokens":
        return NOTHING
    characters = sum(len(one.text) for one in request.fields)
    prompt = math.ceil(characters / CHARS) + MEDIUM * len(request.media)
    if path in _UNANSWERED:
        return Usage(prompt, 0)
    asked = [value for name in _ASKED if type(value := body.get(name)) is int and value > 0]
    choices = body["n"] if type(body.get("n")) is int and 1 <= body["n"] <= 128 else 1
    return Usage(prompt, choices * min([ANSWER, *asked]))

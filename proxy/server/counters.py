"""Numbers that keys use up: in this process, or in a Redis that several Weirs share.

A bucket fills with what is taken and leaks at a steady rate; what does not fit is refused. One that does not leak is a
budget. Everything that a request takes is taken at once or not at all, and what was an estimate is corrected afterwards:
that is why this is not a library's rate limiter. A lease is held as long as a stream runs; one that its Weir did not
live to give back runs out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from proxy import metrics
from proxy.server.answers import Refusal

log = logging.getLogger("weir")

LEASE = 300  # seconds; a running stream renews its lease well before
PATIENCE = 0.5  # seconds that Redis has to answer
PAUSE = 2.0  # seconds without Redis before it is asked again


class Bucket(NamedTuple):
    """`amount` is to be taken; `rate` leaks a second. Forgotten when nobody has touched it for `life` seconds."""

    name: str
    limit: float
    rate: float
    amount: float
    life: int = 120


class Lease(NamedTuple):
    name: str
    limit: int
    holder: str


class Taken(NamedTuple):
    """`levels` are the buckets' as they stand now. `refused` is the first that had no room, the lease counting as the one
    after the last bucket; then nothing was taken."""

    levels: list[float]
    refused: int | None


class Counters(Protocol):
    async def take(self, buckets: Sequence[Bucket], lease: Lease | None = None) -> Taken | None:
        """None: nobody counts. Raises Refusal."""
        ...

    async def correct(self, buckets: Sequence[Bucket], lease: Lease | None = None) -> None:
        """Adds each `amount`, negative or over the limit as it may be, and gives the lease back."""
        ...

    async def renew(self, lease: Lease) -> None: ...

    async def close(self) -> None: ...


class InProcess:
    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}  # name -> (level, as of)
        self._leases: dict[str, dict[str, float]] = {}  # name -> holder -> until

    async def take(self, buckets: Sequence[Bucket], lease: Lease | None = None) -> Taken:
        now = self._clock()
        levels = [self._level(b, now) for b in buckets]
        refused = next((i for i, b in enumerate(buckets) if levels[i] + b.amount > b.limit), None)
        held = {}
        if lease is not None:
            held = {h: until for h, until in self._leases.get(lease.name, {}).items() if until > now}
            if refused is None and len(held) >= lease.limit:
                refused = len(buckets)
        if refused is not None:
            return Taken(levels, refused)
        levels = [level + b.amount for level, b in zip(levels, buckets, strict=True)]
        self._levels.update((b.name, (level, now)) for level, b in zip(levels, buckets, strict=True))
        if lease is not None:
            self._leases[lease.name] = {**held, lease.holder: now + LEASE}
        return Taken(levels, None)

    async def correct(self, buckets: Sequence[Bucket], lease: Lease | None = None) -> None:
        now = self._clock()
        for bucket in buckets:
            self._levels[bucket.name] = (max(0.0, self._level(bucket, now) + bucket.amount), now)
        if lease is not None:
            self._leases.get(lease.name, {}).pop(lease.holder, None)

    async def renew(self, lease: Lease) -> None:
        held = self._leases.setdefault(lease.name, {})
        if lease.holder in held:
            held[lease.holder] = self._clock() + LEASE

    async def close(self) -> None:
        return None

    def _level(self, bucket: Bucket, now: float) -> float:
        level, at = self._levels.get(bucket.name, (0.0, now))
        return max(0.0, level - max(0.0, now - at) * bucket.rate)


# KEYS: the buckets', then the lease's. ARGV: seconds of a lease, limit and holder of this one ("" for none), then limit,
# rate, amount and life of each bucket. The clock is Redis's own, so that those of the Weirs need not agree.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local count = (#ARGV - 3) / 4
local refused = 0
local levels = {}
for i = 1, count do
  local at = i * 4
  local held = redis.call('HMGET', KEYS[i], 'level', 'at')
  local gone = math.max(0, now - (tonumber(held[2]) or now))
  levels[i] = math.max(0, (tonumber(held[1]) or 0) - gone * tonumber(ARGV[at + 1]))
  if refused == 0 and levels[i] + tonumber(ARGV[at + 2]) > tonumber(ARGV[at]) then refused = i end
end
if ARGV[3] ~= '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[count + 1], '-inf', now)
  if refused == 0 and redis.call('ZCARD', KEYS[count + 1]) >= tonumber(ARGV[2]) then refused = count + 1 end
end
if refused == 0 then
  for i = 1, count do
    local at = i * 4
    levels[i] = levels[i] + tonumber(ARGV[at + 2])
    redis.call('HSET', KEYS[i], 'level', levels[i], 'at', string.format('%.6f', now))
    redis.call('EXPIRE', KEYS[i], ARGV[at + 3])
  end
  if ARGV[3] ~= '' then
    redis.call('ZADD', KEYS[count + 1], now + tonumber(ARGV[1]), ARGV[3])
    redis.call('EXPIRE', KEYS[count + 1], ARGV[1])
  end
end
local answer = {refused}
for i = 1, count do answer[i + 1] = tostring(levels[i]) end
return answer
"""
# KEYS: the buckets', then the lease's. ARGV: holder of the lease ("" for none), then rate, amount and life of each bucket.
_CORRECT = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local count = (#ARGV - 1) / 3
for i = 1, count do
  local at = i * 3 - 1
  local held = redis.call('HMGET', KEYS[i], 'level', 'at')
  local gone = math.max(0, now - (tonumber(held[2]) or now))
  local level = math.max(0, (tonumber(held[1]) or 0) - gone * tonumber(ARGV[at]))
  level = math.max(0, level + tonumber(ARGV[at + 1]))
  redis.call('HSET', KEYS[i], 'level', level, 'at', string.format('%.6f', now))
  redis.call('EXPIRE', KEYS[i], ARGV[at + 2])
end
if ARGV[1] ~= '' then redis.call('ZREM', KEYS[count + 1], ARGV[1]) end
return count
"""
_RENEW = """
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], 'XX', time[1] + tonumber(ARGV[1]), ARGV[2])
return redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


class Shared:
    """In Redis, one round trip a request. While Redis does not answer, `on_error` says what holds: `local` counts in this
    process, `allow` and `deny` do not count."""

    def __init__(self, url: str, on_error: Literal["local", "allow", "deny"]) -> None:
        import redis.asyncio as redis  # an extra, asked for by the config
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        self._redis: Any = redis.Redis.from_url(
            url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=Retry(NoBackoff(), 0)
        )
        self._errors = (RedisError, OSError, TimeoutError)
        self._take = self._redis.register_script(_TAKE)
        self._correct = self._redis.register_script(_CORRECT)
        self._renew = self._redis.register_script(_RENEW)
        self._on_error = on_error
        self._local = InProcess()
        self._again = 0.0  # when Redis may be asked again, after it failed
        metrics.limits_shared.set(1)

    async def take(self, buckets: Sequence[Bucket], lease: Lease | None = None) -> Taken | None:
        arguments: list[Any] = [LEASE, lease.limit if lease else 0, lease.holder if lease else ""]
        for b in buckets:
            arguments += (b.limit, b.rate, b.amount, b.life)
        names = [b.name for b in buckets] + ([lease.name] if lease else [])
        if time.monotonic() >= self._again:
            try:
                refused, *levels = await self._take(names, arguments)
            except self._errors as problem:
                self._failed(problem)
            else:
                self._works()
                return Taken([float(level) for level in levels], refused - 1 if refused else None)
        if self._on_error == "deny":
            raise Refusal(503, "Limits cannot be counted at the moment. Please try again later.", "limits_unavailable",
                          kind="server_error")  # fmt: skip
        return await self._local.take(buckets, lease) if self._on_error == "local" else None

    async def correct(self, buckets: Sequence[Bucket], lease: Lease | None = None) -> None:
        # Where it was taken is not remembered: while Redis is away that is this process, and it only matters at the change.
        if time.monotonic() < self._again:
            await self._local.correct(buckets, lease)
            return
        try:
            arguments: list[Any] = [lease.holder if lease else ""]
            for b in buckets:
                arguments += (b.rate, b.amount, b.life)
            await self._correct([b.name for b in buckets] + ([lease.name] if lease else []), arguments)
        except self._errors as problem:
            self._failed(problem)

    async def renew(self, lease: Lease) -> None:
        if time.monotonic() < self._again:
            await self._local.renew(lease)
            return
        try:
            await self._renew([lease.name], [LEASE, lease.holder])
        except self._errors as problem:
            self._failed(problem)

    async def close(self) -> None:
        await self._redis.aclose()

    def _failed(self, problem: BaseException) -> None:
        metrics.limits_errors.inc()
        if not self._again:
            how = {"local": "counted in this process", "allow": "not counted", "deny": "refused"}[self._on_error]
            fields = {"problem": type(problem).__name__, "meanwhile": how}
            log.error("the limits' Redis does not answer", extra={"fields": fields})
            metrics.limits_shared.set(0)
        self._again = time.monotonic() + PAUSE

    def _works(self) -> None:
        if self._again:
            self._again = 0.0
            metrics.limits_shared.set(1)
            log.info("the limits' Redis answers again")

"""How often a key may ask. Counted in this process, over a moving minute."""

from __future__ import annotations

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from proxy.config import KeyEntry
from proxy.server.answers import Headers, Refusal


class Limiter:
    def __init__(self) -> None:
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def admit(self, key: KeyEntry) -> Headers:
        """Counts one request; the headers that tell the caller what is left. Raises Refusal 429."""
        if key.requests_per_minute is None:
            return []
        item = RateLimitItemPerMinute(key.requests_per_minute)
        allowed = self._window.hit(item, key.name)
        stats = self._window.get_window_stats(item, key.name)
        wait = max(0.0, stats.reset_time - time.time())
        told = [
            (b"x-ratelimit-limit-requests", str(key.requests_per_minute).encode()),
            (b"x-ratelimit-remaining-requests", str(stats.remaining).encode()),
            (b"x-ratelimit-reset-requests", f"{wait:.1f}s".encode()),
        ]
        if allowed:
            return told
        text = f"Rate limit reached: {key.requests_per_minute} requests a minute. Please try again in {wait:.1f} seconds."
        refused = Refusal(429, text, "rate_limit_exceeded", kind="requests")
        refused.headers = [*told, (b"retry-after", str(math.ceil(wait)).encode())]
        raise refused

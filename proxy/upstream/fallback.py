"""The providers of a route as one: whichever has an answer worth having.

Theory of operation
-------------------
A request's `Attempts` go down the list. A provider that gave no answer, or one that says something of the provider and not of
the request, is asked again as its `retries` say; then it is the next one's turn. What the last one says is the answer.
An answer may turn out to be none while it is read: as long as nothing of it has reached the client, `broke` goes on in the same
way. A timeout is no reason to ask the same provider again: the client has waited enough.

A provider that is ejected is passed over while another is left. If all are, all are asked: there is nothing to lose.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

from proxy import metrics
from proxy.config import Retries
from proxy.upstream import Call, Response, UpstreamError
from proxy.upstream.member import Member

# Statuses that say something of the provider, not of the request: another one may well answer.
ELSEWHERE = frozenset((408, 429, 500, 502, 503, 504, 529))
_BUSY = 429  # says that it is well, and somebody asks too much


class Fallbacks:
    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members

    def attempts(self, call: Call) -> Attempts:
        return Attempts([m for m in self._members if not m.rests] or self._members, call)


class Attempts:
    """One request's way through its providers."""

    def __init__(self, members: Sequence[Member], call: Call) -> None:
        self._members, self._call = members, call
        self._at = 0  # which of them
        self._tries = 0  # how often it has been asked again
        self._pause = 0.0  # before it is

    @property
    def more(self) -> bool:
        """Whether `broke` would go on."""
        return self._tries < self._member.retries.attempts or self._at + 1 < len(self._members)

    async def open(self) -> Response:
        """The next answer worth having, or the last one. Raises UpstreamError when there is none."""
        while True:
            member = self._member
            if self._pause:
                await asyncio.sleep(self._pause)
            member.asked()
            try:
                response = await member.open(self._call)
            except UpstreamError as problem:
                if not self.broke(problem):
                    raise
                continue
            if response.status not in ELSEWHERE:
                return response
            if response.status != _BUSY:
                member.failed()
            headers = dict(response.headers)
            if not self._go_on(headers.get("x-should-retry") != "false", retry_after(headers)):
                return response
            response.close()

    def worked(self) -> None:
        """The answer came to its end."""
        self._member.answered()

    def failed(self) -> None:
        """The answer broke off when some of it had left."""
        self._member.failed()

    def broke(self, problem: UpstreamError) -> bool:
        """There is no answer, or none that is any good. True if `open` has another provider to ask, or the same again."""
        self._member.failed()
        return self._go_on(problem.code != "upstream_timeout", None)

    @property
    def _member(self) -> Member:
        return self._members[self._at]

    def _go_on(self, again: bool, wait: float | None) -> bool:
        before = self._member
        retries = before.retries
        if again and self._tries < retries.attempts and (wait is None or wait <= retries.longest):
            self._tries += 1
            self._pause = wait if wait is not None else backoff(retries, self._tries)
            metrics.retries.labels(before.name).inc()
            return True
        if self._at + 1 < len(self._members):
            self._at, self._tries, self._pause = self._at + 1, 0, 0.0
            metrics.fallbacks.labels(before.name, self._member.name).inc()
            return True
        return False


def backoff(retries: Retries, tries: int) -> float:
    """Seconds before the `tries`th time again: doubling, and never two clients' alike."""
    longest: float = min(retries.longest, retries.first * 2.0 ** (tries - 1))
    return longest * random.uniform(0.5, 1.0)


def retry_after(headers: dict[str, str], now: float | None = None) -> float | None:
    """Seconds that the provider asks to be left alone; None if it does not, or in no way that is known."""
    for name, unit in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        moment = parsedate_to_datetime(headers["retry-after"]).timestamp()
    except (KeyError, ValueError):
        return None
    return max(0.0, moment - (time.time() if now is None else now))

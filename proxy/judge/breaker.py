"""Leaves a judge alone that does not answer. Pure: the clock is the caller's."""

from __future__ import annotations

from dataclasses import dataclass

ENOUGH = 5  # failures in a row
PAUSE = 10.0  # seconds until one question is tried again


@dataclass(slots=True)
class Breaker:
    """Closed until `ENOUGH` failures in a row; then one question in `PAUSE` seconds, until one is answered."""

    failures: int = 0
    _until: float = 0.0

    def admits(self, now: float) -> bool:
        if self.failures < ENOUGH:
            return True
        if now < self._until:
            return False
        self._until = now + PAUSE  # this one is the probe; the others go on waiting
        return True

    def answered(self) -> None:
        self.failures = 0

    def failed(self, now: float) -> None:
        self.failures += 1
        self._until = now + PAUSE

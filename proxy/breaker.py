"""Leaves alone for a while what does not answer. Pure: the clock is the caller's."""

from __future__ import annotations

from dataclasses import dataclass

ENOUGH = 5  # failures in a row
PAUSE = 10.0  # seconds until one question is tried again


@dataclass(slots=True)
class Breaker:
    """Closed until `enough` failures in a row; then one question in `pause` seconds, until one is answered. With every one
    that is not, the pause doubles, to `longest` at most."""

    enough: int = ENOUGH
    pause: float = PAUSE
    longest: float = PAUSE
    failures: int = 0
    _until: float = 0.0
    _probing: bool = False

    @property
    def closed(self) -> bool:
        return self.failures < self.enough

    def rests(self, now: float) -> bool:
        """Whether `admits` would say no."""
        return not self.closed and now < self._until

    def admits(self, now: float) -> bool:
        if self.closed:
            return True
        if now < self._until:
            return False
        self._until = now + self._rest  # this one is the probe; the others go on waiting
        self._probing = True
        return True

    def answered(self) -> None:
        self.failures = 0
        self._probing = False

    def failed(self, now: float) -> None:
        if not self.closed and not self._probing:
            return  # it was asked before the pause began
        self.failures += 1
        self._probing = False
        self._until = now + self._rest

    @property
    def _rest(self) -> float:
        return float(min(self.longest, self.pause * 2 ** min(30, max(0, self.failures - self.enough))))

"""One request as it is seen from outside. Needs no OpenTelemetry: `spans` has the watch that makes trace spans of it."""

from __future__ import annotations

import re
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from proxy import metrics
from proxy.types import Direction
from proxy.upstream import Call

if TYPE_CHECKING:
    from proxy.server.exchange import Exchange

_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
LOOKS = 128  # of one request are kept


class Look(NamedTuple):
    """One detector looked at one text. `started` is of `time.perf_counter`; `failed` says why there is no answer."""

    stage: str  # screen, classifier, judge
    by: str
    rule: str
    direction: Direction
    started: float
    seconds: float
    failed: str


class Stage(NamedTuple):
    texts: int = 0
    seconds: float = 0.0


class Called(NamedTuple):
    """A provider, for those who look from outside. `system` is its name in OpenTelemetry's list, where it stands there;
    `model` what it calls the model, where that is its own affair."""

    name: str
    system: str
    address: str
    port: int
    model: str | None = None


@dataclass(slots=True)
class Watch:
    """`trace_id`: of the W3C trace that the caller has begun, or Weir itself. `looks`: None if nobody asks for them.
    `provider`: the last one that was asked. `stages`: how many texts each has looked at, and for how long."""

    trace_id: str = ""
    looks: list[Look] | None = None
    provider: str = ""
    stages: dict[str, Stage] = field(default_factory=dict)
    exchange: Exchange | None = None

    def calls(self, called: Called, call: Call) -> Call:
        """A provider is about to be asked; answers with what it is asked."""
        return call

    def answered(self, status: str) -> None:
        """It has answered with its headers: a status, or the code of an error."""

    def end(self, status: int) -> None:
        """The client has its answer."""


current: ContextVar[Watch | None] = ContextVar("watch", default=None)


def trace_id(traceparent: str) -> str:
    """Of a W3C `traceparent`; empty if it is none."""
    found = _PARENT.fullmatch(traceparent)
    return found[1] if found is not None and int(found[1], 16) else ""


def looked(stage: str, direction: Direction, started: float, by: str = "", rule: str = "", failed: str = "") -> None:
    """Somebody has just looked at a text, and began at `started`."""
    seconds = time.perf_counter() - started
    _stages[stage].observe(seconds)
    watch = current.get()
    if watch is None:
        return
    texts, spent = watch.stages.get(stage, _UNSEEN)
    watch.stages[stage] = Stage(texts + 1, spent + seconds)
    if watch.looks is not None and stage != "patterns" and len(watch.looks) < LOOKS:
        watch.looks.append(Look(stage, by or stage, rule, direction, started, seconds, failed))


_UNSEEN = Stage()
_stages = {stage: metrics.stage_seconds.labels(stage) for stage in ("patterns", "screen", "classifier", "judge")}

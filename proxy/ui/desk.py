"""What the pages work with: the decision log, the model, the policies. One for a process."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from proxy.audit.store import Store
from proxy.config import Config
from proxy.detect.scanner import PatternError, Scanner
from proxy.guard import Guard
from proxy.load import detectors
from proxy.model.queue import ScoringQueue
from proxy.policy.cases import CaseResult, run_examples
from proxy.policy.load import ANY, Example, Policy, load_policy, parse_policy
from proxy.server.state import State, open_audit
from proxy.text.language import language_of
from proxy.types import Verdict
from proxy.yamlfile import FileError

Found = TypeVar("Found")
KEPT = 32  # policies, and results of their tests


class NoLog(Exception):
    """There is no decision log in the config."""


@dataclass(frozen=True, slots=True)
class Loaded:
    policy: Policy
    guard: Guard
    running: bool


@dataclass(slots=True)
class Tested:
    """The state of a policy's examples. `results` is None while they run."""

    results: list[CaseResult] | None = None
    problem: str = ""
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Desk:
    def __init__(self, state: State) -> None:
        self.state = state
        # Threads of its own: whoever reads a long log here must not keep the server's own threads busy.
        self._threads = ThreadPoolExecutor(2, "weir-ui")
        self._opening = asyncio.Lock()
        self._store: Store | None = None
        # The same models behind queues of their own: what is tried out here stands in nobody's way.
        self.queue = _twin(state.queue) if state.queue is not None else None
        self._loaded: OrderedDict[tuple[str, int], Loaded] = OrderedDict()
        self._tested: OrderedDict[tuple[str, str], Tested] = OrderedDict()

    @property
    def config(self) -> Config:
        return self.state.snapshot.config

    async def close(self) -> None:
        for one in self._tested.values():
            if one.task is not None:
                one.task.cancel()
        if self.queue is not None:
            await asyncio.to_thread(self.queue.close)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._store is not None:
            self._store.close()

    # -- the decision log

    async def aside(self, work: Callable[[], Found]) -> Found:
        """In a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def log(self, read: Callable[[Store], Found]) -> Found:
        """What `read` finds there. Raises NoLog, AuditError, SQLAlchemyError."""
        settings = self.config.audit
        if settings is None or self.state.audit is None:
            raise NoLog
        async with self._opening:
            if self._store is None:
                self._store = await self.aside(lambda: open_audit(settings))
        store = self._store
        return await self.aside(lambda: read(store))

    # -- the model

    @property
    def classifier(self) -> str:
        return self.state.snapshot.guard.classifier

    # -- policies

    def names(self) -> list[str]:
        """Of the policies that run, then of the other files beside them."""
        running = list(self.state.snapshot.guard.policies)
        files = sorted(path.stem for path in self.config.policy_folder.glob("*.yaml"))
        return list(dict.fromkeys([*running, *files]))

    async def policy(self, name: str) -> Loaded | None:
        """A running one as it runs, another as its file is now. None if there is none. Raises FileError, PatternError."""
        guard = self.state.snapshot.guard
        if name in guard.policies:
            own = replace(guard, queue=self.queue, timeout=60.0, drift=None, _plans={})
            return Loaded(guard.policies[name], own, True)
        if name not in self.names():
            return None
        path = self.config.policy_path(name)
        key = (name, await self.aside(lambda: path.stat().st_mtime_ns))
        found = self._loaded.get(key)
        if found is None or found.guard.cascade is not guard.cascade:
            found = self._loaded[key] = await self.aside(lambda: self._compiled(path))
            if len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
        return replace(found, guard=replace(found.guard, _plans={}))  # plans of thresholds that were tried out are not kept

    def _compiled(self, path: Path) -> Loaded:
        guard, queue = self.state.snapshot.guard, self.queue
        asked = detectors(self.config, guard.cascade.judges, queue.learner if queue else None)
        policy = load_policy(path, queue, asked)
        scanner = Scanner(policy.patterns.values())
        return Loaded(policy, Guard({policy.name: policy}, scanner, queue, 60.0, guard.cascade), False)

    def past(self, text: str, name: str) -> Policy | None:
        """A policy as it once was, to be read and not to be run; None where this version does not understand it."""
        running = next((one for one in self.state.snapshot.guard.policies.values() if one.text == text), None)
        if running is not None:
            return running
        try:
            return parse_policy(text, self.queue, name, name, detectors=ANY)
        except (FileError, PatternError):
            return None

    # -- their tests

    def tested(self, loaded: Loaded, begin: bool) -> Tested | None:
        """How the examples of this version stand under this model. `begin` has them run if nobody knows."""
        key = (loaded.policy.sha, self.classifier)
        found = self._tested.get(key)
        if found is None and begin:
            found = self._tested[key] = Tested()
            found.task = asyncio.create_task(self._test(loaded, found))
            if len(self._tested) > KEPT:
                self._tested.popitem(last=False)
        return found

    async def _test(self, loaded: Loaded, into: Tested) -> None:
        async def judge(example: Example) -> Verdict:
            return await loaded.guard.judge(await self._held(loaded.policy, example), example.segment)

        try:
            into.results = await run_examples(loaded.policy, judge)
        except Exception as problem:  # whatever it is, the page must not say "running" for ever
            into.results, into.problem = [], type(problem).__name__

    async def _held(self, policy: Policy, example: Example) -> Policy:
        setting = example.setting
        if policy.by_language and not setting.language:
            setting = replace(setting, language=await self.aside(lambda: language_of(example.text)))
        return policy.under(setting)


def _twin(queue: ScoringQueue) -> ScoringQueue:
    beside = [replace(one, queue=_twin(one.queue)) for one in queue.beside]
    return ScoringQueue(queue.classifier, depth=100_000, remember=5000, beside=beside)

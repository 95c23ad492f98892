"""What a process holds: the current snapshot, the providers, and the matching of requests to routes."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import platform
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.types import Scope

from proxy import __version__, metrics
from proxy.audit.entry import Entry
from proxy.config import Audit, Config, KeyEntry, Restore, Route, load_config
from proxy.guard import Guard
from proxy.judge.client import Judge
from proxy.load import load_guard
from proxy.model.artefact import ModelError
from proxy.model.queue import ScoringQueue
from proxy.policy.load import Policy
from proxy.server.answers import Headers, Refusal
from proxy.server.conversation import Memory
from proxy.server.heap import trim
from proxy.server.limits import Grant, Limiter
from proxy.server.prices import Prices
from proxy.server.recorder import ending, step_json
from proxy.server.verdicts import Shared
from proxy.telemetry.watch import current
from proxy.upstream.fallback import Fallbacks
from proxy.upstream.make import member
from proxy.upstream.member import Member
from proxy.wire.parts import Json, Request
from proxy.workbench import load_queue
from proxy.yamlfile import FileError

if TYPE_CHECKING:
    from proxy.audit.store import Store
    from proxy.audit.writer import Writer
    from proxy.server.exchange import Exchange
    from proxy.server.names import Names
    from proxy.telemetry.spans import Telemetry

log = logging.getLogger("weir")
_LATER = 256  # pieces of work


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a reload replaces, at once."""

    config: Config
    guard: Guard
    providers: Mapping[str, Member]
    keys: Mapping[str, KeyEntry]  # by digest
    prices: Prices

    @classmethod
    def of(cls, config: Config, guard: Guard, providers: Mapping[str, Member]) -> Snapshot:
        return cls(config, guard, providers, {key.sha256: key for key in config.keys}, Prices.of_config(config))


@dataclass(frozen=True, slots=True)
class Matched:
    route: Route
    policy: Policy
    provider: Fallbacks
    shadow: Policy | None = None


@dataclass(slots=True)
class State:
    config_path: Path | None
    snapshot: Snapshot
    queue: ScoringQueue | None
    reload_error: str = ""
    limiter: Limiter = field(default_factory=Limiter)
    memory: Memory = field(default_factory=Memory)
    names: Names | None = None  # behind placeholders, where the provider keeps the conversation
    audit: Writer | None = None  # from the moment it serves
    telemetry: Telemetry | None = None  # the same
    _retired: list[Member | Judge] = field(default_factory=list)
    _later: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    def load(cls, config_path: Path | None, queue: ScoringQueue | None) -> State:
        """Raises FileError with every problem of the configuration and its policies."""
        config = load_config(config_path)
        snapshot = Snapshot.of(config, load_guard(config, queue), providers(config))
        memory = Shared(config.verdicts) if config.verdicts is not None else Memory()
        names = _names(config.restore) if config.restore is not None else None
        return cls(config_path, snapshot, queue, limiter=Limiter.of_config(config), memory=memory, names=names)

    @classmethod
    def open(cls, config_path: Path | None) -> State:
        """With the model that the config names."""
        state = cls.load(config_path, load_queue(load_config(config_path)))
        trim()
        return state

    def welcome(self, where: str) -> str:
        config = self.snapshot.config
        artefacts = [queue.classifier.artefact for queue in self.queue.all] if self.queue else []
        model = ", ".join(f"{one.name} ({one.sha256[:8]})" for one in artefacts) or "none"
        routes = ", ".join(
            f"{r.match.model} -> {r.provider} under {self.snapshot.guard.policies[r.policy].ref}" for r in config.routes
        )
        keys = f"{len(config.keys)} keys" if config.keys else "none configured: open, on loopback only"
        closed = config.keys and not config.admin
        look = "closed: `weir key new NAME --admin` opens it" if closed else f"http://{where}/ui"
        notes = "".join(f"  note    {note}\n" for note in self._notes(config))
        return (
            f"Weir listens on http://{where}/v1\n  model   {model}\n  routes  {routes}\n  keys    {keys}\n  look    {look}\n"
            f"{notes}  try     curl -s http://{where}/v1/chat/completions -H 'content-type: application/json' "
            """-d '{"model":"demo","messages":[{"role":"user","content":"/contact"}]}'"""
        )

    def _notes(self, config: Config) -> list[str]:
        unlogged = [] if config.audit else ["no `audit:` in the config: decisions are in this log alone"]
        return [*unlogged, *self.snapshot.prices.notices(config)]

    def observe(self) -> None:
        """Brings the metrics up to date that are states rather than events."""
        if self.queue is not None:
            queues = self.queue.all
            metrics.queue_depth.set(sum(queue.depth for queue in queues))
            metrics.cache_hits.set(sum(queue.cache_hits for queue in queues))
            metrics.cache_misses.set(sum(queue.cache_misses for queue in queues))
            metrics.screened.set(sum(queue.screened for queue in queues))
        if self.audit is not None:
            metrics.audit_waiting.set(self.audit.waiting)
        if self.snapshot.guard.drift is not None:
            self.snapshot.guard.drift.publish()
        for policy in self.snapshot.guard.policies.values():
            metrics.policies.labels(policy.ref).set(1)
        model = self.snapshot.guard.classifier
        metrics.build_info.labels(__version__, platform.python_version(), model[:8] or "none").set(1)

    # -- reload: parse, validate, load, swap one reference

    def reload(self) -> bool:
        """A file that does not load leaves the running snapshot alone and says so."""
        try:
            config = load_config(self.config_path)
            guard = load_guard(config, self.queue, self.snapshot.guard)
            fresh = providers(config, self.snapshot)
            snapshot = Snapshot.of(config, guard, fresh)
        except (FileError, ModelError, OSError) as problem:
            self.reload_error = str(problem)
            metrics.reloads.labels("refused").inc()
            log.error("reload refused, the running policies stay", extra={"fields": {"problem": str(problem)}})
            return False
        old, self.snapshot = self.snapshot, snapshot
        self._retired += [p for n, p in old.providers.items() if fresh.get(n) is not p]
        asked = guard.cascade.judges
        self._retired += [j for n, j in old.guard.cascade.judges.items() if asked.get(n) is not j]
        self.reload_error = ""
        for policy in {p.ref for p in old.guard.policies.values()} - {p.ref for p in guard.policies.values()}:
            metrics.policies.labels(policy).set(0)
        self.observe()
        self._remember()
        metrics.reloads.labels("done").inc()
        log.info("reloaded", extra={"fields": {"policies": [p.ref for p in guard.policies.values()]}})
        return True

    # -- the decision log

    def start(self) -> None:
        """What a process has that serves, and nobody may have before a fork: threads for the decision log and telemetry."""
        if (observed := self.snapshot.config.telemetry) is not None:
            from proxy.telemetry.spans import Telemetry  # an extra

            self.telemetry = Telemetry(observed)
        settings = self.snapshot.config.audit
        if settings is not None:
            from proxy.audit.writer import Writer  # sqlalchemy is for those alone who keep a log

            patient = settings.on_full == "block"
            self.audit = Writer(lambda: open_audit(settings, kept=True), settings.queue, settings.retain, patient)
            self._remember()

    def _remember(self) -> None:
        if self.audit is not None:
            for policy in self.snapshot.guard.policies.values():
                if policy.source is not None:
                    self.audit.remember(policy.sha, policy.name, policy.text)

    async def record(self, entry: Entry) -> None:
        settings = self.snapshot.config.audit
        if self.audit is None or settings is None:
            return
        if settings.commit == "batch":
            self.audit.put(entry)
        elif not await self.audit.committed(entry):
            log.error("the decision log did not take a record in time", extra={"fields": {"id": entry.id}})

    async def recordable(self, begun: Callable[[], Entry] | None = None) -> None:
        """Raises Refusal while the decision log does not take what it must have: room for a record, or with `begun` that
        itself."""
        settings = self.snapshot.config.audit
        if self.audit is None or settings is None:
            return
        fine = True
        if begun is None:
            fine = settings.on_full != "block" or await self.audit.room()
        elif settings.commit == "each":
            fine = await self.audit.committed(begun())
        if not fine:
            text = "The decision log does not answer, and nothing may go unrecorded. Please try again later."
            raise Refusal(503, text, "audit_unavailable", kind="server_error")

    # -- the end

    def later(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Has it done when there is time, before the process ends. False where too much of that is waiting already."""
        if len(self._later) >= _LATER:
            return False
        task = asyncio.create_task(work())
        self._later.add(task)
        task.add_done_callback(self._later.discard)
        return True

    async def close(self) -> None:
        await asyncio.gather(*self._later, return_exceptions=True)
        for one in (*self._retired, *self.snapshot.providers.values(), *self.snapshot.guard.cascade.judges.values()):
            await one.close()
        await self.limiter.counters.close()
        await self.memory.close()
        if self.names is not None:
            await self.names.close()
        if self.audit is not None:
            await asyncio.to_thread(self.audit.close)
        if self.telemetry is not None:
            await self.telemetry.close()
        if self.queue is not None:
            self.queue.close()
            for queue in self.queue.all:
                queue.classifier.network.close()

    # -- matching

    def request_id(self, scope: Scope) -> str:
        return uuid.uuid4().hex

    def match(self, scope: Scope, model: Any, key: KeyEntry | None, *, local: bool = False) -> Matched:
        """Route by the base_url's name if it has one, else by the model; `local` when no provider is asked for it. Raises
        Refusal."""
        snapshot = self.snapshot
        named = scope.get("path_params", {}).get("route")
        if named is not None:
            route = next((r for r in snapshot.config.routes if r.name == named), None)
            missing = f"There is no route '{named}' here."
        else:
            wanted = model if isinstance(model, str) else ""
            route = next((r for r in snapshot.config.routes if fnmatchcase(wanted, r.match.model)), None)
            missing = f"The model `{wanted[:100]}` does not exist or you do not have access to it: no route here serves it."
        if route is None:
            raise Refusal(404, missing, "model_not_found")
        if key is not None and key.routes is not None and route.name not in key.routes:
            raise Refusal(403, f"Your key may not use the route '{route.name}'.", "route_not_allowed")
        if key is not None and not local and not may_ask(key, model):
            raise Refusal(403, f"Your key does not have access to the model `{str(model)[:100]}`.", "model_not_found")
        provider = Fallbacks([snapshot.providers[name] for name in (route.provider, *route.fallbacks)])
        policies = snapshot.guard.policies
        return Matched(route, policies[route.policy], provider, policies[route.shadow] if route.shadow is not None else None)

    def caller(self, scope: Scope) -> KeyEntry | None:
        """The key that the caller showed; None where no keys are configured. Raises Refusal 401."""
        keys = self.snapshot.keys
        if not keys:
            return None
        headers = dict(scope["headers"])
        shown = headers.get(b"authorization", b"").removeprefix(b"Bearer ").strip() or headers.get(b"x-api-key", b"").strip()
        if not shown:
            text = "You didn't provide an API key. Send it as `Authorization: Bearer YOUR_KEY` or as `x-api-key`."
            raise Refusal(401, text, "invalid_api_key")
        key = keys.get(hashlib.sha256(shown).hexdigest())
        if key is None:
            raise Refusal(401, "Incorrect API key provided.", "invalid_api_key")
        if key.expires is not None and key.expires < datetime.now(UTC):
            raise Refusal(401, f"Your API key expired on {key.expires:%Y-%m-%d}. Ask for a new one.", "invalid_api_key")
        scope["weir.key"] = key.name
        return key

    async def grant(self, key: KeyEntry, route: Route, path: str, body: Json, request: Request) -> Grant:
        """What the key gives for this request. Raises Refusal."""
        model = self.snapshot.config.model_of(route, body["model"])
        return await self.limiter.grant(key, path, body, request, self.snapshot.prices, model)

    def routes_of(self, scope: Scope, key: KeyEntry | None) -> list[Route]:
        named = scope.get("path_params", {}).get("route")
        return [
            r
            for r in self.snapshot.config.routes
            if (named is None or r.name == named) and (key is None or key.routes is None or r.name in key.routes)
        ]

    @staticmethod
    def bare_headers(request_id: str) -> Headers:
        return [(b"x-weir-request-id", request_id.encode())]

    # -- the record

    def finished(self, request_id: str, exchange: Exchange | None, status: int, seconds: float, error: str = "") -> None:
        route = exchange.matched.route.name if exchange else "-"
        action = str(exchange.action) if exchange else "-"
        metrics.requests.labels(route, str(status), action).inc()
        if exchange is not None and exchange.trace.streamed and status in (200, 499):
            metrics.streams_ended.labels(route, ending(exchange, status)).inc()
        if not log.isEnabledFor(logging.INFO):
            return
        fields: dict[str, Any] = {
            "id": request_id,
            "route": route,
            "status": status,
            "action": action,
            "ms": round(seconds * 1e3, 2),
        }
        watch = current.get()
        if watch is not None and watch.trace_id:
            fields["trace_id"] = watch.trace_id
        if error := error or (exchange.trace.error if exchange else ""):
            fields["error"] = error
        if exchange is not None:
            trace = exchange.trace
            fields |= {
                "policy": exchange.policy.ref,
                "provider": (watch.provider if watch is not None else "") or exchange.matched.route.provider,
                "key": trace.key or None,
            }
            fields |= {"stream": trace.streamed, "ended": ending(exchange, status)}
            fields |= {f"{name}_ms": round(value * 1e3, 2) for name, value in trace.ms.items()}
            if trace.usage is not None:
                fields |= {"prompt_tokens": trace.usage.prompt, "completion_tokens": trace.usage.completion}
            if exchange.outcomes:
                fields["outcomes"] = [
                    {
                        "rule": o.rule,
                        "action": str(o.action),
                        "enforced": o.enforced,
                        "score": round(o.score, 4),
                        "by": o.decided_by,
                        **({"codes": o.codes} if o.codes else {}),
                    }
                    for o in exchange.outcomes
                ]
            if exchange.steps:
                fields["steps"] = [step_json(step) for step in exchange.steps]
            if exchange.skipped:
                fields["not_inspected"] = [f"{f.detector}: {f.reason}" for f in exchange.skipped]
        log.info("request", extra={"fields": fields})


def _names(settings: Restore) -> Names:
    from proxy.server.names import Names  # cryptography is for those alone who keep something

    return Names(settings)


def open_audit(settings: Audit, kept: bool = False) -> Store:
    """Raises AuditError."""
    from proxy.audit.store import Store

    return Store.open(settings.url, settings.key, durable=settings.commit == "each", kept=kept)


def may_ask(key: KeyEntry | None, model: Any) -> bool:
    return key is None or key.models is None or any(fnmatchcase(str(model), pattern) for pattern in key.models)


def providers(config: Config, before: Snapshot | None = None) -> dict[str, Member]:
    """One client a provider; those whose settings did not change keep theirs, its connections and how well it did."""
    found: dict[str, Member] = {}
    for name, settings in config.providers.items():
        if before is not None and before.config.providers.get(name) == settings and name in before.providers:
            found[name] = before.providers[name]
        else:
            found[name] = member(name, settings)
    return found


class JsonFormatter(logging.Formatter):
    """One JSON object a line. What goes in are names, numbers and hashes; text of people never does."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        body = {"time": round(record.created, 3), "level": record.levelname.lower(), "message": record.getMessage(), **fields}
        if record.exc_info and record.exc_info[0] is not None:
            body["exception"] = record.exc_info[0].__name__
        return msgspec.json.encode(body).decode()


def configure_log(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    log.handlers, log.propagate = [handler], False
    log.setLevel(level.upper())


async def watch(state: State, stop: asyncio.Event) -> None:
    """Reloads when the config or a policy file changes. Folders are watched, since editors and Kubernetes swap files."""
    from watchfiles import awatch  # its import starts a thread pool that `check` and `lint` have no use for

    folders = {state.snapshot.config.policy_folder}
    if state.config_path is not None:
        folders.add(state.config_path.resolve().parent)
    async for changes in awatch(*[f for f in folders if f.is_dir()], stop_event=stop, debounce=200, step=50):
        if any(path.endswith((".yaml", ".yml")) or "..data" in path for _, path in changes):
            await asyncio.to_thread(state.reload)

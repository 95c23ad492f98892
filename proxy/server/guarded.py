"""A guarded endpoint, whatever its API. Read `Guarded.__call__` from top to bottom: it is the life of a request."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import msgspec
from starlette.types import Receive, Scope
from starlette.types import Send as AsgiSend

from proxy import metrics
from proxy.config import KeyEntry, Limits
from proxy.guard import CONTEXT
from proxy.policy.circumstances import Setting
from proxy.policy.load import Policy
from proxy.server import shape, whole
from proxy.server.answers import Headers, Refusal, annotation, filter_results, prompt_blocked, respond
from proxy.server.conversation import WITHHELD, continued, conversation, judged
from proxy.server.limits import Grant
from proxy.server.meter import Metered, asks_for_usage
from proxy.server.recorder import bare, begun, ended
from proxy.server.relay import relay
from proxy.server.shadow import Difference, Shadow, count, drawn
from proxy.server.state import Matched, Snapshot, State
from proxy.server.trace import Read, Trace, path_of, place_of
from proxy.stream.channel import Channel
from proxy.stream.guard import StreamGuard, tokens_within
from proxy.telemetry.watch import current
from proxy.text.language import language_of
from proxy.text.redact import Placeholders, Restorer, redact
from proxy.types import Action, Direction, Failure, Outcome, Segment, Step, Verdict
from proxy.upstream import Call, Response, UpstreamError
from proxy.upstream.fallback import Attempts
from proxy.wire import sse
from proxy.wire.api import Api
from proxy.wire.form import undocumented
from proxy.wire.parts import BadBody, Field, Json, Media, Part, Path, Request, Said, decode, encode, put
from proxy.wire.usage import usage_of

_PASS_ON = frozenset(
    (
        "anthropic-version anthropic-beta openai-organization openai-project openai-beta idempotency-key traceparent "
        "tracestate user-agent"
    ).split()
)
_KEEP_BACK = frozenset(
    (
        "connection keep-alive transfer-encoding content-length content-encoding server date set-cookie te trailer upgrade"
    ).split()
)
_TOLD = 2000  # characters of a provider's own words, in an error
_WAITING = 64 * 1024  # bytes of a stream without a character, after which it is believed
_PATIENCE = 10.0  # seconds, if nobody else could be asked: signs of life may have to reach the client


@dataclass(slots=True)
class Exchange:
    """One request on its way, and what has been decided of it."""

    id: str
    started: float
    snapshot: Snapshot
    matched: Matched
    body: dict[str, Any] = field(repr=False)
    grant: Grant | None = None  # what the caller's key has given for it
    action: Action = Action.PASS
    read: list[Read] = field(default_factory=list)  # what was decided
    trace: Trace = field(default_factory=Trace)
    skipped: list[Failure] = field(default_factory=list)
    placeholders: Placeholders = field(default_factory=Placeholders)
    restorer: Restorer | None = None
    caller: str = field(default="", repr=False)  # whose names are kept, where they are
    kept: bool = False
    context: str = field(default="", repr=False)
    history: str = field(default="", repr=False)  # more of it, for a judge
    lead: str = field(default="", repr=False)  # the end of the answer that this one only goes on with
    steps: list[Step] = field(default_factory=list)
    doubt: asyncio.Task[Verdict] | None = None  # a judge that comes after is still at the prompt
    shadow: Shadow | None = None
    language: str = ""  # that the user writes in, all turns together; where there is no user, anybody

    @property
    def policy(self) -> Policy:
        return self.matched.policy

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for one in self.read for outcome in one.verdict.outcomes]

    def hold(self, key: str, fields: list[Field]) -> None:
        """Leaves of the policy those rules that hold here. `key` is the caller's."""
        policy, route = self.policy, self.matched.route.name
        model = self.body.get("model")
        shadow = self.matched.shadow
        first = next((one.text for one in fields if one.role == "user"), "")
        if shadow is not None and drawn(key, route, first) < self.matched.route.shadow_share:
            policy, shadow = shadow, policy
        audit = self.snapshot.config.audit
        recorded = audit is not None and audit.language
        if recorded or policy.polyglot or (shadow is not None and shadow.by_language):
            own = [one.text for one in fields if one.prose and one.role == "user"]
            self.language = language_of("\n".join(own or [one.text for one in fields if one.prose]))
        setting = Setting(route, key, model if isinstance(model, str) else "", self.language)
        self.matched = replace(self.matched, policy=policy.under(setting))
        self.shadow = Shadow(shadow.under(setting)) if shadow is not None else None

    @property
    def headers(self) -> Headers:
        return [
            (b"x-weir-request-id", self.id.encode()),
            (b"x-weir-route", self.matched.route.name.encode()),
            (b"x-weir-policy", self.policy.ref.encode()),
            (b"x-weir-action", str(self.action).encode()),
            *(self.grant.headers if self.grant else ()),
        ]

    def record(self, verdict: Verdict, direction: Direction, place: str) -> None:
        route = self.matched.route.name
        if verdict.outcomes:
            self.read.append(Read(direction, place, verdict))
        for outcome in verdict.outcomes:
            metrics.verdicts.labels(route, direction, outcome.rule, str(outcome.action), str(outcome.enforced).lower()).inc()
        for failure in verdict.not_inspected:
            self.skip(failure)
        self.steps += verdict.steps

    def ears(self) -> Callable[[Part], None] | None:
        """Who wants to hear what the provider says; None if nobody does."""
        shadow = self.shadow
        if not self.trace.keeps:
            return shadow.listen if shadow is not None else None
        if shadow is None:
            return self.trace.listen
        both = (self.trace.listen, shadow.listen)

        def listen(part: Part) -> None:
            for one in both:
                one(part)

        return listen

    def forget_answer(self) -> None:
        """The provider's answer came to nothing, and another one is asked."""
        self.read = [one for one in self.read if one.direction == "prompt"]
        self.trace.forget_answer()
        if self.shadow is not None:
            self.shadow.forget_answer()

    def skip(self, failure: Failure) -> None:
        self.skipped.append(failure)
        metrics.not_inspected.labels(self.matched.route.name, failure.reason[:60]).inc()


def left(status: int) -> int:
    """499 where the client has gone: some servers say so by cancelling."""
    return 499 if isinstance(sys.exception(), asyncio.CancelledError) else status


@dataclass(frozen=True, slots=True)
class Blocked:
    """The prompt may not go on."""

    verdict: Verdict
    path: Path


class Guarded:
    def __init__(self, state: State, api: Api) -> None:
        self._state, self._api = state, api

    async def __call__(self, scope: Scope, receive: Receive, send: AsgiSend) -> None:
        started = time.perf_counter()
        state = self._state
        request_id = state.request_id(scope)
        exchange: Exchange | None = None
        status, code = 500, ""
        try:
            await state.recordable()
            key = state.caller(scope)
            body = await read_json(receive, state.snapshot.config.limits)
            matched = state.match(scope, body.get("model"), key)
            exchange = Exchange(request_id, started, state.snapshot, matched, body)
            exchange.caller = caller_of(scope, key)
            request = self._api.request(body)
            self._trace(exchange, key)
            exchange.hold(exchange.trace.key, request.fields)
            if key is not None:
                exchange.grant = await state.grant(key, matched.route, self._api.path, body, request)
            exchange.trace.ms["read"] = time.perf_counter() - started
            blocked = await self._inspect_prompt(exchange, request)
            exchange.trace.ms["prompt"] = judged = time.perf_counter() - started
            metrics.guard_seconds.labels(matched.route.name, "prompt").observe(judged)
            await state.recordable(lambda: begun(exchange, self._api.path))
            if blocked is not None:
                status = await self._refuse(exchange, blocked, send)
            else:
                status = await self._forward(exchange, scope, receive, send)
        except BadBody as problem:
            code = "invalid_body"
            status = await self._error(send, exchange, request_id, Refusal(400, str(problem), code, problem.param))
        except Refusal as problem:
            code = problem.code
            status = await self._error(send, exchange, request_id, problem)
        except UpstreamError as problem:
            code = problem.code
            refused = Refusal(problem.status, str(problem), code, kind="upstream_error")
            status = await self._error(send, exchange, request_id, refused)
        finally:
            if exchange is not None and exchange.doubt is not None:
                exchange.doubt.cancel()
            if exchange is not None and exchange.grant is not None:
                await exchange.grant.settle()
            seconds, status = time.perf_counter() - started, left(status)
            if exchange is None:
                state.finished(request_id, None, status, seconds, code)
                await state.record(bare(request_id, self._api.path, status, code, seconds, key=scope.get("weir.key")))
            else:
                exchange.trace.error = exchange.trace.error or code
                await self._finished(exchange, status, seconds)

    def _trace(self, exchange: Exchange, key: KeyEntry | None) -> None:
        audit = exchange.snapshot.config.audit
        trace = exchange.trace
        trace.key = key.name if key is not None else ""
        trace.keeps = audit is not None and audit.text != "never"
        trace.streamed = exchange.body.get("stream") is True
        if (watch := current.get()) is not None:
            trace.trace_id, watch.exchange = watch.trace_id, exchange

    async def _finished(self, exchange: Exchange, status: int, seconds: float) -> None:
        """The record of the request; after it is known what the second policy would have done, where there is one."""
        shadow = exchange.shadow
        if shadow is None:
            await self._recorded(exchange, status, seconds)
            return
        route, policy = exchange.matched.route.name, exchange.policy

        async def compared() -> None:
            found: list[Difference] = []
            own = current.set(None)  # what the shadow looks at is not the request's
            try:
                guard = exchange.snapshot.guard
                found = await shadow.compare(guard, exchange.read, exchange.context, exchange.history)
                count(exchange.id, route, policy, shadow.policy, found)
            finally:
                current.reset(own)
                await self._recorded(exchange, status, seconds, found)

        if not self._state.later(compared):
            metrics.shadow_skipped.labels(route).inc()
            await self._recorded(exchange, status, seconds)

    async def _recorded(self, exchange: Exchange, status: int, seconds: float, found: Sequence[Difference] = ()) -> None:
        state, settings = self._state, exchange.snapshot.config.audit
        state.finished(exchange.id, exchange, status, seconds)
        if settings is not None:
            grant = exchange.grant
            if grant is not None and grant.told:
                exchange.trace.usage = grant.used
            await state.record(ended(exchange, self._api.path, status, seconds, settings.text, found))

    # -- the prompt

    async def _inspect_prompt(self, exchange: Exchange, request: Request) -> Blocked | None:
        """Judges every text of the request, writes the redactions into its body."""
        policy, guard = exchange.policy, exchange.snapshot.guard
        fields, media, unknown = request
        if policy.unknown_fields == "block":
            strange: Path | None = next(chain(unknown, undocumented(exchange.body, self._api.forms)), None)
            if strange is not None:
                return self._by_policy(exchange, "unknown_fields", Action.BLOCK, strange)
        over = self._over_limit(exchange, fields)
        if over is not None:
            return over
        blocked = self._media(exchange, media)
        if blocked is not None:
            return blocked
        reach = max(guard.reach(policy), guard.reach(exchange.shadow.policy) if exchange.shadow else 0)
        segments = conversation(fields, reach)
        told = [(s, f.prose) for s, f in zip(segments, fields, strict=True)]
        if exchange.shadow is not None:
            exchange.shadow.prompt = told
        exchange.context = "".join(s.text for s in segments if s.role in ("user", "document"))[-CONTEXT:]
        exchange.lead = continued(told)
        if reach and segments:
            exchange.history = f"{segments[-1].before}\n{segments[-1].text}".strip()[-reach:]
        found = await judged(guard, policy, told, self._state.memory, defer=True)
        worst: Blocked | None = None
        for one, segment, verdict in zip(fields, segments, found, strict=True):
            place = path_of(one.path)
            exchange.record(verdict, "prompt", place)
            exchange.trace.prompted(place, segment, verdict)
            exchange.action = max(exchange.action, verdict.action)
            if verdict.action is Action.BLOCK and (worst is None or worst.verdict.unavailable):
                worst = Blocked(verdict, one.path)
        if worst is not None:
            return worst
        if open_ := [(s, v) for s, v in zip(segments, found, strict=True) if v.pending]:
            exchange.doubt = asyncio.create_task(second_look(exchange, open_))
        restored = policy.restored_labels
        if restored:
            await self._recall(exchange)
            for one in fields:
                exchange.placeholders.avoid(one.text)
        for one, verdict in zip(fields, found, strict=True):
            if verdict.redactions:
                text = self._redacted(exchange, one, verdict)
                put(exchange.body, one.path, decode(text) if one.boxed else text)
        if restored and (values := exchange.placeholders.values(restored)):
            exchange.restorer = Restorer(values, wants_json(exchange.body))
        return None

    async def _recall(self, exchange: Exchange) -> None:
        """What an earlier request has called what, where the provider keeps the conversation. Where nobody knows, this
        request's names are like no other's: none of them may be taken for an earlier one."""
        for earlier in kept_by_provider(exchange.body):
            names = self._state.names
            known = await names.find(exchange.caller, earlier) if names is not None else None
            if known is not None:
                exchange.placeholders.learn(known)
            else:
                exchange.placeholders = Placeholders(mark=f"_{secrets.token_hex(3).upper()}")

    async def _keep(self, exchange: Exchange, answer: Json) -> None:
        """For the next request that only names this answer, or the conversation."""
        store = self._state.names
        if store is None or exchange.kept or not isinstance(answer, str) or not answer or self._api.path != "responses":
            return
        exchange.kept = True
        known = exchange.placeholders.known(exchange.policy.restored_labels)
        for name in {answer, *kept_by_provider(exchange.body, "conversation")}:
            await store.keep(exchange.caller, name, known)

    @staticmethod
    def _redacted(exchange: Exchange, one: Field, verdict: Verdict) -> str:
        if one.kind == "json" and any(label == WITHHELD for _, label in verdict.redactions):
            return "{}"
        if one.kind != "json":
            return redact(one.text, verdict.redactions, exchange.placeholders)
        rules = exchange.snapshot.guard.text_rules(exchange.policy, "prompt", one.role)
        channel = Channel(rules, exchange.placeholders, kind="json", asks_model=False, tool=one.tool)
        channel.feed(one.text)
        channel.finish()
        return channel.render(0, one.text)

    @staticmethod
    def _over_limit(exchange: Exchange, fields: list[Field]) -> Blocked | None:
        policy = exchange.policy
        total = sum(len(f.text) for f in fields)
        if total <= policy.limit_chars:
            return None
        if policy.limit_over == "block":
            raise Refusal(
                413,
                f"The prompt has {total} characters; the policy '{policy.name}' allows {policy.limit_chars}.",
                "prompt_too_long",
                "messages",
            )
        exchange.skip(Failure("safeguard", "over the policy's limit"))
        spare, tally = policy.limit_chars, exchange.trace.prompt
        for index, one in enumerate(fields):
            if one.prose and len(one.text) > spare:
                tally.not_inspected += len(one.text)
                tally.inspected -= len(one.text)
                fields[index] = one._replace(prose=False)  # patterns still read all of it
            spare = max(0, spare - len(one.text))
        return None

    @staticmethod
    def _media(exchange: Exchange, media: list[Media]) -> Blocked | None:
        """Weir reads text. What is not text is the policy's decision, and visible."""
        if not media:
            return None
        for item in media:
            exchange.skip(Failure("media", item.kind))
        if exchange.policy.media == "pass":
            return None
        action = Action.BLOCK if exchange.policy.media == "block" else Action.FLAG
        return Guarded._by_policy(exchange, "media", action, media[0].path)

    @staticmethod
    def _by_policy(exchange: Exchange, what: str, action: Action, path: Path) -> Blocked | None:
        """What the policy itself says of something that no detector reads."""
        verdict = Verdict(action, (Outcome(what, action, True, what, 1.0, None, (), "policy"),))
        exchange.record(verdict, "prompt", path_of(path))
        exchange.action = max(exchange.action, action)
        return Blocked(verdict, path) if action is Action.BLOCK else None

    async def _refuse(self, exchange: Exchange, blocked: Blocked, send: AsgiSend) -> int:
        policy, verdict, body = exchange.policy, blocked.verdict, exchange.body
        exchange.action = Action.BLOCK
        outcome = verdict.blocking
        if outcome is None:
            message = "The guardrail could not judge the prompt. Please try again later."
            text = self._api.error(503, message, "server_error", None, "guardrail_unavailable")
            await respond(send, 503, text, exchange.headers)
            return 503
        said = policy.refused(outcome.rule, exchange.language)
        refused = self._api.refusal(body, said) if policy.on_block == "refuse" else None
        if refused is not None:
            kind, text = refused
            await respond(send, 200, text, exchange.headers, kind)
            return 200
        told = prompt_blocked(self._api, policy, outcome, exchange.outcomes, blocked.path, exchange.language)
        await respond(send, 400, told, exchange.headers)
        return 400

    # -- the provider, and its answer

    async def _forward(self, exchange: Exchange, scope: Scope, receive: Receive, send: AsgiSend) -> int:
        route = exchange.matched.route
        grant = exchange.grant
        body = {**exchange.body, "model": route.model} if route.model else exchange.body
        asking = asks_for_usage(self._api.path, body) if grant is not None and grant.counts_tokens else None
        body = asking or body
        headers = {"content-type": "application/json", **pass_on(scope)}
        attempts = exchange.matched.provider.attempts(Call(self._api.path, encode(body), headers))
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            while True:
                try:
                    return await self._attempt(exchange, attempts, gone, send, hidden=asking is not None)
                except UpstreamError as problem:  # before anything has left
                    if gone.done():
                        return 499
                    if not attempts.broke(problem):
                        raise
                    exchange.forget_answer()
        finally:
            gone.cancel()

    async def _attempt(
        self, exchange: Exchange, attempts: Attempts, gone: asyncio.Future[None], send: AsgiSend, hidden: bool
    ) -> int:
        """Raises UpstreamError while nothing has been said to the client."""
        grant = exchange.grant
        opening = asyncio.ensure_future(attempts.open())
        try:
            first: set[asyncio.Future[Any]] = {gone, opening}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not opening.done():
                opening.cancel()
                await asyncio.wait({opening})
        if opening.cancelled():
            if grant is not None:
                grant.sent()
            return 499
        response = opening.result()
        gone.add_done_callback(lambda _: response.close())
        try:
            if grant is not None and response.status == 200:
                grant.sent()
                response = Metered(response, grant, hidden)
            if response.status != 200:
                return await self._declined(exchange, response, send)
            streams = exchange.body.get("stream") is True
            if streams is not ("text/event-stream" in dict(response.headers).get("content-type", "").lower()):
                kind = "an event stream" if not streams else "no event stream"
                raise UpstreamError(f"The provider answered with {kind}.", 502, "upstream_error")
            if not streams:
                status = await self._whole(exchange, response, send)
                attempts.worked()
                return status
            return await self._stream(exchange, response, attempts, gone, send)
        finally:
            response.close()

    async def _stream(
        self, exchange: Exchange, response: Response, attempts: Attempts, gone: asyncio.Future[None], send: AsgiSend
    ) -> int:
        policy, judge = exchange.policy, exchange.snapshot.guard
        guard = StreamGuard(
            self._api.reader(exchange.body),
            judge.text_rules(policy),
            exchange.placeholders,
            policy.streaming,
            policy.follow_limit,
            exchange.context,
            prompt_tokens=len(exchange.context) // 4,
            restorer=exchange.restorer,
            history=exchange.history,
            doubted=exchange.doubt is not None,
            annotate=annotation if exchange.matched.route.annotations == "azure" else None,
            listen=exchange.ears(),
            lead=exchange.lead,
        )
        kind = (b"content-type", sse.CONTENT_TYPE.encode())
        start = [kind, (b"cache-control", b"no-cache"), *exchange.headers, *kept(response, skip="content-type cache-control")]
        opened = time.perf_counter()
        waiting: list[bytes] | None = []  # what came before the first character; None once anything has been said

        def undecided(waiting: list[bytes]) -> bool:
            """Whether this may turn out to be no answer: a failure before the first character is not shown while there is
            somebody else to ask, and in the end it is an error by itself."""
            if guard.fault is not None:
                return attempts.more or not guard.heard
            patient = attempts.more or time.perf_counter() - opened < _PATIENCE
            return patient and not guard.released and sum(map(len, waiting)) < _WAITING

        async def begin() -> None:
            nonlocal waiting
            said, waiting = waiting or [], None
            exchange.trace.ms["first_text"] = waited = time.perf_counter() - exchange.started
            metrics.first_text_seconds.labels(exchange.matched.route.name).observe(waited)
            await send({"type": "http.response.start", "status": 200, "headers": start})
            if said:
                await send({"type": "http.response.body", "body": b"".join(said), "more_body": True})

        async def write(data: bytes) -> None:
            if exchange.restorer is not None:
                await self._keep(exchange, getattr(guard.reader, "response_id", ""))
            if waiting is not None:
                if undecided(waiting):
                    waiting.append(data)
                    return
                await begin()
            await send({"type": "http.response.body", "body": data, "more_body": True})

        async def verdict(segment: Segment, defer: bool) -> Verdict:
            return await judge.judge(policy, segment, patterns=False, defer=defer)

        metrics.streams.inc()
        try:
            exchange.trace.ended = await relay(guard, response, verdict, write, exchange.doubt)
        finally:
            metrics.streams.dec()
            self._heard(exchange, guard)
            if guard.leaked:
                metrics.leaked_chars.labels(exchange.matched.route.name).inc(guard.leaked)
            if exchange.grant is not None:
                exchange.grant.seen(guard.characters)
        if gone.done():
            exchange.trace.ended = "disconnected"
            return 499
        if guard.fault is None:
            attempts.worked()
        elif waiting is None:
            attempts.failed()
        elif guard.fault[1] != "provider_error" or attempts.more:
            raise UpstreamError(guard.fault[0], 504 if guard.fault[1] == "upstream_timeout" else 502, guard.fault[1])
        if waiting is not None:
            await begin()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return 200

    @staticmethod
    def _heard(exchange: Exchange, guard: StreamGuard) -> None:
        for key, channel, size in guard.channels():
            place = place_of(key) if isinstance(key, tuple) else ""
            for one in channel.verdicts:
                exchange.record(one, "completion", place)
            exchange.trace.answered(key, place, channel, size)
        exchange.trace.usage = guard.usage

    async def _declined(self, exchange: Exchange, response: Response, send: AsgiSend) -> int:
        """What the provider says instead of an answer."""
        told = provider_error(self._api, await response.read(), response.status)
        await respond(send, response.status, told, [*exchange.headers, *kept(response)])
        return response.status

    async def _whole(self, exchange: Exchange, response: Response, send: AsgiSend) -> int:
        raw = await response.read()
        exchange.trace.ms["answered"] = time.perf_counter() - exchange.started
        kind = dict(response.headers).get("content-type", "application/json")
        try:
            answer = decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise UpstreamError("The provider's answer is not JSON.", 502, "upstream_error") from problem
        if not isinstance(answer, dict):
            raise UpstreamError("The provider's answer is not a JSON object.", 502, "upstream_error")
        exchange.trace.usage = usage_of(answer)
        if exchange.grant is not None:
            exchange.grant.seen(sum(len(part.text) for said in self._said(answer) for part in said.parts))
            exchange.grant.counted(exchange.trace.usage)
        began = time.perf_counter()
        if exchange.doubt is not None and (late := await exchange.doubt).action is Action.BLOCK:
            return await self._refuse(exchange, Blocked(late, ()), send)
        if exchange.restorer is not None:
            await self._keep(exchange, answer.get("id"))
        changed = await self._inspect_answer(exchange, answer)
        exchange.trace.ms["completion"] = judged = time.perf_counter() - began
        metrics.guard_seconds.labels(exchange.matched.route.name, "completion").observe(judged)
        if changed is None:
            exchange.trace.ended, exchange.trace.error = "error", "guardrail_unavailable"
            message = "The guardrail could not judge the answer. Please try again later."
            text = self._api.error(503, message, "server_error", None, "guardrail_unavailable")
            await respond(send, 503, text, exchange.headers)
            return 503
        await respond(send, 200, encode(answer) if changed else raw, [*exchange.headers, *kept(response)], kind)
        return 200

    async def _inspect_answer(self, exchange: Exchange, answer: dict[str, Any]) -> bool | None:
        """Edits the answer as a stream of the same text would have been edited. True if anything changed, None if it could
        not be judged."""
        changed = False
        azure = exchange.matched.route.annotations == "azure"
        for said in self._said(answer):
            if (listen := exchange.ears()) is not None:
                for number, part in enumerate(said.parts):
                    listen(replace(part, channel=(said.number, number)))
            outcome = await self._inspect_choice(exchange, answer, said)
            if outcome is None:
                continue
            changed = True
            if isinstance(outcome, Verdict):
                if outcome.unavailable:
                    return None
                exchange.trace.ended = "blocked"
                self._api.block(answer, said, annotation(outcome) if azure else None)
        if azure:
            prompt = {"prompt_index": 0, "content_filter_results": filter_results(exchange.outcomes)}
            answer["prompt_filter_results"] = [prompt]
            changed = True
        return changed

    def _said(self, answer: Json) -> list[Said]:
        try:
            return self._api.said(answer)
        except BadBody as problem:
            raise UpstreamError(f"The provider's answer has {problem}.", 502, "upstream_error") from problem

    async def _inspect_choice(self, exchange: Exchange, answer: Json, said: Said) -> Verdict | bool | None:
        """The verdict that blocks the choice, True if it was edited, None if it passes as it is."""
        policy, judge = exchange.policy, exchange.snapshot.guard
        rules = judge.text_rules(policy)
        changed = False
        blocked: Verdict | None = None
        for number, part in enumerate(said.parts):
            channel = Channel(rules, exchange.placeholders.child(), policy.streaming, policy.follow_limit, part.kind,
                              part.prose, exchange.restorer, part.tool, exchange.lead if part.tool is None else "")  # fmt: skip
            if blocked is None:
                await whole.inspect(judge, policy, channel, part.text, exchange.context, exchange.history)
                blocked = channel.blocked_by
                for one in channel.verdicts:
                    exchange.record(one, "completion", path_of(part.path))
            exchange.trace.answered((said.number, number), path_of(part.path), channel, len(part.text))
            if channel.edited or blocked is not None:
                changed = True
                write_part(answer, part, channel, channel.frontier if blocked is not None else len(part.text))
        return blocked if blocked is not None else (changed or None)

    async def _error(self, send: AsgiSend, exchange: Exchange | None, request_id: str, problem: Refusal) -> int:
        headers = exchange.headers if exchange else self._state.bare_headers(request_id)
        text = self._api.error(problem.status, str(problem), problem.kind, problem.param, problem.code)
        await respond(send, problem.status, text, [*headers, *problem.headers])
        return problem.status


# -- small parts


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole request body. Raises Refusal 413 when it is over `limit` bytes."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(499, "The client went away.", "client_closed_request")
        size += len(message.get("body", b""))
        if size > limit:
            raise Refusal(413, f"The request body is larger than {limit} bytes.", "request_too_large")
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def read_json(receive: Receive, limits: Limits) -> dict[str, Any]:
    """The request body, within its limits. Raises BadBody, Refusal."""
    raw = await read_body(receive, limits.body)
    body = parse(raw)
    shape.check(raw, body, limits)
    return body


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def parse(raw: bytes) -> dict[str, Any]:
    try:
        body = decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise BadBody(f"The request body is not valid JSON: {problem}") from problem
    except RecursionError as problem:
        raise BadBody("The request body is nested too deeply.") from problem
    if not isinstance(body, dict):
        raise BadBody("The request body must be a JSON object.")
    return body


async def second_look(exchange: Exchange, open_: list[tuple[Segment, Verdict]]) -> Verdict:
    """The last word on texts of the prompt that a judge was still at: the strictest of them."""
    guard, worst = exchange.snapshot.guard, Verdict()
    found = await asyncio.gather(*(guard.judge(exchange.policy, segment) for segment, _ in open_))
    for (segment, first), final in zip(open_, found, strict=True):
        added = tuple(o for o in final.outcomes if o not in first.outcomes)
        exchange.record(replace(final, outcomes=added), "prompt", path_of(segment.path))
        if final.action is Action.BLOCK and (worst.action is not Action.BLOCK or worst.unavailable):
            worst = final
    return worst


def caller_of(scope: Scope, key: KeyEntry | None) -> str:
    """Who asks, as far as anybody can tell: the name of the key, or whatever the provider is shown."""
    if key is not None:
        return f"key {key.name}"
    headers = dict(scope["headers"])
    return (headers.get(b"authorization") or headers.get(b"x-api-key") or b"").decode("latin-1")


def kept_by_provider(body: Json, *names: str) -> Iterator[str]:
    """The names of what came before a request and is not in it."""
    for name in names or ("previous_response_id", "conversation"):
        value = body.get(name)
        found = value.get("id") if isinstance(value, dict) else value
        if isinstance(found, str) and found:
            yield found


def wants_json(body: Json) -> bool:
    """JSON mode, in the words of either API."""
    text = body.get("text")
    wanted = body.get("response_format") or (text.get("format") if isinstance(text, dict) else None)
    return isinstance(wanted, dict) and str(wanted.get("type")).startswith("json")


def pass_on(scope: Scope) -> dict[str, str]:
    found = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        if key in _PASS_ON or (key in ("authorization", "x-api-key") and not scope.get("weir.key")):
            found[key] = value.decode("latin-1")
    return found


def kept(response: Response, skip: str = "content-type") -> Headers:
    dropped = {*_KEEP_BACK, *skip.split()}
    return [
        (k.encode("latin-1"), v.encode("latin-1"))
        for k, v in response.headers
        if k not in dropped and not k.startswith("x-weir-")
    ]


def provider_error(api: Api, raw: bytes, status: int) -> bytes:
    """The provider's error as it came when it has the API's shape; what another shape says, put into this one."""
    try:
        body = decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = None
    if isinstance(body, list) and len(body) == 1:  # Gemini's
        body = body[0]
    body = body if isinstance(body, dict) else {}
    said = body.get("error")
    own = decode(api.error(status, "", "", None, None))
    if isinstance(said, dict) and isinstance(said.get("message"), str) and body.get("type") == own.get("type"):
        return raw
    said = said if isinstance(said, dict) else body
    found = (said.get(key) for key in ("message", "detail", "error", "Message"))
    message = next((one[:_TOLD] for one in found if isinstance(one, str) and one), None)
    kind, code = said.get("type") or said.get("status"), said.get("code")
    return api.error(
        status,
        message or f"The provider answered with status {status}.",
        kind if isinstance(kind, str) and kind != "error" else "upstream_error",
        said["param"] if isinstance(said.get("param"), str) else None,
        str(code) if isinstance(code, str | int) else "upstream_error",
    )


def _boxed(text: str) -> Json:
    """What was cut short is no JSON any more: then nothing of it is said."""
    try:
        return decode(text)
    except msgspec.DecodeError:
        return {}


def write_part(answer: Json, part: Part, channel: Channel, end: int) -> None:
    text = part.text[:end]
    if part.path is not None:
        put(answer, part.path, _boxed(channel.render(0, text)) if part.boxed else channel.render(0, text))
    if part.logprobs is not None:
        from_edits = [(a, b) for a, b, _ in channel.edits(0, len(text))]
        holder: Any = answer
        for key in part.logprobs[:-1]:
            holder = holder[key]
        holder[part.logprobs[-1]] = tokens_within(holder[part.logprobs[-1]], 0, len(text), from_edits)

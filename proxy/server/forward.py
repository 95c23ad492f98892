"""The provider asked, and its answer judged on its way back, whole or as a stream."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import msgspec
from starlette.types import Receive, Scope
from starlette.types import Send as AsgiSend

from proxy import metrics
from proxy.server import whole
from proxy.server.answers import annotation, filter_results, respond
from proxy.server.body import disconnected
from proxy.server.exchange import Blocked, Exchange
from proxy.server.headers import kept, pass_on
from proxy.server.meter import Metered, asks_for_usage
from proxy.server.prompt import Prompt, kept_by_provider
from proxy.server.relay import relay
from proxy.server.state import State
from proxy.server.trace import path_of, place_of
from proxy.stream.channel import Channel
from proxy.stream.guard import StreamGuard, tokens_within
from proxy.types import Action, Segment, Verdict
from proxy.upstream import Call, Response, UpstreamError
from proxy.upstream.fallback import Attempts
from proxy.wire import sse
from proxy.wire.api import Api
from proxy.wire.parts import BadBody, Json, Part, Said, decode, encode, put
from proxy.wire.usage import usage_of

_TOLD = 2000  # characters of a provider's own words, in an error
_WAITING = 64 * 1024  # bytes of a stream without a character, after which it is believed
_PATIENCE = 10.0  # seconds, if nobody else could be asked: signs of life may have to reach the client


class Forward:
    def __init__(self, state: State, api: Api, prompt: Prompt) -> None:
        self._state, self._api, self._prompt = state, api, prompt

    async def __call__(self, exchange: Exchange, scope: Scope, receive: Receive, send: AsgiSend) -> int:
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
            return await self._prompt.refuse(exchange, Blocked(late, ()), send)
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

    async def _keep(self, exchange: Exchange, answer: Json) -> None:
        """For the next request that only names this answer, or the conversation."""
        store = self._state.names
        if store is None or exchange.kept or not isinstance(answer, str) or not answer or self._api.path != "responses":
            return
        exchange.kept = True
        known = exchange.placeholders.known(exchange.policy.restored_labels)
        for name in {answer, *kept_by_provider(exchange.body, "conversation")}:
            await store.keep(exchange.caller, name, known)


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

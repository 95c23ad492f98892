"""The prompt: judged text by text, its redactions written into the body; or the answer that refuses it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from starlette.types import Send as AsgiSend

from proxy.guard import CONTEXT
from proxy.server.answers import Refusal, prompt_blocked, respond
from proxy.server.conversation import WITHHELD, continued, conversation, judged
from proxy.server.exchange import Blocked, Exchange
from proxy.server.state import State
from proxy.server.trace import path_of
from proxy.stream.channel import Channel
from proxy.text.redact import Placeholders, Restorer, redact
from proxy.types import Action, Failure, Outcome, Segment, Verdict
from proxy.wire.api import Api
from proxy.wire.form import undocumented
from proxy.wire.parts import Field, Json, Media, Path, Request, decode, put


class Prompt:
    def __init__(self, state: State, api: Api) -> None:
        self._state, self._api = state, api

    async def inspect(self, exchange: Exchange, request: Request) -> Blocked | None:
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
        return Prompt._by_policy(exchange, "media", action, media[0].path)

    @staticmethod
    def _by_policy(exchange: Exchange, what: str, action: Action, path: Path) -> Blocked | None:
        """What the policy itself says of something that no detector reads."""
        verdict = Verdict(action, (Outcome(what, action, True, what, 1.0, None, (), "policy"),))
        exchange.record(verdict, "prompt", path_of(path))
        exchange.action = max(exchange.action, action)
        return Blocked(verdict, path) if action is Action.BLOCK else None

    async def refuse(self, exchange: Exchange, blocked: Blocked, send: AsgiSend) -> int:
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

"""POST /v1/classify: what a policy makes of a text or a conversation, and why. Nothing is sent anywhere.

{"input": "text" or [messages], "policy": the name of one, or the content of a policy file, "explain": true}
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from typing import Any

from starlette.types import Receive, Scope, Send

from proxy.detect.scanner import PatternError, Scanner
from proxy.guard import Guard, strictest
from proxy.load import detectors
from proxy.model.explain import Explanation, explain, reason_json, reasons_for
from proxy.policy.load import Policy, Rule, parse_policy
from proxy.server.answers import Refusal, param_of, respond
from proxy.server.body import read_json
from proxy.server.conversation import Memory, conversation, judged
from proxy.server.recorder import bare, step_json
from proxy.server.state import State
from proxy.types import Action, Segment, Verdict
from proxy.wire.chat import read_request
from proxy.wire.openai import error
from proxy.wire.parts import BadBody, Field, Json, encode
from proxy.yamlfile import FileError

KEPT = 32  # compiled policies of callers
LONGEST_POLICY = 100_000  # characters


class Classify:
    def __init__(self, state: State) -> None:
        self._state = state
        self._compiled: OrderedDict[str, tuple[Policy, Guard]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state, started = self._state, time.perf_counter()
        request_id = state.request_id(scope)
        headers, status = state.bare_headers(request_id), 200
        try:
            key = state.caller(scope)
            body = await read_json(receive, state.snapshot.config.limits)
            routes = state.routes_of(scope, key)
            if not routes:
                raise Refusal(404, "There is no such route here, or your key may not use it.", "model_not_found")
            if key is not None:
                headers += await state.limiter.admit(key)
            policy, guard = await self._policy(body.get("policy") or routes[-1].policy)
            fields = texts(body.get("input"))
            segments = conversation(fields, guard.reach(policy))
            found = list(await judged(guard, policy, [(s, f.prose) for s, f in zip(segments, fields, strict=True)], Memory()))
            reasons = await self._reasons(segments, found) if body.get("explain") is True else [[] for _ in found]
            action = strictest(found)
            headers += [(b"x-weir-policy", policy.ref.encode()), (b"x-weir-action", str(action).encode())]
            answer = {
                "object": "classification",
                "policy": policy.ref,
                "action": str(action),
                "flagged": action is not Action.PASS,
                "results": [verdict_json(s, v, r) for s, v, r in zip(segments, found, reasons, strict=True)],
            }
            await respond(send, 200, encode(answer), headers)
        except (FileError, PatternError) as problem:
            status = 400
            told = error(400, str(problem), "invalid_request_error", "policy", "invalid_policy")
            await respond(send, 400, told, headers)
        except BadBody as problem:
            status = 400
            told = error(400, str(problem), "invalid_request_error", problem.param, "invalid_body")
            await respond(send, 400, told, headers)
        except Refusal as refused:
            status = refused.status
            await respond(send, refused.status, refused.body, [*headers, *refused.headers])
        finally:
            seconds = time.perf_counter() - started
            state.finished(request_id, None, status, seconds)
            await state.record(bare(request_id, "classify", status, "", seconds))

    async def _reasons(self, segments: list[Segment], found: list[Verdict]) -> list[list[Explanation]]:
        """For each text the categories whose rules took effect; a text that nothing was found in needs no explanation."""
        queue = self._state.queue
        if queue is None:
            return [[] for _ in found]
        return [
            [await explain(queue.of(c).score_many, s.text, c, s.context) for c in reasons_for(v, {})]
            for s, v in zip(segments, found, strict=True)
        ]

    async def _policy(self, asked: Json) -> tuple[Policy, Guard]:
        """One that runs here by its name, or what the caller wrote. Raises FileError, PatternError, Refusal."""
        guard = self._state.snapshot.guard
        if not isinstance(asked, str) or len(asked) > LONGEST_POLICY:
            raise Refusal(400, f"'policy' must be a string of at most {LONGEST_POLICY} characters.", "invalid_policy", "policy")
        if asked in guard.policies:
            return guard.policies[asked], guard
        if "\n" not in asked and ":" not in asked:
            known = ", ".join(sorted(guard.policies))
            raise Refusal(400, f"There is no policy '{asked[:100]}' here; there are {known}.", "invalid_policy", "policy")
        if "rules:" not in asked:
            return self._in_words(asked, guard)
        compiled = self._compiled.get(asked)
        if compiled is None or compiled[1].cascade is not guard.cascade:  # after a reload other judges may be there
            self._compiled[asked] = await asyncio.to_thread(self._compile, asked, guard)
            if len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(asked)
        return self._compiled[asked]

    def _compile(self, text: str, running: Guard) -> tuple[Policy, Guard]:
        queue, cascade, config = self._state.queue, running.cascade, self._state.snapshot.config
        policy = parse_policy(
            text, queue, "policy", "inline", detectors=detectors(config, cascade.judges, queue.learner if queue else None)
        )
        return policy, Guard({policy.name: policy}, Scanner(policy.patterns.values()), queue, cascade=cascade)

    @staticmethod
    def _in_words(text: str, running: Guard) -> tuple[Policy, Guard]:
        """A policy in plain words: one rule for the first judge that goes by words."""
        judge = next((name for name, judge in running.cascade.judges.items() if judge.needs_text), None)
        if judge is None:
            told = "A policy in plain words needs a judge, and none is configured; write rules, or name a policy."
            raise Refusal(400, told, "judge_not_configured", "policy")
        rule = Rule("policy", "judge", Action.BLOCK, judge=judge, text=text)
        policy = Policy("inline", hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(), (rule,))
        return policy, Guard({"inline": policy}, Scanner([]), None, cascade=running.cascade)


def texts(value: Json) -> list[Field]:
    """Raises BadBody."""
    if isinstance(value, str):
        return [Field(("input",), value, "user")]
    if isinstance(value, list) and value:
        try:
            found = read_request({"model": "", "messages": value}).fields
        except BadBody as problem:
            raise BadBody(
                str(problem).replace("messages", "input"), (problem.param or "").replace("messages", "input")
            ) from None
        return [f._replace(path=("input", *f.path[1:])) for f in found]
    raise BadBody("'input' must be a string or a non-empty array of messages.", "input")


def verdict_json(segment: Segment, verdict: Verdict, reasons: list[Explanation]) -> dict[str, Any]:
    return {
        "place": param_of(segment.path),
        "role": segment.role,
        "action": str(verdict.action),
        "findings": [
            {
                "rule": o.rule, "action": str(o.action), "enforced": o.enforced, "label": o.label, "score": round(o.score, 4),
                "threshold": o.threshold, "spans": [list(s) for s in o.spans], "decided_by": o.decided_by,
                "codes": list(o.codes), "rationale": o.rationale or None,
            }
            for o in verdict.outcomes
        ],
        "steps": [step_json(step) for step in verdict.steps],
        "redactions": [{"span": list(span), "label": label} for span, label in verdict.redactions],
        "not_inspected": [f"{f.detector}: {f.reason}" for f in verdict.not_inspected],
        "rationale": next((o.rationale for o in verdict.outcomes if o.rationale), None),  # only a judge that reasons has one
        **({"explanations": [reason_json(r) for r in reasons]} if reasons else {}),
    }  # fmt: skip

"""POST /v1/moderations: OpenAI's moderation API, answered by the local model. https://platform.openai.com/docs/api-reference/moderations"""

from __future__ import annotations

import time
import uuid
from typing import Any

from starlette.types import Receive, Scope, Send

from proxy.server.answers import Refusal, respond
from proxy.server.body import read_json
from proxy.server.recorder import bare
from proxy.server.state import State
from proxy.types import CATEGORIES, Segment
from proxy.wire.openai import error
from proxy.wire.parts import BadBody, encode

FPR = 0.005  # where no rule of the policy names a category, its threshold is taken at this false-positive rate
_NAMES = {"self_harm": "self-harm", "sexual_minors": "sexual/minors"}
# OpenAI's finer categories, as far as ours can tell them: both must be seen.
_BOTH = {
    "harassment/threatening": ("harassment", "violence"),
    "hate/threatening": ("hate", "violence"),
    "illicit/violent": ("illicit", "violence"),
}


class Moderations:
    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = self._state
        request_id = state.request_id(scope)
        headers = state.bare_headers(request_id)
        started = time.perf_counter()
        status = 200
        try:
            key = state.caller(scope)
            body = await read_json(receive, state.snapshot.config.limits)
            texts = inputs(body.get("input"))
            policy = state.match(scope, body.get("model") or "omni-moderation-latest", key, local=True).policy
            if key is not None:
                headers += await state.limiter.admit(key)
            guard, queue = state.snapshot.guard, state.queue
            if queue is None:
                raise Refusal(503, "No model is loaded.", "guardrail_unavailable", kind="server_error")
            thresholds = {r.category: r.thresholds["user"] for r in policy.rules if r.category and not r.judge and not r.tools}
            for name in queue.labels:
                thresholds.setdefault(name, queue.threshold(name, FPR, "user"))
            results = []
            for text in texts:
                scores, failures = await guard.scores(Segment(text, "user", "prompt"))
                if scores is None:
                    raise Refusal(503, f"The guardrail {failures[0].reason}.", "guardrail_unavailable", kind="server_error")
                results.append(result(dict(scores), thresholds))
            answer = {"id": f"modr-{uuid.uuid4().hex}", "model": queue.classifier.artefact.name, "results": results}
            await respond(send, 200, encode(answer), headers)
        except BadBody as problem:
            status = 400
            await respond(send, 400, error(400, str(problem), "invalid_request_error", problem.param, "invalid_body"), headers)
        except Refusal as problem:
            status = problem.status
            await respond(send, problem.status, problem.body, [*headers, *problem.headers])
        finally:
            seconds = time.perf_counter() - started
            state.finished(request_id, None, status, seconds)
            await state.record(bare(request_id, "moderations", status, "", seconds))


def inputs(value: Any) -> list[str]:
    """Raises BadBody. A list of content parts is one input, as OpenAI has it; images are not read."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return value
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        texts = [v["text"] for v in value if v.get("type") == "text" and isinstance(v.get("text"), str)]
        if len(texts) == len(value):
            return ["\n".join(texts)]
        raise BadBody("'input' may hold text parts only: the local model does not read images.", "input")
    raise BadBody("'input' must be a string, an array of strings or an array of text parts.", "input")


def result(scores: dict[str, float], thresholds: dict[str, float]) -> dict[str, Any]:
    shown = {_NAMES.get(c, c): scores.get(c, 0.0) for c in CATEGORIES}
    flags = {_NAMES.get(c, c): scores.get(c, 0.0) >= thresholds.get(c, 1.1) for c in CATEGORIES}
    for name, (one, other) in _BOTH.items():
        shown[name] = min(scores.get(one, 0.0), scores.get(other, 0.0))
        flags[name] = flags[one] and flags[other]
    for name in ("self-harm/intent", "self-harm/instructions"):
        shown[name], flags[name] = shown["self-harm"], flags["self-harm"]
    shown["violence/graphic"], flags["violence/graphic"] = shown["violence"], flags["violence"]
    applied = {name: ["text"] for name in shown}
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": shown,
        "category_applied_input_types": applied,
    }

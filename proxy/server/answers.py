"""What Weir itself says over HTTP, in OpenAI's shapes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.types import Send

from proxy.policy.load import Policy
from proxy.types import Action, Outcome, Verdict
from proxy.wire import sse
from proxy.wire.chat import encode
from proxy.wire.parts import Path

Headers = list[tuple[bytes, bytes]]


class Refusal(Exception):
    """The request cannot be served: an HTTP status and OpenAI's error object. Never used for a policy's block."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None, kind: str = "invalid_request_error"):
        super().__init__(message)
        self.status = status
        self.body = error(message, kind, param, code)
        self.headers: Headers = []


def error(message: str, kind: str, param: str | None, code: str | None, **more: Any) -> bytes:
    return encode({"error": {"message": message, "type": kind, "param": param, "code": code, **more}})


def severity(score: float, threshold: float | None) -> str:
    """Azure's four words: below the threshold "low", then by how far above."""
    if threshold is None:
        return "high"
    if score < threshold:
        return "safe" if score < threshold / 2 else "low"
    return "medium" if score < (1 + threshold) / 2 else "high"


def filter_results(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Rule by rule, under the category's or the rule's name: was it filtered, how severe."""
    found: dict[str, Any] = {}
    for outcome in outcomes:
        filtered = outcome.enforced and outcome.action is Action.BLOCK
        before = found.get(outcome.label)
        if before is None or (filtered and not before["filtered"]):
            found[outcome.label] = {"filtered": filtered, "severity": severity(outcome.score, outcome.threshold)}
    return found


def param_of(path: Path) -> str:
    """`messages[2].content`"""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def prompt_blocked(policy: Policy, outcome: Outcome, outcomes: Sequence[Outcome], path: Path) -> bytes:
    return error(
        f"The prompt was blocked by rule '{outcome.rule}' of the policy '{policy.name}'. Please change it and try again.",
        "invalid_request_error",
        param_of(path),
        "content_filter",
        status=400,
        innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": filter_results(outcomes)},
    )


def refusal(model: str, text: str, stream: bool, include_usage: bool, choices: int) -> tuple[str, bytes]:
    """(content type, body) of an answer in which the assistant refuses."""
    head = {"id": f"chatcmpl-weir{time.time_ns():x}", "created": int(time.time()), "model": model}
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    if not stream:
        message = {"role": "assistant", "content": None, "refusal": text}
        said = [{"index": i, "message": message, "logprobs": None, "finish_reason": "content_filter"} for i in range(choices)]
        return "application/json", encode({**head, "object": "chat.completion", "choices": said, "usage": usage})
    events = []
    for delta, finish in (({"role": "assistant", "content": None, "refusal": text}, None), ({}, "content_filter")):
        for index in range(choices):
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
            events.append(sse.encode(encode({**head, "object": "chat.completion.chunk", "choices": [choice]})))
    if include_usage:
        events.append(sse.encode(encode({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})))
    return "text/event-stream; charset=utf-8", b"".join([*events, sse.encode(sse.DONE)])


def annotation(verdict: Verdict) -> dict[str, Any]:
    return filter_results(verdict.outcomes)


async def respond(send: Send, status: int, body: bytes, headers: Headers, content_type: str = "application/json") -> None:
    own = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})

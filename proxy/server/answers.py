"""What Weir itself says over HTTP."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from starlette.types import Send

from proxy.policy.load import Policy
from proxy.types import Action, Outcome, Verdict
from proxy.wire.api import Api
from proxy.wire.openai import error
from proxy.wire.parts import Key, Path

Headers = list[tuple[bytes, bytes]]


class Refusal(Exception):
    """The request cannot be served: an HTTP status and what an error object says. Never used for a policy's block."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None, kind: str = "invalid_request_error"):
        super().__init__(message)
        self.status, self.code, self.param, self.kind = status, code, param, kind
        self.headers: Headers = []

    @property
    def body(self) -> bytes:
        """In OpenAI's shape."""
        return error(self.status, str(self), self.kind, self.param, self.code)


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


def param_of(path: Iterable[Hashable]) -> str:
    """`messages[2].content`"""
    text = ""
    for key in path:
        name = key.name if isinstance(key, Key) else key
        text += f"[{name}]" if isinstance(name, int) else f".{name}" if text else str(name)
    return text


def prompt_blocked(api: Api, policy: Policy, outcome: Outcome, outcomes: Sequence[Outcome], path: Path, language: str) -> bytes:
    standard = f"The prompt was blocked by rule '{outcome.rule}' of the policy '{policy.name}'. Please change it and try again."
    return api.error(
        400,
        policy.words(outcome.rule, language) or standard,
        "invalid_request_error",
        param_of(path),
        "content_filter",
        status=400,
        innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": filter_results(outcomes)},
    )


def annotation(verdict: Verdict) -> dict[str, Any]:
    return filter_results(verdict.outcomes)


async def respond(send: Send, status: int, body: bytes, headers: Headers, content_type: str = "application/json") -> None:
    own = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})

"""Any provider that litellm can reach, behind the same seam as the others: bytes in the API's wire shape come out.

litellm is used as a library for its translation alone. What it would otherwise do of itself is off: it retries nothing, logs
nothing, reads no `.env` and fetches no price table. Of a request it is given the fields that the API documents and no others,
since some that it knows say where the request goes and with whose key.

Importing this module imports litellm, which takes seconds and some 200 MiB: it is done where such a provider is configured,
before the first request.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import math
import os
import re
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
import aiohttp
import httpx
import litellm
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER
from litellm.llms.anthropic.messages.adapters.transformation import AnthropicAdapter
from litellm.llms.custom_httpx.async_client_cleanup import close_litellm_async_clients

from proxy.config import LiteLLMProvider
from proxy.upstream import Call, Response, UpstreamError
from proxy.upstream.whole import Whole
from proxy.wire import sse
from proxy.wire.apis import APIS
from proxy.wire.parts import decode, encode

litellm.telemetry = False
litellm.suppress_debug_info = True
litellm.disable_hf_tokenizer_download = True
atexit.unregister(GLOBAL_LOGGING_WORKER._flush_on_exit)  # there is nothing to log, and an end should not wait for it
for _name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)  # what it says of a failure may quote the request

_FIELDS = {
    api.path: frozenset().union(*(form.known for form in api.forms if form.place == "" and "prompt" in form.bodies))
    for api in APIS
}
# What the provider keeps, or does by itself, of which there is nothing where the answer is a translation.
_KEPT = {
    "responses": ("previous_response_id", "conversation", "background"),
    "messages": ("mcp_servers", "container", "context_management"),
}
_KEEPERS = frozenset(("openai", "azure"))
_PREFIX = re.compile(r"^(?:litellm\.)?(?:\w+(?:Error|Exception): *)+(?:\w+(?:Error|Exception) - )?", re.IGNORECASE)


class LiteLLM:
    """`beside` another provider, for what that one does not speak, all is made from chats, and without a key of its own the
    caller's goes on. By itself it goes by the provider's key, or by what litellm finds in the environment."""

    def __init__(self, settings: LiteLLMProvider, beside: bool = False) -> None:
        self._system, _, self._model = settings.model.partition("/")
        self._timeouts, self._beside = settings.timeouts, beside
        base = settings.base_url.rstrip("/") if settings.base_url is not None else None
        if base is not None and self._system == "anthropic":
            base = base.removesuffix("/v1")  # litellm adds it
        given = {"api_key": settings.api_key, "api_base": base}
        self._given: dict[str, Any] = {
            **settings.options,
            **{name: value for name, value in given.items() if value is not None},
        }
        limits = httpx.Timeout(None, connect=self._timeouts.connect)
        self._given |= {"timeout": limits, "max_retries": 0, "num_retries": 0}

    async def open(self, call: Call) -> Response:
        if call.path == "models":
            known = (
                [] if "*" in self._model else [{"id": self._model, "object": "model", "created": 0, "owned_by": self._system}]
            )
            return Whole(encode({"object": "list", "data": known}))
        fields = _FIELDS.get(call.path)
        if fields is None:
            return _refused(404, f"litellm does not translate /v1/{call.path[:100]}.", "not_translated")
        body = decode(call.body)
        model = self._model.replace("*", str(body.pop("model")))
        strange = [name for name in body if name not in fields]
        if call.path != "responses" or self._beside or self._system not in _KEEPERS:
            strange += [name for name in _KEPT.get(call.path, ()) if body.get(name)]
        if strange:
            told = f"'{strange[0][:100]}' cannot be passed on to this provider, whose API is another one."
            return _refused(400, told, "unsupported_parameter", strange[0][:100])
        given = {**self._given, "model": f"{self._system}/{model}"}
        if traced := {name: call.headers[name] for name in ("traceparent", "tracestate") if name in call.headers}:
            given["extra_headers"] = {**given.get("extra_headers", {}), **traced}
        if self._beside:
            if "api_key" not in given and (key := _key_of(call.headers)):
                given["api_key"] = key
            if call.path == "responses":
                given["use_chat_completions_api"] = True
        asking = _ASKED[call.path](body, given)
        now, total = asyncio.get_running_loop().time(), self._timeouts.total
        until = now + total if total is not None else math.inf
        try:
            async with asyncio.timeout_at(min(until, now + self._timeouts.connect + self._timeouts.first_byte)):
                return await self._answer(call.path, asking, body.get("stream") is True, until)
        except (TimeoutError, litellm.Timeout) as error:
            raise UpstreamError("The provider did not answer in time.", 504, "upstream_timeout") from error

    async def _answer(self, path: str, asking: Awaitable[Any], streams: bool, until: float) -> Response:
        try:
            answer = await asking
            if streams:
                events = aiter(answer)
                begun = [item async for item in _beginning(events)]
                return _Stream(path, answer, events, begun, self._timeouts.idle, until)
        except litellm.Timeout:
            raise
        except (litellm.APIConnectionError, httpx.TransportError, aiohttp.ClientError, OSError) as error:
            raise UpstreamError(f"The provider could not be reached ({type(error).__name__}).") from error
        except Exception as error:  # litellm's own, each provider's, and whatever its translation stumbles over
            return _failed(error)
        return Whole(encode(_complete(path, _plain(answer))))

    async def close(self) -> None:
        await close_litellm_async_clients()


def _key_of(headers: Mapping[str, str]) -> str:
    return headers.get("authorization", "").removeprefix("Bearer ") or headers.get("x-api-key", "")


# -- what is asked


async def _chat(body: dict[str, Any], given: dict[str, Any]) -> Any:
    return await litellm.acompletion(**body, **given)


async def _completions(body: dict[str, Any], given: dict[str, Any]) -> Any:
    return await litellm.atext_completion(**body, **given)


async def _embeddings(body: dict[str, Any], given: dict[str, Any]) -> Any:
    return await litellm.aembedding(**body, **given)


async def _responses(body: dict[str, Any], given: dict[str, Any]) -> Any:
    return await litellm.aresponses(**body, **given)


async def _messages(body: dict[str, Any], given: dict[str, Any]) -> Any:
    """By way of a chat, which is what litellm has for every provider."""
    adapter = AnthropicAdapter()
    asked, names = adapter.translate_completion_input_params_with_tool_mapping({**body, "model": given["model"]})
    streams = body.get("stream") is True
    if streams:
        asked["stream_options"] = {"include_usage": True}
    answer = await litellm.acompletion(**{**asked, **given})
    if not streams:
        return adapter.translate_completion_output_params(answer, tool_name_mapping=names)
    begun = [item async for item in _beginning(answer)]  # the adapter would make a stream's event of an error
    return adapter.translate_completion_output_params_streaming(_joined(begun, answer), given["model"], tool_name_mapping=names)


async def _count_tokens(body: dict[str, Any], given: dict[str, Any]) -> Any:
    """By the provider's own count where it has one that litellm knows, else by an estimate."""
    asked, _ = AnthropicAdapter().translate_completion_input_params_with_tool_mapping(
        {"max_tokens": 1, **body, "model": given["model"]}
    )
    names = ("model", "api_key", "api_base")
    found = await litellm.acount_tokens(
        messages=asked["messages"], tools=asked.get("tools"), **{name: given[name] for name in names if name in given}
    )
    return {"input_tokens": found.total_tokens}


_ASKED = {
    "chat/completions": _chat,
    "completions": _completions,
    "embeddings": _embeddings,
    "responses": _responses,
    "messages": _messages,
    "messages/count_tokens": _count_tokens,
}


# -- what is answered


async def _beginning(events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """To the first event that the provider has a part in: some are asked only when they are read, and an answer of theirs
    that is an error shall be one."""
    async for item in events:
        yield item
        if getattr(item, "type", "") not in ("response.created", "response.in_progress"):
            return


async def _joined(begun: list[Any], rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    for item in begun:
        yield item
    async for item in rest:
        yield item


def _plain(answer: Any) -> Any:
    return answer.model_dump(mode="json", exclude_none=True) if hasattr(answer, "model_dump") else answer


def _complete(path: str, body: Any) -> Any:
    """With what the API always says, if only that there is none."""
    if path in ("chat/completions", "completions"):
        for choice in body.get("choices") or []:
            choice.setdefault("finish_reason", None)
            choice.setdefault("logprobs", None)
            if (message := choice.get("message")) is not None:
                message.setdefault("content", None)
                message.setdefault("refusal", None)
    return body


def _event(path: str, item: Any) -> bytes:
    if isinstance(item, bytes):
        return item
    body = _complete(path, _plain(item))
    return sse.encode(encode(body), str(body["type"]) if path == "responses" else "")


def _failed(error: Exception) -> Whole:
    """What the provider, or litellm in its place, says instead of an answer."""
    origins = list(_origins(error))
    status = next((code for one in origins if (code := _status_of(one)) is not None), None)
    if status is None:
        return _refused(502, f"The request could not be translated ({type(error).__name__}).", "translation_failed")
    said = str(getattr(error, "message", "") or error)
    inner = _provider_said(said)
    told = {
        "type": "upstream_error",
        "param": None,
        "code": None,
        **inner,
        "message": inner.get("message") or _PREFIX.sub("", said),
    }
    headers = {
        n: v for one in reversed(origins) for n, v in dict(getattr(getattr(one, "response", None), "headers", {})).items()
    }
    kept = [(name.lower(), str(value)) for name, value in headers.items() if name.lower() in ("retry-after", "retry-after-ms")]
    return Whole(encode({"error": told}), status, kept)


def _origins(error: BaseException | None) -> Iterator[BaseException]:
    """What an exception was raised for, the first cause first: litellm gives some statuses other numbers on their way."""
    if error is not None:
        yield from _origins(getattr(error, "original_exception", None) or error.__cause__ or error.__context__)
        yield error


def _status_of(error: BaseException) -> int | None:
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) and 400 <= status < 600 else None


def _provider_said(text: str) -> dict[str, Any]:
    """The provider's own error object, which litellm quotes at the end of its own words."""
    start = min((at for at in (text.find("{"), text.find("[{")) if at >= 0), default=-1)
    try:
        found, _ = json.JSONDecoder().raw_decode(text[start:]) if start >= 0 else (None, 0)
    except ValueError:
        return {}
    found = found[0] if isinstance(found, list) and found else found
    found = found.get("error", found) if isinstance(found, dict) else None
    if isinstance(found, str):
        return {"message": found}
    if not isinstance(found, dict):
        return {}
    named = {key: found.get(key) for key in ("message", "type", "param", "code")}
    named["type"] = named["type"] or found.get("status")
    named["code"] = str(named["code"]) if named["code"] is not None else None
    return {key: value for key, value in named.items() if isinstance(value, str)}


def _refused(status: int, message: str, code: str, param: str | None = None) -> Whole:
    kind = "invalid_request_error" if status < 500 else "upstream_error"
    return Whole(encode({"error": {"message": message, "type": kind, "param": param, "code": code}}), status)


class _Stream:
    status = 200

    def __init__(self, path: str, stream: Any, events: AsyncIterator[Any], begun: list[Any], idle: float, until: float) -> None:
        self.headers = [("content-type", "text/event-stream")]
        self._path, self._stream, self._events, self._begun = path, stream, events, begun
        self._idle, self._until = idle, until
        self._next: asyncio.Future[Any] | None = None
        self._closed = False

    async def read(self) -> bytes:
        return b"".join([data async for data in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            for item in self._begun:
                yield _event(self._path, item)
            while (item := await self._item()) is not None:
                yield _event(self._path, item)
            if self._path in ("chat/completions", "completions"):
                yield sse.encode(sse.DONE)
        finally:
            self.close()
            if (aclose := getattr(self._stream, "aclose", None)) is not None:
                await aclose()

    async def _item(self) -> Any:
        """The next event; None at the end. A task of its own, so that `close` can end it."""
        if self._closed:
            raise UpstreamError("The stream was closed.", 502, "upstream_error")
        self._next = reading = asyncio.ensure_future(anext(self._events, None))
        try:
            left = self._until - asyncio.get_running_loop().time()
            await asyncio.wait({reading}, timeout=max(0.0, min(self._idle, left)))
            if not reading.done():
                raise UpstreamError("The provider fell silent.", 504, "upstream_timeout")
            if reading.cancelled():
                raise UpstreamError("The stream was closed.", 502, "upstream_error")
            return reading.result()
        except (UpstreamError, asyncio.CancelledError):
            raise
        except Exception as error:
            raise UpstreamError(
                f"The provider broke off its answer ({type(error).__name__}).", 502, "upstream_error"
            ) from error
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.wait({reading})

    def close(self) -> None:
        self._closed = True
        if self._next is not None:
            self._next.cancel()

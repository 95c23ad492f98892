"""A judge's model behind any OpenAI-compatible endpoint. One pooled aiohttp session a judge."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import msgspec
from aiohttp.http import HttpProcessingError

from proxy.config import JudgeDetector
from proxy.judge.format import Message, Reply
from proxy.judge.speaker import NoAnswer
from proxy.wire import sse

LARGEST = 1_000_000  # bytes of an answer that are read


class Endpoint:
    def __init__(self, settings: JudgeDetector) -> None:
        self._settings = settings
        self._url = settings.base_url.rstrip("/") + "/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def say(self, messages: list[Message], settings: dict[str, Any]) -> Reply:
        body: dict[str, Any] = {"model": self._settings.model, "messages": messages, "stream": False, **settings}
        if self._settings.temperature is not None:
            body["temperature"] = self._settings.temperature
        raw, streamed = await self._post(json.dumps(body).encode())
        try:
            return _reply(_gathered(raw) if streamed else msgspec.json.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError, AttributeError):
            raise NoAnswer("its answer is not a chat completion") from None

    async def warm(self) -> None:
        """The server is somebody else's to warm."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, body: bytes) -> tuple[bytes, bool]:
        headers = {"content-type": "application/json"}
        if self._settings.api_key:
            headers["authorization"] = f"Bearer {self._settings.api_key}"
        for attempt in (1, 2):
            try:
                async with self._client().post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                    if response.status != 200:
                        raise NoAnswer(f"answered with status {response.status}")
                    raw = await response.content.read(LARGEST)
                    while not response.content.at_eof():
                        raw += await response.content.read(LARGEST)
                        if len(raw) > LARGEST:
                            raise NoAnswer("its answer is too long", unwell=False)
                    return raw, response.content_type == sse.CONTENT_TYPE.partition(";")[0]
            except aiohttp.ServerDisconnectedError:
                if attempt == 1:
                    continue  # a kept connection that the server closed meanwhile
                raise NoAnswer("closed the connection") from None
            except (aiohttp.ClientError, HttpProcessingError, OSError, RuntimeError, ValueError) as error:
                raise NoAnswer(f"cannot be reached ({type(error).__name__})") from None
        raise AssertionError("unreachable")

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(limit=self._settings.concurrency, keepalive_timeout=30)
            timeout = aiohttp.ClientTimeout(total=None)  # the judge has one for everything
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


def _gathered(raw: bytes) -> dict[str, Any]:
    """The answer of a server that streams although it was told not to, as `transformers serve` does. One that ends without a
    finish was cut off."""
    message: dict[str, Any] = {}
    ended: Any = "length"
    parser = sse.Parser()
    for event in (*parser.feed(raw), *parser.flush()):
        if event.data is None or event.data == sse.DONE:
            continue
        for choice in msgspec.json.decode(event.data)["choices"][:1]:
            for key, value in choice.get("delta", {}).items():
                if isinstance(value, str) and key != "role":
                    message[key] = message.get(key, "") + value
            ended = choice.get("finish_reason") or ended
    return {"choices": [{"message": message, "finish_reason": ended}]}


def _reply(body: Any) -> Reply:
    """Raises KeyError, IndexError or TypeError for what is no chat completion, NoAnswer for one that ended early."""
    choice = body["choices"][0]
    if choice.get("finish_reason") not in ("stop", "eos", None):
        raise NoAnswer("was cut off before it had answered", unwell=False)
    message = choice["message"]
    text = message.get("content")
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    logprobs = (choice.get("logprobs") or {}).get("content") or []
    top = (logprobs[0].get("top_logprobs") or []) if logprobs else []
    first = [(str(t["token"]), float(t["logprob"])) for t in top]
    return Reply(text if isinstance(text, str) else "", reasoning if isinstance(reasoning, str) else "", first)

"""One judge behind an OpenAI-compatible endpoint: `ask` answers with an Opinion, or says in a Failure why there is none.

One pooled aiohttp session a judge. A question that is being asked is not asked twice, one that was answered is remembered
under everything that the answer depends on.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import OrderedDict
from hashlib import blake2b
from typing import Any

import aiohttp
import msgspec

from proxy import metrics
from proxy.breaker import Breaker
from proxy.config import JudgeDetector
from proxy.judge.format import Format, Question, Reply
from proxy.judge.llama_guard import LlamaGuard
from proxy.judge.qwen3guard import Qwen3Guard
from proxy.judge.words import Words
from proxy.types import Failure, Opinion

REMEMBER = 10_000  # answers
LARGEST = 1_000_000  # bytes of an answer that are read


class _NoAnswer(Exception):
    """`unwell`: the judge itself is in trouble, which the breaker counts."""

    def __init__(self, reason: str, unwell: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.unwell = reason, unwell


def format_of(settings: JudgeDetector) -> Format:
    if settings.format == "llama-guard":
        return LlamaGuard()
    if settings.format == "qwen3guard":
        return Qwen3Guard(settings.strict)
    return Words(settings.reasoning_effort)


class Judge:
    def __init__(self, name: str, settings: JudgeDetector) -> None:
        self.name, self.settings = name, settings
        self.breaker = Breaker()
        self._format = format_of(settings)
        self._url = settings.base_url.rstrip("/") + "/chat/completions"
        self._room = asyncio.Semaphore(settings.concurrency)
        self._session: aiohttp.ClientSession | None = None
        self._known: OrderedDict[bytes, Opinion] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[Opinion | Failure]] = {}

    @property
    def needs_text(self) -> bool:
        """Whether the policy is the rule's text; the others have theirs in the model."""
        return self.settings.format == "policy"

    async def ask(self, question: Question) -> Opinion | Failure:
        """Never raises for the judge's sake."""
        key = self._key(question)
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            metrics.judge_answers.labels(self.name, "remembered").inc()
            return known
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = asyncio.create_task(self._answer(question, key))
            running.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(running)  # a caller that goes away must not take the others' answer along

    async def close(self) -> None:
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _key(self, question: Question) -> bytes:
        """Model and form belong to this judge; the policy and all that the model is shown belong to the question."""
        digest = blake2b(digest_size=20)
        for part in (question.policy, question.role, question.direction, question.before, question.content):
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big") + raw)
        return digest.digest()

    async def _answer(self, question: Question, key: bytes) -> Opinion | Failure:
        if not self.breaker.admits(time.monotonic()):
            metrics.judge_answers.labels(self.name, "resting").inc()
            return Failure(self.name, "not asked: it has not answered for a while")
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.settings.timeout), self._room:
                opinion = await self._opinion(question)
        except TimeoutError:
            return self._failed(_NoAnswer("timed out"))
        except _NoAnswer as problem:
            return self._failed(problem)
        self.breaker.answered()
        metrics.judge_seconds.labels(self.name).observe(time.monotonic() - started)
        metrics.judge_answers.labels(self.name, "violates" if opinion.violates else "safe").inc()
        self._known[key] = opinion
        if len(self._known) > REMEMBER:
            self._known.popitem(last=False)
        return opinion

    def _failed(self, problem: _NoAnswer) -> Failure:
        if problem.unwell:
            self.breaker.failed(time.monotonic())
        metrics.judge_answers.labels(self.name, "failed").inc()
        return Failure(self.name, problem.reason)

    async def _opinion(self, question: Question) -> Opinion:
        """Raises _NoAnswer. What is no label is asked once more, with a fresh mark and without repeating what was said: the
        content may have had a hand in it."""
        for again in (False, True):
            opinion = self._format.read(await self._say(question, again))
            if opinion is not None:
                return opinion
        raise _NoAnswer("its answer is not a label", unwell=False)

    async def _say(self, question: Question, again: bool) -> Reply:
        body: dict[str, Any] = {
            "model": self.settings.model,
            "messages": self._format.messages(question, _fence(question), again),
            **self._format.settings,
        }
        if self.settings.temperature is not None:
            body["temperature"] = self.settings.temperature
        raw = await self._post(json.dumps(body).encode())
        try:
            return _reply(msgspec.json.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError):
            raise _NoAnswer("its answer is not a chat completion") from None

    async def _post(self, body: bytes) -> bytes:
        headers = {"content-type": "application/json"}
        if self.settings.api_key:
            headers["authorization"] = f"Bearer {self.settings.api_key}"
        for attempt in (1, 2):
            try:
                async with self._client().post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                    if response.status != 200:
                        raise _NoAnswer(f"answered with status {response.status}")
                    raw = await response.content.read(LARGEST)
                    while not response.content.at_eof():
                        raw += await response.content.read(LARGEST)
                        if len(raw) > LARGEST:
                            raise _NoAnswer("its answer is too long", unwell=False)
                    return raw
            except aiohttp.ServerDisconnectedError:
                if attempt == 1:
                    continue  # a kept connection that the server closed meanwhile
                raise _NoAnswer("closed the connection") from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise _NoAnswer(f"cannot be reached ({type(error).__name__})") from None
        raise AssertionError("unreachable")

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(limit=self.settings.concurrency, keepalive_timeout=30)
            timeout = aiohttp.ClientTimeout(total=None)  # `_answer` has one for everything
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


def _fence(question: Question) -> str:
    """A mark that nobody could have written into the content, and nobody has."""
    while True:
        fence = secrets.token_hex(12)
        if fence not in question.content and fence not in question.before:
            return fence


def _reply(body: Any) -> Reply:
    """Raises KeyError, IndexError or TypeError for what is no chat completion, _NoAnswer for one that ended early."""
    choice = body["choices"][0]
    if choice.get("finish_reason") not in ("stop", "eos", None):
        raise _NoAnswer("was cut off before it had answered", unwell=False)
    message = choice["message"]
    text = message.get("content")
    reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    logprobs = (choice.get("logprobs") or {}).get("content") or []
    top = (logprobs[0].get("top_logprobs") or []) if logprobs else []
    first = [(str(t["token"]), float(t["logprob"])) for t in top]
    return Reply(text if isinstance(text, str) else "", reasoning if isinstance(reasoning, str) else "", first)

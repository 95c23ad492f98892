"""One judge: `ask` answers with an Opinion, or says in a Failure why there is none.

A question that is being asked is not asked twice, one that was answered is remembered under everything that the answer depends
on.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from hashlib import blake2b

from proxy import metrics
from proxy.breaker import Breaker
from proxy.config import JudgeDetector, LocalJudge
from proxy.judge.endpoint import Endpoint
from proxy.judge.format import Format, Question
from proxy.judge.llama_guard import LlamaGuard
from proxy.judge.qwen3guard import Qwen3Guard
from proxy.judge.speaker import NoAnswer, Speaker
from proxy.judge.words import Words
from proxy.types import Failure, Opinion

REMEMBER = 10_000  # answers


Settings = JudgeDetector | LocalJudge


def format_of(settings: Settings) -> Format:
    if settings.format == "llama-guard":
        return LlamaGuard()
    if settings.format == "qwen3guard":
        return Qwen3Guard(settings.strict)
    return Words(settings.reasoning_effort)


class Judge:
    """Without a `speaker` it is behind the endpoint that the settings name."""

    def __init__(self, name: str, settings: Settings, speaker: Speaker | None = None) -> None:
        if speaker is None:
            assert isinstance(settings, JudgeDetector)
            speaker = Endpoint(settings)
        self.name, self.settings = name, settings
        self.breaker = Breaker()
        self._format = format_of(settings)
        self._speaker = speaker
        self._room = asyncio.Semaphore(settings.concurrency)
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

    async def warm(self) -> None:
        await self._speaker.warm()

    async def close(self) -> None:
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        await self._speaker.close()

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
            return self._failed(NoAnswer("timed out"))
        except NoAnswer as problem:
            return self._failed(problem)
        self.breaker.answered()
        metrics.judge_seconds.labels(self.name).observe(time.monotonic() - started)
        metrics.judge_answers.labels(self.name, "violates" if opinion.violates else "safe").inc()
        self._known[key] = opinion
        if len(self._known) > REMEMBER:
            self._known.popitem(last=False)
        return opinion

    def _failed(self, problem: NoAnswer) -> Failure:
        if problem.unwell:
            self.breaker.failed(time.monotonic())
        metrics.judge_answers.labels(self.name, "failed").inc()
        return Failure(self.name, problem.reason)

    async def _opinion(self, question: Question) -> Opinion:
        """Raises NoAnswer. What is no label is asked once more, with a fresh mark and without repeating what was said: the
        content may have had a hand in it."""
        for again in (False, True):
            messages = self._format.messages(question, _fence(question), again)
            opinion = self._format.read(await self._speaker.say(messages, self._format.settings))
            if opinion is not None:
                return opinion
        raise NoAnswer("its answer is not a label", unwell=False)


def _fence(question: Question) -> str:
    """A mark that nobody could have written into the content, and nobody has."""
    while True:
        fence = secrets.token_hex(12)
        if fence not in question.content and fence not in question.before:
            return fence

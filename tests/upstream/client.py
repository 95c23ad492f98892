"""What a client makes of an answer: each API by its SDK, and nothing but a clear outcome is let pass."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import anthropic
import openai

heard: set[str] = set()  # APIs whose client has been told a first text; for servers that fail only then


@dataclass(frozen=True)
class Outcome:
    """`status` of an error before the answer began, else 200; `broken`: the answer ended with an error, in the API's terms."""

    status: int
    text: str = ""
    broken: bool = False
    error: Any = None
    headers: Any = None


class Clients:
    def __init__(self, url: str, model: str, words: str = "Tell me about the river") -> None:
        self._model, self._words = model, words
        self._openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="caller-key", max_retries=0, timeout=60)
        self._claude = anthropic.AsyncAnthropic(base_url=url, api_key="caller-key", max_retries=0, timeout=60)

    async def __aenter__(self) -> Clients:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._openai.close()
        await self._claude.close()

    async def ask(self, api: str, stream: bool) -> Outcome:
        """Raises whatever is not a clear outcome."""
        said: list[str] = []
        heard.discard(api)
        try:
            async with asyncio.timeout(60):
                opened = await self.open(api, stream)
                if not stream:
                    return Outcome(200, _text(api, opened))
                ended = False
                async for event in opened:
                    if api == "responses" and event.type == "error":
                        return Outcome(200, "".join(said), True, event)
                    said.append(_delta(api, event))
                    if said[-1]:
                        heard.add(api)
                    ended = ended or _ends(api, event)
                assert ended, f"a stream of {api} stopped as if nothing were amiss"
                return Outcome(200, "".join(said))
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            if error.status_code != 200:
                return Outcome(error.status_code, "", False, error.body, error.response.headers)
            return Outcome(200, "".join(said), True, error.body)
        except (openai.APIConnectionError, anthropic.APIConnectionError):
            raise
        except (openai.APIError, anthropic.APIError) as error:
            return Outcome(200, "".join(said), True, error.body)

    async def open(self, api: str, stream: bool) -> Any:
        one: Any = self._openai
        said: Any = [{"role": "user", "content": self._words}]
        asked: dict[str, Any] = {"model": self._model, "stream": stream}
        if api == "chat":
            return await one.chat.completions.create(messages=said, **asked)
        if api == "completions":
            return await one.completions.create(prompt=self._words, **asked)
        if api == "responses":
            return await one.responses.create(input=self._words, **asked)
        made: Any = self._claude.messages
        return await made.create(messages=said, max_tokens=99, **asked)


def _text(api: str, made: Any) -> str:
    if api == "chat":
        return str(made.choices[0].message.content)
    if api == "completions":
        return str(made.choices[0].text)
    return str(made.output_text if api == "responses" else made.content[0].text)


def _delta(api: str, event: Any) -> str:
    if api in ("chat", "completions"):
        if not event.choices:
            return ""
        return (event.choices[0].delta.content if api == "chat" else event.choices[0].text) or ""
    if api == "responses":
        return str(event.delta) if event.type == "response.output_text.delta" else ""
    return str(event.delta.text) if event.type == "content_block_delta" and event.delta.type == "text_delta" else ""


def _ends(api: str, event: Any) -> bool:
    if api in ("chat", "completions"):
        return bool(event.choices and event.choices[0].finish_reason)
    return event.type in ("response.completed", "message_stop")

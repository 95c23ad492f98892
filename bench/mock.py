"""An upstream that costs next to nothing: raw HTTP/1.1 on asyncio, answers in OpenAI's shape.

`python -m bench.mock PORT`. The request says what it wants in `bench: {tokens, delay_ms}`, or word by word in `bench:
{words, delay_ms}`; each chunk's `system_fingerprint` is the clock (seconds, monotonic, the same for all processes of a machine)
at which it left.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from typing import Any

import uvloop

WORDS = "the river rises in hills and winds through meadows villages bridges mills orchards gardens towns".split()
numbers = itertools.count()


def token(answer: int, place: int) -> str:
    """Text that differs from answer to answer, so that no cache helps."""
    return " " + WORDS[(answer * 7 + place * (1 + answer % 5)) % len(WORDS)] + ("." if place % 12 == 11 else "")


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    body = {**head, "system_fingerprint": str(time.monotonic()), "choices": [choice]}
    data = b"data: " + json.dumps(body).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


class Mock(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length"))
        if len(body) < length:
            return
        self._buffer = body[length:]
        wish = json.loads(body[:length])
        words, delay = wish["bench"].get("words"), wish["bench"]["delay_ms"] / 1e3
        if words is None:
            number = next(numbers)
            words = [token(number, i) for i in range(wish["bench"]["tokens"])]
        if not wish.get("stream"):
            self._whole(words)
        elif delay:
            self._task = asyncio.ensure_future(self._paced(words, delay))
        else:
            self._fast(words)

    def _whole(self, words: list[str]) -> None:
        tokens, text = len(words), "".join(words)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
        data = json.dumps(
            {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        )
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        self._transport.write((head + data).encode())

    _HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    _END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"

    def _fast(self, words: list[str]) -> None:
        self._transport.write(self._HEAD)
        for start in range(0, len(words), 8):
            self._transport.write(b"".join(chunk({"content": word}) for word in words[start : start + 8]))
        self._transport.write(chunk({}, "stop") + self._END)

    async def _paced(self, words: list[str], delay: float) -> None:
        self._transport.write(self._HEAD)
        begun = time.monotonic()
        for i, word in enumerate(words):
            await asyncio.sleep(max(0.0, begun + i * delay - time.monotonic()))
            self._transport.write(chunk({"content": word}))
        self._transport.write(chunk({}, "stop") + self._END)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

"""Which tool a text belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.stream.guard import StreamGuard
from proxy.wire import messages, responses
from proxy.wire.chat import ChunkReader, read_request
from tests.server.conftest import chunk
from tests.stream.rules import Rules


def call(id: str, name: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_result_belongs_to_the_last_call_with_its_number() -> None:
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "tool_calls": [call("c1", "read"), {"type": "custom", "id": "c2", "custom": {"name": "sh", "input": "ls"}}]},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "by sh"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "by read"},
        {"role": "assistant", "tool_calls": [call("c1", "write")]},
        {"role": "tool", "tool_call_id": "c1", "content": "by write"},
        {"role": "tool", "tool_call_id": "c9", "content": "by whom"},
        {"role": "function", "name": "old", "content": "by old"},
        {"role": "assistant", "function_call": {"name": "old", "arguments": "for old"}},
        "what is this",
    ]  # fmt: skip
    found = {f.text: f.tool for f in read_request({"model": "m", "messages": turns[:-1]}).fields}
    by = {"by sh": "sh", "ls": "sh", "by read": "read", "by write": "write", "by whom": "", "by old": "old", "for old": "old"}
    assert by.items() <= found.items() and found["Hello"] is None


def test_items_and_blocks_say_so_by_their_kind() -> None:
    items = [
        {"type": "web_search_call", "action": {"type": "search", "query": "a query"}},
        {"type": "mcp_call", "name": "lookup", "arguments": "{}", "output": "found it"},
        {"type": "local_shell_call", "call_id": "c1", "action": {"command": ["ls", "here"]}},
        {"type": "local_shell_call_output", "call_id": "c1", "output": "a file"},
        {"type": "function_call_output", "call_id": "c7", "output": "whose"},
        {"role": "user", "content": "Hello"},
    ]
    found = {f.text: f.tool for f in responses.Responses().request({"model": "m", "input": items}).fields}
    by = {
        "a query": "web_search",
        "found it": "lookup",
        "here": "local_shell",
        "a file": "local_shell",
        "whose": "",
        "Hello": None,
    }
    assert by.items() <= found.items()
    content = [
        {"type": "server_tool_use", "id": "s1", "name": "web_fetch", "input": {"url": "a page"}},
        {"type": "web_fetch_tool_result", "tool_use_id": "s1", "content": {"text": "what it says"}},
        {"type": "text", "text": "Hello"},
    ]
    body = {"model": "m", "messages": [{"role": "assistant", "content": content}]}
    found = {f.text: f.tool for f in messages.Messages().request(body).fields}
    assert {'{"url":"a page"}': "web_fetch", "what it says": "web_fetch", "Hello": None}.items() <= found.items()


@pytest.mark.parametrize(
    "names, tool",
    [(["bash"], "bash"), (["ba", "sh"], "bash"), (["bash", "bash"], "bash"), ([None], ""), (["ba", "!", "sh"], "")],
    ids=["once", "cut", "repeated", "never", "too-late"],
)
def test_the_name_of_a_streamed_call(names: list[str | None], tool: str) -> None:
    """`!` is an argument that comes between two pieces of the name."""
    guard = StreamGuard(ChunkReader(), Rules())
    for name in names:
        function = {"arguments": "1"} if name == "!" else {"name": name} if name else {}
        guard.received(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "", **function}}]}))
    guard.received(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}))
    (channel,) = (c for key, c, _ in guard.channels() if isinstance(key, tuple) and key[1] == "tool_calls")
    assert channel.tool == tool

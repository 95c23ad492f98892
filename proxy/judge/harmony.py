"""The form in which gpt-oss models read and write: https://cookbook.openai.com/articles/openai-harmony. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.judge.format import Message

MARKS = frozenset(f"<|{name}|>" for name in "start end message channel return call constrain".split())


def rendered(messages: Iterable[Message], effort: str | None) -> str:
    """What the model reads before it answers. The policy is the developer's word, as a system prompt is with these models."""
    system = "You are a classifier of content.\n\n"
    if effort:
        system += f"Reasoning: {effort}\n\n"
    said = [("system", system + "# Valid channels: analysis, commentary, final. Channel must be included for every message.")]
    for one in messages:
        own = one["role"] == "system"
        said.append(("developer", f"# Instructions\n\n{one['content']}") if own else (one["role"], one["content"]))
    return "".join(f"<|start|>{role}<|message|>{text}<|end|>" for role, text in said) + "<|start|>assistant"


def read(pieces: Iterable[str]) -> tuple[str, str]:
    """(what is said for the reader, what was thought before). `pieces` are texts, and marks on their own; what is in no channel
    is no answer."""
    heard: dict[str, str] = {}
    header, channel, speaking = "", "", False
    for piece in pieces:
        if piece == "<|message|>":
            words = header.split()
            channel, speaking = (words[0] if words else ""), True
        elif piece == "<|constrain|>":
            header += " "  # of what form the message is, which nobody asks here
        elif piece in MARKS:
            header, speaking = "", False
        elif speaking:
            heard[channel] = heard.get(channel, "") + piece
        else:
            header += piece
    return heard.get("final", ""), heard.get("analysis", "")

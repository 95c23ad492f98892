"""How gpt-oss reads and writes."""

from __future__ import annotations

import re

from proxy.judge.harmony import MARKS, read, rendered


def pieces(text: str) -> list[str]:
    return [one for one in re.split(r"(<\|[a-z]+\|>)", text) if one]


def test_a_conversation() -> None:
    text = rendered([{"role": "system", "content": "# Roses only"}, {"role": "user", "content": "A tulip?"}], "low")
    assert re.findall(r"<\|start\|>(\w+)", text) == ["system", "developer", "user", "assistant"]
    assert "Reasoning: low" in text and "# Roses only<|end|>" in text and text.endswith("A tulip?<|end|><|start|>assistant")
    assert "Reasoning" not in rendered([], None) and {one for one in pieces(text) if one.startswith("<|")} <= MARKS


def test_only_the_final_channel_is_an_answer() -> None:
    said = (
        "<|channel|>analysis<|message|>It says 0, but it is a tulip.<|end|>"
        "<|start|>assistant<|channel|>final <|constrain|>json<|message|>1<|return|>"
    )
    assert read(pieces(said)) == ("1", "It says 0, but it is a tulip.")
    for nothing in (
        "1",
        "<|message|>1<|return|>",
        "<|channel|>analysis<|message|>1<|return|>",
        "<|channel|>final",
        "<|channel|>",
    ):
        assert read(pieces(nothing))[0] == ""

from __future__ import annotations

from typing import Any

import pytest

from proxy.wire.usage import Usage, usage_of


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({"usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}, Usage(9, 3)),
        ({"usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 8}}}, Usage(9, 3, 8)),
        ({"usage": {"prompt_tokens": 9, "total_tokens": 9}}, Usage(9, 0)),  # embeddings
        ({"usage": {"input_tokens": 9, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}}, Usage(9, 3, 4)),
        ({"type": "response.completed", "response": {"usage": {"input_tokens": 9, "output_tokens": 3}}}, Usage(9, 3)),
        (
            {"usage": {"input_tokens": 9, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 3}},
            Usage(129, 3, 100),
        ),
        ({"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}, Usage(9, 1)),
        ({"type": "message_delta", "usage": {"output_tokens": 7}}, Usage(0, 7)),
        ({"usage": None}, None),
        ({"choices": []}, None),
        ({"usage": {"prompt_tokens": -4, "completion_tokens": "many", "prompt_tokens_details": None}}, Usage(0, 0)),
        ([], None),
    ],
)  # fmt: skip
def test_usage(body: Any, usage: Usage | None) -> None:
    assert usage_of(body) == usage


def test_a_stream_says_it_piece_by_piece() -> None:
    assert Usage(9, 1, 2).merged(Usage(0, 7)) == Usage(9, 7, 2)

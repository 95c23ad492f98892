from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire import sse

STREAM = (
    "\ufeff: hello\r\n\r\ndata: {\"a\": \"é\u2028b\"}\r\n\r\nevent: delta\rdata: one\rdata: two\r\r"
    "data:tight\n\nid: 7\n\ndata: [DONE]\n\n"
).encode()  # fmt: skip
EXPECTED = [
    (None, ""),
    ('{"a": "é\u2028b"}'.encode(), ""),
    (b"one\ntwo", "delta"),
    (b"tight", ""),
    (None, ""),
    (b"[DONE]", ""),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_do_not_depend_on_where_the_network_cuts(cuts: list[int]) -> None:
    parser = sse.Parser()
    edges = [0, *sorted(cuts), len(STREAM)]
    found = [e for a, b in itertools.pairwise(edges) for e in parser.feed(STREAM[a:b])]
    assert [(e.data, e.name) for e in found] == EXPECTED
    assert parser.flush() == []


def test_what_is_left_without_a_blank_line_is_still_an_event() -> None:
    parser = sse.Parser()
    assert parser.feed(b"data: [DONE]\n") == []
    assert [e.data for e in parser.flush()] == [sse.DONE]
    assert parser.flush() == []


def test_an_event_that_never_ends_is_refused() -> None:
    parser = sse.Parser()
    with pytest.raises(sse.EventTooLong):
        for _ in range(10):
            parser.feed(b"data: " + b"x" * (1024 * 1024))


def test_raw_frames_the_event_again() -> None:
    (event,) = sse.Parser().feed(b"event: a\r\ndata: 1\r\n\r\n")
    assert event.raw == b"event: a\ndata: 1\n\n"
    assert sse.encode(b"1", "a") == event.raw

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import HEAD, ROUTE, config, wrong


def test_telemetry(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.config.check._has_otel", lambda settings: True)
    monkeypatch.setenv("TOKEN", "t0ken")
    own = 'telemetry: {endpoint: "http://x:4318", protocol: grpc, sampling: 10%, headers: {authorization: "Bearer ${TOKEN}"}}\n'
    found = config(home, HEAD + ROUTE + own).telemetry
    assert found is not None and (found.protocol, found.sampling) == ("grpc", 0.1)
    assert found.headers == {"authorization": "Bearer t0ken"} and "t0ken" not in repr(found)
    assert config(home, HEAD + ROUTE + "telemetry: {}\n").telemetry is not None
    for text, told in (
        ("{endpoint: localhost}", 'the "endpoint" of telemetry begins with "http://" or "https://", for grpc too'),
        ('{headers: {authorization: ""}}', 'the header "authorization" is empty or cannot be sent'),
        ("{samplng: 0.1}", 'unknown key "samplng" (did you mean "sampling"?)'),
    ):
        assert any(told in one for one in wrong(home, HEAD + ROUTE + f"telemetry: {text}\n")), wrong(
            home, HEAD + ROUTE + f"telemetry: {text}\n"
        )
    monkeypatch.setattr("proxy.config.check._has_otel", lambda settings: False)
    assert wrong(home, HEAD + ROUTE + "telemetry: {}\n") == ["5: telemetry needs the otel extra: pip install 'weir[otel]'"]

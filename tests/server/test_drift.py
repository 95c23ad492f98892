"""Drift over several workers: one window, one index, one line in the log."""

from __future__ import annotations

from pathlib import Path

from tests.server.conftest import MODEL_POLICY, Upstream, answer, home, start, whole
from tests.server.test_telemetry import ask
from tests.server.test_workers import number, said_by, until


def test_workers_are_one_window(upstream: Upstream, tmp_path: Path) -> None:
    path = home(tmp_path, judged=MODEL_POLICY)
    path.write_text(
        f'version: 1\nproviders: {{fake: {{type: openai, base_url: "http://127.0.0.1:{upstream.port}/v1"}}}}\n'
        "routes: [{name: all, provider: fake, policy: judged}]\ndrift: {window: 60s, texts: 60, threshold: 0.05}\n"
    )
    upstream.script = lambda body: whole(answer(None))
    weir = start(path, tmp_path / "log", "--workers", "2")
    try:
        for count in range(80):
            ask(weir, f"I will find all {count} of you and kill you tonight, you idiots.")
        until(lambda: number(weir, 'weir_drift_psi{category="violence"}') > 0.05)
        counted = [line for line in weir.get("/metrics").splitlines() if line.startswith("weir_drift_texts{")]
        assert sum(float(line.rsplit(" ", 1)[1]) for line in counted if 'category="hate"' in line) == 80
        until(lambda: said_by(weir, "scores are not as they were when the thresholds were made"))
        log = weir.log.read_text()
        assert log.count('"category":"violence"') == 1 and "idiots" not in log
    finally:
        assert weir.stop() == 0

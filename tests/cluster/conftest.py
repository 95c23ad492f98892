"""One Ray for all of it: real replicas on this machine, with a real Redis and a real PostgreSQL between them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.audit import postgres
from tests.server.conftest import Upstream, free_port, home, upstream
from tests.server.test_counters import start_redis
from tests.server.test_keys import key_line

__all__ = ["upstream"]

SECRET = "a secret of at least sixteen characters"
POLICY = """
version: 1
name: test
rules:
  - {{id: {rule}, detect: {{keywords: [owl]}}, action: flag}}
  - {{id: violence, detect: {{category: violence, fpr: 0.002}}, action: block}}
"""
CONFIG = """
version: 1
providers: {{fake: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1"}}}}
detectors: {{safeguard: {{type: onnx, model: builtin, screen: false, timeout: 40s}}}}
routes: [{{name: all, provider: fake, policy: test}}]
audit: {{url: "{postgres}", key: "{secret}", commit: each}}
limits: {{url: "{redis}"}}
verdicts: {{url: "{redis}", key: "{secret}"}}
keys:
"""
REPLICAS = {"upscale_delay_s": 1, "downscale_delay_s": 3, "metrics_interval_s": 0.5, "look_back_period_s": 2}
CPUS = {"ray_actor_options": {"num_cpus": 0.1}}


@dataclass(frozen=True)
class Cluster:
    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path
    audit: str

    def numbers(self, name: str) -> Counter[str]:
        """A metric of each replica that there is, all its labels added up."""
        found: Counter[str] = Counter()
        for line in httpx.get(self.url + "/metrics", timeout=10).text.splitlines():
            if line.startswith(name):
                found[line.partition('replica="')[2].partition('"')[0]] += float(line.rpartition(" ")[2])  # type: ignore[assignment]
        return found

    def replicas(self, deployment: str) -> list[int]:
        """Their processes: of this Ray, there may be others here."""
        parents, names = {}, {}
        for one in Path("/proc").iterdir():
            try:
                stat, name = (one / "stat").read_text(), (one / "cmdline").read_text()
            except OSError:
                continue
            if one.name.isdigit():
                parents[int(one.name)] = int(stat.rpartition(")")[2].split()[1])
                names[int(one.name)] = name

        def ours(pid: int) -> bool:
            return pid == self.process.pid or (pid in parents and ours(parents[pid]))

        return [pid for pid, name in names.items() if name.startswith(f"ray::ServeReplica:weir:{deployment}") and ours(pid)]

    def kill(self, deployment: str) -> None:
        os.kill(self.replicas(deployment)[0], signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if importlib.util.find_spec("ray") is None:
        if os.environ.get("WEIR_CI"):
            pytest.fail("Ray is missing, and CI must have it")
        pytest.skip("Ray is not installed: pip install 'weir[ray]'")
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "redis").mkdir()
    redis = start_redis(folder / "redis")
    with postgres.running(tmp_path_factory.mktemp("postgres")) as database:
        config = home(folder, test=POLICY.format(rule="first"))
        keys = key_line("free") + key_line("counted", "requests_per_minute: 3")
        config.write_text(CONFIG.format(upstream=upstream.port, postgres=database, redis=redis.url, secret=SECRET) + keys)
        port = free_port()
        deployments = [
            {"name": "weir", "health_check_period_s": 1, "autoscaling_config": {
                **REPLICAS, "min_replicas": 2, "max_replicas": 3, "target_ongoing_requests": 2}, **CPUS},
            {"name": "safeguard", "health_check_period_s": 1, "num_replicas": 2, **CPUS},
            {"name": "files", **CPUS},
        ]  # fmt: skip
        app = {"name": "weir", "route_prefix": "/", "import_path": "proxy.cluster.app:build", "args": {"config": str(config)},
               "deployments": deployments}  # fmt: skip
        (folder / "ray.yaml").write_text(json.dumps({"http_options": {"port": port}, "applications": [app]}))
        short = tempfile.mkdtemp(prefix="weir-ray-")  # sockets lie in it, and their paths may not be long
        quiet = {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_memory_monitor_refresh_ms": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_AUTH_MODE": "disabled",
        }
        command = [sys.executable, str(Path(__file__).parent / "serve.py"), str(folder / "ray.yaml"), short]
        with (folder / "log").open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **quiet}, cwd=folder)
        one = Cluster(f"http://127.0.0.1:{port}", folder, process, folder / "log", database)
        try:
            _wait(one)
            yield one
        finally:
            process.terminate()
            process.wait(60)
            redis.stop()
            shutil.rmtree(short, ignore_errors=True)


def _wait(one: Cluster) -> None:
    for _ in range(1200):
        assert one.process.poll() is None, one.log.read_text()
        try:
            if httpx.get(one.url + "/readyz", timeout=10).status_code == 200 and len(one.numbers("weir_policies")) == 2:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise RuntimeError("not ready: " + one.log.read_text())

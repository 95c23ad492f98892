"""What `import_path: proxy.cluster.app:build` in config/ray.yaml names."""

from __future__ import annotations

import os
from typing import Any

from proxy.cluster import ingress, model, source
from proxy.cluster.given import fit, networks
from proxy.config import load_config

STREAMS = 256  # requests of one proxy at a time
DRAIN = 60.0  # seconds that a replica which is to go has for what it has begun


def build(args: dict[str, Any]) -> Any:
    """The application. Raises FileError and ModelError where the config is not one for many replicas."""
    given = fit(args)
    settings = {**args, "config": os.path.abspath(given.config)}
    config = load_config(fit(settings).path)
    given.check(config)
    models = {}
    for name, detector in networks(config).items():
        needs = {"num_cpus": detector.threads, **({"num_gpus": 1} if detector.device.startswith("cuda") else {})}
        one = model.deployment.options(name=name, max_ongoing_requests=64, ray_actor_options=needs)
        models[name] = one.bind(str(config.folder_of(detector)), detector)
    files = source.deployment.options(name="files", max_ongoing_requests=10_000, ray_actor_options={"num_cpus": 0}).bind(
        settings, models
    )
    proxies = ingress.deployment.options(
        name="weir", max_ongoing_requests=STREAMS, graceful_shutdown_timeout_s=DRAIN, graceful_shutdown_wait_loop_s=0.5
    )
    return proxies.bind(settings, files, models)

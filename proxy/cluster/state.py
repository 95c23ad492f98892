"""What a proxy holds, with its networks in other replicas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy.cluster.deployed import deployed
from proxy.cluster.given import Given, networks
from proxy.config import Config, OnnxDetector, Safeguard, load_config
from proxy.model.artefact import Artefact
from proxy.model.classifier import Classifier
from proxy.server.state import State
from proxy.workbench import load_queue, open_classifier


def open_state(path: Path, given: Given, models: Mapping[str, Any]) -> State:
    """Blocks until the models are there. Raises FileError, ModelError."""
    config = load_config(path)
    given.check(config)
    deployments = networks(config)

    def opened(config: Config, settings: Safeguard) -> Classifier:
        if not isinstance(settings, OnnxDetector):
            return open_classifier(config, settings)
        name = next(name for name, one in deployments.items() if one == settings)
        return deployed(name, models[name], settings, Artefact.load(config.folder_of(settings), elsewhere=True))

    return State.load(path, load_queue(config, given.questions, opened))

"""What the commands work with: the model, one policy, and a guard for it."""

from __future__ import annotations

from pathlib import Path

from proxy.config import Config, OnnxDetector
from proxy.detect.scanner import Scanner
from proxy.guard import Guard
from proxy.judge.cascade import Cascade
from proxy.load import detectors, load_judges
from proxy.model.artefact import Artefact
from proxy.model.classifier import Classifier
from proxy.model.oip import on_a_server
from proxy.model.queue import ScoringQueue
from proxy.model.session import BATCH, GPU_BATCH, GPU_WAIT
from proxy.policy.load import Policy, load_policy


def load_classifier(config: Config, threads: int | None = None) -> Classifier:
    """The config's, wherever its network is. Raises ModelError."""
    settings = config.safeguard
    if isinstance(settings, OnnxDetector):
        batch = settings.batch.max if settings.batch else None
        return Classifier.load(config.model_folder, threads or settings.threads, settings.screen, settings.device, batch)
    return on_a_server(settings, Artefact.load(config.model_folder, elsewhere=True))


def load_queue(config: Config) -> ScoringQueue:
    settings = config.safeguard
    classifier = load_classifier(config)
    if not isinstance(settings, OnnxDetector):
        return ScoringQueue(classifier, settings.concurrency)
    given = settings.batch
    usual = (GPU_BATCH, GPU_WAIT) if classifier.device.startswith("cuda") else (BATCH, 0.0)
    batch, wait = (given.max, given.wait) if given else usual
    return ScoringQueue(classifier, settings.workers, batch=batch, wait=wait)


def find_policy(name: str, config: Config) -> Path:
    """NAME of the config's folder, or a file."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    return config.policy_path(name)


def open_guard(path: Path, queue: ScoringQueue, config: Config) -> tuple[Guard, Policy]:
    """Raises FileError. Close the guard's cascade in the loop that used it."""
    judges = load_judges(config)
    policy = load_policy(path, queue.classifier.artefact, detectors(config, judges, queue.learner))
    return Guard({policy.name: policy}, Scanner(policy.patterns.values()), queue, 60.0, Cascade(judges)), policy

"""What the commands work with: the model, one policy, and a guard for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from proxy.config import Config, OnnxDetector, Safeguard
from proxy.detect.scanner import Scanner
from proxy.guard import Guard
from proxy.judge.cascade import Cascade
from proxy.load import detectors, load_judges
from proxy.model.artefact import Artefact, ModelError
from proxy.model.classifier import Classifier
from proxy.model.oip import on_a_server
from proxy.model.queue import Beside, ScoringQueue
from proxy.model.session import GPU_BATCH, GPU_WAIT
from proxy.policy.load import Policy, load_policy

Open = Callable[[Config, Safeguard], Classifier]


def open_classifier(config: Config, settings: Safeguard) -> Classifier:
    """Wherever its network is. Raises ModelError."""
    folder = config.folder_of(settings)
    if isinstance(settings, OnnxDetector):
        batch = settings.batch.max if settings.batch else None
        return Classifier.load(folder, settings.threads, settings.screen, settings.device, batch)
    return on_a_server(settings, Artefact.load(folder, elsewhere=True))


def load_queue(config: Config, workers: int | None = None, opened: Open = open_classifier) -> ScoringQueue:
    """The config's classifier, and those beside it. `workers`: what a command takes, that has the machine for itself. Raises
    ModelError."""
    beside = []
    for name, settings in config.beside.items():
        queue = _queue(config, settings, workers, opened)
        categories = frozenset(settings.categories or ())
        if missing := sorted(categories.difference(queue.classifier.artefact.labels)):
            has = ", ".join(queue.classifier.artefact.labels)
            raise ModelError(f'the detector "{name}" cannot answer for {", ".join(missing)}: its model has {has}')
        beside.append(Beside(name, queue, categories, settings.timeout))
    return _queue(config, config.safeguard, workers, opened, beside)


def _queue(
    config: Config, settings: Safeguard, workers: int | None, opened: Open, beside: Sequence[Beside] = ()
) -> ScoringQueue:
    classifier = opened(config, settings)
    if not isinstance(settings, OnnxDetector):
        return ScoringQueue(classifier, settings.concurrency, beside=beside)
    given = settings.batch
    usual = (GPU_BATCH, GPU_WAIT) if classifier.device.startswith("cuda") else (1, 0.0)
    batch, wait = (given.max, given.wait) if given else usual
    return ScoringQueue(classifier, workers or settings.workers, batch=batch, wait=wait, beside=beside)


def find_policy(name: str, config: Config) -> Path:
    """NAME of the config's folder, or a file."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    return config.policy_path(name)


def open_guard(path: Path, queue: ScoringQueue, config: Config) -> tuple[Guard, Policy]:
    """Raises FileError. Close the guard's cascade in the loop that used it."""
    judges = load_judges(config)
    policy = load_policy(path, queue, detectors(config, judges, queue.learner))
    return Guard({policy.name: policy}, Scanner(policy.patterns.values()), queue, 60.0, Cascade(judges)), policy

"""The config, the policies, the model, the decision log, and who may read the secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

from proxy.audit import AuditError
from proxy.config import Config, OnnxDetector, Safeguard
from proxy.doctor.finding import Finding, fine, note, wrong
from proxy.load import detectors, load_judges
from proxy.model.artefact import ModelError
from proxy.model.classifier import Classifier
from proxy.model.network import Unavailable
from proxy.model.queue import ScoringQueue
from proxy.policy.lint import lint
from proxy.workbench import load_queue
from proxy.yamlfile import FileError, Problem

_OTHERS = stat.S_IRGRP | stat.S_IROTH


def broken(error: FileError) -> Iterator[Finding]:
    """A file that cannot be used. The rest of the checks go on without it."""
    yield from (_said(problem) for problem in error.problems)


def _said(problem: Problem) -> Finding:
    where = f"{problem.file}:{problem.line}"
    return note(where, problem.message) if problem.warning else wrong(where, problem.message, f"change line {problem.line}")


def check(config: Config) -> Iterator[Finding]:
    yield fine("config", f"{config.source}: {len(config.routes)} routes, {len(config.providers)} providers")
    queue = yield from model(config)
    yield from policies(config, queue)
    for one in queue.all if queue is not None else ():
        one.classifier.network.close()
    yield from keys(config)
    yield from decision_log(config)
    yield from secrets(config)


def model(config: Config) -> Generator[Finding, None, ScoringQueue | None]:
    """The classifiers where they are to run, for what comes after; None where one cannot be had."""
    try:
        queue = load_queue(config)
        for one in queue.all:
            one.classifier.score([("A word to warm up.", "")])
    except Unavailable as problem:
        yield wrong("model", f"its server: {problem}", "start it, or correct its base_url, its model or its api_key")
        return None
    except ModelError as problem:
        text, _, fix = str(problem).removesuffix("; see `weir doctor`").rpartition(": ")
        yield wrong("model", text or str(problem), fix if text else "docs/models.md says how a model is exported and named")
        return None
    for one, settings in zip(queue.all, (config.safeguard, *config.beside.values()), strict=True):
        yield _runs(one.classifier, settings)
    return queue


def _runs(classifier: Classifier, settings: Safeguard) -> Finding:
    artefact = classifier.artefact
    where = f"{artefact.name} ({artefact.sha256[:8]}), {artefact.precision} on {classifier.device or 'a server'}"
    if isinstance(settings, OnnxDetector) and settings.device == "auto" and classifier.device == "cpu":
        return note("model", f"{where}, since no GPU can be used", "device: cpu, which also lets workers share memory")
    return fine("model", where)


def policies(config: Config, queue: ScoringQueue | None) -> Iterator[Finding]:
    asked = detectors(config, load_judges(config), queue.learner if queue is not None else None)
    paths = [config.policy_path(route.policy) for route in config.routes]
    paths += [config.shadow_path(route.shadow) for route in config.routes if route.shadow is not None]
    for path in dict.fromkeys(paths):
        found = lint(path, queue, asked)
        yield from map(_said, found)
        if not found:
            yield fine(path.stem, f"{path} loads")


def keys(config: Config, now: datetime | None = None) -> Iterator[Finding]:
    now = now or datetime.now(UTC)
    for key in config.keys:
        if key.expires is not None and key.expires < now:
            text = f"expired on {key.expires:%Y-%m-%d}"
            yield note(f"keys.{key.name}", text, "take it out, or make a new one with `weir key new`")
    if config.is_open and config.is_own:
        yield note("keys", "none: whoever reaches this machine's loopback may use Weir", "`weir key new NAME`")


def decision_log(config: Config) -> Iterator[Finding]:
    settings = config.audit
    if settings is None:
        if config.is_own:
            yield note("audit", "no `audit:`, so decisions are in Weir's own log alone", "docs/audit.md")
        return
    file = None if settings.is_shared else Path(settings.url.removeprefix("sqlite:///"))
    if file is not None and not file.exists():
        folder = file.absolute().parent
        if os.access(folder, os.W_OK):
            yield fine("audit", f"{file} will be made")
        else:
            yield wrong("audit", f"{file} cannot be made: the folder {folder} is not writable, or not there", "mkdir, or chown")
        return
    from proxy.audit.store import Store  # sqlalchemy is for those alone who keep a log

    try:
        Store.open(settings.url, settings.key, create=False).close()
    except AuditError as problem:
        if "makes one" in str(problem):
            yield fine("audit", "the database answers; `weir serve` will make its tables")
        elif "key" in str(problem):
            yield wrong("audit", str(problem), "give the old key back; without it nothing can be added, nor proved")
        else:
            yield wrong("audit", str(problem), "start the database, or correct `audit: {url: …}`")
    else:
        yield fine("audit", "the decision log opens with this key")
    if file is not None:
        yield from _private("audit", file)
        yield from _private("audit", file.with_name(file.name + ".key"))


def secrets(config: Config) -> Iterator[Finding]:
    """Keys that stand in the config itself, where others may read it."""
    named = [(f"providers.{name}", getattr(one, "api_key", None)) for name, one in config.providers.items()]
    named += [(f"detectors.{name}", getattr(one, "api_key", None)) for name, one in config.detectors.items()]
    named += [(name, getattr(getattr(config, name), "key", None)) for name in ("audit", "verdicts")]
    named += [("telemetry", text) for text in (config.telemetry.headers.values() if config.telemetry else ())]
    text = config.source.read_text(encoding="utf-8", errors="replace")
    for name, secret in named:
        if secret and secret in text:
            yield from _private(name, config.source, ' or write "${VARIABLE}" in its place')


def _private(about: str, path: Path, otherwise: str = "") -> Iterator[Finding]:
    if path.exists() and path.stat().st_mode & _OTHERS:
        text = f"{path} holds a secret or people's data, and others on this machine may read it"
        yield wrong(about, text, f"chmod 600 {path}{otherwise}")

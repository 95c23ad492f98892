"""Scores of the traffic against those of ordinary texts."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client import Metric

from proxy import builtin, metrics
from proxy.config import Drift as Settings
from proxy.detect.scanner import Scanner
from proxy.guard import Guard
from proxy.model.artefact import Artefact
from proxy.model.classifier import Classifier
from proxy.model.queue import ScoringQueue
from proxy.policy.load import load_policy
from proxy.telemetry.drift import Drift, indices, psi
from proxy.types import Segment

ARTEFACT = Artefact.load(builtin.MODEL)
FLOOR = ARTEFACT.screen.floor if ARTEFACT.screen is not None else {}
SETTINGS = Settings(window=1200.0, texts=500, threshold=0.1)


def ordinary(rng: random.Random, more: float = 1.0) -> dict[str, float]:
    """Scores whose tails are those of the background, or so many times as heavy."""
    found = {}
    for category, roles in ARTEFACT.table.items():
        drawn = rng.random() / more
        found[category] = next((score for rate, score in roles["any"] if drawn < rate), 0.0)
    return found


def families() -> Iterable[Metric]:
    return metrics.registry.collect()


def test_the_index_by_hand() -> None:
    assert psi([990, 10], [0.99, 0.01]) == pytest.approx(0, abs=1e-4)
    assert psi([93_000, 7_000], [0.99, 0.01]) == pytest.approx(0.06 * 1.9459 + 0.06 * 0.0625, rel=0.01)
    assert psi([0, 1000], [0.99, 0.01]) > 5


@pytest.mark.parametrize(("more", "expected"), [(1.0, (0.0, 0.02)), (3.0, (0.01, 0.06)), (20.0, (0.3, 1.0))])
def test_the_heavier_the_tail_the_higher_the_index(more: float, expected: tuple[float, float]) -> None:
    drift, rng = Drift(ARTEFACT, FLOOR, SETTINGS), random.Random(7)
    for _ in range(5000):
        drift.saw(ordinary(rng, more), now=100.0)
    drift.publish(now=110.0)
    found = indices(families(), 500)
    assert found.keys() == set(ARTEFACT.labels)
    assert all(expected[0] <= index <= expected[1] for index in found.values()), found


def test_what_the_screen_has_kept_counts_as_low_and_few_texts_prove_nothing() -> None:
    drift = Drift(ARTEFACT, FLOOR, SETTINGS)
    for _ in range(499):
        drift.saw({}, now=100.0)
    drift.publish(now=100.0)
    assert indices(families(), 500) == {}
    for _ in range(501):
        drift.saw({}, now=100.0)
    drift.publish(now=100.0)
    assert all(0 < index < 0.02 for index in indices(families(), 500).values())


def test_edges_are_not_below_what_the_screen_lets_through() -> None:
    def edges(floor: dict[str, float]) -> set[str]:
        for one in (metrics.drift_texts, metrics.drift_psi):
            one.clear()
        Drift(ARTEFACT, floor, SETTINGS)
        return {s.labels["above"] for f in families() if f.name == "weir_drift_texts" for s in f.samples}

    assert edges({}) == {"1", "0.05", "0.02", "0.01", "0.005", "0.002", "0.001", "0.0005", "0.0002"}
    assert edges(FLOOR) == {"1", "0.01", "0.005", "0.002", "0.001", "0.0005", "0.0002"}


def test_the_window_slides_and_what_has_drifted_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("weir"), "propagate", True)
    drift = Drift(ARTEFACT, FLOOR, SETTINGS)

    def look(now: float) -> list[str]:
        caplog.clear()
        drift.publish(now=now)
        drift.look(families(), aloud=True)
        return [record.fields["category"] for record in caplog.records]  # type: ignore[attr-defined]

    for at in range(1000):
        drift.saw({"violence": 0.9} if at % 5 == 0 else {}, now=50.0)
    assert look(60.0) == ["violence"]
    assert metrics.drift_psi.labels("violence")._value.get() > 0.1
    assert look(120.0) == []
    for _ in range(2000):
        drift.saw({}, now=1500.0)  # the window has left the first texts behind
    assert look(1500.0) == []
    assert metrics.drift_psi.labels("violence")._value.get() < 0.05
    for _ in range(1000):
        drift.saw({"violence": 0.9}, now=1600.0)
    assert look(1600.0) == ["violence"]


async def test_a_text_counts_once_whoever_read_it() -> None:
    queue = ScoringQueue(Classifier.load(builtin.MODEL, screened=True))
    policy = load_policy(Path(builtin.POLICIES / "default.yaml"), queue.classifier.artefact)
    drift = Drift(queue.classifier.artefact, FLOOR, SETTINGS)
    guard = Guard({"default": policy}, Scanner(policy.patterns.values()), queue, drift=drift)
    for text in ("Where is the station?", "Where is the station?", "I will find you and kill you tonight, you idiot."):
        await guard.judge(policy, Segment(text))
    drift.publish()
    (family,) = (f for f in families() if f.name == "weir_drift_texts")
    violence = {s.labels["above"]: s.value for s in family.samples if s.labels["category"] == "violence"}
    assert sum(violence.values()) == 2 and violence["1"] == 1
    queue.close()

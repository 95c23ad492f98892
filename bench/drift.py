"""python -m bench.drift: what the drift monitor costs a text, and what its index says of a tail so many times as heavy."""

from __future__ import annotations

import timeit

from proxy import builtin
from proxy.config import Drift as Settings
from proxy.model.artefact import Artefact
from proxy.telemetry.drift import Drift, psi

TEXTS = 100_000


def main() -> None:
    artefact = Artefact.load(builtin.MODEL)
    drift = Drift(artefact, artefact.screen.floor if artefact.screen else {}, Settings())
    read = dict.fromkeys(artefact.labels, 0.001)
    for name, scores in (("that the classifier read", read), ("that the screen kept from it", {})):
        cost = min(timeit.repeat(lambda scores=scores: drift.saw(scores), number=TEXTS, repeat=5)) / TEXTS
        print(f"a text {name}: {cost * 1e6:.1f} µs")
    cost = min(timeit.repeat(drift.publish, number=100, repeat=5)) / 100
    print(f"its metrics, once a second at most: {cost * 1e6:.0f} µs\n")
    rates = (0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002)
    shares = [1 - rates[0], *(rate - lower for rate, lower in zip(rates, (*rates[1:], 0.0), strict=True))]
    print("| above the 1 % level | index |\n|---|---|")
    for tail in (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2):
        counts = [TEXTS * (1 - tail), *(TEXTS * share * tail / rates[0] for share in shares[1:])]
        print(f"| {tail:.0%} | {psi(counts, shares):.3f} |")


if __name__ == "__main__":
    main()

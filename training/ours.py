"""All rows that were made from templates or written for the training."""

from __future__ import annotations

from typing import Any

from training import attacks, intimacy, lookalikes, people, written
from training.made import is_held


def rows(seed: int, held: bool = False) -> list[dict[str, Any]]:
    """Those to learn from, or those that are only measured on."""
    rest = [*lookalikes.rows(), *attacks.rows(seed), *intimacy.rows()]
    return [*people.rows(held), *written.rows(held), *(one for one in rest if is_held(one) == held)]

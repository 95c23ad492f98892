"""A calibration table that can be computed in the head."""

from __future__ import annotations


class Table:
    """The threshold is 1 - 10 fpr, a little lower for documents."""

    def threshold(self, category: str, fpr: float, role: str) -> float:
        assert role in ("user", "assistant", "document")
        return round(1 - 10 * fpr - (0.05 if role == "document" else 0), 6)


TABLE = Table()

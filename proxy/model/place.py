"""The device that a config asks for. Apart from what runs there, so that reading a config stays light."""

from __future__ import annotations

import re
from typing import NamedTuple

_DEVICE = re.compile(r"cpu|auto|cuda(?::([0-9]{1,2}))?")


class Place(NamedTuple):
    """A CUDA device by its number."""

    number: int

    @property
    def name(self) -> str:
        return f"cuda:{self.number}"


def parse(text: str) -> Place | None:
    """The CUDA device that `cuda`, `cuda:1` or `auto` means; None: the CPU. Raises ValueError."""
    if not (match := _DEVICE.fullmatch(text)):
        raise ValueError('a "device" is cpu, cuda, cuda:1 (the second GPU) or auto')
    return None if text == "cpu" else Place(int(match[1] or 0))

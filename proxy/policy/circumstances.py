"""Where and when a rule holds: on which routes, for whose key, for which models, in which languages. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of a request. Empty: not known."""

    route: str = ""
    key: str = ""
    model: str = ""
    language: str = ""


NOWHERE = Setting()


@dataclass(frozen=True, slots=True)
class When:
    """Every condition must hold; of one condition's names any. Names may be patterns, as in "team-*"."""

    route: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    language: tuple[str, ...] = ()

    def holds(self, setting: Setting) -> bool:
        """What is not known exempts nobody."""
        return (
            _any(self.route, setting.route)
            and _any(self.key, setting.key)
            and _any(self.model, setting.model)
            and _any(self.language, setting.language)
        )


def _any(names: Iterable[str], known: str) -> bool:
    return not names or not known or any(fnmatchcase(known, name) for name in names)

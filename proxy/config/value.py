"""What may stand in a field: a duration, a size, a name, and what all parts of a config file are made of."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3}


def seconds_of(value: Any) -> Any:
    """`"10s"` or `"30d"` as a number; anything else as it is. Raises ValueError."""
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *(ms|s|m|h|d)", value.strip())
        if not match:
            raise ValueError('a duration is a number of seconds or a text such as "10s", "500ms" or "2m"')
        return float(match[1]) * _UNITS[match[2]]
    return value


def _bytes(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]+) *([KMG]?i?B)", value.strip(), re.IGNORECASE)
        if not match or match[2].upper() not in _SIZES:
            raise ValueError('a size is a number of bytes or a text such as "32MiB"')
        return int(match[1]) * _SIZES[match[2].upper()]
    return value


def _moment(value: Any) -> Any:
    if isinstance(value, str):
        try:
            if len(value) == 10:  # a day is the last one, to its end
                return datetime.combine(date.fromisoformat(value), time.max, UTC)
            found = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError('a day or a time is written as "2027-06-30" or "2027-06-30T18:00:00Z"') from None
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return value


def _store(value: str) -> str:
    if not re.match(r"(rediss?|unix)://", value):
        raise ValueError('a Redis "url" begins with "redis://", "rediss://" or "unix://"')
    return value


def _name(value: str) -> str:
    # Names are path segments: /{route}/v1/… and NAME.yaml.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise ValueError("a name has letters, digits, '.', '-' and '_' only, and begins with a letter or a digit")
    return value


def _digest(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError('"sha256" is the SHA-256 of the token: 64 hexadecimal digits')
    return value.lower()


def _url(value: str) -> str:
    if not re.match(r"https?://[^/\s]", value):
        raise ValueError('a base_url begins with "http://" or "https://"')
    return value


Seconds = Annotated[float, BeforeValidator(seconds_of), Field(gt=0)]
Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1024)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Count = Annotated[int, Field(gt=0)]
Name = Annotated[str, AfterValidator(_name)]
Url = Annotated[str, AfterValidator(_url)]
Digest = Annotated[str, AfterValidator(_digest)]
Store = Annotated[str, AfterValidator(_store)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def usable_key(value: str | None, otherwise: str) -> str | None:
    """An empty key, as from an empty variable, would not be noticed before the provider refuses it."""
    if value is not None and (not value.strip() or not value.isprintable()):
        raise ValueError(f'"api_key" is empty or cannot stand in a header; {otherwise}')
    return value

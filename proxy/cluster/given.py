"""What the application is given: `args:` of ray.yaml, and the Weir config that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from proxy.config import Config, OnnxDetector
from proxy.model.artefact import ModelError


class Given(BaseModel):
    """`args:` in ray.yaml. `open` allows a config without keys. `questions` is how many one proxy asks the model at a time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: str
    open: bool = False
    questions: int = Field(default=8, ge=1, le=256)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def path(self) -> Path:
        return Path(self.config)

    def check(self, config: Config) -> None:
        """Raises ModelError for what one Weir may do and many may not."""
        if config.is_open and not self.open:
            raise ModelError(f"{config.source} has no keys, so anybody may ask: list some, or say `open: true` in ray.yaml")
        if config.audit is not None and not config.audit.is_shared:
            raise ModelError(f"{config.source}: replicas cannot share a decision log in SQLite; give audit a postgresql:// url")
        limited = next((key.name for key in config.keys if key.is_limited), None)
        if limited is not None and config.limits.url is None:
            raise ModelError(
                f"{config.source}: the limits of key {limited!r} would count for each replica; give limits a redis url"
            )


def fit(settings: dict[str, Any]) -> Given:
    return Given.model_validate(settings)


def networks(config: Config) -> dict[str, OnnxDetector]:
    """The detectors whose networks are deployed, not those that are asked over HTTP."""
    found = {name: one for name, one in config.detectors.items() if isinstance(one, OnnxDetector)}
    own = config.safeguard
    return found if own in config.detectors.values() or not isinstance(own, OnnxDetector) else {**found, "safeguard": own}

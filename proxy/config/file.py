"""A whole config file (`config/weir.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from proxy import builtin
from proxy.config.audit import Audit
from proxy.config.detector import Detector, JudgeDetector, LocalJudge, OnnxDetector, Safeguard
from proxy.config.key import AdminEntry, KeyEntry, Price
from proxy.config.limits import Limits
from proxy.config.listen import Listen
from proxy.config.provider import LiteLLMProvider, Provider
from proxy.config.route import Route
from proxy.config.shared import Restore, Verdicts
from proxy.config.telemetry import Drift, Telemetry
from proxy.config.value import Name


class Config(BaseModel):
    """One config file, valid in itself. `source` is the file it came from."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    listen: Listen = Listen()
    providers: dict[Name, Provider]
    detectors: dict[Name, Detector] = {}
    routes: list[Route] = Field(min_length=1)
    keys: list[KeyEntry] = []
    admin: list[AdminEntry] = []
    audit: Audit | None = None
    telemetry: Telemetry | None = None
    drift: Drift = Drift()
    policies: str | None = None
    prices: dict[str, Price] = {}
    limits: Limits = Limits()
    verdicts: Verdicts | None = None
    restore: Restore | None = None

    _source: Path = PrivateAttr(default=builtin.CONFIG)

    @property
    def source(self) -> Path:
        return self._source

    @property
    def is_own(self) -> bool:
        """Somebody wrote it; it is not the built-in one."""
        return self._source != builtin.CONFIG

    @property
    def is_open(self) -> bool:
        """No key is asked for. Then the proxy belongs on loopback only."""
        return not self.keys

    @property
    def policy_folder(self) -> Path:
        folder = self._source.parent
        return folder / self.policies if self.policies is not None else folder.parent / "policies"

    def policy_path(self, name: str) -> Path:
        return self.policy_folder / f"{name}.yaml"

    def shadow_path(self, shadow: str) -> Path:
        """Of a policy's name, or of a file seen from the config's folder or from the one above it."""
        if not shadow.endswith((".yaml", ".yml")):
            return self.policy_path(shadow)
        folder = self._source.parent
        return next((one for one in (folder / shadow, folder.parent / shadow) if one.is_file()), folder.parent / shadow)

    def model_of(self, route: Route, model: str) -> str:
        """What the provider of a route is asked for when its caller asks for `model`."""
        asked, own = route.model or model, getattr(self.providers[route.provider], "model", None)
        return own.replace("*", asked) if isinstance(own, str) else asked

    @property
    def needs_litellm(self) -> bool:
        return any(isinstance(one, LiteLLMProvider) or getattr(one, "translate", None) for one in self.providers.values())

    @property
    def safeguard(self) -> Safeguard:
        """The classifier that category rules ask, but for the categories that another one answers for. The built-in model when
        none is configured."""
        found = (d for d in self.detectors.values() if isinstance(d, Safeguard) and d.categories is None)
        return next(found, None) or OnnxDetector(type="onnx")

    @property
    def beside(self) -> dict[str, Safeguard]:
        """The classifiers with categories of their own."""
        return {name: d for name, d in self.detectors.items() if isinstance(d, Safeguard) and d.categories is not None}

    @property
    def judges(self) -> dict[str, JudgeDetector | LocalJudge]:
        return {name: one for name, one in self.detectors.items() if isinstance(one, JudgeDetector | LocalJudge)}

    def judge_folder(self, judge: LocalJudge) -> Path:
        return self._source.parent / judge.model

    @property
    def model_folder(self) -> Path:
        return self.folder_of(self.safeguard)

    def folder_of(self, detector: Safeguard) -> Path:
        """Of the network, or of what is known of it here."""
        return builtin.MODEL if detector.folder == "builtin" else self._source.parent / detector.folder

"""The config file (`config/weir.yaml`): what it may say, and whether its names fit together.

`file` is the whole of it; `listen`, `provider`, `detector`, `route`, `key`, `limits`, `audit`, `telemetry` and `shared` are its
parts, made of what `value` knows. `load` reads it, and has `check` say what does not fit.
"""

from __future__ import annotations

from proxy.config.audit import Audit
from proxy.config.detector import Batch, Detector, JudgeDetector, LocalJudge, OipDetector, OnnxDetector, Safeguard
from proxy.config.file import Config
from proxy.config.key import AdminEntry, KeyEntry, Price
from proxy.config.limits import Limits
from proxy.config.listen import Listen, is_loopback
from proxy.config.load import load_config
from proxy.config.provider import (
    AnthropicProvider,
    AzureProvider,
    DemoProvider,
    Ejection,
    HttpProvider,
    LiteLLMProvider,
    OpenAIProvider,
    Provider,
    Retries,
    Timeouts,
)
from proxy.config.route import Match, Route
from proxy.config.shared import Restore, Verdicts
from proxy.config.telemetry import Drift, Telemetry
from proxy.config.value import seconds_of

__all__ = [
    "AdminEntry",
    "AnthropicProvider",
    "Audit",
    "AzureProvider",
    "Batch",
    "Config",
    "DemoProvider",
    "Detector",
    "Drift",
    "Ejection",
    "HttpProvider",
    "JudgeDetector",
    "KeyEntry",
    "Limits",
    "Listen",
    "LiteLLMProvider",
    "LocalJudge",
    "Match",
    "OipDetector",
    "OnnxDetector",
    "OpenAIProvider",
    "Price",
    "Provider",
    "Restore",
    "Retries",
    "Route",
    "Safeguard",
    "Telemetry",
    "Timeouts",
    "Verdicts",
    "is_loopback",
    "load_config",
    "seconds_of",
]

"""The config file (`config/weir.yaml`): what it may say, and whether its names fit together."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from proxy import builtin, yamlfile
from proxy.model import place
from proxy.policy.schema import Category, Share
from proxy.yamlfile import FileError, Loc, did_you_mean, unknown

_NOT_YET = "not available in this version of Weir"
# What a provider of type litellm has a setting of its own for.
_ELSEWHERE = {
    "model": "it is the provider's",
    "api_key": "it is the provider's",
    "api_base": 'it is the "base_url"',
    "base_url": "it is the provider's",
    "timeout": 'see "timeouts"',
    "num_retries": 'see "retries"',
    "max_retries": 'see "retries"',
    "fallbacks": "they are the route's",
    "stream": "it is the caller's",
    "messages": "they are the caller's",
}
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


def _device(value: str) -> str:
    place.parse(value)
    return value


Seconds = Annotated[float, BeforeValidator(seconds_of), Field(gt=0)]
Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1024)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Count = Annotated[int, Field(gt=0)]
Categories = Annotated[list[Category] | None, Field(min_length=1)]
Name = Annotated[str, AfterValidator(_name)]
Url = Annotated[str, AfterValidator(_url)]
Digest = Annotated[str, AfterValidator(_digest)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Listen(_Part):
    """`drain` is how long what has begun may take to its end when Weir is told to stop."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    drain: Annotated[float, BeforeValidator(seconds_of), Field(ge=1, le=3600)] = 25.0


class Timeouts(_Part):
    """Seconds. `idle` is the longest silence within an answer, `first_byte` before it: before the status, and before the
    first byte of the body unless that comes within `idle` after the status."""

    connect: Seconds = 10.0
    first_byte: Seconds = 120.0
    idle: Seconds = 60.0
    total: Seconds | None = None


class Retries(_Part):
    """How often the same provider is asked again, while nothing of its answer has reached the client. Before the first time
    it is waited for `first`, then twice as long each time, to `longest`, and each time up to half of that less, by chance.
    What the provider says in `Retry-After` counts instead; if it says more than `longest` it is not asked again."""

    attempts: int = Field(default=1, ge=0, le=10)
    first: Seconds = 0.5
    longest: Seconds = 8.0


class Ejection(_Part):
    """A provider that failed `failures` times in a row is left out for `pause`, where another one can stand in; then one
    request tries it again, and each time in vain doubles the pause, to `longest`."""

    failures: Count = 5
    pause: Seconds = 30.0
    longest: Seconds = 300.0


class _Remote(_Part):
    """What all providers have that are reached over a network. `model`: what this one calls the model, whatever the route
    or the caller says."""

    model: str | None = Field(default=None, min_length=1)
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    ejection: Ejection = Ejection()


def _usable_key(value: str | None, otherwise: str) -> str | None:
    """An empty key, as from an empty variable, would not be noticed before the provider refuses it."""
    if value is not None and (not value.strip() or not value.isprintable()):
        raise ValueError(f'"api_key" is empty or cannot stand in a header; {otherwise}')
    return value


class HttpProvider(_Remote):
    """A server that is spoken to in OpenAI's or Anthropic's HTTP. Without `api_key` the caller's own key is passed on. What
    it does not speak itself may be listed under `translate`: litellm then makes it from what it does."""

    base_url: Url
    api_key: str | None = Field(default=None, repr=False)
    translate: list[Literal["chat/completions", "completions", "embeddings", "responses", "messages"]] = []

    @field_validator("api_key")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        return _usable_key(value, "leave it out to pass the caller's key on")


class OpenAIProvider(HttpProvider):
    """Any server that speaks OpenAI's HTTP."""

    type: Literal["openai"]
    base_url: Url = "https://api.openai.com/v1"


class AnthropicProvider(HttpProvider):
    """Anthropic's Messages."""

    type: Literal["anthropic"]
    base_url: Url = "https://api.anthropic.com/v1"


class AzureProvider(HttpProvider):
    """Azure OpenAI. `base_url` is the resource, as in `https://NAME.openai.azure.com`. With `api_version` the model is a
    deployment in the path; without it the newer `/openai/v1` is asked."""

    type: Literal["azure"]
    api_version: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+$")


class LiteLLMProvider(_Remote):
    """Whatever litellm can reach. In `model` a `*` stands for what the route or the caller asks for. `options` are litellm's
    own, as in `{aws_region_name: eu-west-1}`. Without `api_key` litellm looks for one in its usual variables."""

    type: Literal["litellm"]
    model: str
    api_key: str | None = Field(default=None, repr=False)
    base_url: Url | None = None
    options: dict[str, str | int | float | bool] = Field(default={}, repr=False)

    @field_validator("api_key")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        return _usable_key(value, "leave it out for litellm to look for one")

    @field_validator("model")
    @classmethod
    def _prefixed(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9_]+/.+", value):
            raise ValueError(
                'a "model" of litellm begins with who serves it, as in "anthropic/claude-sonnet-4-5" or "bedrock/*"'
            )
        return value

    @field_validator("options")
    @classmethod
    def _own(cls, value: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        for name, instead in _ELSEWHERE.items():
            if name in value:
                raise ValueError(f'"{name}" has no place in "options": {instead}')
        return value


class DemoProvider(_Part):
    """Scripted answers; needs nothing."""

    type: Literal["demo"]


Provider = Annotated[
    OpenAIProvider | AnthropicProvider | AzureProvider | LiteLLMProvider | DemoProvider, Field(discriminator="type")
]


class Batch(_Part):
    """Texts that are read in one go, and how long the first of them may be kept waiting for the others."""

    max: int = Field(ge=1, le=1024)
    wait: Annotated[float, BeforeValidator(seconds_of), Field(ge=0, le=1)] = 0.0


class OnnxDetector(_Part):
    """The classifier. `model` is `builtin` or a folder, relative to the config file. `screen: false` has it read everything.
    `device` is cpu, cuda, cuda:1 or auto; `batch` is by the device where it is left out. `categories` are those that it answers
    for in the place of the one that has none listed."""

    type: Literal["onnx"]
    model: str = "builtin"
    categories: Categories = None
    screen: bool = True
    device: Annotated[str, AfterValidator(_device)] = "cpu"
    batch: Batch | None = None
    threads: int = Field(default=1, ge=1, le=64)
    workers: int = Field(default=1, ge=1, le=64)
    timeout: Seconds = 10.0

    @property
    def computing(self) -> int:
        """Threads of this process that do."""
        return self.workers * self.threads


class OipDetector(_Part):
    """The classifier on a model server, by the Open Inference Protocol v2. `model` is its name there; `manifest` is the folder,
    here, that says what its numbers mean, or `builtin`. `logits` names the output (else the first one), `gives` says what is
    in it. `timeout` is for everything: waiting for one of the `concurrency` questions at a time, and the answer."""

    type: Literal["oip"]
    base_url: Url
    model: str = Field(min_length=1)
    version: str | None = None
    manifest: str = "builtin"
    categories: Categories = None
    api_key: str | None = Field(default=None, repr=False)
    logits: str | None = None
    gives: Literal["logits", "probabilities"] = "logits"
    screen: bool = True
    timeout: Seconds = 10.0
    concurrency: int = Field(default=8, ge=1, le=256)
    max_batch: int = Field(default=32, ge=1, le=1024)
    computing: ClassVar[int] = 1  # the server does it

    @field_validator("api_key")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        return _usable_key(value, "leave it out where the server asks for none")


class JudgeDetector(_Part):
    """A model that reads a policy in words, behind any OpenAI-compatible endpoint.

    `format` is the family: `policy` (the rule's text is the policy: gpt-oss-safeguard, or a good instruct model),
    `llama-guard`, `qwen3guard` (`strict`: what it calls controversial is a violation too). `reasoning_effort: null` and
    `temperature: null` leave them out of the request. `timeout` is for everything: waiting for a place among `concurrency`,
    the answer, and the one repeated question when the answer was no label.
    """

    type: Literal["judge"]
    base_url: Url
    model: str
    format: Literal["policy", "llama-guard", "qwen3guard"] = "policy"
    api_key: str | None = Field(default=None, repr=False)
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = "low"
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    strict: bool = False
    timeout: Seconds = 10.0
    concurrency: int = Field(default=16, ge=1, le=1024)

    @field_validator("api_key")
    @classmethod
    def _not_blank(cls, value: str | None) -> str | None:
        return _usable_key(value, "leave it out where the judge asks for none")


class LocalJudge(_Part):
    """A model that reads a policy in words, on this machine: a folder that onnxruntime-genai's builder has made, seen from the
    config file. `max_tokens` are those of an answer with its reasoning; `threads: 0` leaves their number to the runtime. The
    rest is as for a judge elsewhere."""

    type: Literal["judge-onnx"]
    model: str
    format: Literal["policy", "llama-guard", "qwen3guard"] = "policy"
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = "low"
    strict: bool = False
    timeout: Seconds = 60.0
    concurrency: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=0, ge=0, le=256)
    max_tokens: int = Field(default=4096, ge=1)


Safeguard = OnnxDetector | OipDetector
Detector = Annotated[OnnxDetector | OipDetector | JudgeDetector | LocalJudge, Field(discriminator="type")]


class Match(_Part):
    """What a request must ask for. `*` and `?` as in file names; upper and lower case differ."""

    model: str = "*"


class Route(_Part):
    name: Name
    match: Match = Match()
    provider: str
    model: str | None = None
    policy: Name
    fallbacks: list[str] = []
    annotations: Literal["azure"] | None = None
    unguarded: list[str] = []
    shadow: str | None = Field(default=None, min_length=1)  # a policy's name, or a file
    shadow_share: Share = 0.0  # of conversations that the shadow decides

    @model_validator(mode="after")
    def _shared(self) -> Route:
        if self.shadow_share and self.shadow is None:
            raise ValueError('"shadow_share" goes with "shadow": the share of conversations that it decides')
        return self


class KeyEntry(_Part):
    """`sha256` is the hex digest of the token. Without `routes` the key opens all of them, without `models` it may ask for
    any. `monthly_budget` is in the unit of the prices."""

    name: Name
    sha256: Digest = Field(repr=False)
    routes: list[str] | None = None
    models: list[str] | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent_streams: Count | None = None
    monthly_budget: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    expires: Moment | None = None

    @property
    def is_limited(self) -> bool:
        """Something has to be counted for it."""
        counted = (self.requests_per_minute, self.tokens_per_minute, self.concurrent_streams, self.monthly_budget)
        return any(one is not None for one in counted)


class AdminEntry(_Part):
    """Who may open the dashboard at /ui. `sha256` is the hex digest of the token; `name` stands beside what they mark."""

    name: Name
    sha256: Digest = Field(repr=False)
    expires: Moment | None = None


class Audit(_Part):
    """The decision log. `text`: what of people's words is kept, sealed. `key` is the secret that chains, hashes and seals;
    SQLite keeps one of its own beside the file if none is given. `language`: the one that the user writes in is told from every
    prompt, not only where a policy asks for it. `queue` records may wait: then `on_full` says whether requests
    wait too, or records are dropped and counted. `commit: each` has a record in the store before its request goes on."""

    url: str = Field(default="sqlite:///weir.db", repr=False)
    text: Literal["never", "redacted", "full"] = "never"
    key: str | None = Field(default=None, min_length=16, repr=False)
    retain: Seconds | None = None
    language: bool = False
    queue: Count = 10_000
    on_full: Literal["block", "drop_and_count"] = "drop_and_count"
    commit: Literal["batch", "each"] = "batch"

    @field_validator("url")
    @classmethod
    def _known(cls, value: str) -> str:
        if not re.match(r"sqlite:///.|postgresql(\+psycopg)?://", value) or value.startswith("sqlite:///:memory:"):
            raise ValueError('the "url" of audit begins with "sqlite:///" and names a file, or with "postgresql://"')
        return value

    @property
    def is_shared(self) -> bool:
        return not self.url.startswith("sqlite")


class Telemetry(_Part):
    """Trace spans and metrics over OTLP. What is left out comes from the OTEL_… variables. `sampling` is the share of traces
    that is kept where the caller has not decided that already."""

    endpoint: str | None = Field(default=None, repr=False)
    protocol: Literal["http/protobuf", "grpc"] | None = None
    sampling: Share | None = None
    headers: dict[str, str] = Field(default={}, repr=False)

    @field_validator("endpoint")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/\s]", value):
            raise ValueError('the "endpoint" of telemetry begins with "http://" or "https://", for grpc too')
        return value

    @field_validator("headers")
    @classmethod
    def _sendable(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not re.fullmatch(r"[A-Za-z0-9-]+", name) or not text.strip() or not text.isprintable():
                raise ValueError(f'the header "{name}" is empty or cannot be sent')
        return value


class Drift(_Part):
    """How the newest scores are compared with those of ordinary texts: over which window, from how many texts on, and from
    which population stability index on it is said in the log."""

    window: Annotated[float, BeforeValidator(seconds_of), Field(ge=1)] = 3600.0
    texts: Count = 1000
    threshold: float = Field(default=0.1, gt=0, allow_inf_nan=False)


class Price(_Part):
    """Of a million tokens, in whatever unit budgets are in. Without `cached_input` a cached token costs what any costs."""

    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    cached_input: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class Limits(_Part):
    """What one request and one connection may take, and where it is counted what keys take: in this Weir (all
    of its workers together), or in the Redis at `url`. `connections` are those of one process."""

    body: Bytes = 32 * 1024 * 1024
    messages: Count = 4096
    parts: Count = 8192
    tools: Count = 1024
    nesting: Count = 64
    connections: Count = 5000
    header_timeout: Seconds = 10.0
    body_timeout: Seconds = 120.0
    reader_timeout: Seconds = 60.0
    url: Annotated[str, AfterValidator(_store)] | None = Field(default=None, repr=False)
    on_error: Literal["local", "allow", "deny"] = "local"


class Verdicts(_Part):
    """Where several Weirs remember together what was judged, for `lifetime`. `key` is the secret that hides it."""

    url: Annotated[str, AfterValidator(_store)] = Field(repr=False)
    key: str = Field(min_length=16, repr=False)
    lifetime: Seconds = 3600.0


class Restore(_Part):
    """Where the values behind placeholders are kept, for `lifetime`, for conversations that the provider keeps. `key` is the
    secret that seals them."""

    url: Annotated[str, AfterValidator(_store)] = Field(repr=False)
    key: str = Field(min_length=16, repr=False)
    lifetime: Seconds = 3600.0


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
        model = _folder(detector)
        return builtin.MODEL if model == "builtin" else self._source.parent / model


def _folder(detector: Safeguard) -> str:
    return detector.model if isinstance(detector, OnnxDetector) else detector.manifest


def is_loopback(host: str) -> bool:
    """True if only this machine can reach `host`. A name other than localhost is not trusted to be one."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def load_config(path: Path | None = None) -> Config:
    """The config file, or the built-in one. Raises FileError with everything that is wrong in it.

    `${VAR}` is replaced from the environment. The policies themselves are not read, only looked for.
    """
    path = path or builtin.CONFIG
    data, positions = yamlfile.load(path, env=os.environ)
    config = yamlfile.validate(Config, data, positions)
    # Not resolved: a mounted file may be a link into another folder, and `policies/` stands beside the link.
    config._source = Path(os.path.abspath(path))
    problems = [positions.problem(where, message) for where, message in _checked(config)]
    if problems:
        raise FileError(problems)
    return config


Wrong = tuple[Loc, str]


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _has_otel(settings: Telemetry) -> bool:
    """`opentelemetry` alone is there already where another package brings its API."""
    protocol = "grpc" if settings.protocol == "grpc" else "http"
    try:
        return _installed("opentelemetry.sdk") and _installed(f"opentelemetry.exporter.otlp.proto.{protocol}")
    except ModuleNotFoundError:
        return False


def _checked(config: Config) -> Iterable[Wrong]:
    yield from _checked_providers(config)
    yield from _checked_detectors(config)
    yield from _checked_routes(config)
    yield from _checked_keys(config)
    yield from _checked_admins(config)
    if config.limits.url and not _installed("redis"):
        yield ("limits", "url"), "shared limits need the redis extra: pip install 'weir[redis]'"
    if config.verdicts is not None and not _installed("redis"):
        yield ("verdicts", "url"), "shared verdicts need the redis extra: pip install 'weir[redis]'"
    if config.restore is not None and not _installed("redis"):
        yield ("restore", "url"), "to keep values needs the redis extra: pip install 'weir[redis]'"
    if config.audit is not None and config.audit.is_shared:
        if config.audit.key is None:
            yield ("audit",), 'a decision log in PostgreSQL needs a "key", the same for all who write to it'
        if not _installed("psycopg"):
            yield ("audit", "url"), "PostgreSQL needs the postgres extra: pip install 'weir[postgres]'"
    if config.telemetry is not None and not _has_otel(config.telemetry):
        yield ("telemetry",), "telemetry needs the otel extra: pip install 'weir[otel]'"
    if config.is_open and not is_loopback(config.listen.host):
        yield ("listen", "host"), 'without "keys" the proxy is open to everybody: listen on 127.0.0.1, or list keys'


def _checked_detectors(config: Config) -> Iterable[Wrong]:
    for name, judge in config.judges.items():
        if not isinstance(judge, LocalJudge):
            continue
        if not (config.judge_folder(judge) / "genai_config.json").is_file():
            yield (
                ("detectors", name, "model"),
                "there is no genai_config.json in this folder; see docs/policies.md for how to make one",
            )
        if not _installed("onnxruntime_genai"):
            yield ("detectors", name), "a judge-onnx needs the genai extra: pip install 'weir[genai]'"
    networks = {name: one for name, one in config.detectors.items() if isinstance(one, Safeguard)}
    for name, one in networks.items():
        if _folder(one) != "builtin" and not config.folder_of(one).is_dir():
            key = "model" if isinstance(one, OnnxDetector) else "manifest"
            yield ("detectors", name, key), 'there is no such model folder; name one, or write "builtin"'
    general = [name for name, one in networks.items() if one.categories is None]
    for name in general[1:]:
        told = f'"{general[0]}" answers for every category already; give one of the two "categories" of its own'
        yield ("detectors", name), told
    taken: dict[str, str] = {}
    for name, one in config.beside.items():
        if not general:
            yield ("detectors", name, "categories"), 'nobody answers for the others; leave "categories" out of one classifier'
            break
        for position, category in enumerate(one.categories or ()):
            if (other := taken.setdefault(category, name)) != name:
                yield ("detectors", name, "categories", position), f'"{other}" answers for "{category}" already'


def _checked_routes(config: Config) -> Iterable[Wrong]:
    seen: set[str] = set()
    for index, route in enumerate(config.routes):
        at: Loc = ("routes", index)
        if route.name in seen:
            yield (*at, "name"), f'duplicate route name "{route.name}"'
        if route.name == "v1":
            yield (*at, "name"), 'a route cannot be called "v1": /v1/… are the paths without a route'
        seen.add(route.name)
        yield from _checked_provider(config, (*at, "provider"), route.provider)
        for position, name in enumerate(route.fallbacks):
            yield from _checked_provider(config, (*at, "fallbacks", position), name)
        for position, prefix in enumerate(route.unguarded):
            if not prefix.startswith("/v1/"):
                yield (*at, "unguarded", position), 'a path in "unguarded" begins with "/v1/"'
        if not config.policy_path(route.policy).is_file():
            known = sorted(p.stem for p in config.policy_folder.glob("*.yaml"))
            hint = did_you_mean(route.policy, known) or f"; looked for {config.policy_path(route.policy)}"
            yield (*at, "policy"), f'unknown policy "{route.policy}"{hint}'
        if route.shadow is not None and not config.shadow_path(route.shadow).is_file():
            yield (*at, "shadow"), f'unknown policy "{route.shadow}"; looked for {config.shadow_path(route.shadow)}'


def _checked_providers(config: Config) -> Iterable[Wrong]:
    for name, one in config.providers.items():
        place = "type" if isinstance(one, LiteLLMProvider) else "translate" if getattr(one, "translate", None) else ""
        if place and not _installed("litellm"):
            yield ("providers", name, place), f"provider \"{name}\" needs the litellm extra: pip install 'weir[litellm]'"


def _checked_provider(config: Config, at: Loc, name: str) -> Iterable[Wrong]:
    if name not in config.providers:
        yield at, unknown("provider", name, config.providers)


def _checked_keys(config: Config) -> Iterable[Wrong]:
    routes = [route.name for route in config.routes]
    seen: set[str] = set()
    digests: set[str] = set()
    for index, key in enumerate(config.keys):
        if key.name in seen:
            yield ("keys", index, "name"), f'duplicate key name "{key.name}"'
        if key.sha256 in digests:
            yield ("keys", index, "sha256"), "the same key stands here twice"
        seen.add(key.name)
        digests.add(key.sha256)
        for position, name in enumerate(key.routes or ()):
            if name not in routes:
                yield ("keys", index, "routes", position), unknown("route", name, routes)
        if key.monthly_budget is not None and not config.prices and not _installed("litellm"):
            text = "a budget needs prices: list them under \"prices\", or take litellm's: pip install 'weir[litellm]'"
            yield ("keys", index, "monthly_budget"), text


def _checked_admins(config: Config) -> Iterable[Wrong]:
    callers = {key.sha256: key.name for key in config.keys}
    seen: set[str] = set()
    for index, entry in enumerate(config.admin):
        if entry.name in seen:
            yield ("admin", index, "name"), f'duplicate admin name "{entry.name}"'
        if entry.sha256 in callers:
            text = f'this is the key of the caller "{callers[entry.sha256]}"; the dashboard needs one of its own'
            yield ("admin", index, "sha256"), text
        seen.add(entry.name)

"""Whether the names of a config file fit together, and what it needs is there."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from proxy.config.detector import LocalJudge, OnnxDetector, Safeguard
from proxy.config.file import Config
from proxy.config.listen import is_loopback
from proxy.config.provider import LiteLLMProvider
from proxy.config.telemetry import Telemetry
from proxy.yamlfile import Loc, did_you_mean, unknown

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


def wrong(config: Config) -> Iterable[Wrong]:
    """Where, and what."""
    yield from _providers(config)
    yield from _detectors(config)
    yield from _routes(config)
    yield from _keys(config)
    yield from _admins(config)
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


def _detectors(config: Config) -> Iterable[Wrong]:
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
        if one.folder != "builtin" and not config.folder_of(one).is_dir():
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


def _routes(config: Config) -> Iterable[Wrong]:
    seen: set[str] = set()
    for index, route in enumerate(config.routes):
        at: Loc = ("routes", index)
        if route.name in seen:
            yield (*at, "name"), f'duplicate route name "{route.name}"'
        if route.name == "v1":
            yield (*at, "name"), 'a route cannot be called "v1": /v1/… are the paths without a route'
        seen.add(route.name)
        yield from _provider(config, (*at, "provider"), route.provider)
        for position, name in enumerate(route.fallbacks):
            yield from _provider(config, (*at, "fallbacks", position), name)
        for position, prefix in enumerate(route.unguarded):
            if not prefix.startswith("/v1/"):
                yield (*at, "unguarded", position), 'a path in "unguarded" begins with "/v1/"'
        if not config.policy_path(route.policy).is_file():
            known = sorted(p.stem for p in config.policy_folder.glob("*.yaml"))
            hint = did_you_mean(route.policy, known) or f"; looked for {config.policy_path(route.policy)}"
            yield (*at, "policy"), f'unknown policy "{route.policy}"{hint}'
        if route.shadow is not None and not config.shadow_path(route.shadow).is_file():
            yield (*at, "shadow"), f'unknown policy "{route.shadow}"; looked for {config.shadow_path(route.shadow)}'


def _providers(config: Config) -> Iterable[Wrong]:
    for name, one in config.providers.items():
        place = "type" if isinstance(one, LiteLLMProvider) else "translate" if getattr(one, "translate", None) else ""
        if place and not _installed("litellm"):
            yield ("providers", name, place), f"provider \"{name}\" needs the litellm extra: pip install 'weir[litellm]'"


def _provider(config: Config, at: Loc, name: str) -> Iterable[Wrong]:
    if name not in config.providers:
        yield at, unknown("provider", name, config.providers)


def _keys(config: Config) -> Iterable[Wrong]:
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


def _admins(config: Config) -> Iterable[Wrong]:
    callers = {key.sha256: key.name for key in config.keys}
    seen: set[str] = set()
    for index, entry in enumerate(config.admin):
        if entry.name in seen:
            yield ("admin", index, "name"), f'duplicate admin name "{entry.name}"'
        if entry.sha256 in callers:
            text = f'this is the key of the caller "{callers[entry.sha256]}"; the dashboard needs one of its own'
            yield ("admin", index, "sha256"), text
        seen.add(entry.name)

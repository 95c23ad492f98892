"""Prometheus metrics. Labels are routes, rules and actions: names from files, never text. docs/telemetry.md has all of them.

Of several workers each keeps its numbers in files of one folder, and whichever is asked adds them up: a gauge's mode says how.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

registry = CollectorRegistry()
requests = Counter("weir_requests", "Requests, by what became of them", ["route", "status", "action"], registry=registry)
verdicts = Counter(
    "weir_verdicts", "Outcomes of rules", ["route", "direction", "rule", "action", "enforced"], registry=registry
)
guard_seconds = Histogram("weir_guard_seconds", "Time to a verdict", ["route", "direction"], buckets=_FAST, registry=registry)
first_text_seconds = Histogram(
    "weir_first_text_seconds", "From the request to the first released token", ["route"], buckets=_FAST, registry=registry
)
not_inspected = Counter("weir_not_inspected", "Text or media that nobody judged", ["route", "reason"], registry=registry)
stage_seconds = Histogram(
    "weir_stage_seconds", "Time of one look at one text, waiting included", ["stage"], buckets=(0.0001, *_FAST, 10.0),
    registry=registry,
)  # fmt: skip
batch_texts = Histogram(
    "weir_batch_texts", "Texts that the model read at once", buckets=(1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64), registry=registry
)
queue_depth = Gauge("weir_queue_depth", "Texts waiting for the classifier", registry=registry, multiprocess_mode="livesum")
cache_hits = Gauge("weir_verdict_cache_hits", "Texts whose scores were known", registry=registry, multiprocess_mode="sum")
cache_misses = Gauge("weir_verdict_cache_misses", "Texts that were not known yet", registry=registry, multiprocess_mode="sum")
verdicts_shared = Counter(
    "weir_verdicts_shared", "Verdicts that were looked for in Redis, by what came back", ["result"], registry=registry
)
screened = Gauge(
    "weir_screened", "Texts that the screen said are surely fine, so that the classifier did not read them", registry=registry,
    multiprocess_mode="sum",
)  # fmt: skip
streams = Gauge("weir_streams", "Streams in flight", registry=registry, multiprocess_mode="livesum")
streams_ended = Counter("weir_streams_ended", "Streams, by how they ended", ["route", "reason"], registry=registry)
upstream_seconds = Histogram(
    "weir_upstream_seconds", "From the question to a provider to the head of its answer", ["provider"],
    buckets=(*_FAST[4:], 10.0, 30.0, 60.0, 120.0), registry=registry,
)  # fmt: skip
upstream_answers = Counter(
    "weir_upstream_answers", "Questions to providers, by the status of the answer or the code of the error",
    ["provider", "status"], registry=registry,
)  # fmt: skip
tasks = Gauge("weir_tasks", "What is going on in the event loops", registry=registry, multiprocess_mode="livesum")
reloads = Counter("weir_reloads", "Configuration and policy reloads", ["result"], registry=registry)
leaked_chars = Counter("weir_leaked_characters", "Blocked text that had left, in follow mode", ["route"], registry=registry)
judge_answers = Counter("weir_judge_answers", "Questions to judges, by what came back", ["judge", "answer"], registry=registry)
judge_seconds = Histogram(
    "weir_judge_seconds", "Time to a judge's answer", ["judge"], buckets=(*_FAST[5:], 10.0, 30.0, 60.0), registry=registry
)
network_answers = Counter(
    "weir_network_answers", "Questions to a classifier that runs elsewhere, by what came back", ["detector", "answer"],
    registry=registry,
)  # fmt: skip
network_seconds = Histogram(
    "weir_network_seconds", "Time to the answer of a classifier that runs elsewhere", ["detector"], buckets=_FAST,
    registry=registry,
)  # fmt: skip
judge_agreement = Counter(
    "weir_judge_agreement", "Decisions of the classifier that a judge was asked about as well", ["policy", "rule", "result"],
    registry=registry,
)  # fmt: skip
shadow = Counter(
    "weir_shadow", "What was done, and what a second policy would have done", ["route", "direction", "action", "shadow"],
    registry=registry,
)  # fmt: skip
shadow_rules = Counter(
    "weir_shadow_rules", "Rules that only one of both would enforce", ["route", "rule", "change"], registry=registry
)
shadow_skipped = Counter("weir_shadow_skipped", "Requests that the second policy did not see", ["route"], registry=registry)
retries = Counter("weir_retries", "Times that a provider was asked again", ["provider"], registry=registry)
fallbacks = Counter(
    "weir_fallbacks", "Times that one provider was asked in place of another", ["provider", "instead"], registry=registry
)
ejections = Counter(
    "weir_ejections", "Times that a provider was left out, for failing too often", ["provider"], registry=registry
)
ejected = Gauge(
    "weir_ejected", "Workers that leave this provider out", ["provider"], registry=registry, multiprocess_mode="livesum"
)
limited = Counter("weir_limited", "Requests that a limit of their key refused", ["key", "limit"], registry=registry)
key_tokens = Counter("weir_key_tokens", "Tokens of keys that tokens are counted for", ["key", "direction"], registry=registry)
key_spend = Counter("weir_key_spend", "Money that keys with a budget have spent", ["key"], registry=registry)
limits_shared = Gauge(
    "weir_limits_shared", "1 while limits are counted in Redis, 0 while it is away", registry=registry,
    multiprocess_mode="livemin",
)  # fmt: skip
limits_errors = Counter("weir_limits_errors", "Times that the limits' Redis did not answer", registry=registry)
connections_cut = Counter("weir_connections_cut", "Connections that Weir ended", ["reason"], registry=registry)
audit_records = Counter("weir_audit_records", "Records written to the decision log", registry=registry)
audit_dropped = Counter("weir_audit_dropped", "Records that did not reach the decision log", registry=registry)
audit_errors = Counter("weir_audit_errors", "Times that the decision log did not answer", registry=registry)
audit_waiting = Gauge(
    "weir_audit_waiting", "Records that wait for the decision log", registry=registry, multiprocess_mode="livesum"
)
policies = Gauge(
    "weir_policies",
    "Workers that judge by this version of a policy",
    ["policy"],
    registry=registry,
    multiprocess_mode="livesum",
)
drift_texts = Gauge(
    "weir_drift_texts", "Texts of the window, by the score that this share of ordinary texts lies above", ["category", "above"],
    registry=registry, multiprocess_mode="livesum",
)  # fmt: skip
drift_psi = Gauge(
    "weir_drift_psi", "How far scores are from those of ordinary texts", ["category"], registry=registry,
    multiprocess_mode="livemostrecent",
)  # fmt: skip
telemetry_errors = Counter(
    "weir_telemetry_errors", "Complaints of what delivers trace spans and metrics over OTLP", registry=registry
)
build_info = Gauge(
    "weir_build_info", "1, with what runs here", ["version", "python", "model"], registry=registry, multiprocess_mode="livemax"
)


def _of_all() -> CollectorRegistry:
    """Of this process, or of all workers."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return registry
    of_all = CollectorRegistry()
    MultiProcessCollector(of_all)  # type: ignore[no-untyped-call]
    return of_all


def exposition() -> bytes:
    return generate_latest(_of_all())


def collected() -> Iterable[Metric]:
    return _of_all().collect()

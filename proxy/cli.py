"""The `weir` command. Exit 0: fine. 1: the answer is no (blocked, a test failed). 2: wrong usage or a broken file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from proxy import __version__, builtin, capacity, yamlfile
from proxy.audit import AuditError
from proxy.audit_commands import audit
from proxy.config import Audit, KeyEntry, OnnxDetector, is_loopback, load_config
from proxy.doctor_command import doctor
from proxy.evaluate import measure
from proxy.evaluate.page import page
from proxy.evaluate.report import Row, evaluate, points, read_rows, write_scores
from proxy.model import place, speed, verify
from proxy.model.artefact import Artefact, ModelError
from proxy.model.classifier import Classifier
from proxy.model.explain import Explanation, explain, reason_json, reasons_for
from proxy.model.export import Precision, export
from proxy.model.half import add_half
from proxy.model.queue import ScoringQueue
from proxy.policy.load import Policy
from proxy.policy_commands import policy
from proxy.types import Action, Direction, Segment, Verdict
from proxy.workbench import find_policy, load_queue, open_guard
from proxy.yamlfile import FileError

_ROLES: dict[str, tuple[str, Direction]] = {
    "user": ("user", "prompt"),
    "assistant": ("assistant", "completion"),
    "document": ("document", "prompt"),
}


class _Command(click.Group):
    """Broken files and models end with exit code 2 and their own words, never with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (FileError, ModelError, AuditError) as problem:
            click.echo(str(problem), err=True)
            ctx.exit(2)


@click.group(cls=_Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="weir")
def main() -> None:
    """A guardrail proxy for OpenAI-compatible APIs: it reads prompts and streamed answers, and passes, redacts or blocks."""


main.add_command(policy)
main.add_command(audit)
main.add_command(doctor)


# -- serve


@main.command()
@click.option(
    "--config",
    "config_path",
    envvar="WEIR_CONFIG",
    type=click.Path(path_type=Path),
    help="Default: the built-in one, with a demo provider.",
)
@click.option("--host", help="Default: the config's `listen`, else 127.0.0.1.")
@click.option("--port", type=int, help="Default: the config's `listen`, else 8080.")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that share the port and the model."
)
@click.option("--log-level", default="info", type=click.Choice(["debug", "info", "warning", "error"]), show_default=True)
@click.pass_context
def serve(
    ctx: click.Context, config_path: Path | None, host: str | None, port: int | None, workers: int, log_level: str
) -> None:
    """Run the proxy."""
    from proxy.server import supervisor, worker  # only this command needs a server
    from proxy.server.state import State, configure_log
    from proxy.server.template import shareable

    config = load_config(config_path)
    host, port = host or config.listen.host, port if port is not None else config.listen.port
    if config.is_open and not is_loopback(host):
        raise click.UsageError(f"without `keys:` in the config Weir listens on loopback only, not on {host}; add a key first")
    if short := capacity.shortage(config, workers, shareable(config)):
        raise click.UsageError(short)
    _allow_connections()
    os.environ.setdefault("WEIR_SESSION_KEY", secrets.token_hex(32))  # all workers sign the dashboard's sessions alike
    configure_log(log_level)
    if config.audit is not None:
        _check_audit(config.audit)
    for note in capacity.notes(config, workers):
        click.echo(f"note: {note}", err=True)
    try:
        if workers > 1:
            ctx.exit(supervisor.supervise(config_path, host, port, workers, log_level))
        state = State.open(config_path)
        server = worker.Server(state, host, port, lambda: click.echo(state.welcome(f"{host}:{port}"), err=True))
        server.run()
        ctx.exit(0 if server.started else 2)
    except OSError as problem:
        raise click.UsageError(f"cannot listen on {host}:{port}: {problem.strerror}") from None


def _check_audit(settings: Audit) -> None:
    """Makes or migrates the tables once, before anything forks; a log that cannot be opened is said now."""
    from proxy.server.state import open_audit

    open_audit(settings).close()


def _allow_connections() -> None:
    """A proxy holds two sockets a stream; the usual soft limit of 1024 files is a shell's, not a server's."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # there is none on Windows

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# -- key


@main.group()
def key() -> None:
    """Keys for callers."""


@key.command("new")
@click.argument("name")
@click.option("--admin", is_flag=True, help="For the dashboard at /ui instead: the line for `admin:`.")
def key_new(name: str, admin: bool) -> None:
    """Make a key called NAME: the token for its owner, and the line for `keys:` in the config, which has its hash alone."""
    try:
        entry = KeyEntry(name=name, sha256="0" * 64)
    except ValueError:
        raise click.UsageError("a name has letters, digits, '.', '-' and '_' only") from None
    token = ("weir-admin-" if admin else "sk-weir-") + secrets.token_urlsafe(32)
    click.echo("The token, shown this once:", err=True)
    click.echo(token)
    click.echo(f"For `{'admin' if admin else 'keys'}:` in the config:", err=True)
    click.echo(f'  - {{name: "{entry.name}", sha256: "{hashlib.sha256(token.encode()).hexdigest()}"}}')


# -- check


@main.command()
@click.argument("text", required=False, default="-")
@click.option("--policy", default="default", show_default=True, help="A policy's name, or a file.")
@click.option("--role", type=click.Choice(list(_ROLES)), default="user", show_default=True)
@click.option("--tool", help="The tool that TEXT is for (with the role assistant) or from (document).")
@click.option("--config", "config_path", envvar="WEIR_CONFIG", type=click.Path(path_type=Path))
@click.option("--explain", "explained", is_flag=True, help="Which words carried the classifier's decision.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def check(
    ctx: click.Context, text: str, policy: str, role: str, tool: str | None, config_path: Path | None, explained: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """What would become of TEXT (or standard input), and why."""
    text = sys.stdin.read() if text == "-" else text
    config = load_config(config_path)
    queue = load_queue(config)
    guard, found = open_guard(find_policy(policy, config), queue, config)
    role_name, direction = _ROLES[role]
    segment = Segment(text, role_name, direction, tool=tool)

    async def judged() -> tuple[Verdict, dict[str, float], list[Explanation]]:
        verdict = await guard.judge(found, segment)
        await guard.cascade.close()
        scores, _ = await guard.scores(segment, learned=found.learned(direction))
        wanted = reasons_for(verdict, scores or {}) if explained else []
        reasons = [await explain(queue.of(c).score_many, text, c) for c in wanted]
        return verdict, dict(scores or {}), reasons

    verdict, scores, reasons = asyncio.run(judged())
    queue.close()
    if as_json:
        body = _as_json(found, verdict, scores)
        if explained:
            body["explanations"] = [reason_json(r) for r in reasons]
        click.echo(json.dumps(body, indent=2))
    else:
        click.echo(_as_text(found, verdict, scores))
        for reason in reasons:
            click.echo(_explained(text, reason))
    ctx.exit(1 if verdict.action is Action.BLOCK else 0)


def _as_json(policy: Policy, verdict: Verdict, scores: dict[str, float]) -> dict[str, Any]:
    return {
        "action": str(verdict.action),
        "policy": policy.ref,
        "outcomes": [
            {
                "rule": o.rule, "action": str(o.action), "enforced": o.enforced, "label": o.label, "score": round(o.score, 4),
                "threshold": o.threshold, "spans": [list(s) for s in o.spans], "decided_by": o.decided_by,
            }
            for o in verdict.outcomes
        ],
        "redactions": [{"span": list(span), "label": label} for span, label in verdict.redactions],
        "not_inspected": [f"{f.detector}: {f.reason}" for f in verdict.not_inspected],
        "scores": {k: round(v, 4) for k, v in scores.items()},
    }  # fmt: skip


def _as_text(policy: Policy, verdict: Verdict, scores: dict[str, float]) -> str:
    lines = [f"{verdict.action}   ({policy.ref})"]
    for o in verdict.outcomes:
        why = f"{o.score:.3f} >= {o.threshold:.3f}" if o.threshold is not None else ", ".join(f"{a}-{b}" for a, b in o.spans)
        lines.append(f"  {o.rule}: {o.action}{'' if o.enforced else ' (monitor)'} by {o.decided_by}: {why}")
    lines += (f"  not inspected: {f.detector}: {f.reason}" for f in verdict.not_inspected)
    top = sorted(scores.items(), key=lambda kv: -kv[1])
    return "\n".join([*lines, "  scores: " + "  ".join(f"{k} {v:.3f}" for k, v in top)])


def _explained(text: str, reason: Explanation) -> str:
    """The words with their weights, then the text with them marked."""
    shown, at = [], 0
    for span in sorted(w.span for w in reason.weights):
        shown += [text[at : span.start], click.style(text[span.start : span.end], reverse=True)]
        at = span.end
    words = "  ".join(f"{text[w.span.start : w.span.end]!r} {w.weight:+.1f}" for w in reason.weights)
    return f"  {reason.category} by: {words or 'no single words'}\n\n{''.join(shown)}{text[at:]}"


# -- eval, model


@main.command("eval")
@click.option("--data", multiple=True, type=click.Path(path_type=Path), help="JSON lines, .gz too; may be repeated.")
@click.option("--policy", "policy_name", help="Take thresholds from this policy's rules, and say what it does as a whole.")
@click.option("--scores", "scores_path", type=click.Path(path_type=Path), help="Write each row's scores here.")
@click.option("--evasion", is_flag=True, help="Harmful rows again, in writings that hide them.")
@click.option("--prefixes", is_flag=True, help="Harmful rows as streams: how soon they are stopped.")
@click.option(
    "--slices",
    is_flag=False,
    flag_value="all",
    type=click.Choice(["all", "identity"]),
    help="By groups of people, dialects and languages, on Weir's own sentences and your rows; needs no data.",
)
@click.option("--sample", default=400, show_default=True, help="Rows for --evasion and --prefixes.")
@click.option("--no-ci", is_flag=True, help="Without the intervals, which take a few seconds.")
@click.option("--report", "page_path", type=click.Path(path_type=Path), help="Write it as an HTML file too.")
@click.option("--config", "config_path", envvar="WEIR_CONFIG", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def evaluate_command(
    data: tuple[Path, ...], policy_name: str | None, scores_path: Path | None, evasion: bool, prefixes: bool,
    slices: str | None, sample: int, no_ci: bool, page_path: Path | None, config_path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure the model on labelled data."""
    if not data and slices is None:
        raise click.UsageError("nothing to measure on: give --data FILE, or --slices")
    config = load_config(config_path)
    rows = read_rows(data)
    queue = load_queue(config, os.cpu_count() or 1)
    guard, policy = open_guard(find_policy(policy_name or "default", config), queue, config)
    thresholds = {name: queue.threshold(name, 0.005) for name in queue.labels}
    if policy_name:
        thresholds |= {r.category: r.thresholds["user"] for r in policy.rules if r.category and not r.judge}
    scores = asyncio.run(_read(queue, rows))
    if scores_path:
        write_scores(scores_path, rows, scores)
    report = evaluate(rows, scores, thresholds, intervals=not no_ci)

    async def measured() -> None:
        if policy_name and rows:
            with _steps("the policy") as tick:
                report.measured["policy"] = await measure.under_policy(guard, policy, rows, tick)
        if evasion:
            with _steps("evasion") as tick:
                report.measured["evasion"] = await measure.evasions(guard, rows, thresholds, sample, 0, tick)
        if prefixes:
            with _steps("prefixes") as tick:
                report.measured["prefixes"] = await measure.prefix_delays(guard, policy, rows, sample, 0, tick)
        if slices:
            with _steps("groups") as tick:
                report.measured["identity"] = await measure.identity_spread(guard, policy, tick)
        if slices == "all":
            with _steps("slices") as tick:
                report.measured["by_slice"] = await measure.slices(guard, policy, rows, tick)

    asyncio.run(measured())
    queue.close()
    if page_path:
        title = f"{queue.classifier.artefact.name} under {policy.ref}"
        page_path.write_text(page(title, report.json(), points(rows, scores)), encoding="utf-8")
    click.echo(json.dumps(report.json(), indent=2) if as_json else report.table())


@contextmanager
def _steps(label: str) -> Iterator[Callable[[int], None]]:
    """Says on a terminal how many texts were judged."""
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        if sys.stderr.isatty():
            click.echo(f"\r{label}: {done} texts", nl=False, err=True)

    yield tick
    if sys.stderr.isatty():
        click.echo("", err=True)


async def _read(queue: ScoringQueue, rows: list[Row]) -> list[dict[str, float]]:
    """Each row whole, by the classifier itself."""
    scores: list[dict[str, float]] = []
    with click.progressbar(range(0, len(rows), 128), label="judging", file=sys.stderr) as steps:
        for at in steps:
            scores += await queue.read([(r["text"], "") for r in rows[at : at + 128]])
    return scores


@main.group()
def model() -> None:
    """Work with classifiers."""


@model.command("info")
@click.option("--config", "config_path", envvar="WEIR_CONFIG", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def model_info(config_path: Path | None, as_json: bool) -> None:
    """The model in use, and those beside it: hash, labels, calibration."""
    config = load_config(config_path)
    artefact = Artefact.load(config.model_folder, elsewhere=True)
    beside = {n: (Artefact.load(config.folder_of(d), elsewhere=True), d.categories or []) for n, d in config.beside.items()}
    if as_json:
        more = {name: {**one.manifest, "categories": categories} for name, (one, categories) in beside.items()}
        click.echo(json.dumps({**artefact.manifest, **({"beside": more} if more else {})}, indent=2))
        return
    theirs = {category for _, categories in beside.values() for category in categories}
    _describe(artefact, [name for name in artefact.labels if name not in theirs])
    for name, (one, categories) in beside.items():
        click.echo(f"\nbeside it, as {name}, for {', '.join(categories)}:")
        _describe(one, categories)


def _describe(artefact: Artefact, categories: Sequence[str]) -> None:
    size = (artefact.folder / "model.onnx").stat().st_size / 1e6
    click.echo(f"{artefact.name}\n  folder     {artefact.folder}\n  sha256     {artefact.sha256}")
    click.echo(f"  size       {size:.1f} MB, {artefact.precision}")
    if artefact.screen is not None:
        found = artefact.manifest["screen"]
        sent = next((point["sent_on"] for point in found["curve"] if point["kept"] == found["kept"]), float("nan"))
        click.echo(
            f"  screen     keeps {found['kept']:.1%} of what the classifier catches, sends {sent:.1%} of ordinary text on to it"
        )
    click.echo(f"  tokens     {artefact.max_tokens}\n  thresholds by false-positive rate on ordinary text:")
    click.echo("    " + f"{'category':14}" + "".join(f"{rate:>10.2%}" for rate in (0.01, 0.005, 0.001)))
    for name in categories:
        click.echo("    " + f"{name:14}" + "".join(f"{artefact.threshold(name, rate):10.3f}" for rate in (0.01, 0.005, 0.001)))


@model.command("export")
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--labels", type=click.Path(path_type=Path), help="YAML: the source's label: our category, or null.")
@click.option("--precision", type=click.Choice(["int8", "fp16", "fp32"]), default="int8", show_default=True)
@click.option("--name", help="What it is called in answers and logs; the source's last part if not given.")
def model_export(source: str, out: Path, labels: Path | None, precision: Precision, name: str | None) -> None:
    """A Hugging Face sequence classifier (a folder, or a name of the hub) to a folder for `model: FOLDER`.

    With --precision fp16, SOURCE may be `builtin` or a folder that Weir has made: OUT is its copy, with a file for a GPU.
    """
    ours = builtin.MODEL if source == "builtin" else Path(source)
    if (ours / "manifest.json").is_file():
        if precision != "fp16":
            raise click.UsageError(f"{source} is a model folder of Weir's already; --precision fp16 adds a file for a GPU")
        found = add_half(ours, out).for_gpu()
        click.echo(f"{out}: {found.name}, with {found.file} for a GPU")
        click.echo(f"Its thresholds are those of the other file yet: weir model verify {out} --data FILE.jsonl --write")
        return
    given = yamlfile.load(labels.read_text(encoding="utf-8"), str(labels))[0] if labels else None
    if given is not None and not isinstance(given, dict):
        raise click.UsageError(f"{labels} must hold lines of `label: category`")
    found = export(source, out, precision, name or Path(source).name, given)
    click.echo(f"{out}: {found.name}, {found.precision}, {', '.join(found.labels)}")
    click.echo(f"It has no thresholds yet: weir model verify {out} --source {source} --data FILE.jsonl --write")


@model.command("verify")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--source", help="Compare with this PyTorch model: a folder or a name of the hub.")
@click.option("--data", multiple=True, required=True, type=click.Path(path_type=Path), help="JSON lines, as for `weir eval`.")
@click.option("--write", "writing", is_flag=True, help="Write the calibration into the manifest.")
@click.pass_context
def model_verify(ctx: click.Context, folder: Path, source: str | None, data: tuple[Path, ...], writing: bool) -> None:
    """Is FOLDER what its source is (exit code 1: no), and what do its scores mean on your data?"""
    rows = read_rows(data)
    classifier = Classifier.load(folder, threads=os.cpu_count() or 1)
    fine = True
    if source:
        same = verify.parity(classifier, source, rows)
        fine = same.fine
        click.echo(f"{'fine' if fine else 'NOT the same'}\n{same.lines()}")
    half = verify.half_of(classifier)
    if half is not None:
        near = verify.nearness(classifier, half, rows)
        fine = fine and near.fine
        click.echo(f"{half.artefact.file}: {'fine' if near.fine else 'NOT the same'}\n{near.lines()}")
    with _steps("calibration") as tick:
        found = verify.calibration(classifier, rows, tick)
        own = verify.calibration(half, rows, tick) if half is not None else None
    for category, table in found["thresholds"].items():
        click.echo(f"  {category:14} " + "  ".join(f"{float(k):.2%}: {v:.3f}" for k, v in table["any"].items()))
    if writing:
        verify.write(classifier, found, own)
        click.echo(f"written to {folder / 'manifest.json'}")
    ctx.exit(0 if fine else 1)


def _devices(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    try:
        for value in values:
            place.parse(value)
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None
    return values


@model.command("bench")
@click.option("--config", "config_path", envvar="WEIR_CONFIG", type=click.Path(path_type=Path))
@click.option("--device", "devices", multiple=True, callback=_devices, help="May be repeated. Default: the config's.")
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(1, 1024), help="May be repeated. Default: by the device."
)
@click.option("--tokens", multiple=True, type=click.IntRange(4, 512), help="May be repeated. Default: 32, 128 and 256.")
@click.option("--seconds", default=1.0, show_default=True, help="For each line.")
@click.option("--json", "as_json", is_flag=True)
def model_bench(
    config_path: Path | None, devices: tuple[str, ...], batches: tuple[int, ...], tokens: tuple[int, ...], seconds: float,
    as_json: bool,
) -> None:  # fmt: skip
    """How fast the classifier is here: throughput and latency by device, batch and length."""
    config = load_config(config_path)
    settings = config.safeguard
    if not isinstance(settings, OnnxDetector):
        raise click.UsageError("the config's classifier runs on a server; this measures one that runs here")
    found: list[speed.Speed] = []
    for device in devices or (settings.device,):
        classifier = Classifier.load(config.model_folder, settings.threads, device=device, batch=max(batches, default=None))
        if not found and not as_json:
            click.echo(f"{classifier.artefact.name}, {settings.threads} threads\n{speed.HEADING}")
        usual = (1, 8, 32, 64) if classifier.device.startswith("cuda") else (1, 8)
        for one in speed.measure(classifier, batches or usual, tokens or speed.LENGTHS, seconds):
            found.append(one)
            if not as_json:
                click.echo(one.line())
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))

"""`weir audit …`: look at the decision log, prove it, take it out, correct it, try another policy on it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proxy.audit import AuditError
from proxy.config import Config, load_config, seconds_of
from proxy.workbench import find_policy, load_queue, open_guard

if TYPE_CHECKING:
    from proxy.audit.store import Query, Record, Store

_CONFIG = click.option("--config", "config_path", envvar="WEIR_CONFIG", type=click.Path(path_type=Path))
_URL = click.option("--url", help="Of the decision log. Default: the config's.")


class _Moment(click.ParamType[float]):
    """`7d` ago, or a day or time."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return time.time() - float(seconds_of(value))
        except ValueError:
            pass
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f'{value!r} is neither a while ago, such as "7d", nor a day such as "2027-06-30"', param, ctx)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--since", type=_Moment(), help='"7d", "12h", or "2027-06-30".'),
        click.option("--until", type=_Moment()),
        click.option("--route"),
        click.option("--key"),
        click.option("--policy", help="A policy's name, or NAME@SHA8."),
        click.option("--action", type=click.Choice(["pass", "flag", "redact", "block"]), help="On the prompt or the answer."),
        click.option("--rule", help="One that spoke."),
        click.option("--person", help="Whom callers named in `user`, `safety_identifier` or `metadata.user_id`."),
    ):
        command = option(command)
    return command


@contextmanager
def opened(config: Config, url: str | None) -> Iterator[Store]:
    """The log at `url`, or the config's. Its key is the config's, `WEIR_AUDIT_KEY`, or in the file beside it. Raises
    AuditError."""
    from proxy.audit.store import Store  # sqlalchemy is for those alone who keep a log

    settings = config.audit
    if url is None and settings is None:
        raise AuditError("the config has no `audit:`, so there is no decision log; name one with --url sqlite:///weir.db")
    key = os.environ.get("WEIR_AUDIT_KEY") or (settings.key if settings is not None else None)
    if settings is not None and url in (None, settings.url):
        key = settings.key or key
    store = Store.open(url or (settings.url if settings is not None else ""), key, create=False)
    try:
        yield store
    finally:
        store.close()


def _query(store: Store, person: str | None = None, **chosen: Any) -> Query:
    from proxy.audit.store import Query

    return Query(subject=store.keys.subject(person) if person is not None else None, **chosen)


@click.group()
def audit() -> None:
    """Work with the decision log."""


@audit.command("tail")
@click.option("-n", "count", default=20, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="And whatever comes.")
@click.option("--json", "as_json", is_flag=True)
@_filters
@_URL
@_CONFIG
def tail(count: int, follow: bool, as_json: bool, url: str | None, config_path: Path | None, **chosen: Any) -> None:
    """The last decisions, one a line."""
    with opened(load_config(config_path), url) as store:
        last = list(store.read(_query(store, kind="request", limit=count, newest=True, **chosen)))[::-1]
        for record in last:
            click.echo(_json(store, record, False) if as_json else _line(record))
        seq = last[-1].seq if last else 0
        while follow:
            time.sleep(0.5)
            for record in store.read(_query(store, kind="request", after=seq, **chosen)):
                seq = record.seq
                click.echo(_json(store, record, False) if as_json else _line(record))


def _line(record: Record) -> str:
    facts, at = record.facts, datetime.fromtimestamp(record.at).strftime("%Y-%m-%d %H:%M:%S")
    rules = " ".join(dict.fromkeys(one["rule"] + ("" if one["enforced"] else "?") for one in facts.get("rules", ())))
    action, answer = facts.get("action") or "-", facts.get("answer") or "-"
    missed = "  NOT INSPECTED: " + "; ".join(facts["not_inspected"]) if facts.get("not_inspected") else ""
    place = f"{facts.get('route') or '-'}  {facts.get('policy') or '-'}"
    return f"{at}  {record.id[:12]}  {place}  {facts.get('status')} {facts.get('ended')}  {action}/{answer}  {rules}{missed}"


def _json(store: Store, record: Record, texts: bool) -> str:
    body = {"seq": record.seq, **record.facts, "subject": record.subject}
    return json.dumps({**body, **(store.opened(record) if texts else {})}, ensure_ascii=False)


@audit.command("show")
@click.argument("id")
@_URL
@_CONFIG
def show(id: str, url: str | None, config_path: Path | None) -> None:
    """All that is known of one request: the record, what was kept of its text, and what was said of it since. ID may be its
    beginning."""
    with opened(load_config(config_path), url) as store:
        found = store.get(id)
        if not found:
            raise click.UsageError(f"there is no record {id!r}; `weir audit tail` lists them")
        for record in found:
            body = {"seq": record.seq, **record.facts, "subject": record.subject, **store.opened(record)}
            click.echo(json.dumps(body, indent=2, ensure_ascii=False))
        sha = next((r.facts["sha"] for r in found if "sha" in r.facts), None)
        if sha is not None and (text := store.policy(sha)) is not None:
            click.echo(f"# the policy at that time\n{text}")


@audit.command("verify")
@click.option("--checkpoints", "points_path", type=click.Path(path_type=Path), help="Of earlier, as `checkpoint` printed them.")
@_URL
@_CONFIG
def verify(points_path: Path | None, url: str | None, config_path: Path | None) -> None:
    """Walk the chain of records. Exit 1 if one was changed, is missing, or is out of place."""
    from proxy.audit.verify import verify as walk

    points = _points(points_path) if points_path is not None else []
    with opened(load_config(config_path), url) as store:
        report = walk(store, points)
    for problem in report.problems:
        click.echo(problem)
    click.echo(
        f"{report.records} records, {len(report.problems)} problems" if report.problems else f"{report.records} records: whole"
    )
    if report.problems:
        click.get_current_context().exit(1)


def _points(path: Path) -> list[dict[str, Any]]:
    from proxy.audit.verify import signed_by

    points: list[dict[str, Any]] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise click.UsageError(f"{path} cannot be read: {problem.strerror}") from None
    for number, line in enumerate(lines, 1):
        try:
            point = json.loads(line)
        except ValueError:
            point = None
        if not isinstance(point, dict) or signed_by(point) is None:
            raise click.UsageError(f"{path}:{number}: no checkpoint, or its signature does not hold")
        if points and signed_by(point) != signed_by(points[0]):
            raise click.UsageError(f"{path}:{number}: signed with another key than the line before")
        points.append(point)
    return points


@audit.command("checkpoint")
@_URL
@_CONFIG
def checkpoint(url: str | None, config_path: Path | None) -> None:
    """Print a signed point of the chain for each day, to be kept elsewhere: what stood then cannot be taken back unnoticed."""
    from proxy.audit.verify import checkpoints

    with opened(load_config(config_path), url) as store:
        for point in checkpoints(store):
            click.echo(json.dumps(point))


@audit.command("export")
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv", "parquet"]), default="jsonl", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Default: standard output.")
@click.option("--texts", is_flag=True, help="JSON lines: with what was kept of people's words.")
@click.option("--feedback", is_flag=True, help="Instead: marked decisions as labelled texts, for test, tune and eval.")
@_filters
@_URL
@_CONFIG
def export(
    kind: str, out: Path | None, texts: bool, feedback: bool, url: str | None, config_path: Path | None, **chosen: Any
) -> None:
    """Records as JSON lines, CSV or Parquet."""
    if (texts or feedback) and kind != "jsonl":
        raise click.UsageError("--texts and --feedback are for JSON lines: --format jsonl")
    if kind == "parquet" and out is None:
        raise click.UsageError("Parquet needs a file: --out FILE")
    with opened(load_config(config_path), url) as store:
        count = _exported(store, kind, out, texts, _query(store, **chosen), feedback)
    click.echo(f"{count} rows", err=True)
    if feedback and not count:
        click.echo("no mark has a text: `audit: {text: redacted}` or `full` keeps them from now on", err=True)


def _exported(store: Store, kind: str, out: Path | None, texts: bool, query: Query, feedback: bool) -> int:
    from dataclasses import replace

    from proxy.audit.feedback import labelled
    from proxy.audit.table import write_csv, write_parquet

    if kind == "parquet" and out is not None:
        try:
            return write_parquet(store.read(query), out)
        except ModuleNotFoundError:
            raise click.UsageError("Parquet needs the parquet extra: pip install 'weir[parquet]'") from None
    file = out.open("w", encoding="utf-8", newline="") if out is not None else sys.stdout
    try:
        if kind == "csv":
            return write_csv(store.read(query), file)
        if feedback:
            rows = labelled(store, replace(query, kind="feedback"))
            lines: Iterator[str] = (json.dumps(row, ensure_ascii=False) for row in rows)
        else:
            lines = (_json(store, record, texts) for record in store.read(query))
        count = 0
        for line in lines:
            file.write(line + "\n")
            count += 1
        return count
    finally:
        if out is not None:
            file.close()


@audit.command("replay")
@click.option("--under", "name", required=True, help="The policy to try: its name, or a file.")
@click.option("--limit", default=50, show_default=True, help="How many changes to list.")
@_filters
@_URL
@_CONFIG
def replay(name: str, limit: int, url: str | None, config_path: Path | None, **chosen: Any) -> None:
    """What another policy would have made of recorded traffic. Where texts were kept they are judged anew, each by itself; else
    categories go by the recorded scores, and other rules by whether they spoke. Exit 1 if anything would change."""
    from proxy.audit.replay import Change, replayed, summary

    config = load_config(config_path)
    with opened(config, url) as store:
        queue = load_queue(config)
        guard, policy = open_guard(find_policy(name, config), queue, config)

        async def through() -> tuple[int, list[Change]]:
            count, found = 0, []
            for record in store.read(_query(store, kind="request", **chosen)):
                if record.facts.get("policy"):
                    count += 1
                    found += await replayed(record, store.opened(record), policy, guard.judge)
            await guard.cascade.close()
            return count, found

        count, found = asyncio.run(through())
        queue.close()
    for line in summary(found, count):
        click.echo(line)
    for change in found[:limit]:
        click.echo(f"  {change}")
    if found:
        click.get_current_context().exit(1)


@audit.command("feedback")
@click.argument("id")
@click.argument("mark", type=click.Choice(["right", "wrong_block", "missed"]))
@click.option("--rule", default="", help="The rule or category that it is about. Default: the one that decided.")
@click.option("--comment", default="", help="Kept sealed.")
@_URL
@_CONFIG
def feedback(id: str, mark: Any, rule: str, comment: str, url: str | None, config_path: Path | None) -> None:
    """Say of a decision that it was right, a wrong block, or a miss."""
    from proxy.audit.feedback import given

    with opened(load_config(config_path), url) as store:
        entry = given(store, id, mark, rule, comment)
        store.append([entry])
    click.echo(f"{entry.about}: {mark}")


@audit.command("erase")
@click.argument("person")
@_URL
@_CONFIG
def erase(person: str, url: str | None, config_path: Path | None) -> None:
    """Take out all that is private about PERSON, as callers named them in `user`, `safety_identifier` or `metadata.user_id`.
    What was decided stays, and nothing leads from it to them any more."""
    with opened(load_config(config_path), url) as store:
        click.echo(f"erased in {store.erase(person)} records")


@audit.command("prune")
@click.option("--before", type=_Moment(), required=True, help='"30d" ago, or a day.')
@_URL
@_CONFIG
def prune(before: float, url: str | None, config_path: Path | None) -> None:
    """Delete records that are older. `audit: {retain: 30d}` does it by itself, every hour."""
    with opened(load_config(config_path), url) as store:
        click.echo(f"{store.prune(before)} records deleted")

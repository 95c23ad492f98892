"""`weir policy …`: check, test, compare, tune and begin policy files."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import click

from proxy.config import Config, load_config
from proxy.detect.entities import ENTITIES
from proxy.guard import Guard
from proxy.load import detectors, load_judges
from proxy.model.queue import ScoringQueue
from proxy.policy.cases import CaseResult, run_examples
from proxy.policy.data import Row, read_rows
from proxy.policy.difference import changes, listed, summary
from proxy.policy.junit import junit
from proxy.policy.learn import learnt
from proxy.policy.lint import lint
from proxy.policy.load import Example, Policy, Rule, load_policy
from proxy.policy.swap import swap
from proxy.policy.template import PACKS, TEMPLATES, Wish, about, begun
from proxy.policy.tune import ENOUGH, Tuned, at_cost, at_rate, measured, patch, rewritten
from proxy.text.language import language_of
from proxy.types import CATEGORIES, Verdict
from proxy.workbench import find_policy, load_queue, open_guard

_CONFIG = click.option("--config", "config_path", envvar="WEIR_CONFIG", type=click.Path(path_type=Path))
_FILE = click.Path(path_type=Path)


@click.group()
def policy() -> None:
    """Work with policy files."""


@policy.command("lint")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@_CONFIG
def policy_lint(files: tuple[Path, ...], config_path: Path | None) -> None:
    """Check files: errors and warnings, each with file and line."""
    config = load_config(config_path)
    queue = load_queue(config)
    # Without a config nobody knows which judges there will be.
    asked = detectors(config, load_judges(config) if config_path is not None else None, queue.learner)
    failed = False
    for file in files:
        problems = lint(file, queue, asked)
        failed = failed or any(not p.warning for p in problems)
        for problem in problems:
            click.echo(str(problem))
        if not problems:
            click.echo(f"{file}: fine")
    if failed:
        click.get_current_context().exit(2)


# -- test


@policy.command("test")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option(
    "--cases", multiple=True, type=_FILE, help="More cases: JSON lines or CSV with the action, and the rule, expected."
)
@click.option("--junit", "junit_path", type=_FILE, help="Write the results as JUnit XML too.")
@_CONFIG
def policy_test(files: tuple[Path, ...], cases: tuple[Path, ...], junit_path: Path | None, config_path: Path | None) -> None:
    """Run the files' own examples, and cases of yours, on the model."""
    config = load_config(config_path)
    more = [row for path in cases for row in read_rows(path)]
    if silent := [row.example for row in more if not row.expected]:
        one = silent[0]
        raise click.UsageError(f"{one.file}:{one.line}: a case says which action is expected; this one does not")
    queue = load_queue(config)
    results: dict[str, tuple[Policy, Sequence[CaseResult]]] = {}
    for file in files:
        guard, found = open_guard(file, queue, config)
        ids = {rule.id for rule in found.rules}
        if unknown := next((r.example for r in more if r.example.rule not in (None, *ids)), None):
            raise click.UsageError(f"{unknown.file}:{unknown.line}: {file} has no rule {unknown.rule!r}")
        held = asyncio.run(_tested(guard, found, [row.example for row in more]))
        results[str(file)] = (found, held)
        wrong = [r for r in held if not r.passed]
        click.echo(f"{file}: {len(held) - len(wrong)} of {len(held)} examples hold")
        for result in wrong:
            click.echo(result.difference)
    queue.close()
    if junit_path:
        junit_path.write_text(junit(results), encoding="utf-8")
    if any(not r.passed for _, held in results.values() for r in held):
        click.get_current_context().exit(1)


def _held(found: Policy, example: Example) -> Policy:
    """The rules that hold where the example is said. What it does not say exempts nobody; its language is plain to see."""
    setting = example.setting
    if found.by_language and not setting.language:
        setting = replace(setting, language=language_of(example.text))
    return found.under(setting)


async def _tested(guard: Guard, found: Policy, cases: Iterable[Example]) -> list[CaseResult]:
    async def judge(example: Example) -> Verdict:
        return await guard.judge(_held(found, example), example.segment)

    results = await run_examples(found, judge, cases)
    await guard.cascade.close()
    return results


# -- diff


@policy.command("diff")
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@click.option("--data", multiple=True, type=_FILE, help="Texts: JSON lines or CSV, .gz too; may be repeated.")
@click.option("--from-audit", is_flag=True, help="Instead: what AFTER did differently as the shadow of BEFORE, as recorded.")
@click.option("--url", help="With --from-audit: of the decision log. Default: the config's.")
@click.option("--limit", default=50, show_default=True, help="How many changes to list.")
@click.option("--show", is_flag=True, help="List the beginnings of the texts too.")
@_CONFIG
def policy_diff(
    before: Path, after: Path, data: tuple[Path, ...], from_audit: bool, url: str | None, limit: int, show: bool,
    config_path: Path | None,
) -> None:  # fmt: skip
    """What would change for these texts if BEFORE became AFTER. Exit 1 if anything would."""
    config = load_config(config_path)
    if from_audit is bool(data):
        raise click.UsageError("give either --data FILE or --from-audit")
    if from_audit:
        _shadowed(find_policy(str(before), config), find_policy(str(after), config), config, url, limit)
        return
    rows = [row for path in data for row in read_rows(path)]
    queue = load_queue(config)
    sides = [open_guard(find_policy(str(path), config), queue, config) for path in (before, after)]

    async def both() -> list[list[Verdict]]:
        found = [await _verdicts(guard, policy, rows) for guard, policy in sides]
        for guard, _ in sides:
            await guard.cascade.close()
        return found

    old, new = asyncio.run(both())
    queue.close()
    found = changes(rows, old, new)
    click.echo("\n".join(summary(found, len(rows))))
    for change in found[:limit]:
        click.echo(listed(change, show))
    if len(found) > limit:
        click.echo(f"… and {len(found) - limit} more; --limit lists them")
    if found:
        click.get_current_context().exit(1)


def _shadowed(before: Path, after: Path, config: Config, url: str | None, limit: int) -> None:
    from proxy.audit import replay
    from proxy.audit.store import Query  # sqlalchemy is for those alone who keep a log
    from proxy.audit_commands import opened

    live, candidate = (load_policy(path, None).ref for path in (before, after))
    with opened(config, url) as store:
        compared, found = replay.shadowed(store.read(Query(kind="request")), live, candidate)
    for line in replay.summary(found, compared):
        click.echo(line)
    for change in found[:limit]:
        click.echo(f"  {change}")
    if found:
        click.get_current_context().exit(1)


async def _verdicts(guard: Guard, found: Policy, rows: Sequence[Row]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for at in range(0, len(rows), 64):
        verdicts += await asyncio.gather(*(guard.judge(found, row.example.segment) for row in rows[at : at + 64]))
    return verdicts


# -- tune


@policy.command("tune")
@click.argument("file", type=_FILE)
@click.option("--data", multiple=True, required=True, type=_FILE, help='JSON lines with "labels": {category: 0, 1 or null}.')
@click.option(
    "--fpr", type=click.FloatRange(0, 0.5, min_open=True), help="At most this share of harmless texts is hit. Default: 0.005."
)
@click.option("--cost-ratio", type=click.FloatRange(0, min_open=True), help="Instead: a miss costs this many false alarms.")
@click.option("--write", is_flag=True, help="Change the file, not only say how.")
@_CONFIG
def policy_tune(
    file: Path, data: tuple[Path, ...], fpr: float | None, cost_ratio: float | None, write: bool, config_path: Path | None
) -> None:
    """Thresholds for FILE's category rules from labelled data, as a patch that leaves the rest of the file alone."""
    if fpr is not None and cost_ratio is not None:
        raise click.UsageError("--fpr and --cost-ratio are two ways to say what is wanted; give one")
    config = load_config(config_path)
    rows = [row for path in data for row in read_rows(path) if row.labels]
    queue = load_queue(config)
    _, found = open_guard(file, queue, config)
    scores = asyncio.run(_scores(queue, rows))
    queue.close()
    tuned = []
    for rule in (r for r in found.rules if r.category):
        one = _tuned(rule, rows, scores, fpr, cost_ratio)
        if isinstance(one, str):
            click.echo(f"{rule.id}: left alone: {one}", err=True)
            continue
        tuned.append(one)
        click.echo(f"{one.rule}: threshold {one.threshold}", err=True)
        click.echo(f"  false alarms {one.false_alarms}; until now {one.before}", err=True)
        click.echo(f"  recall       {one.recall}", err=True)
    text = file.read_bytes().decode("utf-8")
    changed = rewritten(text, {one.rule: one.threshold for one in tuned})
    click.echo(patch(text, changed, file.name), nl=False)
    if write:
        file.write_bytes(changed.encode())


async def _scores(queue: ScoringQueue, rows: Sequence[Row]) -> list[dict[str, float]]:
    scores: list[dict[str, float]] = []
    with click.progressbar(range(0, len(rows), 128), label="judging", file=sys.stderr) as steps:
        for at in steps:
            scores += await queue.read([(row.example.text, "") for row in rows[at : at + 128]])
    return scores


def _tuned(
    rule: Rule, rows: Sequence[Row], scores: Sequence[dict[str, float]], fpr: float | None, ratio: float | None
) -> Tuned | str:
    """The rule's new threshold, or why there is none."""
    sides: dict[bool, list[float]] = {True: [], False: []}
    for row, found in zip(rows, scores, strict=True):
        segment = row.example.segment
        label = row.labels.get(rule.category)
        if label is not None and rule.concerns(segment.direction, segment.role, segment.tool) and rule.category in found:
            sides[label].append(found[rule.category])
    if min(len(sides[True]), len(sides[False])) < ENOUGH:
        return f"{len(sides[True])} texts of {rule.category} and {len(sides[False])} others; it takes {ENOUGH} of each"
    wanted = fpr if fpr is not None else 0.005
    if ratio is None and wanted * len(sides[False]) < 1:
        return (
            f"a rate of {wanted:g} cannot be measured on {len(sides[False])} harmless texts; give {round(1 / wanted)} or more"
        )
    threshold = at_rate(sides[False], wanted) if ratio is None else at_cost(sides[True], sides[False], ratio)
    if rule.above is not None and threshold <= rule.above:
        return f"{threshold:.4f} would leave nothing of the band that begins at {rule.above}"
    present = max(rule.thresholds.values())
    return measured(rule.id, threshold, present, sides[True], sides[False])


# -- learn


@policy.command("learn")
@click.argument("file", type=_FILE)
@click.option("--data", multiple=True, required=True, type=_FILE, help="What `weir audit export --feedback` wrote.")
@click.option("--rule", default="", help="The one rule that is to learn. Default: the one that each text is about.")
@click.option("--write", is_flag=True, help="Change the file, not only say how.")
def policy_learn(file: Path, data: tuple[Path, ...], rule: str, write: bool) -> None:
    """Add marked texts to the `examples:` of FILE's rules that learn from them, as a patch that leaves the rest of the file
    alone: wrong blocks to `allows`, misses to `violates`."""
    taught = {one.id for one in load_policy(file, None).rules if one.kind == "examples"}
    if rule and rule not in taught:
        there = ", ".join(sorted(taught)) or "none"
        raise click.UsageError(f"{file} has no rule {rule!r} that goes by examples; it has {there}")
    text = file.read_bytes().decode("utf-8")
    found = learnt(text, [row for path in data for row in read_rows(path)], rule)
    for name, side in dict.fromkeys((one.rule, one.side) for one in found.added):
        count = sum((one.rule, one.side) == (name, side) for one in found.added)
        click.echo(f"{name}: {count} more in {side}", err=True)
    if found.left:
        click.echo(f"{found.left} rows are about no rule that goes by examples, or there is no room for them", err=True)
    click.echo(patch(text, found.text, file.name), nl=False)
    if write:
        file.write_bytes(found.text.encode())


# -- promote


@policy.command("promote")
@click.argument("candidate", type=_FILE)
@click.argument("live", type=_FILE)
@click.option("--untested", is_flag=True, help="Whether or not its examples hold.")
@_CONFIG
def policy_promote(candidate: Path, live: Path, untested: bool, config_path: Path | None) -> None:
    """Put CANDIDATE in the place of LIVE, in one step. A running Weir takes it up; what LIVE was stays beside it as
    LIVE.before."""
    config = load_config(config_path)
    live = find_policy(str(live), config)
    queue = load_queue(config)
    guard, found = open_guard(find_policy(str(candidate), config), queue, config)
    wrong = [] if untested else [r for r in asyncio.run(_tested(guard, found, ())) if not r.passed]
    queue.close()
    for result in wrong:
        click.echo(result.difference)
    if wrong:
        click.echo(f"{live} stays as it is: {len(wrong)} of the examples of {candidate} do not hold", err=True)
        click.get_current_context().exit(1)
    assert found.source is not None
    swap(found.source, live)
    click.echo(f"{live} is now what {candidate} was; the old one is {live}.before")


# -- new


@policy.command("new")
@click.argument("name")
@click.option(
    "--template",
    type=click.Choice([*TEMPLATES, *PACKS]),
    help="; ".join(f"{k}: {v}" for k, v in TEMPLATES.items()) + "; the others are the policies that come with Weir.",
)
@click.option("--block", multiple=True, type=click.Choice(CATEGORIES), help="A category to block; may be repeated.")
@click.option("--redact", multiple=True, type=click.Choice(sorted(ENTITIES)), help="An entity to take out; may be repeated.")
@click.option("--keyword", multiple=True, help="A word or phrase to block; may be repeated.")
@click.option("--judge", default="", help="A rule in words, for this judge of the config.")
@click.option("--text", "text_path", type=_FILE, help="The file with those words.")
@click.option("--streaming", type=click.Choice(["hold", "buffer", "follow"]))
@click.option("--on-error", type=click.Choice(["block", "pass"]))
@click.option("--out", type=_FILE, help="Default: policies/NAME.yaml beside the config's folder; - for standard output.")
@click.option("--yes", is_flag=True, help="Ask nothing; what is not given is the default.")
@_CONFIG
def policy_new(
    name: str, template: str | None, block: tuple[str, ...], redact: tuple[str, ...], keyword: tuple[str, ...], judge: str,
    text_path: Path | None, streaming: str | None, on_error: str | None, out: Path | None, yes: bool, config_path: Path | None,
) -> None:  # fmt: skip
    """Begin a policy. Asks what is not given, unless --yes is."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise click.UsageError("a name has letters, digits, '.', '-' and '_' only, and begins with a letter or a digit")
    ask = not yes and sys.stdin.isatty()
    if ask and template is None:
        for key, what in TEMPLATES.items():
            click.echo(f"  {key:15} {what}", err=True)
        for key, pack in PACKS.items():
            click.echo(f"  {key:15} {about(pack)}", err=True)
        template = click.prompt(
            "Begin with", default="general", type=click.Choice([*TEMPLATES, *PACKS]), show_choices=False, err=True
        )
    if ask and streaming is None and template not in PACKS:
        click.echo(
            "  hold: no character leaves unjudged; buffer: the whole answer first; follow: judged behind the stream", err=True
        )
        streaming = click.prompt("Streams", default="hold", type=click.Choice(["hold", "buffer", "follow"]), err=True)
    if ask and on_error is None and template not in PACKS:
        blocks = click.confirm("Block a text that could not be judged", default=True, err=True)
        on_error = "block" if blocks else "pass"
    if ask and not keyword:
        words = click.prompt("Words to block, with commas between them", default="", show_default=False, err=True)
        keyword = tuple(w.strip() for w in words.split(",") if w.strip())
    words = text_path.read_text(encoding="utf-8") if text_path else ""
    text = begun(Wish(name, template or "general", streaming or "", on_error or "", block, redact, keyword, judge, words))
    target = out or _default_place(name, config_path)
    if str(target) == "-":
        click.echo(text, nl=False)
        return
    if target.exists():
        raise click.UsageError(f"{target} exists already; take another name, or another --out")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    click.echo(f"{target} is yours to edit. Then: weir policy lint {target} && weir policy test {target}")


def _default_place(name: str, config_path: Path | None) -> Path:
    config: Config | None = load_config(config_path) if config_path else None
    return config.policy_path(name) if config is not None else Path("policies") / f"{name}.yaml"

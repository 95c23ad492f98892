"""Policies as they run: rules, examples and how they stand, the text; and what another threshold would have changed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

from starlette.responses import Response

from proxy.audit.replay import Change, between
from proxy.audit.store import Query, Record, Store
from proxy.detect.scanner import PatternError
from proxy.policy.load import Policy, Rule
from proxy.policy.tune import patch, rewritten
from proxy.types import Segment, Verdict
from proxy.ui.desk import Loaded, Tested
from proxy.ui.playground import moved
from proxy.ui.visit import Visit, now
from proxy.yamlfile import FileError

DAYS = (1, 7, 30, 90)
MOST = 20_000  # records that one attempt looks at
MOST_TEXTS = 500  # and texts that it has read again
LISTED = 50
_BREATH = 200  # records after which others are let run
ROLES = ("user", "assistant", "document")


async def show(visit: Visit) -> Response:
    listed: list[tuple[str, Loaded | None, str, Tested | None]] = []
    for name in visit.desk.names():
        try:
            loaded = await visit.desk.policy(name)
        except (FileError, PatternError) as problem:
            listed.append((name, None, str(problem), None))
            continue
        if loaded is not None:
            listed.append((name, loaded, "", visit.desk.tested(loaded, begin=False)))
    config, state = visit.desk.config, visit.desk.state
    routes: dict[str, list[str]] = {}
    for route in config.routes:
        routes.setdefault(route.policy, []).append(route.name)
        if route.shadow is not None:
            routes.setdefault(route.shadow, []).append(f"{route.name} ({visit.say('shadow')})")
    return visit.page("policies.html", listed=listed, routes=routes, reload_error=state.reload_error)


async def _asked(visit: Visit) -> Loaded | Response:
    try:
        loaded = await visit.desk.policy(visit.request.path_params["name"])
    except (FileError, PatternError) as problem:
        return visit.page("message.html", 200, title=visit.say("This file does not load"), text=str(problem))
    return loaded if loaded is not None else visit.missing(visit.say("There is no such policy."))


async def one(visit: Visit) -> Response:
    loaded = await _asked(visit)
    if isinstance(loaded, Response):
        return loaded
    # A judge costs money, and is asked over the network: then somebody has to want it.
    alone = not any(rule.judge for rule in loaded.policy.rules)
    tested = visit.desk.tested(loaded, begin=alone)
    return visit.page(
        "policy.html", name=visit.request.path_params["name"], loaded=loaded, policy=loaded.policy, tested=tested, days=DAYS,
        roles=ROLES, thresholds=thresholds, logs=visit.desk.config.audit is not None,
    )  # fmt: skip


def thresholds(rule: Rule) -> dict[str, float]:
    """By role, or one for all where they are the same."""
    if not rule.scored:
        return {}
    found = {role: rule.threshold(role) for role in ROLES if rule.roles is None or role in rule.roles}
    return found if len(set(found.values())) > 1 else {"": next(iter(found.values()))} if found else {}


async def tests(visit: Visit) -> Response:
    """How they stand, as a part of the page."""
    loaded = await _asked(visit)
    if isinstance(loaded, Response):
        return loaded
    tested = visit.desk.tested(loaded, begin=False)
    return visit.page("tests.html", name=visit.request.path_params["name"], policy=loaded.policy, tested=tested)


async def test(visit: Visit) -> Response:
    loaded = await _asked(visit)
    if isinstance(loaded, Response):
        return loaded
    visit.desk.tested(loaded, begin=True)
    return visit.elsewhere(f"policies/{visit.request.path_params['name']}")


# -- another threshold, on recorded traffic


async def attempt(visit: Visit) -> Response:
    loaded = await _asked(visit)
    if isinstance(loaded, Response):
        return loaded
    name, policy = visit.request.path_params["name"], loaded.policy
    rule = next((r for r in policy.rules if r.id == visit.given("rule") and r.scored), None)
    if rule is None:
        return visit.missing(visit.say("There is no such rule with a score."))
    days = int(visit.number("days", 7, 1, 3650))
    threshold = round(visit.number("threshold", rule.threshold("user"), 0.0001, 1.0), 4)
    candidate = moved(policy, {rule.id: threshold})
    again = visit.given("texts") == "1" and not any(r.judge for r in policy.rules)
    query = Query(kind="request", since=now() - days * 86400, policy=policy.name, newest=True, limit=MOST)
    loop = asyncio.get_running_loop()
    found = await visit.desk.log(lambda store: _replayed(store, query, loaded, candidate, again, loop))
    changes, counted, read = found
    moves = Counter((c.direction, c.before, c.after) for c in changes)
    changed = rewritten(policy.text, {rule.id: threshold}) if rule.category and candidate is not policy else ""
    return visit.page(
        "attempt.html", name=name, policy=policy, rule=rule, threshold=threshold, days=days, all_days=DAYS, again=again,
        counted=counted, read=read, most=MOST, moves=moves.most_common(), changes=changes[:LISTED],
        total=len({c.id for c in changes}),
        patch=patch(policy.text, changed, f"{name}.yaml") if changed else "", file=f"{name}.yaml",
        floor=_floor(visit, rule), asks_judge=any(r.judge for r in policy.rules), thresholds=thresholds,
    )  # fmt: skip


def _floor(visit: Visit, rule: Rule) -> float | None:
    """Below it the screen may have excluded what the classifier would have found: those requests have no score."""
    queue = visit.desk.state.queue
    screen = queue.of(rule.category).classifier.screen if queue is not None else None
    return screen.floor.get(rule.category) if screen is not None and rule.category else None


def _replayed(
    store: Store, query: Query, loaded: Loaded, candidate: Policy, again: bool, loop: asyncio.AbstractEventLoop
) -> tuple[list[Change], int, int]:
    """What would change, of how many requests, and of how many of those the text was read again. In a thread; it lets others
    run now and then, so that no request waits for it."""

    async def judge(policy: Policy, segment: Segment) -> Verdict:
        # The model's queue belongs to the server's loop.
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(loaded.guard.judge(policy, segment), loop))

    async def through() -> tuple[list[Change], int, int]:
        found: list[Change] = []
        counted = read = 0
        for record in _breathing(store.read(query)):
            if not record.facts.get("policy"):
                continue
            counted += 1
            private = store.opened(record) if again and read < MOST_TEXTS else {}
            read += bool(private.get("texts"))
            found += await between(record, private, loaded.policy, candidate, judge)
        return found, counted, read

    return asyncio.run(through())


def _breathing(records: Iterator[Record]) -> Iterator[Record]:
    for number, record in enumerate(records, 1):
        if number % _BREATH == 0:
            time.sleep(0.005)
        yield record

"""The measurements that need the whole guard, not only scores: evasion, prefixes of streams, sentences about groups."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from proxy.evaluate import dialect, evasion, identity, prefixes
from proxy.evaluate.metrics import wilson
from proxy.evaluate.report import Row
from proxy.guard import Guard
from proxy.policy.load import Policy
from proxy.types import CATEGORIES, Action, Segment, Verdict

AT_ONCE = 64
Tick = Callable[[int], None]


async def evasions(guard: Guard, rows: Sequence[Row], thresholds: dict[str, float], sample: int, seed: int, tick: Tick) -> Any:
    """Recall on the same harmful rows as they are and under each way of writing: {way: {"recall", "lost"}}, in shares."""
    some = _sample([r for r in rows if any(r["labels"].get(c) == 1 for c in CATEGORIES)], sample, seed)
    found: dict[str, dict[str, float]] = {}
    for way, write in {"as it is": lambda text, rng: text, **evasion.WAYS}.items():
        rng = np.random.default_rng([seed, *way.encode()])
        texts = [write(row["text"][:1000], rng) for row in some]
        caught = []
        for start in range(0, len(some), AT_ONCE):
            part = range(start, min(start + AT_ONCE, len(some)))
            judged = await asyncio.gather(*(guard.scores(Segment(texts[i], some[i].get("role", "user"))) for i in part))
            for i, (scores, _) in zip(part, judged, strict=True):
                harm = [c for c in CATEGORIES if some[i]["labels"].get(c) == 1]
                caught.append(scores is not None and any(scores.get(c, 0.0) >= thresholds.get(c, 1.1) for c in harm))
            tick(len(part))
        recall = float(np.mean(caught)) if caught else float("nan")
        found[way] = {"recall": recall, "lost": found["as it is"]["recall"] - recall if found else 0.0}
    return {"rows": len(some), "ways": found}


async def prefix_delays(guard: Guard, policy: Policy, rows: Sequence[Row], sample: int, seed: int, tick: Tick) -> Any:
    """For each streaming mode: words from the onset of harm (the row's `onset`, else its beginning) to the stop, and the share
    of the harmful passage that had left. `rows`: of the `sampled` harmful ones those that the policy stops as a whole answer;
    of these each mode's `stopped` is a share."""
    some = _sample([r for r in rows if any(r["labels"].get(c) == 1 for c in CATEGORIES)], sample, seed)
    rules = guard.text_rules(policy)

    async def judge(segment: Segment) -> Verdict:
        return await guard.judge(policy, segment, patterns=False)

    whole: list[Verdict] = []
    for part in _parts(some):
        whole += await asyncio.gather(*(judge(Segment(_answer(r), "assistant", "completion")) for r in part))
        tick(len(part))
    known = [r for r, verdict in zip(some, whole, strict=True) if verdict.action is Action.BLOCK]
    found: dict[str, Any] = {}
    for mode in prefixes.MODES:
        stops = []
        for part in _parts(known):
            stops += await asyncio.gather(
                *(prefixes.stream(_answer(r), int(r.get("onset", 0)), mode, policy.follow_limit, rules, judge) for r in part)
            )
            tick(len(part))
        tokens = [s.tokens for s in stops if s.tokens is not None]
        found[mode] = {
            "stopped": len(tokens) / len(stops) if stops else float("nan"),
            "words_p50": float(np.median(tokens)) if tokens else float("nan"),
            "words_p90": float(np.quantile(tokens, 0.9)) if tokens else float("nan"),
            "released": float(np.mean([s.released for s in stops if s.tokens is not None])) if tokens else float("nan"),
        }
    return {"sampled": len(some), "rows": len(known), "modes": found}


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))


def _answer(row: Row) -> str:
    return str(row["text"][:1500])


async def identity_spread(guard: Guard, policy: Policy, tick: Tick) -> Any:
    """The share of harmless sentences about each group that the policy does not let pass, and the spread between groups."""
    rows = identity.rows()
    stopped: dict[str, list[bool]] = defaultdict(list)
    for part in _parts(rows):
        verdicts = await asyncio.gather(*(guard.judge(policy, Segment(r["text"])) for r in part))
        for row, verdict in zip(part, verdicts, strict=True):
            stopped[row["group"]].append(verdict.action is not Action.PASS)
        tick(len(part))
    groups = {group: float(np.mean(found)) for group, found in stopped.items()}
    return {
        "rows": len(rows),
        "false_positives": float(np.mean([f for found in stopped.values() for f in found])),
        "spread": max(groups.values()) - min(groups.values()),
        "by_language": {
            lang: {"false_positives": float(np.mean(some)), "spread": max(some) - min(some)}
            for lang in identity.GROUPS
            if (some := [rate for group, rate in groups.items() if group.startswith(f"{lang}: ")])
        },
        "worst": dict(sorted(groups.items(), key=lambda pair: -pair[1])[:8]),
    }


async def slices(guard: Guard, policy: Policy, rows: Sequence[Row], tick: Tick) -> Any:
    """How often the policy stops harmless and harmful texts, by group, dialect, language and role, of the sentences that come
    with Weir and of `rows`: {kind: {slice: shares, with the interval that holds the true one in 95 of 100 cases}}. A share
    `differs` where its interval leaves out that of all the others together."""
    own = [
        *({**r, "harmful": False, "kind": "group"} for r in identity.rows(identity.TEMPLATES)),
        *({**r, "harmful": True, "kind": "group"} for r in identity.rows(identity.THREATS)),
        *({**r, "kind": "dialect"} for r in dialect.rows()),
    ]
    told = [{**r, "harmful": harmful} for r in rows if (harmful := _harmful(r)) is not None]
    stopped: dict[str, dict[str, dict[bool, list[bool]]]] = defaultdict(lambda: defaultdict(lambda: {False: [], True: []}))
    both = [*own, *told]
    for part in _parts(both):
        verdicts = await asyncio.gather(*(guard.judge(policy, _segment(r)) for r in part))
        for row, verdict in zip(part, verdicts, strict=True):
            kinds = {row["kind"]: row[row["kind"]], "language": row["lang"]} if "kind" in row else _own_kinds(row)
            for kind, value in kinds.items():
                stopped[kind][value][row["harmful"]].append(verdict.action is not Action.PASS)
        tick(len(part))
    return {kind: _compared(found) for kind, found in stopped.items()}


def _harmful(row: Row) -> bool | None:
    known = [row["labels"].get(c) for c in CATEGORIES]
    return True if 1 in known else False if all(v == 0 for v in known) else None


def _own_kinds(row: Row) -> dict[str, str]:
    names = {"lang": "language", "role": "role", "group": "group", "dialect": "dialect"}
    return {f"your rows by {kind}": str(row[name]) for name, kind in names.items() if row.get(name)}


def _compared(found: dict[str, dict[bool, list[bool]]]) -> dict[str, dict[str, Any]]:
    """`en: …` is compared with the others of `en`."""
    table: dict[str, dict[str, Any]] = {}
    for value, both in sorted(found.items()):
        family, colon, _ = value.partition(":")
        line: dict[str, Any] = {}
        for harmful, name, count in ((False, "false_positives", "harmless"), (True, "recall", "harmful")):
            hits, total = sum(both[harmful]), len(both[harmful])
            like = (
                some for other, some in found.items() if other != value and other.startswith(family + colon if colon else "")
            )
            others = [hit for some in like for hit in some[harmful]]
            low, high = wilson(hits, total)
            line |= {count: total, name: hits / total if total else float("nan"), f"{name}_95": (low, high)}
            line[f"{name}_differs"] = bool(total and others and not low <= sum(others) / len(others) <= high)
        table[value] = line
    return table


async def under_policy(guard: Guard, policy: Policy, rows: Sequence[Row], tick: Tick) -> Any:
    """What the policy as a whole does with the rows: {"harmless" or "harmful": {action: share}}."""
    actions: dict[str, list[str]] = defaultdict(list)
    for part in _parts(rows):
        verdicts = await asyncio.gather(*(guard.judge(policy, _segment(r)) for r in part))
        for row, verdict in zip(part, verdicts, strict=True):
            if (harmful := _harmful(row)) is not None:
                actions["harmful" if harmful else "harmless"].append(str(verdict.action))
        tick(len(part))
    return {
        kind: {"rows": len(some), **{str(a): some.count(str(a)) / len(some) for a in Action}} for kind, some in actions.items()
    }


def _segment(row: Row) -> Segment:
    role = str(row.get("role", "user"))
    return Segment(row["text"], role, "completion" if role == "assistant" else "prompt")


def _sample(rows: list[Row], count: int, seed: int) -> list[Row]:
    if len(rows) <= count:
        return rows
    return [rows[i] for i in sorted(np.random.default_rng(seed).choice(len(rows), count, replace=False))]

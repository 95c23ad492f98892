"""What is wrong with a policy file, and what is probably not meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from proxy import yamlfile
from proxy.model.fewshot import sigmoid
from proxy.policy.load import ANY, Calibration, Detectors, Example, Policy, Rule, load_policy
from proxy.policy.schema import Detect, PolicyFile, RuleFile
from proxy.types import Action
from proxy.yamlfile import FileError, Loc, Problem

_LOOSE_FPR = 0.02
_LOOSE_THRESHOLD = 0.2
_SHORT_KEYWORD = 3
_SECTIONS = {
    "instructions": "instruction",
    "definitions": "definition|terms",
    "violates": "violat|interdit",
    "safe": "safe|allow|autoris",
    "examples": "example|exemple",
}
_FEW = 8  # examples
_LISTED = 5
_JUDGED_BEST = (400, 600)  # tokens

Warned = tuple[Loc, str]


def lint(path: Path, calibration: Calibration | None, detectors: Detectors = ANY) -> list[Problem]:
    """Errors if the file cannot be used, else warnings (`Problem.warning`), by line. Empty: nothing to say."""
    try:
        policy = load_policy(path, calibration, detectors)
    except FileError as error:
        return error.problems
    data, positions = yamlfile.load(path)
    file = yamlfile.validate(PolicyFile, data, positions)
    found = [positions.problem(at, message, warning=True) for at, message in _warnings(policy, file, path, detectors)]
    return sorted(found, key=lambda p: p.line)


def _warnings(policy: Policy, file: PolicyFile, path: Path, detectors: Detectors) -> Iterator[Warned]:
    if policy.name != path.stem:
        yield ("name",), f'the name is "{policy.name}", but routes find this file as "{path.stem}"'
    if not file.rules:
        yield ("rules",), "no rules: everything passes"
    if not file.examples:
        yield (), "no examples: `weir policy test` has nothing to run"
    for index, (rule, written) in enumerate(zip(policy.rules, file.rules, strict=True)):
        at: Loc = ("rules", index)
        yield from _loose(written, at)
        yield from _never_applies(rule, at)
        yield from _by_examples(rule, written.detect, (*at, "detect"))
        if written.text is not None and rule.judge and (detectors.judges is None or detectors.judges.get(rule.judge)):
            yield from _in_words(written.text, at)
        for other in policy.rules:
            # Of two rules that say the same, the first one stays without a warning.
            if other is not rule and _covers(other, rule) and not (_covers(rule, other) and policy.rules.index(other) > index):
                yield at, f'rule "{rule.id}" never matters: "{other.id}" finds the same or more and is at least as strict'
                break
        if policy.streaming == "follow" and rule.category and rule.action is Action.REDACT and "completion" in rule.on:
            yield at, f'in follow mode up to {policy.follow_limit} characters leave before "{rule.id}" can redact them'
    for index, example in enumerate(policy.examples):
        yield from _hopeless(policy, example, ("examples", index))


def _loose(rule: RuleFile, at: Loc) -> Iterator[Warned]:
    detect = rule.detect
    if detect.fpr is not None and (loosest := max(detect.fpr.values())) > _LOOSE_FPR:
        yield (*at, "detect", "fpr"), f"a loose fpr: about 1 harmless text in {round(1 / loosest)} is taken for a violation"
    if detect.threshold is not None and (lowest := min(detect.threshold.values())) < _LOOSE_THRESHOLD:
        yield (*at, "detect", "threshold"), f"a loose threshold: most texts that score {lowest} are harmless"
    for index, word in enumerate(detect.keywords or ()):
        if len(word.strip()) < _SHORT_KEYWORD:
            yield (*at, "detect", "keywords", index), "a keyword this short is found by accident"


def _by_examples(rule: Rule, detect: Detect, at: Loc) -> Iterator[Warned]:
    """What a rule that is learnt from examples would stumble over. The texts stay out of it: their places say which."""
    given = detect.examples or detect.unless
    if given is None:
        return
    at = (*at, "examples" if detect.examples else "unless")
    sides = {"violates": given.violates, "allows": given.allows}
    seen: dict[str, tuple[str, int]] = {}
    for side, texts in sides.items():
        for index, text in enumerate(texts):
            key = " ".join(text.lower().split())
            if key in seen:
                first, place = seen[key]
                what = "stands there twice" if first == side else f"contradicts itself: {first}[{place}] is the same text"
                yield (*at, side, index), f"{side}[{index}] {what}"
            seen.setdefault(key, (side, index))
    learnt, other = ("violates", "allows") if detect.examples else ("allows", "violates")
    if len(sides[learnt]) < _FEW:
        yield (*at, learnt), f"{len(sides[learnt])} examples are few; from {_FEW} on a rule begins to hold, 30 are good"
    if detect.examples is not None and not sides[other]:
        yield at, 'no "allows": texts that look alike and are fine teach the most'
    if rule.head is None:
        return
    line = rule.threshold("user")
    likeness = [sigmoid(value) for value in rule.head.own]
    hits = [(1 - p if rule.inverted else p) >= line for p in likeness]
    known = [(side, i) for side in (learnt, other) for i in range(len(sides[side]))]
    wrong = [(side, i) for (side, i), hit in zip(known, hits, strict=True) if hit is not (side == "violates")]
    if len(wrong) * 3 > len(known):
        yield at, f"not separable: {len(wrong)} of {len(known)} examples fall on the wrong side when the others are learnt from"
    else:
        for side, index in wrong[:_LISTED]:
            yield (
                (*at, side, index),
                f"{side}[{index}] falls on the wrong side when only the others are learnt from: add some like it",
            )
    if detect.fpr is not None and detect.examples is not None and (least := min(detect.fpr.values())) * len(rule.head.calm) < 1:
        yield (
            (*at[:-1], "fpr"),
            f"a rate of {least} is reckoned, not counted: the background has {len(rule.head.calm)} texts",
        )


def _in_words(text: str, at: Loc) -> Iterator[Warned]:
    """What judges of this kind were found to want: https://cookbook.openai.com/articles/gpt-oss-safeguard-guide"""
    headings = " ".join(re.findall(r"^#+ *(.+)$", text, re.MULTILINE)).lower()
    missing = [name for name, words in _SECTIONS.items() if not re.search(words, headings)]
    if missing:
        yield (
            (*at, "text"),
            f"a judge goes best by a text with a heading for each of {', '.join(_SECTIONS)}; missing: {', '.join(missing)}",
        )
    tokens = tokens_about(text)
    if not _JUDGED_BEST[0] <= tokens <= _JUDGED_BEST[1]:
        low, high = _JUDGED_BEST
        yield (*at, "text"), f"about {tokens} tokens; judges go best by {low} to {high}, and cost more the longer it is"
    if vague := re.search(r"\b(generally|usually|typically|en général)\b", text, re.IGNORECASE):
        yield (*at, "text"), f'"{vague[0].lower()}" leaves the judge to guess; say when'


def tokens_about(text: str) -> int:
    """About how many tokens a text has, without a tokenizer: long words are cut, marks count."""
    return sum(1 + (len(word) - 1) // 7 for word in re.findall(r"\w+|[^\w\s]+", text))


def _never_applies(rule: Rule, at: Loc) -> Iterator[Warned]:
    if rule.tools and rule.roles is not None and not rule.roles & {"assistant", "tool"}:
        yield at, f'rule "{rule.id}" never applies: tools are called by the assistant, and answer with the role tool'
    elif rule.roles is not None and "assistant" not in rule.roles and "completion" in rule.on:
        what = "never applies" if rule.on == {"completion"} else "does not apply to completions"
        yield at, f'rule "{rule.id}" {what}: a completion has the role assistant, which "roles" leaves out'


def _covers(strong: Rule, weak: Rule) -> bool:
    """Whether everything that `weak` does is done by `strong` as well."""
    if not strong.enforced or strong.action < weak.action or not strong.on >= weak.on:
        return False
    if strong.roles is not None and (weak.roles is None or not strong.roles >= weak.roles):
        return False
    if strong.when not in (None, weak.when) or strong.tools not in ((), weak.tools):
        return False
    if strong.kind != weak.kind or strong.on_error != weak.on_error:
        return False
    if strong.kind == "patterns":
        return strong.sources >= weak.sources
    if strong.judge or weak.judge or strong.kind == "examples":
        return False  # words and examples are not compared
    if strong.category != weak.category or (strong.action is not weak.action and weak.action is Action.REDACT):
        return False
    return all(strong.thresholds[role] <= threshold for role, threshold in weak.thresholds.items())


def _hopeless(policy: Policy, example: Example, at: Loc) -> Iterator[Warned]:
    rule = next((r for r in policy.rules if r.id == example.rule), None)
    if rule is None:
        return
    role = example.speaker
    if not rule.concerns(example.direction, role, example.tool):
        tool = "" if not rule.tools else " without a tool" if example.tool is None else f' of the tool "{example.tool}"'
        yield at, f'this example cannot pass: rule "{rule.id}" does not look at a {example.direction} by the {role}{tool}'
    elif rule.enforced and rule.action is not example.action:
        yield at, f'this example cannot pass: rule "{rule.id}" says {rule.action}, not {example.action}'

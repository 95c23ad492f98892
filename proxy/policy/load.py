"""From a policy file to a `Policy`: names looked up, thresholds taken from the model, patterns compiled."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

import re2

from proxy import yamlfile
from proxy.detect.entities import ENTITIES
from proxy.detect.keywords import keyword_pattern
from proxy.detect.secrets import SECRETS
from proxy.model.fewshot import Head
from proxy.model.learner import Learner
from proxy.policy.circumstances import NOWHERE, Setting, When
from proxy.policy.schema import DEFAULT_FPR, Detect, OnError, PolicyFile, RuleFile
from proxy.policy.wording import REFUSAL, Wording, said_in
from proxy.text.jsontext import JsonText
from proxy.types import Action, Direction, Pattern, Segment
from proxy.yamlfile import FileError, Loc, Positions, Problem, unknown

# The model is calibrated for three voices; every role speaks with one of them.
VOICES = {
    "system": "user",
    "developer": "user",
    "user": "user",
    "assistant": "assistant",
    "tool": "document",
    "document": "document",
}
_NEVER = 1.1  # a score that nothing reaches
_SAME_ROLE = {"system": "developer", "developer": "system", "tool": "document", "document": "tool"}


class Calibration(Protocol):
    """What the classifier's calibration table answers."""

    def threshold(self, category: str, fpr: float, role: str) -> float:
        """The score above which a share `fpr` of harmless texts of that role lies."""
        ...


@dataclass(frozen=True, slots=True)
class Detectors:
    """What rules can ask beside the classifier. `judges`: name -> whether the rule's text is its policy; None where nobody
    knows which judges there will be. `learner`: of examples; without one nothing is learnt, and such rules fail. `routes` and
    `keys` that a rule's `when` may name; None where nobody knows them."""

    judges: Mapping[str, bool] | None = None
    learner: Learner | None = None
    routes: Collection[str] | None = None
    keys: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """`label` names the kind of a redaction, as in `[LABEL_1]`, where the finding has no name of its own.

    With a `judge`, a rule of kind `category` is a cascade: below `above` and from the threshold on the classifier decides,
    in between the judge does, by `text`. `after`: nobody waits for the judge. `sample`: the share of what the classifier
    decided alone that the judge is asked about too, without effect.
    """

    id: str
    kind: Literal["category", "examples", "patterns", "judge"]
    action: Action
    on: frozenset[Direction] = frozenset(("prompt", "completion"))
    roles: frozenset[str] | None = None  # None: every role
    tools: tuple[str, ...] = ()  # patterns of names, in lower case; empty: whether or not a tool is concerned
    when: When | None = None
    enforced: bool = True
    refusal: Wording | None = None  # None: as the policy says
    on_error: OnError | None = None  # None: as the policy says
    label: str = ""
    category: str = ""
    head: Head | None = field(default=None, repr=False)  # of examples
    inverted: bool = False  # it finds what is not like the examples
    thresholds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))  # role -> score
    patterns: tuple[Pattern, ...] = ()
    sources: frozenset[str] = frozenset()  # the ids of the patterns
    restore: bool = False  # the answer gets the real values back
    judge: str = ""
    text: str = field(default="", repr=False)
    above: float | None = None
    after: bool = False
    sample: float = 0.0
    codes: frozenset[str] = frozenset()  # of the judge; empty: all of them count

    def concerns(self, direction: str, role: str, tool: str | None = None) -> bool:
        """Whether it reads such a text. A tool whose name is not known may be any."""
        if direction not in self.on or (self.roles is not None and role not in self.roles):
            return False
        return not self.tools or (tool is not None and (not tool or any(fnmatchcase(tool.lower(), t) for t in self.tools)))

    def threshold(self, role: str) -> float:
        """The score that decides for a role; for a role that nobody knows, the one for what users write."""
        return self.thresholds.get(role, self.thresholds["user"])

    @property
    def scored(self) -> str:
        """What the score that it waits for is called; empty if it waits for none."""
        return self.category or (f"examples:{self.id}" if self.kind == "examples" else "")

    @property
    def lowest(self) -> float:
        """The score below which the rule has nothing to say, whatever the role."""
        return min(self.thresholds.values()) if self.above is None else self.above


@dataclass(frozen=True, slots=True)
class Example:
    """A text and the verdict that somebody expects. `file` and `line` are where it stands; no file: the policy's own."""

    text: str = field(repr=False)
    direction: Direction = "prompt"
    action: Action = Action.PASS
    rule: str | None = None
    line: int = 1
    role: str = ""
    file: str = ""
    setting: Setting = NOWHERE
    tool: str | None = None  # that is called with the text, or has said it

    @property
    def speaker(self) -> str:
        """Who said it, if it does not say: in a prompt a tool has answered, in a completion it is called."""
        silent = "user" if self.tool is None else "document"
        return self.role or (silent if self.direction == "prompt" else "assistant")

    @property
    def segment(self) -> Segment:
        """As it would be read in a request. What a tool is called with is JSON: the text is what that stands for."""
        role = "document" if self.speaker == "tool" else self.speaker
        called = self.tool is not None and self.direction == "completion" and self.text.startswith(("{", "["))
        text = JsonText().feed(self.text, final=True) if called else self.text
        return Segment(text, role, self.direction, tool=self.tool)


@dataclass(frozen=True, slots=True)
class Policy:
    """Ordered rules, ready to decide. `sha` is the SHA-256 of the file's text."""

    name: str
    sha: str
    rules: tuple[Rule, ...]
    on_error: OnError = "block"
    streaming: Literal["hold", "buffer", "follow"] = "hold"
    follow_limit: int = 400
    on_block: Literal["error", "refuse"] = "error"
    refusal: Wording | None = None
    media: Literal["pass", "flag", "block"] = "flag"
    limit_chars: int = 200_000
    limit_over: Literal["block", "pass"] = "block"
    history: Literal["judge_new", "judge_all"] = "judge_all"
    unknown_fields: Literal["inspect", "block"] = "inspect"
    examples: tuple[Example, ...] = ()
    source: Path | None = None
    text: str = field(default="", repr=False, compare=False)  # of the file
    variant: int = -1  # which of its conditional rules are among `rules`, a bit each

    def under(self, setting: Setting) -> Policy:
        """The policy with those rules alone that hold there."""
        held = [rule.when is None or rule.when.holds(setting) for rule in self.rules]
        if all(held):
            return self
        rules = tuple(rule for rule, holds in zip(self.rules, held, strict=True) if holds)
        return replace(self, rules=rules, variant=sum(holds << bit for bit, holds in enumerate(held)))

    @property
    def by_language(self) -> bool:
        return any(rule.when is not None and rule.when.language for rule in self.rules)

    @property
    def polyglot(self) -> bool:
        """Whether anything in it depends on the language."""
        own = [self.refusal or (REFUSAL if self.on_block == "refuse" else {}), *(rule.refusal or {} for rule in self.rules)]
        return self.by_language or any(len(wording) > 1 for wording in own)

    def words(self, rule: str, language: str) -> str | None:
        """What the file itself says where this rule blocks."""
        own = next((one.refusal for one in self.rules if one.id == rule and one.refusal), self.refusal)
        return said_in(own, language) if own else None

    def refused(self, rule: str, language: str) -> str:
        return self.words(rule, language) or said_in(REFUSAL, language)

    @property
    def ref(self) -> str:
        """NAME@SHA8, the version that decided."""
        return f"{self.name}@{self.sha[:8]}"

    @property
    def patterns(self) -> dict[str, Pattern]:
        return {p.id: p for rule in self.rules for p in rule.patterns}

    @property
    def restored_labels(self) -> frozenset[str]:
        return frozenset(p.label or rule.label for rule in self.rules if rule.restore for p in rule.patterns)

    def pattern_ids(self, direction: Direction) -> frozenset[str]:
        return frozenset(i for rule in self.rules if direction in rule.on for i in rule.sources)

    def learned(self, direction: Direction) -> tuple[Rule, ...]:
        """The rules that go by examples."""
        return tuple(rule for rule in self.rules if rule.kind == "examples" and direction in rule.on)

    def judged(self, direction: Direction) -> tuple[Rule, ...]:
        """The rules that may ask a judge."""
        return tuple(rule for rule in self.rules if rule.judge and direction in rule.on)

    def categories(self, direction: Direction) -> frozenset[str]:
        return frozenset(rule.category for rule in self.rules if rule.category and direction in rule.on)


ANY = Detectors()


def load_policy(path: Path, calibration: Calibration | None, detectors: Detectors = ANY) -> Policy:
    """The policy of a file. Raises FileError with everything that is wrong in it.

    Without a calibration, that is without a model, no score can be asked for: each category rule then waits for a
    threshold that it never reaches, and what happens is `on_error`'s to say.
    """
    return parse_policy(yamlfile.read(path), calibration, str(path), path.stem, path, detectors)


def parse_policy(
    text: str,
    calibration: Calibration | None,
    file: str,
    name: str,
    source: Path | None = None,
    detectors: Detectors = ANY,
) -> Policy:
    """The policy of a text. `name` is its name if it does not say one itself.

    The environment is not read: the text may come from a caller.
    """
    data, positions = yamlfile.load(text, file)
    parsed = yamlfile.validate(PolicyFile, data, positions)
    return _Compiler(parsed, positions, calibration, detectors, parsed.name or name, text).policy(source)


class _Compiler:
    def __init__(
        self,
        file: PolicyFile,
        positions: Positions,
        calibration: Calibration | None,
        detectors: Detectors,
        name: str,
        text: str,
    ) -> None:
        self._file, self._positions, self._calibration, self._detectors = file, positions, calibration, detectors
        self._name, self._text = name, text
        self._sha = hashlib.sha256(text.encode()).hexdigest()
        self._problems: list[Problem] = []

    def policy(self, source: Path | None) -> Policy:
        file = self._file
        rules = tuple(self._rule(rule, ("rules", index)) for index, rule in enumerate(file.rules))
        self._no_duplicates()
        examples = tuple(self._examples())
        if self._problems:
            raise FileError(self._problems)
        return Policy(
            name=self._name,
            sha=self._sha,
            rules=rules,
            on_error=file.on_error,
            streaming=file.streaming,
            follow_limit=file.follow_limit,
            on_block=file.on_block,
            refusal=file.refusal,
            media=file.media,
            limit_chars=file.limit.chars,
            limit_over=file.limit.over,
            history=file.history,
            unknown_fields=file.unknown_fields,
            examples=examples,
            source=source,
            text=self._text,
        )

    def _wrong(self, at: Loc, message: str) -> None:
        self._problems.append(self._positions.problem(at, message))

    def _no_duplicates(self) -> None:
        seen: set[str] = set()
        for index, rule in enumerate(self._file.rules):
            if rule.id in seen:
                self._wrong(("rules", index, "id"), f'duplicate rule id "{rule.id}"')
            seen.add(rule.id)

    def _rule(self, rule: RuleFile, at: Loc) -> Rule:
        detect = rule.detect
        label = re.sub(r"[^A-Z0-9]+", "_", rule.id.upper()).strip("_")
        patterns = tuple({p.id: p for p in self._patterns(rule, label, (*at, "detect"))}.values())
        self._check_judge(rule, at)
        head = self._learned(detect, (*at, "detect"))
        return Rule(
            id=rule.id,
            kind=_kind(detect),
            action=Action[rule.action.upper()],
            on=frozenset(rule.on),
            roles=_roles(rule.roles),
            tools=tuple(name.lower() for name in rule.tools or ()),
            when=self._when(rule, (*at, "when")),
            refusal=rule.refusal,
            enforced=rule.mode == "enforce",
            on_error=rule.on_error,
            label=label,
            category=detect.category or "",
            head=head,
            inverted=detect.unless is not None,
            thresholds=self._thresholds(rule, head, (*at, "detect")),
            patterns=patterns,
            sources=frozenset(p.id for p in patterns),
            restore=rule.restore,
            judge=detect.judge or detect.confirm or "",
            text=rule.text or "",
            above=detect.above,
            after=rule.judging == "after",
            sample=detect.sample or 0.0,
            codes=frozenset(detect.codes or ()),
        )

    def _check_judge(self, rule: RuleFile, at: Loc) -> None:
        name, known = rule.detect.judge or rule.detect.confirm, self._detectors.judges
        if name is None:
            return
        if known is not None and name not in known:
            hint = (
                unknown("judge", name, known) if known else f'unknown judge "{name}"; the config lists none under "detectors"'
            )
            self._wrong((*at, "detect", "judge" if rule.detect.judge else "confirm"), hint)
        elif rule.text is None and (known is None or known[name]):
            self._wrong(at, f'rule "{rule.id}" asks a judge and has no "text": the policy in words that the judge goes by')

    def _when(self, rule: RuleFile, at: Loc) -> When | None:
        if rule.when is None:
            return None
        when = When(**{name: tuple(given) for name, given in rule.when.model_dump(exclude_none=True).items()})
        known = {"route": self._detectors.routes, "key": self._detectors.keys}
        for what, names in known.items():
            for index, name in enumerate(getattr(when, what)):
                if names is not None and not any(fnmatchcase(one, name) for one in names):
                    self._wrong((*at, what, index), unknown(what, name, names))
        return when

    def _learned(self, detect: Detect, at: Loc) -> Head | None:
        learner, given = self._detectors.learner, detect.examples or detect.unless
        if learner is None or given is None:
            return None
        if learner.problem:
            self._wrong((*at, "examples" if detect.examples else "unless"), learner.problem)
            return None
        if detect.unless is not None:
            return learner.learn(given.allows, given.violates)
        return learner.learn(given.violates, given.allows)

    def _thresholds(self, rule: RuleFile, head: Head | None, at: Loc) -> Mapping[str, float]:
        detect = rule.detect
        if not detect.scored:
            return MappingProxyType({})
        given, name = (detect.threshold, "threshold") if detect.threshold is not None else (detect.fpr, "fpr")
        if given is not None and (missing := [r for r in _roles(rule.roles) or VOICES if _of_role(given, r) is None]):
            text = f'"{name}" says nothing of {", ".join(sorted(missing))}: add them, or "other", or "roles" without them'
            self._wrong((*at, name), text)
        if detect.above is not None and detect.fpr is None and detect.threshold is None:
            # Without an upper edge the judge decides whatever reaches the lower one.
            return MappingProxyType(dict.fromkeys(VOICES, detect.below if detect.below is not None else _NEVER))
        if detect.threshold is not None:
            return MappingProxyType({role: _of_role(detect.threshold, role) or 1.0 for role in VOICES})
        rates = {role: (_of_role(detect.fpr, role) if detect.fpr else None) or DEFAULT_FPR for role in VOICES}
        if detect.category is None:
            if head is None:
                return MappingProxyType(dict.fromkeys(VOICES, _NEVER))
            least = head.threshold if detect.unless is None else lambda fpr: 1 - head.threshold_of_topic(fpr)
            return MappingProxyType({role: least(fpr) for role, fpr in rates.items()})
        if self._calibration is None:
            return MappingProxyType(dict.fromkeys(VOICES, 1.0))
        asked = {(VOICES[role], fpr) for role, fpr in rates.items()}
        known = {(voice, fpr): self._calibration.threshold(detect.category, fpr, voice) for voice, fpr in asked}
        return MappingProxyType({role: known[VOICES[role], fpr] for role, fpr in rates.items()})

    def _patterns(self, rule: RuleFile, label: str, at: Loc) -> Iterable[Pattern]:
        detect = rule.detect
        own = f"{self._name}@{self._sha[:8]}/{rule.id}"  # two versions of a policy may be in one scanner
        for index, name in enumerate(detect.entities or ()):
            if name in ENTITIES:
                yield ENTITIES[name]
            else:
                self._wrong((*at, "entities", index), unknown("entity", name, ENTITIES))
        if detect.secrets:
            yield from SECRETS
        for index, word in enumerate(detect.keywords or ()):
            yield keyword_pattern(f"{own}/{index}", label, word)
        if detect.pattern is not None:
            problem = regex_problem(detect.pattern)
            if problem:
                self._wrong((*at, "pattern"), problem)
            else:
                yield Pattern(f"{own}/0", label, detect.pattern)

    def _examples(self) -> Iterable[Example]:
        ids = [rule.id for rule in self._file.rules]
        for index, one in enumerate(self._file.examples):
            at: Loc = ("examples", index)
            if one.expect.rule is not None and one.expect.rule not in ids:
                self._wrong((*at, "expect", "rule"), unknown("rule", one.expect.rule, ids))
            action = Action[one.expect.action.upper()]
            direction: Direction = "prompt" if one.prompt is not None else "completion"
            line, setting = self._positions.line(at), Setting(**one.when.model_dump())
            text, role = one.prompt or one.completion or "", one.role or ""
            yield Example(text, direction, action, one.expect.rule, line, role, setting=setting, tool=one.tool)


def _of_role(given: Mapping[Any, float], role: str) -> float | None:
    """Its own number, else that of another name for the same voice, else the one for all others."""
    return given.get(role, given.get(_SAME_ROLE.get(role, ""), given.get("other")))


def _kind(detect: Detect) -> Literal["category", "examples", "patterns", "judge"]:
    if detect.category:
        return "category"
    return "examples" if detect.scored else "judge" if detect.judge else "patterns"


def _roles(roles: Iterable[str] | None) -> frozenset[str] | None:
    """The roles that a rule reads. Two words for the same voice count as one: a tool's output is a document."""
    if roles is None:
        return None
    return frozenset(r for role in roles for r in (role, _SAME_ROLE.get(role, role)))


def regex_problem(regex: str) -> str | None:
    """Why a regular expression cannot be used, or None."""
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(regex, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "not understood"
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        return f"RE2 refuses the pattern: {reason} (no lookaround and no backreferences: matching takes linear time)"
    for probe in ("", "a", " ", "0", "a b", "\n"):
        if any(match.end() == match.start() for match in compiled.finditer(probe)):
            return "the pattern matches the empty string; it would be found everywhere"
    return None

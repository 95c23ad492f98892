"""The values that everybody passes around. Imports nothing of ours."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

CATEGORIES = ("harassment", "hate", "self_harm", "sexual", "sexual_minors", "violence", "illicit", "jailbreak", "injection")

Direction = Literal["prompt", "completion"]
Role = Literal["system", "developer", "user", "assistant", "tool", "document"]


class Action(enum.IntEnum):
    """Ordered: the strictest wins by `max`."""

    PASS = 0
    FLAG = 1
    REDACT = 2
    BLOCK = 3

    def __str__(self) -> str:
        return self.name.lower()


class Span(NamedTuple):
    """`[start, end)` in characters of the original text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Text to inspect, and where it came from.

    `context` is what precedes it in the conversation and `lead` what precedes it in the same text, both for the
    classifier only: it reads them to understand `text`, spans and redactions concern `text` alone. `before` is more of
    both, for a judge. Of an answer in pieces a judge reads longer stretches: `stretch` is the one that ends here, empty
    inside one; None where `text` is read by itself. `tool` is the tool that is called with the text or has said it, empty
    where its name is not known; None where no tool is concerned.
    """

    text: str = field(repr=False)
    role: str = "user"
    direction: Direction = "prompt"
    path: tuple[Hashable, ...] = ()
    context: str = field(default="", repr=False)
    lead: str = field(default="", repr=False)
    before: str = field(default="", repr=False)
    stretch: str | None = field(default=None, repr=False)
    tool: str | None = None

    @property
    def seam(self) -> bool:
        """Whether this is where two texts of a prompt meet, each of which is read by itself as well."""
        return self.direction == "prompt" and self.stretch == ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one detector saw. `source` is the pattern id or the category; `label` names the kind, as in `[EMAIL_1]`."""

    source: str
    label: str
    span: Span
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Pattern:
    """One regular expression in RE2 syntax (linear time by construction).

    `id` is unique over all policies. `valid(text, span)` may narrow a candidate to the spans inside it that really are
    one (a checksum, a validated phone number) or return none; it must be pure and depend on nothing outside
    `text[span.start - 1 : span.end + 1]`.
    """

    id: str
    label: str
    regex: str
    ignore_case: bool = False
    valid: Callable[[str, Span], list[Span]] | None = None


class Scan(NamedTuple):
    """`findings` all end at or before `settled`; no text added later can change anything before `settled`."""

    findings: tuple[Finding, ...]
    settled: int


Scores = Mapping[str, float]  # category -> calibrated probability


@dataclass(frozen=True, slots=True)
class Failure:
    """A detector that could not judge. The policy's `on_error` gives it meaning."""

    detector: str
    reason: str
    categories: frozenset[str] | None = None  # that it answers for, "" where it reads examples too; None: all

    def concerns(self, category: str) -> bool:
        return self.categories is None or category in self.categories


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a judge said of a text under one rule. `codes` are the parts of the rule that it names. `rationale` may quote
    the text: it is for the operator's eyes, never for a log or the end user's."""

    violates: bool
    score: float = 1.0
    codes: tuple[str, ...] = ()
    rationale: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One look at a segment: by whom, for which rule (none: for all of them), what it said, how long it took."""

    detector: str
    rule: str
    score: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one rule made of one segment. `action` is what it asks for; in monitor mode that is recorded, not done.
    `codes` and `rationale` are a judge's."""

    rule: str
    action: Action
    enforced: bool
    label: str
    score: float
    threshold: float | None
    spans: tuple[Span, ...] = ()
    decided_by: str = "pattern"
    codes: tuple[str, ...] = ()
    rationale: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one segment, with its reasons.

    `redactions` are (span, label) pairs to replace, sorted and disjoint. `not_inspected` says why some of it was not judged.
    `steps` tell who looked, where that is more than patterns and the classifier. A `pending` verdict holds for now: a judge
    that nobody waits for is still at it.
    """

    action: Action = Action.PASS
    outcomes: tuple[Outcome, ...] = ()
    redactions: tuple[tuple[Span, str], ...] = ()
    not_inspected: tuple[Failure, ...] = ()
    unavailable: bool = False  # the block comes from a failure under `on_error: block`, not from the text
    steps: tuple[Step, ...] = ()
    pending: bool = False
    scores: Scores | None = field(default=None, compare=False)  # the classifier's; what the screen excluded has none

    @property
    def blocking(self) -> Outcome | None:
        return next((o for o in self.outcomes if o.enforced and o.action is Action.BLOCK), None)

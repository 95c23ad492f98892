"""The format of a policy file. Says what may be written; what it means is in `load` and `decide`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from proxy.text.language import LANGUAGES
from proxy.yamlfile import did_you_mean

NOT_YET = "not available in this version of Weir"
DEFAULT_FPR = 0.005

Category = Literal[
    "harassment", "hate", "self_harm", "sexual", "sexual_minors", "violence", "illicit", "jailbreak", "injection"
]
OnError = Literal["block", "pass"]
ActionName = Literal["flag", "redact", "block"]
RoleName = Literal["system", "developer", "user", "assistant", "tool", "document"]


def _id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise ValueError("a name or id has letters, digits, '.', '-' and '_' only, and begins with a letter or a digit")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("this text is empty")
    return value


def _share(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *%", value.strip())
        if not match:
            raise ValueError('a share is a number from 0 to 1, or a text such as "5%"')
        return float(match[1]) / 100
    return value


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _by_role(value: Any) -> Any:
    return value if isinstance(value, dict) else {"other": value}


def _language(value: str) -> str:
    if value not in LANGUAGES:
        raise ValueError(f'unknown language "{value}"{did_you_mean(value, LANGUAGES)}; two letters, as in en, fr, de')
    return value


def _worded(value: Any) -> Any:
    if isinstance(value, str):
        return {"": value}
    if isinstance(value, dict) and not value:
        raise ValueError("no words: a text, or one for each language, as in {en: …, fr: …}")
    return value


Id = Annotated[str, AfterValidator(_id)]
Text = Annotated[str, AfterValidator(_not_blank)]
Names = Annotated[list[Text], BeforeValidator(_list), Field(min_length=1)]
Language = Annotated[str, AfterValidator(_language)]
# A text, or one for each language; a text alone stands under "".
Worded = Annotated[dict[Annotated[str, AfterValidator(lambda name: name and _language(name))], Text], BeforeValidator(_worded)]
Voice = Literal["user", "assistant", "document", "system", "developer", "tool", "other"]
# A number, or one for each role; a number alone stands under "other".
Rates = Annotated[dict[Voice, Annotated[float, Field(gt=0, le=0.5)]], BeforeValidator(_by_role)]
Scores = Annotated[dict[Voice, Annotated[float, Field(gt=0, le=1)]], BeforeValidator(_by_role)]
Share = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ExamplesFile(_Part):
    """A category of the team's own, by texts that belong to it and texts that look alike and do not."""

    violates: list[Text] = Field(min_length=3, max_length=300)
    allows: list[Text] = Field(default=[], max_length=300)


class TopicFile(_Part):
    """The inverted sense: whatever is not like the allowed texts is found."""

    allows: list[Text] = Field(min_length=3, max_length=300)
    violates: list[Text] = Field(default=[], max_length=300)


class WhenFile(_Part):
    """Where a rule holds; of each line any, of all lines every one."""

    route: Names | None = None
    key: Names | None = None
    model: Names | None = None
    language: Annotated[list[Language], BeforeValidator(_list), Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _some(self) -> WhenFile:
        if not self.model_fields_set:
            raise ValueError('"when" says none of route, key, model and language')
        return self


class SettingFile(_Part):
    """Where an example is said."""

    route: Text = ""
    key: Text = ""
    model: Text = ""
    language: Language = ""


class Detect(_Part):
    """What a rule looks for: exactly one of the kinds. `fpr` or `threshold` go with what has a score."""

    category: Category | None = None
    fpr: Rates | None = None
    threshold: Scores | None = None
    entities: list[str] | None = Field(default=None, min_length=1)
    secrets: bool | None = None
    keywords: list[Text] | None = Field(default=None, min_length=1)
    pattern: Text | None = None
    examples: ExamplesFile | None = None
    unless: TopicFile | None = None
    judge: Id | None = None
    codes: list[Text] | None = Field(default=None, min_length=1)
    above: float | None = Field(default=None, gt=0, lt=1)
    below: float | None = Field(default=None, gt=0, le=1)
    confirm: Id | None = None
    sample: Share | None = None

    @field_validator("secrets")
    @classmethod
    def _only_true(cls, value: bool | None) -> bool | None:
        if value is not True:
            raise ValueError('"secrets" can only be true; leave the rule out to look for none')
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Detect:
        kinds = ("category", "examples", "unless", "judge", "entities", "secrets", "keywords", "pattern")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(given) != 1:
            said = "it has " + " and ".join(given) if given else "it has none"
            raise ValueError(f'"detect" needs exactly one of {", ".join(kinds)}; {said}')
        if not self.scored and (self.fpr is not None or self.threshold is not None):
            raise ValueError(f'"fpr" and "threshold" go with a category or with examples; {given[0]} has no score')
        if self.fpr is not None and self.threshold is not None:
            raise ValueError('"fpr" and "threshold" say the same thing twice; keep one')
        self._check_band()
        return self

    @property
    def scored(self) -> bool:
        return self.category is not None or self.examples is not None or self.unless is not None

    def _check_band(self) -> None:
        if (self.above is None) != (self.confirm is None):
            raise ValueError('"above" and "confirm" go together: from which score on which judge is asked')
        if self.above is not None and not self.scored:
            raise ValueError('"above" and "confirm" go with a category or with examples')
        if self.below is not None and (self.above is None or self.fpr is not None or self.threshold is not None):
            raise ValueError('"below" ends the band that "above" begins; "threshold" or "fpr" would say the same thing')
        high = self.below if self.below is not None else min(self.threshold.values(), default=None) if self.threshold else None
        if self.above is not None and high is not None and high <= self.above:
            raise ValueError(f"the band is empty: it begins at {self.above} and ends at {high}")
        if self.sample is not None and self.confirm is None:
            raise ValueError('"sample" goes with "confirm": it is a share of what the classifier decided alone')
        if self.codes is not None and self.judge is None and self.confirm is None:
            raise ValueError('"codes" goes with a judge: which of its codes count')


class RuleFile(_Part):
    id: Id
    detect: Detect
    on: list[Literal["prompt", "completion"]] = Field(default=["prompt", "completion"], min_length=1)
    roles: list[RoleName] | None = Field(default=None, min_length=1)
    tools: Names | None = None
    when: WhenFile | None = None
    action: ActionName
    mode: Literal["enforce", "monitor"] = "enforce"
    on_error: OnError | None = None
    judging: Literal["wait", "after"] = "wait"
    restore: bool = False
    text: Text | None = None
    refusal: Worded | None = None
    description: str | None = None

    @model_validator(mode="after")
    def _restorable(self) -> RuleFile:
        whole = self.detect.scored or self.detect.judge is not None
        if self.restore and (self.action != "redact" or whole or "prompt" not in self.on):
            raise ValueError('"restore" goes with a rule that redacts entities, secrets, keywords or a pattern in prompts')
        return self

    @model_validator(mode="after")
    def _on_topic(self) -> RuleFile:
        if self.detect.unless is not None and "completion" in self.on:
            raise ValueError(
                '"unless" is for prompts: write "on: [prompt]"; the pieces of an answer have no topic of their own'
            )
        return self

    @model_validator(mode="after")
    def _judged(self) -> RuleFile:
        if self.judging == "after":
            if self.detect.judge is None and self.detect.confirm is None:
                raise ValueError('"judging" goes with a judge')
            if self.action == "redact":
                raise ValueError('a judge that comes after cannot redact what has left; "judging: wait", or another action')
        return self


class Expect(_Part):
    action: Literal["pass", "flag", "redact", "block"]
    rule: str | None = None


class ExampleFile(_Part):
    """A text and what should become of it: exactly one of `prompt` (a user's, or that of `role`) and `completion`. `tool`: the
    one that has answered so, or that is called so."""

    prompt: Text | None = None
    completion: Text | None = None
    role: RoleName | None = None
    tool: Text | None = None
    when: SettingFile = SettingFile()
    expect: Expect

    @model_validator(mode="after")
    def _one_text(self) -> ExampleFile:
        if (self.prompt is None) == (self.completion is None):
            raise ValueError('an example has exactly one of "prompt" and "completion"')
        if self.role is not None and self.completion is not None and self.role != "assistant":
            raise ValueError('a completion is the assistant\'s; "role" says who wrote a prompt')
        return self


class Limit(_Part):
    """How much text of one request is judged, and what becomes of a longer one."""

    chars: int = Field(default=200_000, gt=0)
    over: Literal["block", "pass"] = "block"


class PolicyFile(_Part):
    version: Literal[1]
    name: Id | None = None
    description: str | None = None
    on_error: OnError = "block"
    streaming: Literal["hold", "buffer", "follow"] = "hold"
    follow_limit: int = Field(default=400, gt=0)
    on_block: Literal["error", "refuse"] = "error"
    refusal: Worded | None = None
    media: Literal["pass", "flag", "block"] = "flag"
    limit: Limit = Limit()
    history: Literal["judge_new", "judge_all"] = "judge_all"
    unknown_fields: Literal["inspect", "block"] = "inspect"
    rules: list[RuleFile]
    examples: list[ExampleFile] = []

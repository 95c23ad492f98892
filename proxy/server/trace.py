"""What is noted of a request while it is on its way, for the record of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from proxy.stream.channel import Channel, Kind
from proxy.text.jsontext import JsonText
from proxy.types import Direction, Scores, Segment, Verdict
from proxy.wire.parts import Json, Part
from proxy.wire.usage import Usage

# Names that may stand in a record: those of the APIs. Any other key is somebody's own word.
_KNOWN = frozenset(
    (
        "messages content text input input_text output output_text instructions system prompt suffix tools tool_calls function "
        "name arguments description parameters input_schema refusal reasoning reasoning_content thinking summary choices "
        "message delta data item part parts source title context result citations annotations logprobs partial_json metadata "
        "user media unknown_fields response_format json_schema schema strict enum properties id type role closed file filename "
        "tool_use tool_result code error args custom action query queries"
    ).split()
)


def place_of(path: Iterable[Hashable]) -> str:
    """`messages[2].content`, as far as its words are the API's; a stream's channels have such names too."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (str(key) if key in _KNOWN else "*")
    return text


@dataclass(slots=True)
class Tally:
    """Characters of one direction."""

    inspected: int = 0
    not_inspected: int = 0
    redacted: int = 0
    withheld: int = 0

    @property
    def json(self) -> dict[str, int]:
        return {
            "inspected": self.inspected,
            "not_inspected": self.not_inspected,
            "redacted": self.redacted,
            "withheld": self.withheld,
        }


class Read(NamedTuple):
    """A verdict, and on what. Spans are characters of the text at that place."""

    direction: Direction
    place: str
    verdict: Verdict


class Text(NamedTuple):
    direction: Direction
    place: str
    role: str
    text: str
    tool: str | None = None


@dataclass(slots=True)
class Trace:
    key: str = ""
    trace_id: str = ""  # of the W3C trace that the request belongs to
    keeps: bool = False  # texts too
    streamed: bool = False
    prompt: Tally = field(default_factory=Tally)
    completion: Tally = field(default_factory=Tally)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)  # direction -> category -> the highest
    ms: dict[str, float] = field(default_factory=dict)
    usage: Usage | None = None
    ended: str = ""  # done, blocked, error, disconnected
    error: str = ""  # its code
    texts: list[Text] = field(default_factory=list, repr=False)
    _heard: dict[Hashable, tuple[Kind, list[str]]] = field(default_factory=dict, repr=False)

    def prompted(self, place: str, segment: Segment, verdict: Verdict) -> None:
        missed, text = bool(verdict.not_inspected), segment.text
        self.prompt.inspected += 0 if missed else len(text)
        self.prompt.not_inspected += len(text) if missed else 0
        self.prompt.redacted += sum(end - start for (start, end), _ in verdict.redactions)
        self.scored("prompt", verdict.scores)
        if self.keeps:
            self.texts.append(Text("prompt", place, segment.role, text, segment.tool))

    def forget_answer(self) -> None:
        """What has been said so far was no answer."""
        self.completion, self.usage, self.ended = Tally(), None, ""
        self.scores.pop("completion", None)
        self.texts = [one for one in self.texts if one.direction == "prompt"]
        self._heard.clear()

    def listen(self, part: Part) -> None:
        self._heard.setdefault(part.channel, (part.kind, []))[1].append(part.text)

    def answered(self, key: Hashable, place: str, channel: Channel, size: int) -> None:
        """A text of the answer has come to its end. `size`: characters of it that the provider has sent."""
        tally, left = self.completion, min(size, channel.frontier)
        unread = 0 if channel.complete else max(0, size - channel.frontier)
        tally.not_inspected += channel.missed
        tally.inspected += max(0, size - channel.missed - unread)
        tally.withheld += size - left
        tally.redacted += sum(min(end, left) - start for start, end, _ in channel.edits(0, left))
        self.scored("completion", channel.highest)
        if key in self._heard:
            kind, pieces = self._heard.pop(key)
            text = "".join(pieces)
            self.texts.append(Text("completion", place, "assistant", plain(text) if kind == "json" else text, channel.tool))

    def scored(self, direction: Direction, scores: Scores | None) -> None:
        if scores:
            highest = self.scores.setdefault(direction, {})
            for name, score in scores.items():
                highest[name] = max(score, highest.get(name, 0.0))


def plain(text: str) -> str:
    """What is judged of a JSON text: verdicts count its characters."""
    return JsonText().feed(text, final=True)


def person_of(body: Mapping[str, Json]) -> str | None:
    """Whom the caller says that it is about: OpenAI's `safety_identifier` or `user`, Anthropic's `metadata.user_id`."""
    metadata = body.get("metadata")
    given = (body.get("safety_identifier"), body.get("user"), metadata.get("user_id") if isinstance(metadata, dict) else None)
    return next((one for one in given if isinstance(one, str) and one), None)


def path_of(path: Iterable[Hashable] | None) -> str:
    return place_of(path) if path is not None else ""


def rounded(scores: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    return {direction: {name: round(score, 4) for name, score in of.items()} for direction, of in scores.items()}

"""The guard of one streamed answer: bytes and verdicts in, commands out.

Theory of operation
-------------------
Events become items (see `wire.parts`). An item waits in its lane until every text in it is behind the frontier of its
channel; then it leaves, as it came if nothing in it changed. Text that may leave never waits for text that may not:
an item whose head is free is split. Lanes and choices do not wait for each other; a finish waits for its choice, usage
and `[DONE]` wait for everything.

A choice ends once: by its finish, by a block, or by an error. After a block nothing of that choice leaves but its
closing chunk. When the last choice has ended by a block, Weir closes the stream itself and upstream is cancelled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from proxy.stream.channel import Channel, Mode, Piece, TextRules
from proxy.text.redact import Placeholders, Restorer
from proxy.types import Action, Segment, Verdict
from proxy.wire import sse
from proxy.wire.parts import BadBody, Item, Json, Part, decode, encode, get, put, rewritten
from proxy.wire.usage import Usage, usage_of


class Inspect(NamedTuple):
    """Please judge this; answer with `resolved(id, verdict)`."""

    id: int
    segment: Segment


class Send(NamedTuple):
    data: bytes


class Finish(NamedTuple):
    """The stream is over: stop reading upstream, and end the answer to the client."""

    reason: Literal["done", "blocked", "error"]


Command = Inspect | Send | Finish


class Reader(Protocol):
    """What an API's events look like. `wire.chat.ChunkReader` is one."""

    choices: int
    include_usage: bool
    watches: bool  # whether it wants to know what left

    def items(self, event: sse.Event) -> list[Item]: ...

    def sent(self, body: Json) -> None:
        """One body has left for the client, as it is."""
        ...

    def blocked(self, index: int, annotation: Json = None) -> bytes: ...

    def usage(self, prompt: int, completion: int) -> bytes: ...
    def done(self) -> bytes: ...
    def error(self, message: str, code: str) -> bytes: ...


@dataclass(slots=True)
class StreamGuard:
    reader: Reader
    rules: TextRules
    placeholders: Placeholders = field(default_factory=Placeholders)
    mode: Mode = "hold"
    follow_limit: int = 0
    context: str = field(default="", repr=False)  # the end of the prompt
    history: str = field(default="", repr=False)  # more of it, for a judge
    lead: str = field(default="", repr=False)  # the end of the answer that this one goes on with
    doubted: bool = False  # a judge is still at the prompt: no end is said before it has spoken
    prompt_tokens: int = 0
    restorer: Restorer | None = None
    annotate: Any = None  # verdict -> what a blocked chunk says of it
    listen: Callable[[Part], None] | None = None  # told of every text as it comes
    usage: Usage | None = None  # what the provider says that it has counted
    fault: tuple[str, str] | None = None  # what is wrong with upstream's answer, and a code for it

    _parser: sse.Parser = field(default_factory=sse.Parser)
    _channels: dict[Hashable, Channel] = field(default_factory=dict)
    _closed: dict[Hashable, Channel] = field(default_factory=dict)  # of blocked choices
    _sizes: dict[Hashable, int] = field(default_factory=dict)  # source characters received
    _lanes: dict[Hashable, deque[Item]] = field(default_factory=dict)
    _waiting: list[Item] = field(default_factory=list)  # behind a barrier
    _ended: set[int] = field(default_factory=set)
    _blocked: set[int] = field(default_factory=set)
    _asked: dict[int, tuple[Channel, int]] = field(default_factory=dict)
    _next_id: int = 0
    _tokens: int = 0
    _counted: bool = False  # usage has left
    _failing: bytes | None = None  # said once everything before it has left
    _over: bool = False
    _finish: Finish | None = None
    _commands: list[Command] = field(default_factory=list)
    _out: list[bytes] = field(default_factory=list)

    # -- what happens

    def received(self, data: bytes) -> list[Command]:
        """Upstream sent bytes."""
        if not self._over and self._failing is None:
            try:
                self._take(self._parser.feed(data))
            except sse.EventTooLong:
                self._fail("The upstream sent an event that is too long.", "upstream_error")
        return self._answer()

    def resolved(self, id: int, verdict: Verdict) -> list[Command]:
        """An Inspect was answered."""
        channel, number = self._asked.get(id, (None, 0))
        if not verdict.pending:
            self._asked.pop(id, None)
        if channel is not None and not self._over:
            channel.resolved(number, verdict)
        return self._answer()

    def settled(self, verdict: Verdict) -> list[Command]:
        """A judge that came after has spoken of the prompt. If it blocks, every answer to it ends here."""
        self.doubted = False
        if verdict.action is Action.BLOCK and not self._over:
            for channel in self._channels.values():
                channel.leaked = channel.leaked or channel.frontier_now
            self._block(None, verdict)
        return self._answer()

    def closed(self, reason: str = "", code: str = "upstream_error") -> list[Command]:
        """Upstream will send no more; `reason` says why when that was not its wish."""
        if not self._over and self._failing is None:
            if not reason:
                self._take(self._parser.flush())
            finished = len(self._ended) >= self.reader.choices
            if self._failing is None and not self._over and not any(i.ends == "stream" for i in self._waiting):
                if finished and not reason:
                    self._waiting.append(Item(None, None, [], self.reader.done(), barrier="all", ends="stream"))
                else:
                    self._fail(reason or "The upstream ended the stream before the answer was finished.", code)
        return self._answer()

    @property
    def over(self) -> bool:
        return self._over

    @property
    def heard(self) -> bool:
        """Whether any of the answer's own text has come; names and other things that stand by themselves are none."""
        return any(size and not _is_closed(key) for key, size in self._sizes.items())

    @property
    def released(self) -> bool:
        """Whether any of that may have left, or it has been decided that none will."""
        return bool(self._blocked) or any(c.frontier_now and not _is_closed(key) for key, c in self._channels.items())

    def channels(self) -> Iterator[tuple[Hashable, Channel, int]]:
        """Every text so far, with the characters of it that upstream has sent."""
        for key, channel in (*self._channels.items(), *self._closed.items()):
            yield key, channel, self._sizes[key]

    def all_verdicts(self) -> list[Verdict]:
        """Every verdict that has something to say."""
        return [v for _, c, _ in self.channels() for v in c.verdicts]

    @property
    def characters(self) -> int:
        """Of all the text that upstream has sent."""
        return sum(self._sizes.values())

    @property
    def leaked(self) -> int:
        """Characters of blocked text that had left, in follow mode or before a judge that comes after."""
        return sum(c.leaked for c in self._closed.values())

    # -- items in

    def _take(self, events: list[sse.Event]) -> None:
        fresh: dict[Hashable, list[str]] = {}
        for event in events:
            try:
                items = self.reader.items(event)
            except BadBody as error:
                self._feed(fresh)
                self._fail(f"The upstream sent {error}.", "upstream_error")
                return
            for item in items:
                self._admit(item, fresh)
                if self._failing is not None:
                    return
        self._feed(fresh)

    def _admit(self, item: Item, fresh: dict[Hashable, list[str]]) -> None:
        if item.choice is not None and (item.choice in self._blocked or item.choice in self._ended):
            return  # its choice is closed; nothing may trail a finish
        for part in item.parts:
            if part.repeats:
                continue  # the channel has had this text already
            if part.closed:
                part.channel = (item.choice, "closed", self._next_id)
                self._next_id += 1
            part.start = self._sizes.get(part.channel, 0)
            self._sizes[part.channel] = part.start + len(part.text)
            fresh.setdefault(part.channel, []).append(part.text)
            if self.listen is not None:
                self.listen(part)
            if part.channel not in self._channels:
                self._open(part)
            elif part.tool != self._channels[part.channel].tool:
                self._channels[part.channel].belongs(part.tool)
        self._tokens += 1 if item.parts else 0
        if (counted := usage_of(item.body)) is not None:
            self.usage = self.usage.merged(counted) if self.usage is not None else counted
        if item.completes is not None:
            self._feed(fresh)
            self._complete(item.completes)
        if item.ends == "choice" and item.choice is not None:
            self._feed(fresh)
            self._ended.add(item.choice)
            self._complete((item.choice,))
        if item.ends == "error":
            self._feed(fresh)
            self.fault = ("The upstream ended the stream with an error.", "provider_error")
            for channel in self._channels.values():
                self._ask(channel, channel.finish())
        if item.barrier:
            self._waiting.append(item)
        elif item.lane is None and not item.parts:
            self._say(item, item.body)
        else:
            self._lanes.setdefault(item.lane, deque()).append(item)

    def _open(self, part: Part) -> None:
        self._channels[part.channel] = Channel(
            self.rules, self.placeholders.child(), self.mode, self.follow_limit, part.kind, part.prose, self.restorer,
            part.tool, self.lead if part.tool is None else "",
        )  # fmt: skip

    def _feed(self, fresh: dict[Hashable, list[str]]) -> None:
        """All new text of a channel at once: one scan a read, not one a token."""
        for key, texts in fresh.items():
            channel = self._channels[key]
            self._ask(channel, channel.feed("".join(texts)))
            if _is_closed(key):
                self._ask(channel, channel.finish())
        fresh.clear()

    def _complete(self, prefix: tuple[Hashable, ...]) -> None:
        """No more text will come for these channels."""
        for key, channel in self._channels.items():
            if isinstance(key, tuple) and key[: len(prefix)] == prefix:
                self._ask(channel, channel.finish())

    def _ask(self, channel: Channel, pieces: list[Piece]) -> None:
        for piece in pieces:
            self._asked[self._next_id] = (channel, piece.number)
            segment = segment_of(piece, self.context, self.history, channel.tool)
            self._commands.append(Inspect(self._next_id, segment))
            self._next_id += 1

    def _fail(self, message: str, code: str) -> None:
        """Upstream is no longer of use. What it said is judged and may leave; then the client is told."""
        self._failing = self.reader.error(message, code)
        self.fault = (message, code)
        for channel in self._channels.values():
            self._ask(channel, channel.finish())

    # -- items out

    def _answer(self) -> list[Command]:
        if not self._over:
            self._release()
        if self._out:
            self._commands.append(Send(b"".join(self._out)))
            self._out = []
        if self._finish is not None:
            self._commands.append(self._finish)
            self._finish = None
        commands, self._commands = self._commands, []
        return [c for c in commands if not (self._over and isinstance(c, Inspect))]

    def _release(self) -> None:
        for _lane, queue in self._lanes.items():
            while queue and self._leave(queue[0]):
                queue.popleft()
            if queue:
                self._split(queue[0])
        for key, channel in list(self._channels.items()):
            if channel.blocked_by is not None:
                self._block(_choice_of(key), channel.blocked_by)
                if self._over:
                    return
        waiting, self._waiting = self._waiting, []
        for position, item in enumerate(waiting):
            if not self._clear(item):
                self._waiting = waiting[position:]
                break
            if item.ends == "stream" and self._blocked:
                self._count()
            self._counted = self._counted or bool(item.body and item.body.get("usage"))
            self._pass(item)
            if item.ends in ("error", "stream"):
                self._end("error" if item.ends == "error" else "blocked" if self._blocked else "done")
                return
        self._finish_blocked()
        if self._failing is not None and not self._over and not self._waiting and not any(self._lanes.values()):
            self._out.append(self._failing)
            self._end("error")

    def _leave(self, item: Item) -> bool:
        """Sends the item if every text in it may leave."""
        for part in item.parts:
            if self._channels[part.channel].frontier < part.start + len(part.text):
                return False
        self._pass(item)
        return True

    def _pass(self, item: Item) -> None:
        if item.raw is not None and not any(self._touched(part) for part in item.parts):
            self._say(item, item.body)
            return
        body = rewritten(item.body)
        for part in item.parts:
            self._write(body, part, part.text)
        item.raw = None
        if not self._is_hollow(item, body):
            self._say(item, body)

    def _say(self, item: Item, body: Json) -> None:
        self._out.append(item.raw if item.raw is not None else sse.encode(encode(body), item.name))
        if self.reader.watches:
            self.reader.sent(body)

    @staticmethod
    def _is_hollow(item: Item, body: Json) -> bool:
        """Whether the redaction has taken all that the event was there to say."""
        part = item.parts[0] if len(item.parts) == 1 else None
        if part is None or part.path is None or item.ends or not part.text or len(part.path) != 4:
            return False
        return get(body, part.path) == "" and len(get(body, part.path[:-1])) == 1

    def _touched(self, part: Part) -> bool:
        channel = self._channels[part.channel]
        return channel.edited and bool(channel.edits(part.start, part.start + len(part.text)))

    def _split(self, item: Item) -> None:
        """Sends the head of an item whose rest must wait, if there is a word in it."""
        part = item.parts[0] if len(item.parts) == 1 else None
        if part is None or part.path is None or part.boxed or part.repeats:
            return
        channel = self._channels[part.channel]
        head = part.text[: max(0, channel.frontier - part.start)]
        if not head or (head.isspace() and channel.blocked_by is None):
            return  # white space alone is not worth an event, unless it is the last word
        body = rewritten(item.body)
        self._write(body, part, head)
        item.raw = None
        self._say(item, body)
        entries = get(item.body, part.logprobs) if part.logprobs else None
        if entries is not None and part.logprobs:
            put(item.body, part.logprobs, tokens_within(entries, len(head), len(part.text)))
        part.text, part.start = part.text[len(head) :], part.start + len(head)
        put(item.body, part.path, part.text)

    def _write(self, body: Json, part: Part, text: str) -> None:
        channel = self._channels[part.channel]
        if part.path is not None:
            text_now = channel.render(part.start, text)
            put(body, part.path, decode(text_now) if part.boxed else text_now)
        if part.logprobs is not None:
            entries = get(body, part.logprobs)
            hidden = [(a - part.start, b - part.start) for a, b, _ in channel.edits(part.start, part.start + len(text))]
            put(body, part.logprobs, tokens_within(entries, 0, len(text), hidden))

    def _clear(self, item: Item) -> bool:
        """Whether everything that the item's barrier names has left."""
        if self.doubted:
            return False
        own = all(self._channels[p.channel].complete for p in item.parts)
        if item.barrier == "choice":
            lanes = (q for k, q in self._lanes.items() if q and q[0].choice == item.choice)
            done = all(c.complete for k, c in self._channels.items() if _choice_of(k) == item.choice)
            return own and done and not any(lanes)
        return own and not any(self._lanes.values()) and all(c.complete for c in self._channels.values())

    def _block(self, choice: int | None, verdict: Verdict) -> None:
        if choice in self._blocked:
            return
        if verdict.unavailable:
            self._out.append(self.reader.error("The guardrail could not judge the answer.", "guardrail_unavailable"))
            self._end("error")
            return
        affected = [choice] if choice is not None else list(range(self.reader.choices))
        for index in affected:
            if index in self._blocked:
                continue
            self._blocked.add(index)
            self._out.append(self.reader.blocked(index, self.annotate(verdict) if self.annotate else None))
        for key in [k for k in self._channels if _choice_of(k) in (*affected, choice)]:
            self._closed[key] = self._channels.pop(key)
        for lane, queue in list(self._lanes.items()):
            if queue and queue[0].choice in (*affected, choice):
                del self._lanes[lane]
        self._waiting = [
            i for i in self._waiting if i.choice not in affected and not any(p.channel in self._closed for p in i.parts)
        ]

    def _finish_blocked(self) -> None:
        """When a block leaves no choice with more to say, Weir closes the stream itself."""
        speaking = any(self._lanes.values()) or any(item.ends == "choice" for item in self._waiting)
        if not self._blocked or speaking or len(self._blocked | self._ended) < self.reader.choices:
            return
        self._count()
        self._out.append(self.reader.done())
        self._end("blocked")

    def _count(self) -> None:
        if self.reader.include_usage and not self._counted:
            self._out.append(self.reader.usage(self.prompt_tokens, self._tokens))

    def _end(self, reason: Literal["done", "blocked", "error"]) -> None:
        self._over = True
        self._finish = Finish(reason)


def segment_of(piece: Piece, context: str, history: str, tool: str | None = None) -> Segment:
    """A piece of an answer, to be judged after the end of the prompt."""
    before = history + "\n" + piece.before if piece.stretch is not None else ""
    return Segment(piece.text, "assistant", "completion", (), context, piece.lead, before, piece.stretch, tool)


def _is_closed(channel: Hashable) -> bool:
    return isinstance(channel, tuple) and channel[1:2] == ("closed",)


def _choice_of(channel: Hashable) -> int | None:
    return channel[0] if isinstance(channel, tuple) and isinstance(channel[0], int) else None


def tokens_within(entries: Json, start: int, end: int, hidden: list[tuple[int, int]] | None = None) -> Json:
    """The logprob entries whose text lies wholly in `[start, end)` and touches nothing hidden. The older API has them as
    parallel lists in one object."""
    if isinstance(entries, dict):
        tokens = entries.get("tokens") or []
        kept = [i for i, _ in _within(tokens, start, end, hidden)]
        lists = {k: v for k, v in entries.items() if isinstance(v, list) and len(v) == len(tokens)}
        return {**entries, **{k: [v[i] for i in kept] for k, v in lists.items()}}
    return [entry for _, entry in _within(entries, start, end, hidden)]


def _within(entries: list[Json], start: int, end: int, hidden: list[tuple[int, int]] | None) -> Iterator[tuple[int, Json]]:
    at = 0
    for index, entry in enumerate(entries):
        token = str(entry.get("token", "")) if isinstance(entry, dict) else str(entry)
        left, at = at, at + len(token)
        if left >= start and at <= end and not any(left < b and at > a for a, b in hidden or ()):
            yield index, entry

"""The order in which providers are asked, how long is waited between, and who is left out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from email.utils import formatdate

import pytest

from proxy import metrics
from proxy.config import Ejection, Retries
from proxy.upstream import Call, UpstreamError
from proxy.upstream.concealed import Concealed
from proxy.upstream.fallback import Attempts, Fallbacks, backoff, retry_after
from proxy.upstream.member import Member

CALL = Call("chat/completions", b'{"model":"asked"}', {})
GONE = UpstreamError("gone")
SILENT = UpstreamError("silent", 504, "upstream_timeout")
QUICK = Retries(attempts=2, first=0.001, longest=0.01)


class Answer:
    def __init__(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        self.status, self.body, self.closed = status, body, False
        self.headers = [(name.replace("_", "-"), value) for name, value in headers.items()]

    async def read(self) -> bytes:
        return self.body

    async def chunks(self) -> AsyncIterator[bytes]:
        for index in range(len(self.body)):
            yield self.body[index : index + 1]

    def close(self) -> None:
        self.closed = True


class Scripted:
    """Answers one after the other; the last one for ever."""

    def __init__(self, *script: Answer | UpstreamError) -> None:
        self.script, self.calls = list(script), list[Call]()

    async def open(self, call: Call) -> Answer:
        self.calls.append(call)
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, UpstreamError):
            raise said
        return said

    async def close(self) -> None: ...


def member(name: str, provider: Scripted, retries: Retries = QUICK, **ejection: float) -> Member:
    return Member(name, provider, None, retries, Ejection.model_validate(ejection))


def asking(*providers: Scripted) -> Attempts:
    return Fallbacks([member(f"p{i}", one) for i, one in enumerate(providers)]).attempts(CALL)


async def test_the_same_is_asked_again_then_the_next() -> None:
    busy = Answer(503)
    first, second = Scripted(GONE, busy, Answer(500)), Scripted(Answer(200))
    before = metrics.retries.labels("p0")._value.get(), metrics.fallbacks.labels("p0", "p1")._value.get()
    attempts = asking(first, second)
    assert (await attempts.open()).status == 200
    assert (len(first.calls), len(second.calls), busy.closed) == (3, 1, True)
    assert metrics.retries.labels("p0")._value.get() == before[0] + 2
    assert metrics.fallbacks.labels("p0", "p1")._value.get() == before[1] + 1


async def test_what_the_last_one_says_is_the_answer() -> None:
    last = Answer(429)
    assert await asking(Scripted(GONE), Scripted(Answer(429), Answer(503), last)).open() is last and not last.closed
    with pytest.raises(UpstreamError, match="gone"):
        await asking(Scripted(Answer(503)), Scripted(GONE)).open()


async def test_the_requests_own_fault_is_nobody_elses_business() -> None:
    other = Scripted(Answer(200))
    assert (await asking(Scripted(Answer(400)), other).open()).status == 400
    assert not other.calls


async def test_who_was_waited_for_is_not_waited_for_again() -> None:
    slow, other = Scripted(SILENT), Scripted(Answer(200))
    assert (await asking(slow, other).open()).status == 200
    assert len(slow.calls) == 1


async def test_an_answer_that_comes_to_nothing_goes_on_the_same_way() -> None:
    first, second = Scripted(Answer(200)), Scripted(Answer(200))
    attempts = asking(first, second)
    opened = 0
    while attempts.more:
        await attempts.open()
        opened += 1
        assert attempts.broke(GONE)
    await attempts.open()
    assert not attempts.broke(GONE)
    assert (opened, len(first.calls), len(second.calls)) == (5, 3, 3)


async def test_retry_after_is_honoured() -> None:
    patient = Retries(attempts=1, first=5.0, longest=8.0)
    busy = Scripted(Answer(429, retry_after="0.05"), Answer(200))
    started = time.monotonic()
    assert (await Fallbacks([member("p0", busy, patient)]).attempts(CALL).open()).status == 200
    assert 0.05 <= time.monotonic() - started < 5.0  # as it says, and not what would be waited otherwise


@pytest.mark.parametrize("headers", [{"retry_after": "9"}, {"x_should_retry": "false"}])
async def test_who_asks_for_more_than_we_wait_is_not_asked_again(headers: dict[str, str]) -> None:
    busy, other = Scripted(Answer(429, **headers)), Scripted(Answer(200))
    assert (await asking(busy, other).open()).status == 200
    assert len(busy.calls) == 1


def test_how_providers_say_when_to_come_back() -> None:
    now = 1_700_000_000.0
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({"retry-after": formatdate(now + 30, usegmt=True)}, now) == 30
    assert retry_after({"retry-after": formatdate(now - 30, usegmt=True)}, now) == 0
    assert retry_after({"retry-after": "soon"}) is None and retry_after({}) is None


def test_the_pause_doubles_and_is_never_quite_the_same() -> None:
    retries = Retries(first=1.0, longest=4.0)
    for tries, most in ((1, 1.0), (2, 2.0), (3, 4.0), (9, 4.0)):
        found = {backoff(retries, tries) for _ in range(50)}
        assert most / 2 <= min(found) < max(found) <= most


async def test_who_fails_in_a_row_is_left_out_and_tried_again() -> None:
    ill, well = Scripted(GONE), Scripted(Answer(200))
    once = Retries(attempts=0)
    first, second = member("ill", ill, once, failures=3, pause=0.2, longest=0.2), member("well", well, once)
    pool = Fallbacks([first, second])
    for _ in range(5):
        assert (await pool.attempts(CALL).open()).status == 200
    assert (len(ill.calls), first.ejected, second.ejected) == (3, True, False)
    assert metrics.ejected.labels("ill")._value.get() == 1
    deadline = time.monotonic() + 5
    while first.rests and time.monotonic() < deadline:
        time.sleep(0.02)
    ill.script = [Answer(200)]
    probe = pool.attempts(CALL)
    await probe.open()
    assert len(ill.calls) == 4
    probe.worked()
    assert not first.ejected and metrics.ejected.labels("ill")._value.get() == 0


async def test_a_busy_provider_is_not_an_ill_one() -> None:
    one = member("busy", Scripted(Answer(429)), Retries(attempts=0), failures=1)
    await Fallbacks([one]).attempts(CALL).open()
    assert not one.ejected


async def test_when_all_are_left_out_all_are_asked() -> None:
    ill = [member("a", Scripted(GONE), Retries(attempts=0), failures=1) for _ in range(2)]
    for _ in range(2):
        with pytest.raises(UpstreamError):
            await Fallbacks(ill).attempts(CALL).open()
    assert all(one.ejected for one in ill)


async def test_a_provider_may_have_a_name_of_its_own_for_the_model() -> None:
    first, second = Scripted(GONE), Scripted(Answer(200))
    pool = Fallbacks([member("a", first, Retries(attempts=0)), Member("b", second, "own-name")])
    await pool.attempts(CALL).open()
    assert (first.calls[0].body, second.calls[0].body) == (b'{"model":"asked"}', b'{"model":"own-name"}')
    for body in (b"--boundary", b"[1]", b'{"purpose":"batch"}'):
        await pool.attempts(Call("files", body, {})).open()
        assert second.calls[-1].body == body


async def test_the_providers_key_is_nowhere_however_it_is_cut() -> None:
    body = b'{"error": "your key sk-secret-1 is wrong, sk-secret-1, sk-sec"}'
    response = await Concealed(Scripted(Answer(401, body, x_echo="sk-secret-1")), "sk-secret-1").open(CALL)
    hidden = body.replace(b"sk-secret-1", b"[provider's key]")
    assert b"".join([data async for data in response.chunks()]) == hidden == await response.read()
    assert response.headers == [("x-echo", "[provider's key]")]

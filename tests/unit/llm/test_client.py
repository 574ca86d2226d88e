from __future__ import annotations

import gc
import random
import sys
from typing import TYPE_CHECKING

import anyio
import pytest
from tests.support.questions import request
from tests.support.scripted import CLOSE, answer, reply, serve

from pairmill.clock import FakeClock
from pairmill.errors import Kind, ProviderError
from pairmill.events import Bus, CallAnswered, CallFailed, CallGivenUp, Event
from pairmill.llm.budget import PricedUsage
from pairmill.llm.client import Client
from pairmill.llm.providers.direct import DirectProvider
from pairmill.llm.providers.endpoint import Endpoint, Secret
from pairmill.llm.providers.provider import Mode
from pairmill.llm.retry import AT_PROBE, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.scripted import Scripted

    from pairmill.llm.admission import Turn
    from pairmill.llm.providers.provider import Provider, ProviderReply
    from pairmill.records import Request

BUSY = reply({"error": {"message": "busy"}}, 503)
SLOW = reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "20"})
WRONG_KEY = reply({"error": {"message": "no", "code": "invalid_api_key"}}, 401)


class Stopped(Exception):  # noqa: N818 (as a run's own wish to end)
    pass


class Watched:
    """An admission, its turns, and the flight: all in one, writing down what happens."""

    def __init__(self, provider: Provider, mode: Mode = Mode.JSON_SCHEMA) -> None:
        self.provider = provider
        self.mode = mode
        self.request: Request | None = None
        self.admitted: list[bool] = []
        self.ended: list[object] = []
        self.avoided: list[frozenset[str]] = []
        self.pool = "a"
        self.alone = False
        self.others = 0
        self.stop_after = 10**9
        self.in_flight = 0

    @property
    def held(self) -> int:
        return len(self.admitted) - len(self.ended)

    async def admit(
        self, request: Request, *, is_retry: bool, avoid: frozenset[str] = frozenset()
    ) -> Turn:
        self.admitted.append(is_retry)
        self.avoided.append(avoid)
        self.request = request
        return self  # type: ignore[return-value]

    def has_other(self, request: Request, tried: frozenset[str]) -> bool:
        self.others -= 1
        return self.others >= 0

    charge: PricedUsage | None = None

    def answered(self, reply: ProviderReply) -> PricedUsage:
        self.ended.append(reply.completion.usage)
        return PricedUsage(reply.completion.usage, 42)

    def failed(self, error: ProviderError) -> bool:
        self.ended.append(error.kind)
        return self.alone

    @property
    def is_held(self) -> bool:
        return self.ended[-1] is Kind.RATE  # as a gate whose calls are all refused

    def abandoned(self) -> None:
        self.ended.append("abandoned")

    def give_back(self) -> None:
        self.ended.append("unused")

    def check(self) -> None:
        if len(self.admitted) > self.stop_after:
            raise Stopped

    def begin(self) -> None:
        self.check()
        self.in_flight += 1

    def end(self) -> None:
        self.in_flight -= 1


class WatchedClock(FakeClock):
    """Notes how many turns are held during each sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: Watched | None = None
        self.held_asleep: list[int] = []

    async def sleep(self, seconds: float) -> None:
        assert self.gate is not None
        self.held_asleep.append(self.gate.held)
        await super().sleep(seconds)


class Setting:
    """A client with everything around it, over the real wire to a scripted server."""

    def __init__(self, server: Scripted, policy: RetryPolicy | None = None) -> None:
        self.clock = WatchedClock()
        self.provider = DirectProvider(
            Endpoint(server.base_url, Secret("")), self.clock, concurrency=2, timeout_s=60.0
        )
        self.gate = self.clock.gate = Watched(self.provider)
        self.events: list[Event] = []
        bus = Bus()
        bus.subscribe(self.events.append)
        self.client = Client(self.gate, self.gate, bus, self.clock, random.Random(0), policy=policy)

    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.events]


@pytest.fixture
async def opened() -> AsyncIterator[list[Setting]]:
    settings: list[Setting] = []
    yield settings
    for setting in settings:
        assert setting.gate.in_flight == 0
        assert setting.gate.held == 0
        await setting.provider.aclose()


async def test_an_answer_settles_its_turn_and_is_told(opened: list[Setting]) -> None:
    async with serve(reply(answer("hi"))) as server:
        opened.append(setting := Setting(server))
        completion = await setting.client.complete(request("12345"))
    assert completion.text == "hi"
    assert setting.gate.admitted == [False]
    assert setting.gate.ended == [completion.usage]
    (event,) = setting.events
    stage = request("12345").prompt.template.name
    assert stage
    assert event == CallAnswered(
        "served-model", "answer", completion.usage, 42, stage=stage, asked="m", pool="a"
    )


async def test_retries_are_new_admissions_and_nobody_sleeps_on_a_turn(
    opened: list[Setting],
) -> None:
    async with serve(BUSY, SLOW, BUSY, reply(answer("hi"))) as server:
        opened.append(setting := Setting(server))
        assert (await setting.client.complete(request())).text == "hi"
    assert setting.gate.admitted == [False, True, True, True]
    assert setting.gate.ended[:3] == [Kind.OVERLOAD, Kind.RATE, Kind.OVERLOAD]
    assert setting.clock.held_asleep == [0, 0]  # not after the refusal: there the gate waits
    assert setting.kinds() == [CallFailed] * 3 + [CallAnswered]
    last = setting.events[-1]
    assert isinstance(last, CallAnswered)
    assert last.sends == 4
    assert last.total_s == pytest.approx(sum(setting.clock.slept))  # its clock stands else
    assert last.seconds == 0.0


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "invalid_api_key", Kind.AUTH),
        (429, "insufficient_quota", Kind.QUOTA),
        (404, "model_not_found", Kind.CONFIG),
        (400, "context_length_exceeded", Kind.CHUNK),
    ],
)
async def test_what_waiting_cannot_mend_is_asked_once(
    opened: list[Setting], status: int, code: str, kind: Kind
) -> None:
    async with serve(reply({"error": {"message": "no", "code": code}}, status)) as server:
        opened.append(setting := Setting(server))
        with pytest.raises(ProviderError) as caught:
            await setting.client.complete(request())
        assert len(server.requests) == 1
    assert caught.value.kind is kind
    assert setting.clock.slept == []


async def test_where_somebody_else_can_answer_it_goes_there_at_once(opened: list[Setting]) -> None:
    async with serve(WRONG_KEY, reply(answer("hi"))) as server:
        opened.append(setting := Setting(server))
        setting.gate.others = 1
        assert (await setting.client.complete(request())).text == "hi"
    assert setting.gate.ended[0] is Kind.AUTH
    assert setting.clock.slept == [0.0]


async def test_patience_is_bounded_by_the_time_waited(opened: list[Setting]) -> None:
    async with serve(BUSY) as server:
        opened.append(setting := Setting(server, RetryPolicy(max_wait_s=30.0, cap_s=2.0)))
        with pytest.raises(ProviderError, match="busy"):
            await setting.client.complete(request())
    assert 27.0 < sum(setting.clock.slept) <= 30.0
    last = setting.events[-1]
    assert isinstance(last, CallGivenUp)
    assert (last.kind, last.pool, last.sends) == (Kind.OVERLOAD, "a", len(setting.events) - 1)


@pytest.mark.parametrize("is_well", [True, False])
async def test_what_fails_again_and_again_is_given_up_where_something_else_is_answered(
    opened: list[Setting], is_well: bool
) -> None:
    asked: list[str] = []

    async def look(model: str) -> bool:
        asked.append(model)
        return is_well

    async with serve(BUSY) as server:
        setting = Setting(server, RetryPolicy(max_wait_s=100.0))
        opened.append(setting)
        setting.client._is_well = look
        with pytest.raises(ProviderError):
            await setting.client.complete(request())
        first = len(server.requests)
        with pytest.raises(ProviderError):
            await setting.client.complete(request("another"))
    assert set(asked) == {"m"}  # the model that failed, and no other
    if is_well:
        assert (first, len(server.requests) - first, len(asked)) == (3, 3, 1)
    else:
        assert first > 5  # it is patient with a server that answers nobody
        assert len(asked) < first / 2  # and asks seldom


async def test_when_the_run_ends_nothing_more_is_sent(opened: list[Setting]) -> None:
    async with serve(BUSY) as server:
        opened.append(setting := Setting(server))
        setting.gate.stop_after = 2
        with pytest.raises(Stopped):
            await setting.client.complete(request())
        assert len(server.requests) == 2
    assert setting.gate.ended[-1] == "unused"


async def test_a_failure_while_the_run_ends_is_not_waited_for(opened: list[Setting]) -> None:
    async with serve(BUSY) as server:
        opened.append(setting := Setting(server))
        checks = iter([False, True])

        def check() -> None:
            if next(checks):
                raise Stopped

        setting.gate.check = check  # type: ignore[method-assign]
        with pytest.raises(Stopped):
            await setting.client.complete(request())
    assert setting.clock.slept == []


async def test_a_cancelled_call_is_perhaps_paid(opened: list[Setting]) -> None:
    async with serve(reply(answer())) as server:
        server.delay_s = 30.0
        opened.append(setting := Setting(server))
        async with anyio.create_task_group() as group:
            group.start_soon(setting.client.complete, request())
            await server.asked.wait()
            group.cancel_scope.cancel()
    assert setting.gate.ended == ["abandoned"]


class Log:
    """A ``SendLog`` that notes what it was asked, beside the admissions."""

    def __init__(self, gate: Watched, count: int) -> None:
        self.count = count
        self.told: list[object] = []
        self._gate = gate

    def failed(self, error: ProviderError) -> None:
        self.told.append(error.kind)

    async def kept(self) -> None:
        self.told.append(("kept before send", len(self._gate.admitted) + 1))

    is_behind = False

    async def wait_for_room(self) -> None:
        self.told.append("waited for room")
        self.is_behind = False


async def test_what_could_not_be_kept_is_not_sent_though_its_turn_has_come(
    opened: list[Setting],
) -> None:
    async with serve(reply(answer("hi"))) as server:
        opened.append(setting := Setting(server))
        log = Log(setting.gate, 0)
        log.is_behind = True
        assert (await setting.client.complete(request(), log)).text == "hi"
    assert log.told == ["waited for room"]
    assert len(setting.gate.admitted) == 2  # the first turn was given back


async def test_a_second_send_waits_until_the_first_is_kept(opened: list[Setting]) -> None:
    async with serve(CLOSE, reply(answer("hi"))) as server:
        opened.append(setting := Setting(server))
        log = Log(setting.gate, 0)
        assert (await setting.client.complete(request(), log)).text == "hi"
    assert log.told == [Kind.LOST, ("kept before send", 2)]


async def test_a_send_of_an_earlier_start_counts(opened: list[Setting]) -> None:
    async with serve(CLOSE) as server:
        opened.append(setting := Setting(server))
        log = Log(setting.gate, 1)
        with pytest.raises(ProviderError) as raised:
            await setting.client.complete(request(), log)
    assert raised.value.billed_sends == 2
    assert log.told == [("kept before send", 1), Kind.LOST]


async def test_a_call_that_failed_before_it_was_answered_leaves_no_cycle(
    opened: list[Setting],
) -> None:
    """Thousands of refusals would else pile up until the collector comes, which it seldom does."""
    async with serve(SLOW, reply(answer("hi"))) as server:
        opened.append(setting := Setting(server))
        gc.collect()
        gc.disable()
        try:
            asked = request("12345")
            held = sys.getrefcount(asked)
            await setting.client.complete(asked)
            setting.gate.request = None
            assert sys.getrefcount(asked) == held
        finally:
            gc.enable()


async def test_nothing_of_a_request_that_is_given_up_is_held(opened: list[Setting]) -> None:
    """Neither by its failure nor by the future that brought it: that would be some 20 KB."""
    async with serve(CLOSE) as server:
        opened.append(setting := Setting(server))
        gc.collect()
        gc.disable()
        try:
            asked = request("12345")
            held = sys.getrefcount(asked)
            try:
                await setting.client.complete(asked)
            except ProviderError as error:
                assert error.kind is Kind.LOST  # noqa: PT017 (pytest.raises would hold it)
            setting.gate.request = None
            assert len(setting.gate.admitted) == 2
            assert sys.getrefcount(asked) == held
        finally:
            gc.enable()


async def test_the_last_try_of_a_start_comes_when_it_was_said_to(opened: list[Setting]) -> None:
    """Thirty seconds after the first failure, whatever the calls and the gate took."""
    async with serve(BUSY) as server:
        opened.append(setting := Setting(server, AT_PROBE))
        with pytest.raises(ProviderError):
            await setting.client.complete(request())
    assert sum(setting.clock.slept) == pytest.approx(30.0, abs=0.5)
    assert len(setting.gate.admitted) > 5


async def test_a_try_that_waits_for_its_turn_until_the_end_is_given_up(
    opened: list[Setting], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the client's clock, of which half a minute passes at once."""
    async with serve(BUSY) as server:
        opened.append(setting := Setting(server, AT_PROBE))
        admit, began = setting.gate.admit, setting.clock.now

        async def never_twice(request: Request, **how: bool | frozenset[str]) -> Turn:
            if setting.gate.admitted:
                await anyio.sleep_forever()
            return await admit(request, **how)  # type: ignore[arg-type]

        monkeypatch.setattr(setting.gate, "admit", never_twice)
        with anyio.fail_after(20), pytest.raises(ProviderError, match="busy"):
            await setting.client.complete(request())
        assert len(server.requests) == 1
    assert setting.clock.now - began == pytest.approx(30.0)

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from tests.support.questions import request
from tests.support.scripted import answer, reply, serve

from pairmill.errors import Kind, ProviderError
from pairmill.events import Bus, Event, Topic
from pairmill.llm.admission import ConcurrencyGate, Cost
from pairmill.llm.client import Client
from pairmill.llm.endpoint import Endpoint, Secret
from pairmill.llm.providers.provider import Mode
from pairmill.llm.providers.sdk import SdkProvider
from pairmill.llm.retry import RetryPolicy
from pairmill.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.support.scripted import Scripted

    from pairmill.llm.admission import Lease
    from pairmill.records import Usage

BUSY = reply({"error": {"message": "busy"}}, 503)
SLOW = reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "20"})
COST = Cost(1, 1, "t", "m")


class WatchedGate:
    """A concurrency gate that writes down what happens at it."""

    def __init__(self, limit: int = 1) -> None:
        self._gate = ConcurrencyGate(limit)
        self.admitted: list[Cost] = []
        self.released: list[tuple[Kind | None, Usage | None, dict[str, str]]] = []

    @property
    def held(self) -> int:
        return len(self.admitted) - len(self.released)

    async def admit(self, cost: Cost) -> Lease:
        lease = await self._gate.admit(cost)
        self.admitted.append(cost)
        gate = self

        class Watched:
            def release(
                self, outcome: Kind | None, usage: Usage | None, headers: Mapping[str, str]
            ) -> None:
                gate.released.append((outcome, usage, dict(headers)))
                lease.release(outcome, usage, headers)

        return Watched()


class WatchedClock(FakeClock):
    """Notes how many places at the gate are held during each sleep."""

    def __init__(self, gate: WatchedGate) -> None:
        super().__init__()
        self.gate = gate
        self.held_asleep: list[int] = []

    async def sleep(self, seconds: float) -> None:
        self.held_asleep.append(self.gate.held)
        await super().sleep(seconds)


class Setting:
    """A client with everything around it, over the real wire to a scripted server."""

    def __init__(self, server: Scripted, policy: RetryPolicy | None = None) -> None:
        self.gate = WatchedGate()
        self.clock = WatchedClock(self.gate)
        self.events: list[Event] = []
        bus = Bus()
        bus.subscribe(self.events.append)
        self.provider = SdkProvider(
            Endpoint(server.base_url, Secret("")), self.clock, concurrency=2, timeout_s=0.5
        )
        self.client = Client(
            self.provider, self.gate, bus, self.clock, random.Random(0), policy=policy
        )

    def topics(self) -> list[Topic]:
        return [event.topic for event in self.events]


@pytest.fixture
async def opened() -> AsyncIterator[list[Setting]]:
    settings: list[Setting] = []
    yield settings
    for setting in settings:
        await setting.provider.aclose()


async def test_an_answer_settles_its_lease_and_is_told(opened: list[Setting]) -> None:
    limits = {"x-ratelimit-limit-requests": "60"}
    async with serve(reply(answer("hi"), headers=limits)) as server:
        opened.append(setting := Setting(server))
        completion = await setting.client.complete(request("12345"))
    assert completion.text == "hi"
    assert setting.gate.admitted == [Cost(len("Be brief.Hm?12345"), 64, "ask", "m")]
    assert setting.gate.released == [(None, completion.usage, limits)]
    (event,) = setting.events
    assert event.topic is Topic.CALL_ANSWERED
    assert event.fields == {
        "model": "served-model",
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "cached_tokens": 4,
        "seconds": 0.0,
    }


async def test_retries_are_new_admissions_and_nobody_sleeps_on_a_place(
    opened: list[Setting],
) -> None:
    async with serve(BUSY, SLOW, BUSY, reply(answer("hi"))) as server:
        opened.append(setting := Setting(server))
        assert (await setting.client.complete(request())).text == "hi"
    assert len(setting.gate.admitted) == 4
    assert [outcome for outcome, _, _ in setting.gate.released] == [
        Kind.OVERLOAD,
        Kind.RATE,
        Kind.OVERLOAD,
        None,
    ]
    assert setting.gate.released[1][2] == {"retry-after": "20"}
    assert setting.clock.held_asleep == [0, 0, 0]
    assert setting.clock.slept[1] >= 20.0
    assert setting.topics() == [Topic.CALL_FAILED] * 3 + [Topic.CALL_ANSWERED]


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
    assert setting.gate.held == 0


async def test_patience_is_bounded_by_the_time_waited(opened: list[Setting]) -> None:
    async with serve(BUSY) as server:
        opened.append(setting := Setting(server, RetryPolicy(max_wait_s=30.0, cap_s=2.0)))
        with pytest.raises(ProviderError, match="busy"):
            await setting.client.complete(request())
    assert 27.0 < sum(setting.clock.slept) <= 30.0


async def test_a_refusal_settles_with_what_it_cost(opened: list[Setting]) -> None:
    async with serve(reply(answer(None, refusal="I cannot"))) as server:
        opened.append(setting := Setting(server))
        with pytest.raises(ProviderError):
            await setting.client.complete(request())
    ((outcome, usage, _),) = setting.gate.released
    assert outcome is Kind.BADOUT
    assert usage
    assert usage.completion_tokens == 5


async def test_a_cancelled_call_gives_its_place_back(opened: list[Setting]) -> None:
    async with serve(reply(answer())) as server:
        server.delay_s = 30.0
        opened.append(setting := Setting(server))
        async with anyio.create_task_group() as group:
            group.start_soon(setting.client.complete, request())
            await server.asked.wait()
            group.cancel_scope.cancel()
    assert setting.gate.released == [(None, None, {})]


async def test_the_gate_is_first_come_first_served_and_never_overfull() -> None:
    gate, order, inside = ConcurrencyGate(3), list[int](), 0

    async def pass_through(number: int) -> None:
        nonlocal inside
        lease = await gate.admit(COST)
        inside += 1
        order.append(number)
        assert inside <= 3
        await anyio.lowlevel.checkpoint()
        inside -= 1
        lease.release(None, None, {})
        lease.release(None, None, {})  # a second time changes nothing

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(pass_through, number)
    assert order == sorted(order)
    assert gate._free == 3


@pytest.mark.parametrize("granted_first", [False, True])
async def test_a_cancelled_wait_passes_its_turn_on(*, granted_first: bool) -> None:
    gate = ConcurrencyGate(1)
    held = await gate.admit(COST)
    passed: list[str] = []

    async def wait(name: str) -> None:
        lease = await gate.admit(COST)
        passed.append(name)
        lease.release(None, None, {})

    # asyncio's own tasks: anyio does not cancel a wait whose result is there already; asyncio does.
    first, second = (asyncio.create_task(wait(name)) for name in ("first", "second"))
    await anyio.wait_all_tasks_blocked()
    if granted_first:
        held.release(None, None, {})
        first.cancel()
    else:
        first.cancel()
        await anyio.lowlevel.checkpoint()
        held.release(None, None, {})
    await second
    assert first.cancelled()
    assert passed == ["second"]
    assert gate._free == 1


async def test_the_mode_can_be_given_for_one_call(opened: list[Setting]) -> None:
    async with serve(reply(answer())) as server:
        opened.append(setting := Setting(server))
        await setting.client.complete(request(), Mode.PROMPT)
        await setting.client.complete(request())
    assert ["response_format" in sent for sent in server.requests] == [False, True]

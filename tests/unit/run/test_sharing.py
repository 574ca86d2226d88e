"""Two runs at one shared object, as far as gates and budgets go: both keep to what one finds."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio

from pairmill.errors import EXIT_CONFIG, Kind, StorageError
from pairmill.events import Bus, CallCharged, Event, Notice
from pairmill.llm.budget import Budget, Caps
from pairmill.llm.limits.gate import Cost, Gate, Limits
from pairmill.llm.limits.headers import HeaderReading, LimitHint, Unit
from pairmill.llm.pools import Pool, Pools
from pairmill.run import sharing as tested
from pairmill.run.sharing import Sharing, keep_within_leases
from pairmill.run.stop import Stop
from pairmill.share.objects import SharedFolder
from pairmill.share.record import BudgetAccount, Money, ShareRecord, decode, encode
from pairmill.store.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

CALL = Cost(100, 100, 400)
RPM = Limits(requests_per_min=6000)


class Part:
    """One run: its gate, its budget, and what was said."""

    def __init__(
        self, place: Path, account: str, cap: int | None = None, folder: RunFolder | None = None
    ) -> None:
        pool = Pool("model", "https://a/v1", "KEY", "m", limits=RPM)
        self.gate = Gate(RPM, clock=time.monotonic, width=8, name="model")
        self.pools = Pools([pool], lambda _: self.gate)
        self.budget = Budget(Caps(picodollars=cap), clock=time.monotonic)
        self.stop, self.said = Stop(), list[Event]()
        bus = Bus()
        bus.subscribe(self.said.append, Notice)
        self.shared = SharedFolder(place)
        bus.subscribe(self.said.append, CallCharged)
        self.sharing = Sharing(self.shared, account, self.budget, bus, "share", folder)

    async def begin(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(keep_within_leases(self.sharing, self.pools, self.stop))


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not is_so():  # noqa: ASYNC110 (gates have no event)
            await anyio.sleep(0.02)


async def test_limits_and_pauses_that_one_meets_hold_the_other_too(tmp_path: Path) -> None:
    one, other = Part(tmp_path, "one"), Part(tmp_path, "other")
    async with AsyncExitStack() as stack:
        await one.begin(stack)
        await other.begin(stack)
        await until(lambda: one.gate.limits.share == other.gate.limits.share == 0.5)
        lease = await one.gate.admit(CALL)
        hint = LimitHint(minute={Unit.TOKENS: HeaderReading(limit=90_000, remaining=80_000)})
        lease.release(hint=hint)
        while one.gate.snapshot().paused_s <= 0:  # one refusal alone may be chance
            (await one.gate.admit(CALL)).release(Kind.RATE, retry_after_s=30.0)
        await until(lambda: other.gate.snapshot().paused_s > 20)
        assert other.gate.limits.tokens_per_min == 90_000


async def test_another_cap_ends_the_run_that_has_it(tmp_path: Path) -> None:
    one, other = Part(tmp_path, "one", 10**12), Part(tmp_path, "other", 2 * 10**12)
    async with AsyncExitStack() as stack:
        await one.begin(stack)
        (await one.gate.admit(CALL)).release()
        await other.begin(stack)
        await until(lambda: other.stop.is_requested)
        assert other.stop.exit_code == EXIT_CONFIG
        assert "a different max_usd" in other.stop.reason
        assert not one.stop.is_requested


async def test_who_cannot_reach_the_object_stops_and_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tested, "_TELL_S", 1.0)
    one = Part(tmp_path / "share", "one")
    async with AsyncExitStack() as stack:
        await one.begin(stack)
        (await one.gate.admit(CALL)).release()
        reading = one.shared.read

        def refuse() -> tuple[bytes | None, int]:
            raise StorageError("share: gone", transient=True)

        monkeypatch.setattr(one.shared, "read", refuse)
        await until(lambda: bool(one.gate.snapshot().cause))
        with anyio.move_on_after(0.5) as waiting:
            await one.gate.admit(CALL)
        assert waiting.cancelled_caught
        assert len(one.said) == 1
        assert "share: gone; the current lease is used up" in str(one.said[0])
        monkeypatch.setattr(one.shared, "read", reading)
        with anyio.fail_after(5):
            (await one.gate.admit(CALL)).release()


async def test_after_a_sleep_of_the_machine_nothing_holds_until_it_is_leased_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Part(tmp_path, "one")
    async with AsyncExitStack() as stack:
        await one.begin(stack)
        (await one.gate.admit(CALL)).release()
        monkeypatch.setattr(tested, "slept_s", lambda: 1e9)
        shares: list[float] = []
        setting = one.gate.set_share

        def note(share: float, end: float) -> None:
            shares.append(share)
            setting(share, end)

        monkeypatch.setattr(one.gate, "set_share", note)
        await until(lambda: 1.0 in shares)
        assert shares[0] == 0.0


async def test_all_that_a_lost_machine_was_allowed_counts_as_spent(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "restored")
    folder.state.mkdir(parents=True)
    shared = SharedFolder(tmp_path / "share")
    accounts = {"one": BudgetAccount(Money(40_000, 300), Money(5_000, 50))}
    record = ShareRecord(cap_picodollars=100_000, accounts=accounts)
    assert shared.swap(encode(record), 0)
    for is_restored, spent in ((False, 0), (True, 40_000)):
        if is_restored:
            folder.mark_restored()
        one = Part(tmp_path / "share", "one", 100_000, folder)
        async with AsyncExitStack() as stack:
            await one.begin(stack)
            (await one.gate.admit(CALL)).release()
            assert one.budget.spent.picodollars == spent
        told = [event for event in one.said if isinstance(event, CallCharged)]
        assert [event.doubt_picodollars for event in told] == [40_000] * is_restored
        assert not folder.is_restored
        data, token = shared.read()
        left = decode(data, "").accounts["one"].allowed.picodollars
        assert left == spent
        assert shared.swap(encode(record), token)

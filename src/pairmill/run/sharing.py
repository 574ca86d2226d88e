"""Leases a run's part of a shared quota and budget, and keeps to it."""

from __future__ import annotations

import random
import time
import uuid
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio.to_thread import run_sync

from pairmill.clock import slept_s
from pairmill.errors import ConfigError, PairmillError, StorageError
from pairmill.events import CallCharged, Notice
from pairmill.llm.budget import PricedUsage
from pairmill.records import Usage
from pairmill.share.member import MoneyNeed, ScopeNews, ShareMember, wanted_share
from pairmill.share.objects import open_shared
from pairmill.share.record import Money, decode, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pairmill.config import Settings
    from pairmill.events import Bus
    from pairmill.llm.budget import Budget
    from pairmill.llm.limits.gate import Gate
    from pairmill.llm.pools import Pools
    from pairmill.run.stop import Stop
    from pairmill.share.member import Grant
    from pairmill.share.objects import SharedObject
    from pairmill.share.record import ShareRecord
    from pairmill.store.folder import RunFolder

__all__ = ["Sharing", "keep_within_leases", "open_sharing"]

_LOOK_S = 0.25
_TRIES = 12
_TELL_S = 10.0  # without the object before a notice
_LEAST_PAUSE_S = 2.0  # shorter pauses are not reported to the others
_JUMP_S = 1.0  # of the time that a machine was suspended


async def open_sharing(
    settings: Settings, folder: RunFolder, budget: Budget, bus: Bus
) -> Sharing | None:
    """Open the shared object that the settings name; None if nothing is shared.

    From then on nothing is spent without a lease.

    Raises:
        ConfigError: It cannot be used.
    """
    if settings.share is None:
        return None
    if settings.rate_share != 1.0:
        raise ConfigError("rate_share: remove it; share divides the quota by itself")
    shared = await run_sync(open_shared, settings.share)
    with folder.read_ledger() as lookup:
        chain = lookup.chain()
    account = chain.id if chain else folder.path.name
    return Sharing(shared, account, budget, bus, settings.share, folder)


@asynccontextmanager
async def keep_within_leases(
    sharing: Sharing | None, pools: Pools, stop: Stop
) -> AsyncIterator[None]:
    """Keep the gates of all pools within their leases while the block runs."""
    if sharing is None:
        yield
        return
    sharing.take(pools)
    async with anyio.create_task_group() as renewing:
        renewing.start_soon(sharing.run, stop)
        yield
        renewing.cancel_scope.cancel()


class Sharing:
    """A run's membership in a shared quota and budget."""

    def __init__(
        self,
        shared: SharedObject,
        account: str,
        budget: Budget,
        bus: Bus,
        where: str,
        folder: RunFolder | None = None,
    ) -> None:
        """Created by `open_sharing`."""
        self._folder = folder if folder is not None and folder.is_restored else None
        self._shared = shared
        self._account = account
        self._budget = budget
        self._bus = bus
        self._where = where
        self._caps = (budget.caps.picodollars, budget.caps.tokens)
        self._gates: dict[str, Gate] = {}
        self._scope_of: dict[str, str] = {}
        self._pools: Pools | None = None
        self._member = ShareMember("", account, ())
        self._before: dict[str, tuple[float, dict[str, float]]] = {}
        self._wants: dict[str, float] = {}
        self._epochs: dict[str, int] = {}
        self._spent = (time.monotonic(), Money())
        self._per_s = Money()
        self._next_at = self._urgent_at = 0.0
        self._lost_since: float | None = None
        self._slept_s = slept_s()
        self._apply_money(Money(), may_grow=True)

    def take(self, pools: Pools) -> None:
        """Hold the gates of all pools until they have a lease."""
        self._pools = pools
        for pool in pools.alive:
            scope = pool.scope or pool.name
            self._scope_of[pool.name] = scope
            self._gates[scope] = pools.gate(pool.name)
        for gate in self._gates.values():
            gate.set_share(0.0, float("-inf"))
        self._member = ShareMember(
            uuid.uuid4().hex,
            self._account,
            tuple(self._gates),
            self._caps,
            writes_per_s=self._shared.writes_per_s,
            where=self._where,
        )

    async def run(self, stop: Stop) -> None:
        """Renew the lease until cancelled, then give it back.

        A configuration error (caps that differ from those of other runs) ends the run.
        """
        try:
            while True:
                try:
                    await self._step()
                except StorageError as error:
                    self._tell_lost(error)
                except PairmillError as error:
                    stop.request(str(error), error.exit_code)
                    return
                await anyio.sleep(_LOOK_S)
        finally:
            with anyio.CancelScope(shield=True), suppress(PairmillError):
                await self._leave()

    async def _step(self) -> None:
        """Read the shared object, and write what has changed."""
        now = time.monotonic()
        asleep_s = slept_s()
        if asleep_s - self._slept_s > _JUMP_S:  # earlier leases are void
            self._apply_shares({}, float("-inf"))
            self._next_at = now
        self._slept_s = asleep_s
        is_urgent = self._budget.wanted != (0, 0) and now >= self._urgent_at
        if now < self._next_at and not is_urgent:
            return
        for attempt in range(_TRIES):
            data, token = await run_sync(self._shared.read)
            record = decode(data, self._where)
            if self._folder is not None:
                self._count_what_was_lost(record, self._folder)
            now = time.monotonic()
            epochs = {scope: gate.control.epoch for scope, gate in self._gates.items()}
            plan = self._member.plan(record, now, self._news(now), self._need(now))
            self._learn(record)
            self._apply(plan.before)  # no await between the plan and here
            if plan.record is None:
                break
            swap = partial(self._shared.swap, encode(plan.record), token)
            if await run_sync(swap):
                self._member.written(plan, now)
                self._apply(plan.after)
                self._epochs = epochs  # a pause that began during the write must still be reported
                break
            await anyio.sleep(self._member.wait_after(attempt, random.random()))  # noqa: S311
        self._lost_since = None
        self._urgent_at = time.monotonic() + self._member.patience_s
        self._next_at = time.monotonic() + self._member.renew_s / 2.0 * random.uniform(0.8, 1.0)  # noqa: S311

    def _count_what_was_lost(self, record: ShareRecord, folder: RunFolder) -> None:
        """Count the whole allowance of a lost machine as spent: its last spending is unknown."""
        self._folder = None
        account = record.accounts.get(self._account)
        if account is not None and account.has_left:
            spent = self._budget.spent
            doubt = PricedUsage(
                Usage(),
                0,
                max(0, account.allowed.tokens - spent.tokens),
                max(0, account.allowed.picodollars - spent.picodollars),
            )
            self._budget.spend(doubt)
            told = (doubt.doubt_tokens, doubt.doubt_picodollars)
            self._bus.emit(CallCharged("", "lost", doubt.usage, 0, *told))
        folder.forget_restored()

    def _news(self, now: float) -> dict[str, ScopeNews]:
        given_up = self._pools.given_up if self._pools is not None else {}
        dead = {
            self._scope_of[name]: found
            for name, found in given_up.items()
            if name in self._scope_of and not found[0].endswith(_BY_ANOTHER)
        }
        found = {}
        for scope, gate in self._gates.items():
            limits = {unit.name: limit for unit, limit in gate.limits.per_min().items()}
            used = gate.used
            since, before = self._before.get(scope, (now, used))
            if now - since >= _LOOK_S:
                sent = {name: used[name] - before[name] for name in used}
                held = self._member.grant.shares.get(scope, 0.0)
                self._wants[scope] = wanted_share(held, gate.waiting, sent, limits, now - since)
                self._before[scope] = (now, used)
            elif scope not in self._before:
                self._before[scope] = (now, used)
            pause_s = gate.control.pause.until - now
            is_new = gate.control.epoch > self._epochs.get(scope, 0)
            is_long = is_new and pause_s >= _LEAST_PAUSE_S
            why, exit_code = dead.get(scope, ("", 0))
            found[scope] = ScopeNews(
                self._wants.get(scope, 1.0),
                {name: limit for name, limit in limits.items() if name in used},
                pause_s if is_long else 0.0,
                why,
                exit_code,
            )
        return found

    def _need(self, now: float) -> MoneyNeed:
        budget = self._budget
        spent, held = budget.spent, budget.reserved
        total = Money(spent.picodollars, spent.tokens)
        since, before = self._spent
        if now - since >= 1.0:
            self._per_s = Money(
                int((total.picodollars - before.picodollars) / (now - since)),
                int((total.tokens - before.tokens) / (now - since)),
            )
            self._spent = (now, total)
        return MoneyNeed(
            total, Money(held.picodollars, held.tokens), Money(*budget.wanted), self._per_s
        )

    def _learn(self, record: ShareRecord) -> None:
        """Apply pauses, limits and dead keys that other members reported."""
        for scope, seconds in self._member.pauses(record).items():
            self._gates[scope].pause(seconds)
        for scope, gate in self._gates.items():
            known = record.scopes.get(scope)
            if known is None:
                continue
            gate.learn(known.limits)
            if known.dead and self._pools is not None and self._member.has_joined:
                for name, other in self._scope_of.items():
                    if other == scope:
                        why = known.dead.removesuffix(_BY_ANOTHER)
                        self._pools.drop(name, f"{why}{_BY_ANOTHER}", known.exit_code)

    def _apply(self, grant: Grant) -> None:
        self._apply_shares(grant.shares, grant.until)
        self._apply_money(grant.allowed, may_grow=grant.may_grow)

    def _apply_shares(self, shares: dict[str, float], until: float) -> None:
        for scope, gate in self._gates.items():
            share = shares.get(scope, 0.0)
            gate.set_share(share, until if share > 0.0 else float("-inf"))

    def _apply_money(self, allowed: Money, *, may_grow: bool) -> None:
        dollars, tokens = self._caps
        if self._caps != (None, None):
            self._budget.allow(
                None if dollars is None else allowed.picodollars,
                None if tokens is None else allowed.tokens,
                may_grow=may_grow,
            )

    def _tell_lost(self, error: StorageError) -> None:
        now = time.monotonic()
        if self._lost_since is None:
            self._lost_since = now
        elif now - self._lost_since > _TELL_S:
            self._lost_since = float("inf")
            self._bus.emit(Notice(text=f"{error}; the current lease is used up, then calls wait"))

    async def _leave(self) -> None:
        """Return unspent money, if the object can be reached."""
        self._apply_shares({}, float("-inf"))
        spent, held = self._budget.spent, self._budget.reserved
        total = Money(spent.picodollars + held.picodollars, spent.tokens + held.tokens)
        self._apply_money(total, may_grow=False)
        for attempt in range(_TRIES):
            data, token = await run_sync(self._shared.read)
            record = self._member.leave(decode(data, self._where), total)
            if await run_sync(partial(self._shared.swap, encode(record), token)):
                return
            await anyio.sleep(self._member.wait_after(attempt, random.random()))  # noqa: S311


_BY_ANOTHER = " (as another process found that shares it)"

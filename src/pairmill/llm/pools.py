"""Several endpoints, keys and models as one: each call goes to the first pool that can take it.

A pool is an endpoint, a key and a model. Pools that a provider counts together (two keys of one
organisation) share a scope, and with it one gate. A pool whose key is refused, or whose credit is
used up, is dropped, and its calls move to the others. A pool that refuses everything, or was not
available at the start, is suspended while others work, and tried again later.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.errors import EXIT_CONFIG, EXIT_RESUMABLE, Kind, PairmillError, StoppedError
from pairmill.llm.health import TOO_LONG_S, Assessment, PoolHealth
from pairmill.llm.limits.gate import EvictedError, Gate, Lease, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pairmill.errors import ProviderError
    from pairmill.llm.limits.headers import LimitHint
    from pairmill.llm.limits.quota import Cost
    from pairmill.llm.prices import Price
    from pairmill.records import Usage

__all__ = ["Pool", "PoolLease", "Pools"]

_LONG_PAUSE_S = 1.0  # waiters move to other pools if theirs pauses for longer
_ASIDE_S = 30.0  # until a suspended pool is tried again: doubling, at most
_LONGEST_ASIDE_S = 600.0


@dataclass(frozen=True, slots=True)
class Pool:
    """One way to reach a model.

    Attributes:
        name: For people; unique.
        base_url: The endpoint.
        api_key_env: The environment variable that holds the key, never the key.
        model: The endpoint's name for it.
        limits: Its rate limits.
        concurrency: Maximum calls in flight; None: automatic.
        price: None if unknown.
        scope: Pools with the same scope share limits; None: a scope of its own.
        is_escalation: Only for units that failed on the other pools.
    """

    name: str
    base_url: str
    api_key_env: str
    model: str
    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    concurrency: int | None = None
    price: Price | None = None
    scope: str | None = None
    is_escalation: bool = False


class PoolLease(Struct, eq=False):
    """A lease, and its pool.

    Attributes:
        is_held: After ``fail``: True if the gate makes all calls wait, so that this one need not.
    """

    _pools: Pools
    pool: Pool
    _lease: Lease
    is_held: bool = False

    def release(self, *, usage: Usage | None = None, hint: LimitHint | None = None) -> None:
        """End the call with an answer, as ``Lease.release``."""
        self._pools.answered(self.pool, self._lease.admitted_at)
        self._lease.release(None, usage=usage, hint=hint)

    def fail(
        self, error: ProviderError, request_id: str = "", *, hint: LimitHint | None = None
    ) -> bool:
        """End the call with a failure; return whether the pool still answers other calls."""
        found = self._pools.assess(self.pool, error, request_id, self._lease.admitted_at)
        self.is_held = self._lease.release(
            error.kind, hint=hint, retry_after_s=error.retry_after_s, alone=found.alone
        )
        self._pools.act_on(self.pool, error, found)
        return found.alone

    def abandon(self) -> None:
        """End the call with an unknown outcome."""
        self._lease.release(Kind.TIMEOUT, alone=True)

    def give_back(self) -> None:
        """Return the lease unused, as ``Lease.give_back``."""
        self._lease.give_back()


class _Aside(Struct):
    """A pool that is suspended for a while."""

    entry: tuple[Pool, Gate]
    until: float
    for_s: float


class Pools:
    """All pools of a run.

    Args:
        pools: In order of preference, if several could take a call at once.
        make_gate: Creates the gate of a pool's scope.
        clock: The gates' clock.

    Attributes:
        health: By pool; tells whose fault its failures are.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        make_gate: Callable[[Pool], Gate],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gates: dict[str, Gate] = {}
        self._alive: dict[str, tuple[Pool, Gate]] = {}
        self._aside: dict[str, _Aside] = {}
        self._aside_s: dict[str, float] = {}
        self._why: dict[str, str] = {}
        self._exits: dict[str, int] = {}
        self._clock = clock
        self.health: dict[str, PoolHealth] = {pool.name: PoolHealth() for pool in pools}
        for pool in pools:
            scope = pool.scope or f"\0{pool.name}"
            gate = self._gates.get(scope)
            if gate is None:
                gate = self._gates[scope] = make_gate(pool)
            self._alive[pool.name] = (pool, gate)

    @property
    def alive(self) -> tuple[Pool, ...]:
        """Pools that still accept calls."""
        return tuple(pool for pool, _ in self._alive.values())

    def gate(self, name: str) -> Gate:
        """Return the gate of a living pool.

        Raises:
            KeyError: The name is unknown, or the pool was dropped.
        """
        return self._alive[name][1]

    @property
    def given_up(self) -> dict[str, tuple[str, int]]:
        """Dropped pools by name: why, and the exit code of a run without others."""
        return {
            name: (why, self._exits.get(name, EXIT_RESUMABLE))
            for name, why in self._why.items()
            if name not in self._aside
        }

    def admit_now(
        self,
        cost: Cost,
        among: Collection[str] | None = None,
        avoid: Collection[str] = frozenset(),
    ) -> PoolLease | None:
        """Return a lease of the pool that can take the call first, if it can at once; else None.

        Raises:
            StoppedError: No pool is left.
        """
        pool, gate = self._choose(cost, among, avoid)
        lease = gate.admit_now(cost)
        return None if lease is None else PoolLease(self, pool, lease)

    async def admit(
        self,
        cost: Cost,
        *,
        retry: bool = False,
        among: Collection[str] | None = None,
        avoid: Collection[str] = frozenset(),
    ) -> PoolLease:
        """Wait at the pool that can take the call first.

        If that pool pauses or is dropped meanwhile, the call moves to another.

        Args:
            cost: Expected usage of the call.
            retry: True if it was tried before.
            among: Names of the pools to choose from; None: all but those for escalation.
            avoid: Names of pools to skip if there is another.

        Raises:
            StoppedError: No pool is left.
        """
        while True:
            pool, gate = self._choose(cost, among, avoid)
            try:
                lease = await gate.admit(cost, retry=retry)
            except EvictedError:
                continue
            except PairmillError as error:
                if gate.closed is not error:
                    raise
                said = self.health[pool.name].sentence
                self.drop_gate(gate, f"{error} ({said})" if said else str(error))
                continue
            if pool.name not in self._alive:  # dropped while we waited at a shared gate
                lease.give_back()
                continue
            return PoolLease(self, pool, lease)

    def answered(self, pool: Pool, sent_at: float) -> None:
        """Record an answer of a pool to a call that was sent at ``sent_at``."""
        self.health[pool.name].answered(sent_at, self._clock())
        if self._aside_s:
            self._aside_s.pop(pool.name, None)

    def assess(
        self, pool: Pool, error: ProviderError, request_id: str, sent_at: float
    ) -> Assessment:
        """Return what a failed call means for its pool."""
        entry = self._alive.get(pool.name)
        others = entry[1].in_flight - 1 if entry else 0
        return self.health[pool.name].failed(
            error, request_id, sent_at, self._clock(), others=others
        )

    def act_on(self, pool: Pool, error: ProviderError, found: Assessment) -> None:
        """Drop a pool, suspend it, or move its waiters, depending on a failure."""
        entry = self._alive.get(pool.name)
        if entry is None:
            return
        gate = entry[1]
        asked_s = error.retry_after_s or 0.0
        if not found.why and asked_s > TOO_LONG_S and gate.snapshot().paused_s > TOO_LONG_S:
            why = f"it asks to wait for long: {error}"
            found = Assessment(alone=False, why=why, for_good=False)
        if found.why and not found.for_good and self._has_other(pool):
            self.set_aside(pool.name, found.why)
        elif found.why and error.kind is Kind.QUOTA and pool.scope is not None:
            self.drop_gate(gate, found.why, found.exit_code)  # their shared quota is used up
        elif found.why:
            self.drop(pool.name, found.why, found.exit_code)
        elif len(self._gates) > 1 and gate.waiting and gate.snapshot().paused_s > _LONG_PAUSE_S:
            gate.evict()

    def has_other(self, among: Collection[str], tried: Collection[str]) -> bool:
        """Return whether any pool ``among`` these accepts calls and was not ``tried``.

        Raises:
            StoppedError: None of them accepts calls.
        """
        self._look_aside()
        left = [name for name in self._alive if name in among]
        if not left:
            raise StoppedError(*self._last_words(among))
        return any(name not in tried for name in left)

    def set_aside(self, name: str, reason: str, *, first_s: float = _ASIDE_S) -> None:
        """Suspend a pool; calls that wait for it move on."""
        entry = self._alive.get(name)
        if entry is None:
            return
        for_s = min(_LONGEST_ASIDE_S, 2.0 * self._aside_s.get(name, first_s / 2.0))
        self.drop(name, reason)
        self._aside_s[name] = for_s
        self._aside[name] = _Aside(entry, self._clock() + for_s, for_s)

    def drop(self, name: str, reason: str, exit_code: int = EXIT_RESUMABLE) -> None:
        """Drop a pool; calls that wait for it move on."""
        entry = self._alive.pop(name, None)
        if entry is None:
            return
        self._why[name] = reason
        self._exits[name] = exit_code
        gate = entry[1]
        gate.evict()

    def drop_gate(self, gate: Gate, reason: str, exit_code: int = EXIT_RESUMABLE) -> None:
        """Drop all pools of a gate."""
        for name in [name for name, (_, other) in self._alive.items() if other is gate]:
            self.drop(name, reason, exit_code)

    def _has_other(self, pool: Pool) -> bool:
        return any(
            other.name != pool.name and not other.is_escalation for other, _ in self._alive.values()
        )

    def _look_aside(self) -> None:
        """Resume suspended pools whose time is over, on probation."""
        if not self._aside:
            return
        now = self._clock()
        for name in [name for name, aside in self._aside.items() if aside.until <= now]:
            self._alive[name] = self._aside.pop(name).entry
            self._why.pop(name, None)
            self.health[name].on_probation()

    def _choose(
        self, cost: Cost, among: Collection[str] | None, avoid: Collection[str]
    ) -> tuple[Pool, Gate]:
        if self._aside:
            self._look_aside()
        if len(self._alive) == 1 and among is not None:  # the usual case
            (only,) = self._alive.values()
            if only[0].name in among:
                return only
        fitting = [
            (pool, gate)
            for pool, gate in self._alive.values()
            if (pool.name in among if among is not None else not pool.is_escalation)
        ]
        if avoid:
            fitting = [it for it in fitting if it[0].name not in avoid] or fitting
        if not fitting:
            raise StoppedError(*self._last_words(among))
        if len(fitting) == 1:
            return fitting[0]
        return min(fitting, key=lambda it: it[1].fits_in_s(cost))

    def _last_words(self, among: Collection[str] | None) -> tuple[str, int]:
        """Return why no pool ``among`` these is left, and the run's exit code."""
        whys = {name: why for name, why in self._why.items() if among is None or name in among}
        if not whys:
            return "no pool takes these calls; check 'pools'", EXIT_CONFIG
        exits = {self._exits.get(name, EXIT_RESUMABLE) for name in whys}
        exit_code = exits.pop() if len(exits) == 1 else EXIT_RESUMABLE
        if len(whys) == 1:
            ((name, why),) = whys.items()
            return (why if len(self.health) == 1 else f"{name}: {why}"), exit_code
        reasons = "; ".join(f"{name}: {why}" for name, why in whys.items())
        told = f"no pools are left ({reasons}); fix that, then run the same command again"
        return told, exit_code

"""Several endpoints, keys and models as one: each call goes to the pool that can take it first.

A pool is an endpoint, a key and a model. Pools that a provider counts together (two keys of one
organisation) share a scope, and with it one gate. A pool whose key is refused, or whose money is
gone, is dropped, and its calls move on to the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.errors import Kind, PairmillError, StoppedError
from pairmill.llm.limits.gate import EvictedError, Gate, Lease, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pairmill.llm.limits.headers import LimitHint
    from pairmill.llm.limits.quota import Cost
    from pairmill.llm.prices import Price
    from pairmill.records import Usage

__all__ = ["Pool", "PoolLease", "Pools"]

_FATAL = {
    Kind.AUTH: "its key was refused",
    Kind.QUOTA: "its quota or credit is used up",
    Kind.CONFIG: "it does not know the model or a parameter",
}
_LONG_PAUSE_S = 1.0  # waiters are sent to other pools when theirs pauses for longer


@dataclass(frozen=True, slots=True)
class Pool:
    """One way to reach a model.

    Attributes:
        name: For people; unique.
        base_url: The endpoint.
        api_key_env: The environment variable that holds the key, never the key.
        model: As the endpoint calls it.
        limits: What it allows.
        concurrency: Calls in flight; None: found out.
        price: None where it is not known.
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
    """A lease, and the pool that it is for."""

    _pools: Pools
    pool: Pool
    _lease: Lease

    def release(
        self,
        kind: Kind | None = None,
        *,
        usage: Usage | None = None,
        hint: LimitHint | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """End the call, as ``Lease.release``; a fatal kind drops the pool as well."""
        self._lease.release(kind, usage=usage, hint=hint, retry_after_s=retry_after_s)
        if kind is not None:
            self._pools._after(self.pool, kind)  # noqa: SLF001 (one unit)

    def give_back(self) -> None:
        """Return the lease unused, as ``Lease.give_back``."""
        self._lease.give_back()


class Pools:
    """All pools of a run.

    Args:
        pools: In order of preference: of two that could take a call at once, the first does.
        make_gate: Makes the gate of a pool's scope.
    """

    def __init__(self, pools: Sequence[Pool], make_gate: Callable[[Pool], Gate]) -> None:
        self._gates: dict[str, Gate] = {}
        self._alive: dict[str, tuple[Pool, Gate]] = {}
        self._why: dict[str, str] = {}
        for pool in pools:
            scope = pool.scope or f"\0{pool.name}"
            gate = self._gates.get(scope)
            if gate is None:
                gate = self._gates[scope] = make_gate(pool)
            self._alive[pool.name] = (pool, gate)

    @property
    def alive(self) -> tuple[Pool, ...]:
        """The pools that still take calls."""
        return tuple(pool for pool, _ in self._alive.values())

    def gate(self, name: str) -> Gate:
        """The gate of a living pool.

        Raises:
            KeyError: There is none of that name, or it was dropped.
        """
        return self._alive[name][1]

    def admit_now(self, cost: Cost, among: Collection[str] | None = None) -> PoolLease | None:
        """A lease of the pool that can take the call first, if it can at once.

        Raises:
            StoppedError: No pool is left.
        """
        pool, gate = self._choose(cost, among)
        lease = gate.admit_now(cost)
        return None if lease is None else PoolLease(self, pool, lease)

    async def admit(
        self, cost: Cost, *, retry: bool = False, among: Collection[str] | None = None
    ) -> PoolLease:
        """Wait at the pool that can take the call first.

        A pool that pauses or dies meanwhile sends the call on to another.

        Args:
            cost: What the call is expected to use.
            retry: It was tried before.
            among: Names of the pools to choose from; None: all but those for escalation.

        Raises:
            StoppedError: No pool is left.
        """
        while True:
            pool, gate = self._choose(cost, among)
            try:
                lease = await gate.admit(cost, retry=retry)
            except EvictedError:
                continue
            except PairmillError as error:
                if gate.closed is not error:
                    raise
                self.drop_gate(gate, str(error))
                continue
            if pool.name not in self._alive:  # dropped while we waited at a shared gate
                lease.give_back()
                continue
            return PoolLease(self, pool, lease)

    def drop(self, name: str, reason: str) -> None:
        """Give a pool up; the calls that wait for it move on."""
        entry = self._alive.pop(name, None)
        if entry is None:
            return
        self._why[name] = reason
        gate = entry[1]
        gate.evict()

    def drop_gate(self, gate: Gate, reason: str) -> None:
        """Give all pools of one gate up."""
        for name in [name for name, (_, other) in self._alive.items() if other is gate]:
            self.drop(name, reason)

    def _choose(self, cost: Cost, among: Collection[str] | None) -> tuple[Pool, Gate]:
        if len(self._alive) == 1 and among is not None:  # as most runs have it
            (only,) = self._alive.values()
            if only[0].name in among:
                return only
        fitting = [
            (pool, gate)
            for pool, gate in self._alive.values()
            if (pool.name in among if among is not None else not pool.is_escalation)
        ]
        if not fitting:
            raise StoppedError(self._last_words())
        if len(fitting) == 1:
            return fitting[0]
        return min(fitting, key=lambda it: it[1].fits_in_s(cost))

    def _last_words(self) -> str:
        if not self._why:
            return "no pool takes these calls; check 'pools'"
        reasons = "; ".join(f"{name}: {why}" for name, why in self._why.items())
        return f"no pool is left ({reasons}); mend that, then run the same command again"

    def _after(self, pool: Pool, kind: Kind) -> None:
        entry = self._alive.get(pool.name)
        if entry is None:
            return
        gate = entry[1]
        if kind is Kind.QUOTA and pool.scope is not None:
            self.drop_gate(gate, _FATAL[kind])  # what they share is used up
        elif kind in _FATAL:
            self.drop(pool.name, _FATAL[kind])
        elif len(self._gates) > 1 and gate.waiting and gate.snapshot().paused_s > _LONG_PAUSE_S:
            gate.evict()

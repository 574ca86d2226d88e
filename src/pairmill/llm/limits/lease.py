"""What a gate hands out: a lease for one call; and a snapshot of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pairmill.errors import Kind
    from pairmill.llm.limits.gate import Gate
    from pairmill.llm.limits.headers import LimitHint
    from pairmill.llm.limits.quota import Amounts
    from pairmill.records import Usage

__all__ = ["Lease", "Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a gate is doing, for people and status pages.

    Attributes:
        concurrency: Calls that may be in flight.
        paused_s: Seconds that nothing will go; 0 while calls go, inf while a probe is out.
        cause: Why; "" while calls go.
        requests_per_s: The rate in force; None where none is known.
    """

    in_flight: int
    waiting: int
    concurrency: int
    sent: int
    refused: int
    paused_s: float
    cause: str
    requests_per_s: float | None


class Lease(Struct, eq=False):
    """The right to make one call. Give it back once; a second time does nothing.

    Attributes:
        amounts: What was reserved, by ``Unit``.
        admitted_at: When it was granted.
        epoch: The congestion epoch of that moment.
        is_probe: It asks whether a silent endpoint is back.
        sent_before: Calls that had been admitted before it.
        reserved_before: Tokens that those had reserved.
    """

    _gate: Gate
    amounts: Amounts
    admitted_at: float
    epoch: int
    is_probe: bool
    sent_before: int
    reserved_before: float
    _is_open: bool = True

    def release(
        self,
        kind: Kind | None = None,
        *,
        usage: Usage | None = None,
        hint: LimitHint | None = None,
        retry_after_s: float | None = None,
        alone: bool = False,
    ) -> bool:
        """End the call: settle what it cost, learn from how it ended, let the next one go.

        Args:
            kind: How it failed; None for an answer.
            usage: What the server counted; without it an answer is charged as reserved.
            hint: The limits that the reply's headers spoke of.
            retry_after_s: The wait that a refusal asked for.
            alone: It failed while others were answered: it does not speak of the endpoint.

        Returns:
            Whether the gate itself holds all calls back for this failure; if not, the call has to
            wait alone before it is tried again.
        """
        if not self._is_open:
            return False
        self._is_open = False
        return self._gate.end(self, kind, usage, hint, retry_after_s, alone=alone)

    def give_back(self) -> None:
        """Return the lease unused: nothing was sent, nothing is charged."""
        if self._is_open:
            self._is_open = False
            self._gate.undo(self)

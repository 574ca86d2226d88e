"""Who owns a replica: pure decisions about manifests and the own clock.

No two machines' clocks are compared. Who holds a lease raises the manifest's beat; who wants it
watches whether the manifest stands still for the holder's time by its own clock. The holder stops
after two thirds of that time without a renewal by its own.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from msgspec import structs

from pairmill.errors import StoppedError
from pairmill.replica.manifest import FORMAT, StoreManifest

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "Claim",
    "HolderLease",
    "OwnershipLostError",
    "ReplicaHeldError",
    "StalenessWatch",
    "claimed",
    "judge",
]

_RENEWALS = 6  # in the time of a lease


class OwnershipLostError(StoppedError):
    """Another process has taken the replica over; the same command resumes from there."""


class ReplicaHeldError(StoppedError):
    """Another process works on the replica."""


class Claim(Enum):
    """What a process that starts may do."""

    BEGIN = auto()  # nothing is stored: make it
    CONTINUE = auto()  # the last holder was this folder's: what is stored is what is here, or less
    RESTORE = auto()  # the last holder has released it, and was another folder's
    WATCH = auto()  # the last holder may be alive


def judge(found: StoreManifest | None, own: Collection[str]) -> Claim:
    """Decide what may be done with what was found.

    Args:
        found: The store's manifest; None where there is none.
        own: Names of holders under which this folder's processes worked, all of which are dead.
    """
    if found is None:
        return Claim.BEGIN
    if found.holder in own:
        return Claim.CONTINUE
    return Claim.RESTORE if found.released else Claim.WATCH


def claimed(
    found: StoreManifest | None, holder: str, owner: str, lease_s: float, version: str
) -> StoreManifest:
    """Return the manifest by which a holder takes over."""
    if found is None:
        return StoreManifest(FORMAT, 1, holder, owner, lease_s, version)
    return structs.replace(
        found,
        format=FORMAT,
        fence=found.fence + 1,
        holder=holder,
        owner=owner,
        lease_s=lease_s,
        version=version,
        beat=0,
        released=False,
    )


class StalenessWatch:
    """Watches a manifest until it has not changed for the time of its lease."""

    def __init__(self) -> None:
        self._mark: tuple[str, int, int] | None = None
        self._since = 0.0
        self.moved = False

    def is_over(self, found: StoreManifest, now: float) -> bool:
        """Return whether the lease expired; ``moved``: the holder was seen alive.

        Args:
            found: As read now.
            now: Seconds by the own clock.
        """
        mark = (found.holder, found.fence, found.beat)
        if mark != self._mark:
            self.moved = self._mark is not None
            self._mark, self._since = mark, now
        return now - self._since >= found.lease_s


class HolderLease:
    """The holder's own time.

    Attributes:
        renewed_at: When the last change that took effect was sent.
    """

    def __init__(self, lease_s: float, now: float) -> None:
        self._lease_s = lease_s
        self.renewed_at = now

    def renewed(self, sent_at: float) -> None:
        """Take note of a change that took effect, by the time before it was sent."""
        self.renewed_at = max(self.renewed_at, sent_at)

    def is_due(self, now: float) -> bool:
        """Return whether it is time for a renewal."""
        return now - self.renewed_at >= self._lease_s / _RENEWALS

    def is_over(self, now: float) -> bool:
        """Return whether others may soon take the holder for dead."""
        return now - self.renewed_at >= self._lease_s * 2.0 / 3.0

"""Content of the shared object: each member's part of the quotas, and each account's allowance.

Pure values. Two sums hold in every record: the shares of one scope add up to at most 1, and the
allowances of all accounts to at most the cap. A member that wants more takes free capacity, never
what another member holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from pairmill.errors import ConfigError, FolderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "BudgetAccount",
    "Member",
    "Money",
    "QuotaScope",
    "ShareRecord",
    "check_caps",
    "decode",
    "encode",
    "fair_share",
]

FORMAT = 1


class Money(Struct, frozen=True):
    """An amount in both currencies: picodollars, and tokens."""

    picodollars: int = 0
    tokens: int = 0

    def __add__(self, other: Money) -> Money:
        return Money(self.picodollars + other.picodollars, self.tokens + other.tokens)

    def at_most(self, other: Money) -> Money:
        """Return the smaller of both, in each currency."""
        return Money(min(self.picodollars, other.picodollars), min(self.tokens, other.tokens))


class Member(Struct):
    """A process that takes part now.

    Attributes:
        beat: Grows with each renewal; a member whose beat stands still for ``ttl_s`` by another
            one's clock is gone.
        ttl_s: Seconds after which others may take its shares.
        account: Of its run folder.
        shares: Scope to the part of its quota that the member may use.
        wants: Scope to the part that it could use.
    """

    beat: int
    ttl_s: float
    account: str = ""
    shares: dict[str, float] = field(default_factory=dict)
    wants: dict[str, float] = field(default_factory=dict)


class BudgetAccount(Struct):
    """What one run folder was allowed to spend, and has spent, over all its starts.

    What was allowed counts against the cap until it is given back, also where the process that was
    to spend it is gone: it may have been spent.
    """

    allowed: Money = Money()
    spent: Money = Money()

    @property
    def has_left(self) -> bool:
        """True if it was allowed more than it has spent, in a capped currency."""
        allowed, spent = self.allowed, self.spent
        return allowed.picodollars > spent.picodollars or allowed.tokens > spent.tokens


class QuotaScope(Struct):
    """State of one quota, as reported by all members.

    Attributes:
        limits: Name of a limit (``REQUESTS``, ``TOKENS`` ...) to the amount per minute.
        pause: A number that grows with each pause that all should make.
        pause_s: How long that one is.
        dead: Why the key or model is given up; "": it is not.
        exit_code: With which a run ends that has no other.
    """

    limits: dict[str, float] = field(default_factory=dict)
    pause: int = 0
    pause_s: float = 0.0
    dead: str = ""
    exit_code: int = 0


class ShareRecord(Struct):
    """All of it.

    Attributes:
        format: Of the record.
        fence: Grows with each member that joins or is taken for gone.
        cap_picodollars: Of all accounts together; None: there is none.
        cap_tokens: Likewise.
        members: By name.
        accounts: By the name of the run folder's ledger.
        scopes: By the pools' scopes.
    """

    format: int = FORMAT
    fence: int = 0
    cap_picodollars: int | None = None
    cap_tokens: int | None = None
    members: dict[str, Member] = field(default_factory=dict)
    accounts: dict[str, BudgetAccount] = field(default_factory=dict)
    scopes: dict[str, QuotaScope] = field(default_factory=dict)

    def copied(self) -> ShareRecord:
        """Copy the record."""
        return decode(encode(self), "")

    def free_share(self, scope: str) -> float:
        """Return the part of a quota that no member holds, 0 to 1."""
        return max(0.0, 1.0 - sum(it.shares.get(scope, 0.0) for it in self.members.values()))

    def allowed(self) -> Money:
        """Return the total allowance of all accounts."""
        total = Money()
        for account in self.accounts.values():
            total += account.allowed
        return total

    def spent(self) -> Money:
        """Return the last known spending of all accounts."""
        total = Money()
        for account in self.accounts.values():
            total += account.spent
        return total


def fair_share(wants: Iterable[float], mine: float) -> float:
    """Return the share of 1 for a member that wants ``mine``, if all ``wants`` share fairly.

    Nobody gets more than wanted; what is left is dealt out evenly among the others (max-min
    fairness, by water-filling: Bertsekas and Gallager, Data Networks, section 6.5).

    Args:
        wants: Of all, ``mine`` among them.
        mine: One of them.
    """
    left, waiting = 1.0, sorted(wants)
    while waiting:
        each = left / len(waiting)
        if waiting[0] > each:
            return min(mine, each)
        least = waiting.pop(0)
        if mine <= least:
            return mine
        left -= least
    return min(mine, max(0.0, left))


def encode(record: ShareRecord) -> bytes:
    """Serialize the record as JSON."""
    return msgspec.json.encode(record)


def decode(data: bytes | None, where: str) -> ShareRecord:
    """Parse a record; an empty one for None.

    Raises:
        FolderError: They are no record, or a newer version's.
    """
    if data is None:
        return ShareRecord()
    try:
        found = msgspec.json.decode(data, type=ShareRecord)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise FolderError(f"{where}: does not hold a shared quota; name another place") from None
    if found.format != FORMAT:
        raise FolderError(f"{where}: was made by a newer pairmill")
    return found


def check_caps(
    record: ShareRecord, account: str, picodollars: int | None, tokens: int | None, where: str
) -> None:
    """Take an account's caps into a record, or refuse those that differ from other members'.

    Raises:
        ConfigError: Another member has another cap.
    """
    caps = (picodollars, tokens)
    has_others = any(member.account != account for member in record.members.values())
    if has_others and (record.cap_picodollars, record.cap_tokens) != caps:
        names: Mapping[str, tuple[int | None, int | None]] = {
            "max_usd": (record.cap_picodollars, picodollars),
            "max_total_tokens": (record.cap_tokens, tokens),
        }
        name = next(name for name, (one, other) in names.items() if one != other)
        raise ConfigError(
            f"{where}: the other runs that share it have a different {name}; use the same in all"
            f" of them"
        )
    record.cap_picodollars, record.cap_tokens = caps

"""One process's part in a shared quota and budget: what it requests, and what it may use. Pure.

Clocks of different machines are never compared: a member counts as dead when its heartbeat has not
changed for its ``ttl_s`` on the observer's clock, and stops itself after two thirds of that time.
So a process that was suspended, or cut off, has stopped before others take its shares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from pairmill.share.record import BudgetAccount, Member, Money, QuotaScope, check_caps, fair_share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.share.record import ShareRecord

__all__ = [
    "REQUESTS",
    "Grant",
    "MoneyNeed",
    "ScopeNews",
    "ShareMember",
    "SharePlan",
    "wanted_share",
]

_LEAST_RENEW_S = 2.0
_TTL = 3.0  # renewals
_USED = 2.0 / 3.0  # of the time to live; then a member stops itself
_STEP = 0.1  # of a share: smaller changes wait for the next renewal
_LEAST_STEP = 0.002
_SLICE_S = 8.0  # minimum spending time that is leased in advance
_SLICE_RENEWALS = 4.0  # the same, in times between two renewals
_LEAST_PATIENCE_S = 0.25  # initial delay before money is requested again for a waiting call
_LOW = 0.6  # of a slice: below that, more is requested
_BOUND = 0.6  # of a share: above that, with calls waiting, more could be used
_ROOM = 2.0  # times the recent use is requested if no call waits
_LEAST_WANT = 0.01
REQUESTS = "REQUESTS"
"""Name of the limit of requests; others are named as in the process."""


class MoneyNeed(Struct, frozen=True):
    """A process's spending, and the amount it waits for.

    Attributes:
        spent: In all starts of its run folder.
        held: Reserved for calls in flight.
        wanted: Amount by which the next call exceeds the allowance; zero if no call waits.
        per_s: Recent spending per second.
    """

    spent: Money = Money()
    held: Money = Money()
    wanted: Money = Money()
    per_s: Money = Money()


class ScopeNews(Struct, frozen=True):
    """A process's observations of one quota.

    Attributes:
        want: Part of the quota that it could use, 0 to 1.
        limits: See `pairmill.share.record.QuotaScope`.
        pause_s: Seconds of a pause requested by the server since the last step; 0 if none.
        dead: Why it gave up the key or model; "" if it did not.
        exit_code: Exit code of a run that ends for this reason.
    """

    want: float = 1.0
    limits: dict[str, float] = field(default_factory=dict)
    pause_s: float = 0.0
    dead: str = ""
    exit_code: int = 0


class Grant(Struct):
    """What a process may use.

    Attributes:
        shares: Scope to its part of the quota, 0 to 1.
        allowed: Total that its run folder may have spent, over all starts.
        may_grow: False if the budget is exhausted, and no other member can return money.
        until: Time on the member's clock after which no call may begin.
    """

    shares: dict[str, float] = field(default_factory=dict)
    allowed: Money = Money()
    may_grow: bool = True
    until: float = float("-inf")


class SharePlan(Struct, frozen=True):
    """One step: the record to write, and the grants before and after the write.

    Attributes:
        record: Replaces the record that was read; None: nothing needs to be written.
        before: Grant that applies at once; never more than the stored record allows.
        after: Grant that applies once the record is written.
    """

    record: ShareRecord | None
    before: Grant
    after: Grant


class ShareMember:
    """The state machine of one member.

    Args:
        name: Unique name of the member, never reused.
        account: Account of its run folder.
        scopes: Names of its quotas.
        caps: Caps of all members together, in picodollars and in tokens; None: no cap.
        writes_per_s: Writes per second that the object accepts.
        where: Name of the object, for error messages.

    Attributes:
        grant: What may be used now.
    """

    def __init__(
        self,
        name: str,
        account: str,
        scopes: tuple[str, ...],
        caps: tuple[int | None, int | None] = (None, None),
        *,
        writes_per_s: float = 10.0,
        where: str = "share",
    ) -> None:
        self.name = name
        self.grant = Grant()
        self._account = account
        self._scopes = scopes
        self._caps = caps
        self._writes_per_s = writes_per_s
        self._where = where
        self._beats: dict[str, tuple[int, float]] = {}
        self._renewed_at = float("-inf")
        self._renew_s = _LEAST_RENEW_S
        self._has_joined = False
        self._beat = 0
        self._pauses: dict[str, int] = {}
        self._dead: set[str] = set()  # scopes already recorded as dead: each is recorded once
        self._patience_s = _LEAST_PATIENCE_S

    @property
    def has_joined(self) -> bool:
        """True if the member was ever written to the record."""
        return self._has_joined

    @property
    def patience_s(self) -> float:
        """Seconds until money is requested again after a request that could not be met."""
        return min(self._patience_s, self._renew_s)

    @property
    def renew_s(self) -> float:
        """Seconds between two renewals, by the number of members last seen."""
        return self._renew_s

    def plan(
        self,
        record: ShareRecord,
        now: float,
        news: Mapping[str, ScopeNews],
        need: MoneyNeed,
    ) -> SharePlan:
        """Decide on one step.

        Args:
            record: The record just read; not modified.
            now: Current time, also the time of the read.
            news: Scope to observations.
            need: Need of money.

        Raises:
            ConfigError: The other members have different caps.
        """
        new = record.copied()
        self._observe(new, now)
        mine = new.members.get(self.name)
        is_due = mine is None or now >= self._renewed_at + self._renew_s
        if mine is None:
            mine = self._join(new)
        check_caps(new, self._account, *self._caps, self._where)
        is_new = self._share_news(new, news)
        shares = self._shares(new, mine, news)
        changed = any(
            abs(shares[scope] - mine.shares.get(scope, 0.0))
            > max(_LEAST_STEP, _STEP * mine.shares.get(scope, 0.0))
            for scope in self._scopes
        )
        account = new.accounts.setdefault(self._account, BudgetAccount())
        before_money = account.allowed
        allowed, may_grow = self._money(new, account, need)
        is_moved = need.wanted != Money() and allowed != before_money
        lacks = need.wanted != Money() and allowed.at_most(need.spent + need.held) == allowed
        self._patience_s = 2.0 * self._patience_s if lacks else _LEAST_PATIENCE_S
        held = {scope: mine.shares.get(scope, 0.0) for scope in self._scopes}
        wants = {scope: round(news[scope].want, 4) for scope in self._scopes}
        waits = any(
            wants[scope] > mine.wants.get(scope, 0.0) * (1 + _STEP) + _LEAST_STEP
            for scope in self._scopes
        )
        if not (is_due or changed or is_new or is_moved or waits):
            grant = Grant(held, before_money, may_grow, self.grant.until)
            return SharePlan(None, grant, grant)
        account.allowed = allowed
        account.spent = need.spent
        mine.shares = shares
        mine.wants = wants
        self._beat += 1  # never a repeated value, even after it counted as dead
        mine.beat = self._beat
        self._renew_s = max(_LEAST_RENEW_S, len(new.members) / self._writes_per_s)
        mine.ttl_s = _TTL * self._renew_s
        lower = {scope: min(shares[scope], held[scope]) for scope in self._scopes}
        until = self.grant.until if self.name in record.members else float("-inf")
        before = Grant(lower, allowed.at_most(before_money), may_grow, until)
        after = Grant(shares, allowed, may_grow, now + _USED * mine.ttl_s)
        return SharePlan(new, before, after)

    def written(self, plan: SharePlan, now: float) -> None:
        """Record that a plan's record was written; ``now`` is the time at which it was planned."""
        if plan.record is not None:
            self._has_joined = True
            self._renewed_at = now
            self._dead.update(name for name in self._scopes if plan.record.scopes[name].dead)
            self.grant = plan.after

    def leave(self, record: ShareRecord, spent: Money) -> ShareRecord:
        """Return the record without this member, with all unspent money given back."""
        new = record.copied()
        new.members.pop(self.name, None)
        account = new.accounts.setdefault(self._account, BudgetAccount())
        account.spent = spent
        account.allowed = spent
        return new

    def wait_after(self, attempt: int, chance: float) -> float:
        """Return seconds to wait after a lost race; ``chance`` is a random number from 0 to 1."""
        return chance * min(self._renew_s / 2.0, 0.02 * 2.0**attempt)

    def pauses(self, record: ShareRecord) -> dict[str, float]:
        """Return scope to seconds of a pause that another member reported since the last call."""
        found = {}
        for name in self._scopes:
            scope = record.scopes.get(name)
            if scope is not None:
                if scope.pause > self._pauses.get(name, scope.pause):
                    found[name] = scope.pause_s
                self._pauses[name] = scope.pause
        return found

    def _observe(self, record: ShareRecord, now: float) -> None:
        """Remove members whose heartbeat has not changed for their time to live."""
        beats = {}
        for name, member in list(record.members.items()):
            beat, since = self._beats.get(name, (member.beat, now))
            if beat != member.beat:
                beat, since = member.beat, now
            if name != self.name and now - since > member.ttl_s:
                del record.members[name]
                record.fence += 1
            else:
                beats[name] = (beat, since)
        self._beats = beats

    def _join(self, record: ShareRecord) -> Member:
        record.fence += 1
        if not self._has_joined:  # a new start tests the key again: it may have been replaced
            for name in self._scopes:
                if (scope := record.scopes.get(name)) is not None:
                    scope.dead = ""
        mine = record.members[self.name] = Member(
            beat=0, ttl_s=_TTL * self._renew_s, account=self._account
        )
        return mine

    def _shares(
        self, record: ShareRecord, mine: Member, news: Mapping[str, ScopeNews]
    ) -> dict[str, float]:
        found = {}
        for scope in self._scopes:
            held, want = mine.shares.get(scope, 0.0), news[scope].want
            wants = [
                want if member is mine else member.wants.get(scope, 0.0)
                for member in record.members.values()
            ]
            target = fair_share(wants, want)
            if (
                sum(wants) < 1.0
            ):  # unwanted capacity is distributed, too, so that it can be used at once
                target = min(1.0, target + (1.0 - sum(wants)) / len(wants))
            free = record.free_share(scope)
            share = target if target < held else min(target, held + free)
            found[scope] = int(share * 1e6) / 1e6  # rounded down, so that no sum passes 1
        return found

    def _share_news(self, record: ShareRecord, news: Mapping[str, ScopeNews]) -> bool:
        """Add this process's observations to the record; return whether there were any."""
        is_new = False
        for name in self._scopes:
            scope = record.scopes.get(name)
            if scope is None:
                scope = record.scopes[name] = QuotaScope()
            told = news[name]
            limits = {**scope.limits, **told.limits}
            if limits != scope.limits:
                scope.limits, is_new = limits, True
            if told.pause_s > 0.0:
                scope.pause += 1
                scope.pause_s, is_new = round(told.pause_s, 3), True
                self._pauses[name] = scope.pause
            if told.dead and not scope.dead and name not in self._dead:
                scope.dead, scope.exit_code, is_new = told.dead, told.exit_code, True
        return is_new

    def _money(
        self, record: ShareRecord, account: BudgetAccount, need: MoneyNeed
    ) -> tuple[Money, bool]:
        """Return the account's new allowance, and whether it may still grow."""
        others = record.allowed()
        count = len(record.members)
        ahead_s = max(_SLICE_S, _SLICE_RENEWALS * self._renew_s)

        def lease(cap: int | None, name: str) -> tuple[int, bool]:
            allowed = getattr(account.allowed, name)
            taken = getattr(others, name) - allowed
            used = getattr(need.spent, name) + getattr(need.held, name)
            wanted, per_s = getattr(need.wanted, name), getattr(need.per_s, name)
            return _lease(cap, taken, allowed, used, wanted, int(per_s * ahead_s), count)

        dollars, has_dollars = lease(self._caps[0], "picodollars")
        tokens, has_tokens = lease(self._caps[1], "tokens")
        may_grow = True
        if not (has_dollars and has_tokens) and need.held == Money():
            # Too little for the next call: the allowance is returned, so that others can use it.
            may_grow = self._others_may_return(record)
        return Money(dollars, tokens), may_grow

    def _others_may_return(self, record: ShareRecord) -> bool:
        """Return whether another member holds money that it could still return."""
        for member in record.members.values():
            account = record.accounts.get(member.account)
            if member.account != self._account and account and account.has_left:
                return True
        return False


def wanted_share(
    share: float,
    waiting: int,
    used: Mapping[str, float],
    limits: Mapping[str, float],
    seconds: float,
) -> float:
    """Return the part of a quota that a process could use, by its recent activity.

    Args:
        share: Part of the quota that it held, 0 to 1.
        waiting: Calls waiting at its gate.
        used: Name of a limit to the amount sent in ``seconds``.
        limits: Name of a limit to the whole quota per minute.
        seconds: Length of the measured time, more than 0.
    """
    if not limits:
        return 1.0
    parts = {name: limit * seconds / 60.0 for name, limit in limits.items()}
    use = max(used.get(name, 0.0) / part for name, part in parts.items())
    nearly = max((used.get(name, 0.0) + (name == REQUESTS)) / part for name, part in parts.items())
    if waiting and nearly >= _BOUND * share:
        return 1.0
    return min(1.0, max(_LEAST_WANT, _ROOM * use))


def _lease(
    cap: int | None, taken: int, allowed: int, used: int, wanted: int, soon: int, members: int
) -> tuple[int, bool]:
    """Return the new allowance in one currency, and whether the next call fits into it.

    Args:
        cap: Cap of all accounts together; None: no cap, so nothing is leased.
        taken: Allowance of the other accounts.
        allowed: Present allowance of this account.
        used: Spent by this account, or reserved for its calls in flight.
        wanted: Amount that a call waits for.
        soon: Expected spending until the next renewal; 0 if unknown.
        members: Number of members.
    """
    if cap is None:
        return 0, True
    room = max(0, cap - taken - used)
    if wanted > room:
        return used, False
    part = room // (2 * members)
    ahead = max(wanted, min(part, soon) if soon and not wanted else part)
    left = allowed - used
    if wanted or left < _LOW * ahead or left > 2 * ahead:
        return used + ahead, True
    return allowed, True

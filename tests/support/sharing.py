"""Many processes that share one quota and one purse, in virtual time: some die, some sleep."""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pairmill.share.member import REQUESTS, MoneyNeed, ScopeNews, ShareMember, wanted_share
from pairmill.share.record import Money, decode, encode

if TYPE_CHECKING:
    from pairmill.share.member import Grant, SharePlan

SCOPE = "model"
_WARM_S = 30.0  # until the share of the quota that is used counts


@dataclass
class Worker:
    """A process: what it has to do, and what it believes it may use.

    Attributes:
        work: Calls that are left to make; they survive a death, as a ledger does.
        spent: Likewise; what was in flight at a death is in it at its worst, as of the mark that is
            overwritten before each call goes out.
        flying: Calls in flight, which are billed whatever becomes of the process.
        skew_s: What its clock is ahead of the real one.
    """

    number: int
    work: float
    skew_s: float
    spent: int = 0
    spent_before: int = 0
    flying: float = 0.0
    member: ShareMember | None = None
    starts: int = 0
    waiting: float = 0.0
    used: float = 0.0
    used_before: float = 0.0
    looked_at: float = 0.0
    want: float = 1.0
    until: float = -math.inf
    share: float = 0.0
    allowed: int = 0
    wanted: int = 0
    is_over: bool = False
    races: int = 0
    sleeps_until: float = -math.inf


@dataclass
class Course:
    """What is simulated.

    Attributes:
        rpm: The quota.
        cap: Of money; None: there is none. A call costs ``cost``, and is reserved at ``worst``
            (0: the same).
        deaths_per_s, sleeps_per_s: Of each worker; one that died is back after ``back_s``.
        write_s: Between a read and the write that follows.
    """

    workers: int
    rpm: float = 6000.0
    calls: float = 6000.0
    uneven: float = 1.0
    cap: int | None = None
    cost: int = 1000
    worst: int = 0
    deaths_per_s: float = 0.0
    back_s: float = 5.0
    sleeps_per_s: float = 0.0
    write_s: float = 0.02
    writes_per_s: float = 10.0
    step_s: float = 0.1
    most_s: float = 3600.0
    seed: int = 0


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        spent: What the endpoint has billed.
        lost: What calls in flight at deaths count beyond that.
    """

    seconds: float = 0.0
    spent: int = 0
    lost: int = 0
    worst_shares: float = 0.0
    writes: int = 0
    conflicts: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    idle_share_s: float = 0.0
    left: float = 0.0
    refused: float = 0.0
    steady: float = 0.0
    used: float = 0.0
    needed: float = 0.0


class SharedWorld:
    """Steps of real time, in which workers make calls, and look at the shared object."""

    def __init__(self, course: Course) -> None:
        self.course = course
        self.worst = course.worst or course.cost
        self.dice = random.Random(course.seed)
        self.now = 0.0
        self.data: bytes | None = None
        self.version = 0
        self.events: list[tuple[float, int, int, str, object]] = []
        self.tie = 0
        self.outcome = Outcome()
        weights = [course.uneven if number == 0 else 1.0 for number in range(course.workers)]
        total = sum(weights)
        self.workers = [
            Worker(number, course.calls * weight / total, self.dice.uniform(-300, 300))
            for number, weight in enumerate(weights)
        ]
        for worker in self.workers:
            self._at(self.dice.uniform(0, 1), worker, "start")

    def run(self) -> Outcome:
        """Go on until all is done, the money is gone, or it took too long."""
        course, found = self.course, self.outcome
        while self.now < course.most_s and not all(it.is_over for it in self.workers):
            until = self.now + course.step_s
            while self.events and self.events[0][0] <= until:
                self.now, _, number, what, detail = heapq.heappop(self.events)
                self._happen(self.workers[number], what, detail)
            self.now = until
            self._work(course.step_s)
        found.seconds = self.now
        found.left = sum(it.work for it in self.workers)
        return found

    def _at(self, after: float, worker: Worker, what: str, detail: object = None) -> None:
        self.tie += 1
        event = (self.now + after, self.tie, worker.number, what, detail)
        heapq.heappush(self.events, event)

    def _happen(self, worker: Worker, what: str, detail: object) -> None:
        if what == "start":
            self._start(worker)
        elif worker.member is None or self._start_of(detail) != worker.starts:
            return  # of a process that has died since
        elif worker.sleeps_until > self.now:
            self._at(worker.sleeps_until - self.now, worker, what, detail)
        elif what == "look":
            self._look(worker)
        else:
            assert isinstance(detail, tuple)
            self._write(worker, *detail[1:])

    @staticmethod
    def _start_of(detail: object) -> object:
        return detail[0] if isinstance(detail, tuple) else detail

    def _start(self, worker: Worker) -> None:
        course = self.course
        worker.starts += 1
        worker.member = ShareMember(
            f"{worker.number}-{worker.starts}",
            f"account {worker.number}",
            (SCOPE,),
            (course.cap, None),
            writes_per_s=course.writes_per_s,
        )
        worker.share, worker.until, worker.allowed = 0.0, -math.inf, 0
        worker.used = worker.used_before = 0.0
        worker.looked_at, worker.want = self.now, 1.0
        self._at(0.0, worker, "look", (worker.starts,))

    def _need(self, worker: Worker) -> MoneyNeed:
        seconds = max(self.now - worker.looked_at, 0.1)
        per_s = int((worker.spent - worker.spent_before) / seconds)
        spent = Money(worker.spent, worker.spent // 100)  # tokens, which nothing caps
        held = Money(math.ceil(worker.flying * self.worst))
        return MoneyNeed(spent, held, Money(worker.wanted, worker.wanted // 100), Money(per_s))

    def _look(self, worker: Worker) -> None:
        """Read, decide, lower what is to be lowered; the write comes a little later."""
        member = worker.member
        assert member is not None
        seconds = self.now - worker.looked_at
        if seconds >= 0.25:
            used = {REQUESTS: worker.used - worker.used_before}
            limits = {REQUESTS: self.course.rpm}
            waiting = math.ceil(worker.waiting)
            worker.want = wanted_share(worker.share, waiting, used, limits, seconds)
        need = self._need(worker)
        if seconds >= 0.25:
            worker.used_before, worker.spent_before = worker.used, worker.spent
            worker.looked_at = self.now
        clock = self.now + worker.skew_s
        record = decode(self.data, "object")
        members = set(record.members)
        plan = member.plan(record, clock, {SCOPE: ScopeNews(worker.want)}, need)
        if plan.record is not None:
            gone = members - set(plan.record.members)
            self.outcome.counts["taken for gone"] += len(gone)
        self._apply(worker, plan.before)
        again = member.renew_s / 2 * self.dice.uniform(0.8, 1.0)
        if plan.record is None:
            self._look_again(worker, again)
            return
        delay = self.course.write_s * self.dice.uniform(0.2, 2.0)
        self._at(delay, worker, "write", (worker.starts, plan, clock, self.version, again))

    def _write(
        self, worker: Worker, plan: SharePlan, clock: float, version: int, again: float
    ) -> None:
        member = worker.member
        assert member is not None
        if version != self.version:
            self.outcome.conflicts += 1
            worker.races += 1
            wait = member.wait_after(worker.races, self.dice.random())
            self._at(wait, worker, "look", (worker.starts,))
            return
        worker.races = 0
        assert plan.record is not None
        self.data = encode(plan.record)
        self.version += 1
        self.outcome.writes += 1
        member.written(plan, clock)
        self._apply(worker, plan.after)
        self._look_again(worker, again)

    def _look_again(self, worker: Worker, after: float) -> None:
        """Look in a while, or as soon as a call that waits for money may ask for it again."""
        if worker.member is not None:
            wait = worker.member.patience_s if worker.wanted else after
            self._at(wait, worker, "look", (worker.starts,))

    def _apply(self, worker: Worker, grant: Grant) -> None:
        worker.share = grant.shares.get(SCOPE, 0.0)
        worker.until = grant.until - worker.skew_s
        worker.allowed = grant.allowed.picodollars
        if not grant.may_grow and worker.wanted and not worker.flying:
            self._end(worker, "the cap is reached")

    def _end(self, worker: Worker, why: str) -> None:
        member = worker.member
        assert member is not None
        self.outcome.counts[why] += 1
        self.data = encode(member.leave(decode(self.data, "object"), Money(worker.spent)))
        self.version += 1
        self.outcome.writes += 1
        worker.member, worker.is_over = None, True

    def _work(self, seconds: float) -> None:
        """Let the workers make the calls that they may make, and die or sleep by chance."""
        course, found = self.course, self.outcome
        shares = sent = needed = 0.0
        for worker in self.workers:
            if worker.member is None or worker.sleeps_until > self.now:
                continue
            if self.dice.random() < course.deaths_per_s * seconds:
                worker.member = None
                found.counts["deaths"] += 1
                found.counts["deaths with money"] += worker.allowed > worker.spent
                found.counts["deaths with calls in flight"] += worker.flying > 0
                worker.spent += math.ceil(worker.flying * self.worst)
                found.lost += int(worker.flying * (self.worst - course.cost))
                worker.flying = 0.0
                self._at(course.back_s, worker, "start")
                continue
            if self.dice.random() < course.sleeps_per_s * seconds:
                worker.sleeps_until = self.now + self.dice.uniform(1, 60)
                found.counts["sleeps"] += 1
                continue
            share = worker.share if self.now < worker.until else 0.0
            shares += share
            rate = course.rpm / 60.0 * seconds
            may = share * rate
            calls = min(may, worker.work)
            worker.spent += int(worker.flying * course.cost)  # those of the last step are answered
            worker.flying = 0.0
            if course.cap is not None:
                affordable = (worker.allowed - worker.spent) / self.worst
                worker.wanted = self.worst if affordable < calls else 0
                if affordable < calls:
                    calls = max(0.0, float(math.floor(affordable)))
                worker.flying = calls
                found.spent += int(calls * course.cost)
            worker.work -= calls
            worker.used += calls
            worker.waiting = min(worker.work, 100.0)
            sent += calls
            needed += min(rate, worker.work + calls)
            found.idle_share_s += (may - calls) / rate * seconds
            if worker.work < 1e-6 and not worker.flying:
                self._end(worker, "done")
        rate = course.rpm / 60.0 * seconds
        found.refused += max(0.0, sent - rate * (1 + 1e-9))
        if needed >= rate and self.now > _WARM_S:
            found.used += sent
            found.needed += rate
            found.steady = found.used / found.needed
        found.worst_shares = max(found.worst_shares, shares)

"""Pace of a pool whose server has said "too fast": one pure controller, driven by times.

The server's real limit is measured instead of guessed. When nearly all is refused, its quota is
used up; so what it took before says what it allows, whether it charges what was used or what was
reserved: over the last seconds, or over the last minute where it counts by that (see ``minutes``).

A pool is in one of these states:

* **free**: no pace. Single refusals are borne; a cluster of them (see ``noise``) leads to *held*.
* **held**: at a pace just below what was measured (see ``held_pace``).
* **rising**: what was measured is put to the test: the pace doubles each second. A quota answers
  with a cluster, and back it goes to *held*, for four times as long as before; where no cluster
  comes, the pool is *free* within seconds. So whatever was taken for a quota by mistake, or is one
  no more, is found out.
* **trying**: scattered refusals are more than usual, and a little less is sent until it shows
  whether that helps. If not they are noise, and the cut is undone.

Clusters that come no later at a lower pace are waves (see ``noise``): they pause, and cut no pace.

The constants were chosen by simulation: tests/property/test_gate_*.py hold what they reach.
"""

from __future__ import annotations

import math

from pairmill.llm.limits.exhaustion import Exhaustion
from pairmill.llm.limits.held_pace import LEAN, RECENT_S, STEADY_S, HeldPace
from pairmill.llm.limits.noise import ClusterTest, NoiseTest, pause_score
from pairmill.llm.limits.pauses import AskedWait, CapacityWatch, Effect, PoolPause
from pairmill.llm.limits.rate_dependence import DependenceTest
from pairmill.llm.limits.rate_test import LONGER
from pairmill.llm.limits.slow_increase import RARE
from pairmill.llm.limits.windows import RefusedLog, TakenLog

__all__ = ["RateControl"]

_ENOUGH = 80  # calls in RECENT_S, to measure a rate by
_SAMPLE_S = 0.5
_DRAINED_S = 2.0  # a shorter pause leaves most calls in flight: there is no herd to hold back
_USED = 2.0  # times what was taken of late: a pace that was never reached tells nothing
_TOLD = 4.0  # what it counts for that the server says that nothing is left
_FIRST_RETRY_S = 5.0  # until much noise is doubted again, by a lower rate
_FAR_LESS = 0.8  # of a pace: that is as much as a cut
_SINGLE_S = 1.0  # of a pause for one refusal
_OVER = 50  # calls without a refusal: strong noise has ended
_HEAVY, _DEEP = 0.15, 0.6  # so much is believed to be noise only at a far lower pace


class RateControl:
    """Pause, pace and epoch of one pool.

    Attributes:
        epoch: Counts congestion episodes. A lease remembers the epoch of its admission, so that
            all refusals of one episode together cause one cut.
        refused: Refusals so far.
        pause: When nothing goes, and how calls begin again.
        exhaustion: Since when hardly anything is taken, as a quota is used up.
        held: The pace, and what is known of the quota behind it.
        cluster, noise, dependence, capacity, asked: What is known.
        cluster_size: Refusals that the last pause took for evidence.
        look_at: ``on_taken`` does nothing before this time, and need not be called.
    """

    __slots__ = (
        "_before",
        "_least_noise",
        "_refused",
        "_retry_at",
        "_retry_s",
        "_sent",
        "_taken",
        "asked",
        "capacity",
        "cluster",
        "cluster_size",
        "dependence",
        "epoch",
        "exhaustion",
        "held",
        "look_at",
        "noise",
        "pause",
        "refused",
    )

    def __init__(self, *, backoff_s: float = 0.5, max_backoff_s: float = 60.0) -> None:
        self.epoch = 0
        self.refused = 0
        self.pause = PoolPause(backoff_s, max_backoff_s)
        self.exhaustion = Exhaustion()
        self.noise = NoiseTest()
        self._taken, self._refused = TakenLog(), RefusedLog()
        self.held = HeldPace(self.pause, self._taken, self._refused, self.exhaustion, self.noise)
        self.cluster = ClusterTest()
        self.cluster_size = 1
        self.capacity = CapacityWatch()
        self.asked = AskedWait()
        self.dependence = DependenceTest(self._refused)
        self._retry_at, self._retry_s = 0.0, _FIRST_RETRY_S
        self._before: tuple[float | None, float, bool] = (None, 0.0, False)  # the trial
        self._sent = 0  # some half a second ago
        self._least_noise = 0.0  # as is known elsewhere
        self.look_at = -math.inf

    @property
    def pace(self) -> float | None:
        """Requests a second that the server was measured to allow; None until it refused."""
        return self.held.per_s

    @property
    def is_suspicious(self) -> bool:
        """True if refusals are unexplained at the moment: no time to send more."""
        return self.noise.is_trying or self.cluster.in_row > 1

    def on_refused(
        self,
        now: float,
        *,
        epoch: int,
        sent_before: int,
        sent: int,
        limit: int,
        seconds: float,
        retry_after_s: float | None,
        is_spent: bool = False,
        least_noise: float = 0.0,
    ) -> Effect:
        """Learn from one refusal.

        One of a cluster pauses the pool and cuts the pace; after a pause in which nothing was taken
        the old episode goes on: the pause gets longer, the pace stays. Any other is borne.

        Args:
            now: The time.
            epoch: The lease's epoch.
            sent_before: How many calls had been admitted before it.
            sent: How many have been admitted by now.
            limit: Calls allowed in flight at the moment.
            seconds: Since it was admitted.
            retry_after_s: What the server asked for; None where it said nothing.
            is_spent: The server says that a quota is used up.
            least_noise: Share of refusals that are none of our doing, as far as is known elsewhere.
        """
        taken = self._count(sent_before, seconds)
        self._least_noise = least_noise
        if epoch != self.epoch:
            return self._on_earlier(now, retry_after_s)
        self.cluster.on_refused(sent_before, max(self.held.chance, least_noise))
        if is_spent:
            self.cluster.score += _TOLD
        wait_s = self.pause.backoff_s(self.held.per_s) if retry_after_s is None else retry_after_s
        usual = max(least_noise, self.held.chance, self.held.tracker.noise, self.held.borne.share)
        is_over = self.held.test.on_refused(sent_before, usual)
        is_lone = self.noise.is_trying and self.cluster.in_row == 1
        if is_over or (not is_lone and self.cluster.score >= self._sure(now, taken, wait_s)):
            self.end_trial()
            is_blocked = self._begin_pause(now, taken, sent, limit, retry_after_s)
            return self._effect(now, is_blocked=is_blocked)
        if not self._is_for_minute(now, sent_before, sent):
            return Effect.NONE
        is_short = self.exhaustion.since is None and (retry_after_s or 0.0) > _SINGLE_S
        told_s = _SINGLE_S if is_short else retry_after_s
        is_blocked = self._begin_pause(now, taken, sent, limit, told_s, is_single=True)
        return Effect.SLOWER if is_short else self._effect(now, is_blocked=is_blocked)

    def _on_earlier(self, now: float, retry_after_s: float | None) -> Effect:
        """Learn from the refusal of a call that was sent before the present episode."""
        is_over = self.exhaustion.since is None and now >= self.pause.until
        if is_over or self.asked.is_doubted(now):
            return Effect.NONE
        if self.held.chance < RARE:
            self.pause.extend(now + (retry_after_s or 0.0))
        return Effect.HELD

    def _effect(self, now: float, *, is_blocked: bool) -> Effect:
        """Return what follows from a pause; if it is shorter than asked, only the call waits."""
        if self.asked.is_doubted(now):
            return Effect.NONE if is_blocked else Effect.SLOWER
        return Effect.HELD if is_blocked else Effect.PAUSED

    def _count(self, index: int, seconds: float) -> int:
        """Count a refusal of call number ``index``; returns how many before it were taken."""
        self.pause.on_refused(seconds)
        taken = index - (self.refused - self._refused.later(index))
        self.refused += 1
        return taken

    def on_busy(
        self,
        now: float,
        *,
        epoch: int,
        sent_before: int,
        sent: int,
        seconds: float = 0.0,
        retry_after_s: float | None = None,
    ) -> bool:
        """Learn that a call found no capacity; whether all calls wait because of that.

        The arguments are those of ``on_refused``.
        """
        taken = self._count(sent_before, seconds)
        if epoch != self.epoch:
            return now < self.pause.until and not self.asked.is_doubted(now)
        usual = max(self.held.chance, self.held.tracker.noise)
        wait_s = self.capacity.on_refused(sent_before, taken, usual, self._rate(now), retry_after_s)
        if wait_s is not None:
            self.end_trial()
            self.epoch += 1
            is_asked = retry_after_s is not None
            if is_asked:
                wait_s = self.asked.pause_s(now, wait_s, self._rate(now), self.capacity.blocked)
            self.pause.begin(now, wait_s, sent, 1, is_asked=is_asked)
            return not self.asked.is_doubted(now)
        if self.held.is_tracking:
            self.held.tracker.on_refused(sent_before)
        elif self._is_free:
            self._on_scattered(now, sent_before, sent)
        return False

    def on_taken(self, now: float, sent: int) -> None:
        """Learn that a call was served: a pace that is used may rise.

        Args:
            now: The time.
            sent: Calls admitted so far.
        """
        if now < self.look_at:
            return
        self._sample(now, sent - self.refused)
        self._look_back(now, sent - self.refused)
        self.noise.on_sent(sent)
        is_held = self.held.is_tracking or self.held.is_rising or self.held.is_minute
        is_held = is_held or sent > self._refused.end + _OVER
        if self.noise.is_trying:
            self._judge(now, sent)
        elif self.noise.share >= _HEAVY and now >= self._retry_at and not is_held:
            self._try_less(now, sent)  # so much noise must be doubted
        known, self._sent = self._sent, sent
        before = self.held.per_s
        self.held.grow(now, sent, known, self.refused)
        if before and self.held.is_tracking and (self.held.per_s or before) < _FAR_LESS * before:
            self._frees(now)
            self.dependence.on_pause(now, now, sent, is_longer=False)

    @property
    def _is_free(self) -> bool:
        """True if single refusals are watched by ``noise``, and not by the pace's control."""
        return self.held.per_s is None or self.held.is_rising or self.noise.is_trying

    def _is_for_minute(self, now: float, index: int, sent: int) -> bool:
        """Learn of a refusal outside of clusters; True if it may tell of a minute's end."""
        if self.held.is_tracking:
            self.held.tracker.on_refused(index)
            return False
        if self._is_free:
            if self.exhaustion.since is None:
                self._on_scattered(now, index, sent)
            return False
        return self.exhaustion.since is not None or self.held.on_full(now)

    def _on_scattered(self, now: float, index: int, sent: int) -> None:
        """Learn of a refusal that is not part of a cluster."""
        is_excess = self.noise.on_refused(index)
        is_early = self.held.per_s is None and self._taken.is_speeding_up(now)
        if self.noise.is_trying:
            self._judge(now, sent)
        elif is_excess and not (self.held.is_rising or is_early):
            self._try_less(now, sent)

    def _try_less(self, now: float, sent: int) -> None:
        """Send a little less than was taken, to see whether less is refused then."""
        if self.exhaustion.since is not None or now < self.pause.until + RECENT_S:
            return  # what was taken of late is less than it takes
        self._before = (self.held.per_s, self.held.allowed, self.held.is_rising)
        self._sample(now, sent - self.refused)
        recent = self._taken.rate(now, RECENT_S)
        is_enough = recent * RECENT_S >= _ENOUGH
        rate = recent if is_enough else max(recent, self._taken.rate(now, STEADY_S))
        is_deep = self.noise.lately >= _HEAVY and not self._least_noise
        self.held.lower(now, rate, _DEEP if is_deep else LEAN)
        self.noise.begin(sent)

    def _judge(self, now: float, sent: int) -> None:
        """End a trial whose outcome is known: undo the cut if it was for nothing."""
        is_noise = self.noise.verdict(self._sent)
        if is_noise is None:
            return
        self._retry_s *= LONGER if is_noise else 1.0
        self._retry_at = now + self._retry_s
        if is_noise:
            self.held.per_s, self.held.allowed, self.held.is_rising = self._before
            return
        self.held.keep_lower(now, sent)

    def end_trial(self) -> None:
        """Undo a trial: what was refused says nothing about a rate, as the endpoint is down."""
        if self.noise.is_trying:
            self.held.per_s, self.held.allowed, self.held.is_rising = self._before
        self.noise.forget()

    def _sure(self, now: float, taken: int, wait_s: float) -> float:
        """Return the evidence of a cluster that a pause needs: more if it would cost more calls."""
        is_blocked = self.exhaustion.since is not None and taken <= self.exhaustion.mark + 1
        return pause_score(wait_s * self._rate(now), is_blocked=is_blocked)

    def _rate(self, now: float) -> float:
        """Calls a second that are taken of late."""
        return max(self._taken.rate(now, RECENT_S), self._sent / max(1.0, now))

    def _begin_pause(
        self,
        now: float,
        taken: int,
        sent: int,
        limit: int,
        retry_after_s: float | None,
        *,
        is_single: bool = False,
    ) -> bool:
        """Begin an episode; or, if nothing was taken since, go on with the last one: True."""
        self.cluster_size = max(1, self.cluster.in_row)
        self.cluster.forget()
        self.held.borne.forget()
        self.epoch += 1
        is_blocked = self.exhaustion.is_same(now, taken, self.held.per_s)
        fed = self.held.fed(now, taken) if is_blocked else 0.0
        is_blocked = is_blocked and not fed
        self.pause.blocked = self.pause.blocked + 1 if is_blocked else 0
        if self.held.per_s is None:
            self.held.test.on_measured(now)
        if not is_blocked or self.held.test.rate is not None:
            self._sample(now, taken)  # a young pool may have none that is newer than its start
            self._learn_of_waves(now, taken)
            if fed:
                self.exhaustion.end()
            elif self.exhaustion.since is not None and not is_blocked:
                self._end_exhaustion(now, self.exhaustion.since)
            if not self._frees(now):
                self.held.cut(now, sent, self.refused, is_single=is_single, fed=fed)
        if not is_blocked or self.exhaustion.since is None:
            self.exhaustion.begin(now, taken)
            self.held.minutes.begin_exhaustion(now, retry_after_s)
        elif taken <= self.exhaustion.mark + 1:
            self.held.minutes.still_full(now, retry_after_s)
        self.held.cut_at = now
        if retry_after_s is None:
            wait_s = self.pause.backoff_s(self.held.per_s)
        else:
            wait_s = self.asked.pause_s(now, retry_after_s, self._rate(now), self.pause.blocked)
        is_drained = wait_s >= _DRAINED_S and not is_blocked
        base = max(1, limit // 4) if is_drained else 1
        self.pause.begin(now, wait_s, sent, base, is_asked=retry_after_s is not None)
        self.dependence.on_pause(now, self.pause.until, sent, is_longer=is_blocked)
        if not is_single:
            self.held.postpone_test(now, sent)
        return is_blocked

    def _frees(self, now: float) -> bool:
        """Free the pool if its refusals do not depend on the rate; whether it did."""
        share = self.dependence.on_cut(now)
        if not share or self.held.is_minute:
            return False
        self.noise.learn(share)
        self.held.release(now)
        return True

    def _learn_of_waves(self, now: float, taken: int) -> None:
        run_s = now - self.pause.until
        if self.exhaustion.since is not None or self.held.minutes.is_long:
            self.held.waves.forget()
        elif run_s > 0.0:
            rate = (taken - self.exhaustion.mark) / run_s
            self.held.waves.on_cluster(rate, run_s, self.pause.until - self.pause.began_at)

    def _sample(self, now: float, taken: int) -> None:
        self._taken.add(now, taken)
        self.look_at = now + _SAMPLE_S

    def _look_back(self, now: float, taken: int) -> None:
        """See whether calls flow again after hardly any were taken."""
        since = self.exhaustion.since
        if since is None:
            return
        pace = self.held.per_s or self._rate(now)
        used = min(pace, _USED * self._taken.rate(now, STEADY_S))
        if self.exhaustion.is_over(now, taken, pace, used):
            self._end_exhaustion(now, since)

    def _end_exhaustion(self, now: float, spent_at: float) -> None:
        """Learn that calls flow again."""
        self.exhaustion.end()
        self.asked.on_flow(now)
        silent_s, is_cluster = self.pause.until - spent_at, self.cluster_size > 1
        self.held.end_exhaustion(now, spent_at, silent_s, is_cluster=is_cluster)

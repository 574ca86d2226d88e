"""Pace of a pool whose server has said "too fast": one pure controller, driven by times.

The server's real limit is measured instead of guessed. When nearly all is refused, its quota is
used up; so what it took before says what it allows, whether it charges what was used or what was
reserved: over the last seconds, or over the last minute where it counts by that (see ``minutes``).

A pool is in one of these states:

* **free**: no pace. Single refusals are borne; a cluster of them (see ``noise``) leads to *held*.
* **held**: at a pace just below what was measured. Where the server does not count by the minute,
  ``cruise`` finds quota and noise by how much is refused at which rate, and follows them. Where it
  does, the pace creeps up, and goes down by a twentieth with a refusal while about a minute's calls
  have been taken; by less, the more noise was refused when that was not so.
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

from pairmill.llm.limits.creep import RARE, crept
from pairmill.llm.limits.cruise import Cruise
from pairmill.llm.limits.minutes import MINUTE_S, MinuteWatch
from pairmill.llm.limits.noise import ClusterTest, NoiseTest, WaveTest, pause_score
from pairmill.llm.limits.pauses import CapacityWatch, Effect, PoolPause
from pairmill.llm.limits.rate_dependence import DependenceTest
from pairmill.llm.limits.rate_test import LONG_PATIENCE_S, LONGER, RateTest
from pairmill.llm.limits.spell import Spell
from pairmill.llm.limits.windows import RefusedLog, TakenLog

__all__ = ["RateControl"]

_LEAN = 0.95  # of what is allowed, at first, so that what was overdrawn is paid off
_LEAST_CUT = 0.99  # of the pace, where the limit is thought to be above it
_DEEPEST = 0.65  # one episode never takes more than this share
_RECENT_S = 5.0  # over which a server that counts by the second is measured
_STEADY_S = 20.0  # over which one that is tried is measured: of a slow pool 5 s hold a few calls
_OF_STEADY = 0.5  # of that rate, at least: after a flood of refusals 5 s tell little
_ENOUGH = 80  # calls in the former
_SURE_AFTER_CUT, _SURE_AFTER_TRIAL = 0.5, 0.1  # of what is measured: standard deviation, log
_SAMPLE_S = 0.5
_DRAINED_S = 2.0  # a shorter pause leaves most calls in flight: there is no herd to hold back
_USED = 2.0  # times what was taken of late: a pace that was never reached tells nothing
_UTILISED = 0.8  # only a rate that is used may grow
_CREDIBLE_CALLS = 10  # that a slow pool is measured by, in up to _STEADY_S
_CREDIBLE_S = 5.0  # what was taken in less time says little about what is allowed
_CREDIBLE_RUN_S = 1.0  # without a cluster, as waves come
_GUESS_UTILISED = 0.4  # of a pace that doubles each second, as seen over the last second
_RISEN_S = 2.0  # over which a pace that doubles is measured
_TOLD = 4.0  # what it counts for that the server says that nothing is left
_FIRST_RETRY_S = 5.0  # until much noise is doubted again, by a lower rate
_IN_MINUTE = 2.1  # times a quota that is dealt out by the minute: more never falls on 60 seconds
_SINGLE_S = 1.0  # of a pause for one refusal
_OVER = 50  # calls without a refusal: strong noise has ended
_HEAVY, _DEEP = 0.15, 0.6  # so much is believed to be noise only at a far lower pace
_REFUSALS = 2.0  # times that a refusal takes to come: then all are known


class RateControl:
    """Pause, pace and epoch of one pool.

    Attributes:
        epoch: Counts congestion episodes. A lease remembers the epoch of its admission, so that
            all refusals of one episode together cause one cut.
        pace: Requests a second that the server was measured to allow; None until it refused.
        refused: Refusals so far.
        pause: When nothing goes, and how calls begin again.
        spell: Since when hardly anything is taken, as a quota is used up.
        cluster, noise, waves, dependence, capacity, cruise, minutes, test: What is known.
        cluster_size: Refusals that the last pause took for evidence.
        is_rising: The pace doubles each second, to see what the server allows.
        look_at: ``on_taken`` does nothing before this time, and need not be called.
    """

    __slots__ = (
        "_allowed",
        "_before",
        "_cut_at",
        "_grown_at",
        "_grown_sent",
        "_is_cruising",
        "_least_noise",
        "_refused",
        "_retry_at",
        "_retry_s",
        "_sent",
        "_taken",
        "capacity",
        "cluster",
        "cluster_size",
        "cruise",
        "dependence",
        "epoch",
        "is_rising",
        "look_at",
        "minutes",
        "noise",
        "pace",
        "pause",
        "refused",
        "spell",
        "test",
        "waves",
    )

    def __init__(self, *, backoff_s: float = 0.5, max_backoff_s: float = 60.0) -> None:
        self.epoch = 0
        self.pace: float | None = None
        self.refused = 0
        self.pause = PoolPause(backoff_s, max_backoff_s)
        self._allowed = 0.0
        self._refused = RefusedLog()
        self._cut_at = 0.0
        self._grown_at = 0.0
        self._grown_sent = 0
        self._retry_at, self._retry_s = 0.0, _FIRST_RETRY_S
        self._taken = TakenLog()
        self.look_at = -math.inf
        self.spell = Spell()
        self._sent = 0  # some half a second ago
        self._before: tuple[float | None, float, bool] = (None, 0.0, False)  # the trial
        self._is_cruising = False
        self._least_noise = 0.0  # as is known elsewhere
        self.is_rising = False
        self.cluster = ClusterTest()
        self.cluster_size = 1
        self.noise = NoiseTest()
        self.waves = WaveTest()
        self.dependence = DependenceTest(self._refused)
        self.capacity = CapacityWatch()
        self.test = RateTest()
        self.cruise = Cruise()
        self.minutes = MinuteWatch(self._taken)

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
            if self.spell.since is None and now >= self.pause.until:
                return Effect.NONE  # sent before an episode that is over
            if self._chance < RARE:
                self.pause.extend(now + (retry_after_s or 0.0))
            return Effect.HELD
        self.cluster.on_refused(sent_before, max(self._chance, least_noise))
        if is_spent:
            self.cluster.score += _TOLD
        wait_s = self.pause.backoff_s(self.pace) if retry_after_s is None else retry_after_s
        usual = max(least_noise, self._chance, self.cruise.noise)
        is_over = self.test.on_refused(sent_before, usual)
        is_lone = self.noise.is_trying and self.cluster.in_row == 1
        if is_over or (not is_lone and self.cluster.score >= self._sure(now, taken, wait_s)):
            self.end_trial()
            is_blocked = self._begin_pause(now, taken, sent, limit, retry_after_s)
            return Effect.HELD if is_blocked else Effect.PAUSED
        if not self._is_for_minute(now, sent_before, sent):
            return Effect.NONE
        is_short = self.spell.since is None and (retry_after_s or 0.0) > _SINGLE_S
        told_s = _SINGLE_S if is_short else retry_after_s
        is_blocked = self._begin_pause(now, taken, sent, limit, told_s, is_single=True)
        return Effect.SLOWER if is_short else Effect.HELD if is_blocked else Effect.PAUSED

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
            return now < self.pause.until
        usual = max(self._chance, self.cruise.noise)
        wait_s = self.capacity.on_refused(sent_before, taken, usual, self._rate(now), retry_after_s)
        if wait_s is not None:
            self.end_trial()
            self.epoch += 1
            self.pause.begin(now, wait_s, sent, 1, is_asked=retry_after_s is not None)
            return True
        if self._is_cruising:
            self.cruise.on_refused(sent_before)
        elif self._is_free:
            self._on_scattered(now, sent_before, sent)
        return False

    def on_taken(self, now: float, sent: int) -> None:
        """Learn that a call was served: a pace that is used may creep up.

        Args:
            now: The time.
            sent: Calls admitted so far.
        """
        if now < self.look_at:
            return
        self._sample(now, sent - self.refused)
        self._look_back(now, sent - self.refused)
        self.noise.on_sent(sent)
        is_held = self._is_cruising or self.is_rising or self._is_minute
        is_held = is_held or sent > self._refused.end + _OVER
        if self.noise.is_trying:
            self._judge(now, sent)
        elif self.noise.share >= _HEAVY and now >= self._retry_at and not is_held:
            self._try_less(now, sent)  # so much noise must be doubted
        self._sent = sent
        self._grow(now, sent)

    @property
    def _is_free(self) -> bool:
        """True if single refusals are watched by ``noise``, and not by the pace's control."""
        return self.pace is None or self.is_rising or self.noise.is_trying

    @property
    def _chance(self) -> float:
        """Share of the calls that is refused by chance, as far as is known."""
        if self._is_cruising and self.cruise.is_known:
            return self.cruise.noise
        return self.minutes.noise if self._is_minute else self.noise.share

    @property
    def _is_minute(self) -> bool:
        """True if the pace is held as a minute allows."""
        return self.pace is not None and self.minutes.is_long

    def _is_for_minute(self, now: float, index: int, sent: int) -> bool:
        """Learn of a refusal outside of clusters; True if it may tell of a minute's end."""
        if self._is_cruising:
            self.cruise.on_refused(index)
            return False
        if self._is_free:
            if self.spell.since is None:
                self._on_scattered(now, index, sent)
            return False
        return self.spell.since is not None or self._is_full(now)

    def _is_full(self, now: float) -> bool:
        """Learn of a refusal where the pace is held and creeps; True: a minute may have ended.

        Beside noise it may, but need not be: the pace is lowered by as much as that is likely.
        """
        minutes = self.minutes
        if self.pace is None or not minutes.is_long or not minutes.on_single(now, self._allowed):
            return False
        if minutes.noise >= RARE:
            self.pace *= 1.0 - (1.0 - _LEAN) * RARE / (RARE + minutes.noise)
            return False
        return True

    def _on_scattered(self, now: float, index: int, sent: int) -> None:
        """Learn of a refusal that is not part of a cluster."""
        is_excess = self.noise.on_refused(index)
        is_early = self.pace is None and self._taken.is_speeding_up(now)
        if self.noise.is_trying:
            self._judge(now, sent)
        elif is_excess and not (self.is_rising or is_early):
            self._try_less(now, sent)

    def _try_less(self, now: float, sent: int) -> None:
        """Send a little less than was taken, to see whether less is refused then."""
        if self.spell.since is not None or now < self.pause.until + _RECENT_S:
            return  # what was taken of late is less than it takes
        self._before = (self.pace, self._allowed, self.is_rising)
        self._sample(now, sent - self.refused)
        recent = self._taken.rate(now, _RECENT_S)
        is_enough = recent * _RECENT_S >= _ENOUGH
        self._allowed = recent if is_enough else max(recent, self._taken.rate(now, _STEADY_S))
        is_deep = self.noise.lately >= _HEAVY and not self._least_noise
        self.pace = self._allowed * (_DEEP if is_deep else _LEAN)
        if self._before[0] is not None:
            self.pace = min(self.pace, self._before[0] * _LEAN)
        self._cut_at = now
        self.noise.begin(sent)

    def _judge(self, now: float, sent: int) -> None:
        """End a trial whose outcome is known: undo the cut if it was for nothing."""
        is_noise = self.noise.verdict(self._sent)
        if is_noise is None:
            return
        self._retry_s *= LONGER if is_noise else 1.0
        self._retry_at = now + self._retry_s
        if is_noise:
            self.pace, self._allowed, self.is_rising = self._before
            return
        self._allowed /= 1.0 - self._chance
        self.pace = self._allowed * _LEAN
        self._begin_cruise(now, sent, _SURE_AFTER_TRIAL)
        self._hold(now, sent)

    def end_trial(self) -> None:
        """Undo a trial: what was refused says nothing about a rate, as the endpoint is down."""
        if self.noise.is_trying:
            self.pace, self._allowed, self.is_rising = self._before
        self.noise.forget()

    def _hold(self, now: float, sent: int) -> None:
        """Say when what was measured is put to the test."""
        self.test.hold(max(now, self.pause.until), sent, is_long=self.minutes.is_long)

    def _sure(self, now: float, taken: int, wait_s: float) -> float:
        """Return the evidence of a cluster that a pause needs: more if it would cost more calls."""
        is_blocked = self.spell.since is not None and taken <= self.spell.mark + 1
        return pause_score(wait_s * self._rate(now), is_blocked=is_blocked)

    def _rate(self, now: float) -> float:
        """Calls a second that are taken of late."""
        return max(self._taken.rate(now, _RECENT_S), self._sent / max(1.0, now))

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
        self.epoch += 1
        is_blocked = self.spell.is_same(now, taken, self.pace)
        fed = self._fed(now, taken) if is_blocked else 0.0
        is_blocked = is_blocked and not fed
        self.pause.blocked = self.pause.blocked + 1 if is_blocked else 0
        if self.pace is None:
            self.test.on_measured(now)
        if not is_blocked or self.test.rate is not None:
            self._sample(now, taken)  # a young pool may have none that is newer than its start
            self._learn_of_waves(now, taken)
            if fed:
                self.spell.end()
            elif self.spell.since is not None and not is_blocked:
                self._end_spell(now, self.spell.since)
            share = self.dependence.on_cut(now)
            if share and not self._is_minute:
                self.noise.learn(share)
                self._release(now)
            else:
                self._cut(now, sent, is_single=is_single, fed=fed)
        if not is_blocked or self.spell.since is None:
            self.spell.begin(now, taken)
            self.minutes.begin_spell(now, retry_after_s)
        elif taken <= self.spell.mark + 1:
            self.minutes.still_full(now, retry_after_s)
        self._cut_at = now
        wait_s = self.pause.backoff_s(self.pace) if retry_after_s is None else retry_after_s
        is_drained = wait_s >= _DRAINED_S and not is_blocked
        base = max(1, limit // 4) if is_drained else 1
        self.pause.begin(now, wait_s, sent, base, is_asked=retry_after_s is not None)
        self.dependence.on_pause(now, self.pause.until, sent, is_longer=is_blocked)
        if not is_single:
            self._hold(now, sent)
        return is_blocked

    def _learn_of_waves(self, now: float, taken: int) -> None:
        run_s = now - self.pause.until
        if self.spell.since is not None or self.minutes.is_long:
            self.waves.forget()
        elif run_s > 0.0:
            rate = (taken - self.spell.mark) / run_s
            self.waves.on_cluster(rate, run_s, self.pause.until - self.pause.began_at)

    def _cut(self, now: float, sent: int, *, is_single: bool, fed: float) -> None:
        """Lower the pace after a cluster, or a single refusal."""
        if self.waves.rate:
            self.pace = max(self.pace or 0.0, self.waves.rate)
            return
        if fed:
            self._is_cruising = False
            self._allowed, self.pace = fed, fed
            return
        tested = self.test.end(now, sent - self.refused, is_free=self.pace is None)
        if tested is not None:
            self._restore(now, sent, tested)
            return
        if self._is_cruising:
            self.cruise.on_cluster(now, sent, self.pause.until)
            run_s = now - self.pause.until  # at once, and before a block: the measure is in doubt
            is_borne = self.cruise.fit.calls > 0 or run_s >= _CREDIBLE_RUN_S
            if is_borne and self._taken.rate(now, _RECENT_S) >= _DEEPEST * self.cruise.pace:
                self.pace = self.cruise.pace
                return
        self.pace = self._pace_after(now, is_single=is_single)
        if not self.minutes.is_long and self.minutes.allowed:  # no minutes, as it seems now
            self._allowed = self.minutes.allowed
            self.minutes.forget()
        self._begin_cruise(now, sent, _SURE_AFTER_CUT)

    def _restore(self, now: float, sent: int, tested: float) -> None:
        """Go back to what was put to the test, and keep to it for longer than before."""
        is_long = self.minutes.is_long
        if self.is_rising:
            self.test.on_failed(is_long=is_long)
        self.is_rising = False
        if not is_long and self.cruise.fit.rate:
            self.cruise.resume(now, sent)
            self._is_cruising = True
            self._allowed = self.pace = self.cruise.pace
            return
        seen = self._taken.rate(now, MINUTE_S)
        if not is_long or seen > _IN_MINUTE * tested:
            tested = max(tested, seen)
        self._allowed = tested
        self.pace = tested * _LEAN

    def _begin_cruise(self, now: float, sent: int, sure: float) -> None:
        """Hold a pace near what is allowed; ``sure``: standard deviation of its logarithm."""
        self._is_cruising = not (self.minutes.is_long or self.is_rising or self.waves.rate)
        if self._is_cruising:
            self.cruise.begin(max(now, self.pause.until), sent, self._allowed, sure)
            self.pace = self.cruise.pace

    def _fed(self, now: float, taken: int) -> float:
        """Return the calls a second that are taken all through a spell; 0.0 if that says little."""
        if self.pace is None or not self.is_rising:
            return 0.0
        if self.minutes.is_long or self.test.rate is not None:
            return 0.0
        return self.spell.fed(now, taken, self.pace)

    def _sample(self, now: float, taken: int) -> None:
        self._taken.add(now, taken)
        self.look_at = now + _SAMPLE_S

    def _pace_after(self, now: float, *, is_single: bool) -> float:
        """Return a twentieth below the presumed limit of the server; growth closes the gap.

        A refusal in the first seconds finds a quota that somebody else has used up, such as the
        start before this one, and one while the rate still rises a rate that was never reached.
        Nothing was measured then: the pace doubles until the next cut.
        """
        is_long = self.minutes.is_long
        if is_long and self.minutes.allowed and self.pace is not None:
            return self.pace * _LEAN  # a better figure comes when calls flow again
        was_guess, before = self.is_rising, self._allowed
        self.is_rising = now - self._taken.since < (MINUTE_S if is_long else _CREDIBLE_S)
        span_s = MINUTE_S if is_long else _RISEN_S if was_guess else _RECENT_S
        if not is_long:
            span_s = self._taken.span_s(now, _CREDIBLE_CALLS, span_s, _STEADY_S)
        self._allowed = self._taken.rate(now, span_s) / (1.0 - self._chance)
        if self.pace is None:
            steady = _OF_STEADY * self._taken.rate(now, _STEADY_S)
            self._allowed = max(self._allowed, steady)
        if self.pace is None or was_guess:
            return self._allowed * _LEAN
        if not is_single and self._allowed >= _LEAN * self.pace:
            # All that was sent was taken until then: we held back, and the server did not.
            self._allowed = max(self._allowed, before * _LEAST_CUT)
            return self._allowed * _LEAN
        self._allowed = max(self._allowed, self.pace * (_LEAN if is_single else _DEEPEST))
        return min(self._allowed * _LEAN, self.pace * _LEAST_CUT)

    def _look_back(self, now: float, taken: int) -> None:
        """See whether calls flow again after hardly any were taken."""
        since = self.spell.since
        if since is None or self.pace is None:
            return
        used = min(self.pace, _USED * self._taken.rate(now, _STEADY_S))
        if self.spell.is_over(now, taken, self.pace, used):
            self._end_spell(now, since)

    def _end_spell(self, now: float, spent_at: float) -> None:
        """Learn that calls flow again; after a minute's end, that tells what is allowed in one."""
        self.spell.end()
        silent_s = self.pause.until - spent_at
        is_long = self.minutes.end_spell(now, silent_s, is_cluster=self.cluster_size > 1)
        if is_long is None:
            self.test.hurry(now)
        elif is_long and not self.is_rising and self.pace is not None:
            self.pace = self.minutes.measure(now, spent_at) * _LEAN
            self._allowed = self.minutes.allowed
            self._is_cruising = False
            if self.minutes.is_sure:
                self.test.hold_until(now + LONG_PATIENCE_S)

    def _grow(self, now: float, sent: int) -> None:
        seconds, calls = now - self._grown_at, sent - self._grown_sent
        self._grown_at, self._grown_sent = now, sent
        if self.pace is None or calls <= 0 or self.noise.is_trying:
            return
        if self.is_rising:
            self._rise(now, calls, seconds)
            return
        since_s = min(_RECENT_S, max(1.0, now - self.pause.until))
        is_used = self._taken.rate(now, since_s) >= _UTILISED * self.pace
        is_due = is_used and self.spell.since is None and self.test.is_due(now, sent)
        if is_due and self._is_cruising and self.cruise.is_refused:  # it was tested, in small
            self.cruise.is_refused = is_due = False
            self.test.on_failed(is_long=False)
            self._hold(now, sent)
        if is_due:
            guess = self.cruise.fit.quantile(0.5) if self._is_cruising else self._allowed
            self.test.begin(now, guess, sent - self.refused, sent)
            self.is_rising, self._cut_at = True, now
            self._is_cruising = False
        elif self._is_cruising:
            if self.cruise.on_sample(now, sent, _REFUSALS * self.pause.refused_in_s):
                self.pace = self.cruise.pace
        elif self._leaves_minutes(now, calls, seconds):
            if self.minutes.is_long:
                self._allowed = self._taken.rate(now, MINUTE_S)
                self.minutes.forget()
            self._begin_cruise(now, sent, _SURE_AFTER_CUT)
        elif is_used:
            self._creep(now, calls, seconds)

    def _leaves_minutes(self, now: float, calls: int, seconds: float) -> bool:
        """Return whether refusals without a full minute show that the server has no minutes.

        Nor has it any where they were taken for waves, and none came since.
        """
        minutes = self.minutes
        if not minutes.is_long:
            return not self.waves.rate and self.spell.since is None
        return minutes.on_sample(now, calls, seconds, self.refused, self._allowed)

    def _creep(self, now: float, calls: int, seconds: float) -> None:
        self.pace = crept(
            self.pace or 0.0,
            self._allowed,
            calls=calls,
            seconds=seconds,
            quiet_s=now - self._cut_at,
            noise=self._chance,
            is_long=self.minutes.is_long,
        )

    def _rise(self, now: float, calls: int, seconds: float) -> None:
        """Double the pace each second; without one where it is not used."""
        pace = self.pace or 0.0
        is_limiting = self._taken.rate(now, 1.0) >= _GUESS_UTILISED * pace
        if is_limiting or calls + 1 >= _GUESS_UTILISED * pace * seconds:
            self.pace = pace * 2.0 ** min(seconds, 1.0, calls / 2.0)
            self._cut_at = now
        elif self.spell.since is None:
            unused_s = now - max(self._cut_at, self.pause.until)
            if unused_s >= self.test.unused_s(is_long=self.minutes.is_long):
                self._release(now)

    def _release(self, now: float) -> None:
        """Send without a pace; where the server objects again soon, it is held for longer then."""
        self.test.release(now)
        self.pace, self.is_rising, self._is_cruising = None, False, False
        self.waves.forget()

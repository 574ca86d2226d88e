"""How fast a pool may go when its server has said "too fast": one pure controller, told the time.

The server's real limit is measured instead of guessed. When nearly all is refused, its quota is
used up; so what it took before says what it allows, whether it charges what was used or what was
reserved. Over which time, shows in what comes next. A server that counts by the second, or in a
bucket, takes calls again at once: the last seconds tell its rate. One that counts by the minute
takes hardly any until its minute is over; then the minute that just ended held exactly what it
allows. The pace goes a little below that, and creeps up again while nothing is refused, more slowly
where an objection takes a minute to come. (A cut by a fixed factor, as in AIMD, took many more
refusals to find a limit far away, and gave up more near it.)

A pool is in one of these states:

* **free**: no pace. Single refusals are borne; a cluster of them (see ``noise``) leads to *held*.
* **held**: at a pace just below what was measured. Only clusters lower what is thought to be
  allowed; a single refusal takes the pace back to a twentieth below it and no further, which is its
  floor.
* **rising**: what was measured is put to the test: the pace doubles each second. A quota answers
  with a cluster, and back it goes to *held*, for four times as long as before; where no cluster
  comes, the pool is *free* within seconds. So whatever was taken for a quota by mistake, or is one
  no more, is found out.
* **trying**: scattered refusals are more than usual, and a little less is sent until it shows
  whether that helps. If not they are noise, and the cut is undone.

Clusters that come no later at a lower pace are waves (see ``noise``): they pause, and cut no pace.

The constants were chosen by simulation: tests/property/test_gate_quotas.py, test_gate_shares.py and
test_gate_noise.py hold what they reach.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto

from pairmill.llm.limits.noise import ClusterTest, NoiseTest, WaveTest
from pairmill.llm.limits.quota_fit import Cruise

__all__ = ["Effect", "RateControl"]

_LEAN = 0.95  # of what is allowed, at first, so that what was overdrawn is paid off
_BELOW = 0.98  # of what is allowed, soon after; from there on it creeps
_LEAST_CUT = 0.99  # of the pace, where the limit is thought to be above it
_DEEPEST = 0.65  # one episode never takes more than this share
_RECENT_S = 5.0  # over which a server that counts by the second is measured
_STEADY_S = 20.0  # over which one that is tried is measured: of a slow pool 5 s hold a few calls
_ENOUGH = 20  # calls in the former
_MINUTE_S = 60.0
_SAMPLE_S = 0.5
_KEPT_S = 90.0  # of samples: a minute, wherever in the pause after it it ended
_GROWTH_PER_S = 0.001
_GROWTH_PER_CALL = 0.0003  # a slow pool creeps slowly, so that a 429 stays rare per call
_FASTEST_GROWTH = 60.0  # times the above, after a minute or more without a refusal
_NOISY_GROWTH = 1.0  # and beside noise
_CATCH_UP = 20.0  # times the above, while below what is known to be allowed
_PATIENCE_S = 10.0  # without a refusal, until growth is twice as fast
_DRAINED_S = 2.0  # a shorter pause leaves most calls in flight: there is no herd to hold back
_TRICKLE = 0.05  # of a pace: what is taken beside refusals while a quota is used up
_MOST_TRICKLE = 10.0  # calls: so many show a server that takes some all the time
_FLOW_S = 0.3  # of a pace, taken beyond that: calls flow again
_CALLS_PER_PROBE = 25.0  # calls that a pool could make while it waits to ask again, at most
_UTILISED = 0.8  # only a rate that is used may grow
_LONG_S = 3.0  # with hardly anything taken: the server counts by the minute
_SHORTS = 20  # shorter spells in a row, until it is not thought to any more
_SOON = 2  # such spells in a row that came too soon, until they are thought to be waves
_APART_S = 45.0  # between two of them, at least; in a shorter time no minute ends twice
_LONG_PATIENCE_S = 75.0  # a server that counts by the minute takes a minute to object
_LONG_GROWTH = 5.0  # and as the fastest growth then
_CREDIBLE_S = 5.0  # what was taken in less time says little about what is allowed
_GUESS_UTILISED = 0.4  # of a pace that doubles each second, as seen over the last second
_UNUSED_S = 2.0  # at a pace that is not used: there is nothing to hold back
_RISEN_S = 2.0  # over which a pace that doubles is measured
_LEAST_RAMP_S, _RAMP_S = 0.05, 0.5  # in which twice as many calls may go after a pause: bounds
_REFUSALS = 2.0  # the same, in times that a refusal takes to come: the last ones are known then
_LEAST_WAIT_S = 0.001
_FADE = 0.9  # with each refusal, of what the longest of late took
_COSTLY = 100.0  # a pause for nothing may cost one part in so many of the calls
_SURE = (8.0, 16.0)  # bounds of the log likelihood ratio that a pause needs
_AGAIN = 2.5  # the same, where calls are refused at once after a pause
_TOLD = 4.0  # what it counts for that the server says that nothing is left
_FIRST_TEST_S, _FIRST_TEST_CALLS = 2.0, 40  # held, before what was measured is put to the test
_FIRST_RETRY_S = 5.0  # until much noise is doubted again, by a lower rate
_LONGER = 4  # times as long, after each test that failed
_IN_MINUTE = 2.1  # times a quota that is dealt out by the minute: more never falls on 60 seconds
_SINGLE_S = 1.0  # of a pause for one refusal
_RARE = 0.007
_SINGLES, _FALLEN = 6, 0.85  # cuts for one refusal each, and what is left: no quota does that
_HEAVY, _DEEP = 0.15, 0.6  # so much is believed to be noise only at a far lower pace
_FASTER = 1.2  # the last second, beside the last three: the pool still gets up to speed


class Effect(Enum):
    """What one refusal led to."""

    NONE = auto()  # it alone waits
    SLOWER = auto()  # an episode began, with a short pause; the refused call waits alone
    PAUSED = auto()  # an episode began: nothing goes for a while, and then more slowly
    HELD = auto()  # it belongs to an episode: nothing goes for a while

    @property
    def is_held(self) -> bool:
        """Whether nothing is admitted for as long as this refusal asks."""
        return self in {Effect.PAUSED, Effect.HELD}

    @property
    def is_cut(self) -> bool:
        """Whether an episode began."""
        return self in {Effect.PAUSED, Effect.SLOWER}


class RateControl:
    """Pause, pace and epoch of one pool.

    Attributes:
        epoch: Counts congestion episodes. A lease remembers the epoch of its admission, so that
            all refusals of one episode together cause one cut.
        paused_until: Nothing is admitted before this time.
        pace: Requests a second that the server was measured to allow; None until it refused.
        refused: Refusals so far.
        cluster, noise: What is known of refusals.
        cluster_size: Refusals that the last pause took for evidence.
    """

    __slots__ = (
        "_allowed",
        "_anchor",
        "_backoff_s",
        "_before",
        "_blocked",
        "_cut_at",
        "_fallen",
        "_flow_since",
        "_grown_at",
        "_grown_sent",
        "_held_calls",
        "_held_s",
        "_is_guess",
        "_long_at",
        "_mark",
        "_max_backoff_s",
        "_measured",
        "_paused_at",
        "_ramp_base",
        "_ramp_sent",
        "_refused_in_s",
        "_released_at",
        "_retry_at",
        "_retry_s",
        "_samples",
        "_scattered",
        "_sent",
        "_short_in_row",
        "_singles",
        "_singles_from",
        "_soon",
        "_spent_at",
        "_test_at",
        "_test_sent",
        "_tested",
        "_told_s",
        "_full_at",
        "_refused_then",
        "_fullest",
        "_is_cruising",
        "_lone",
        "_lone_of",
        "cluster",
        "cruise",
        "cluster_size",
        "epoch",
        "noise",
        "pace",
        "paused_until",
        "refused",
        "waves",
    )

    def __init__(self, *, backoff_s: float = 0.5, max_backoff_s: float = 60.0) -> None:
        self.epoch = 0
        self.paused_until = float("-inf")
        self.pace: float | None = None
        self.refused = 0
        self._backoff_s = backoff_s
        self._max_backoff_s = max_backoff_s
        self._allowed = 0.0
        self._anchor = 0.0  # the same, as it was measured
        self._blocked = 0  # refusals in a row with nothing taken between them
        self._mark = 0  # calls taken before the last refusal
        self._cut_at = 0.0
        self._paused_at = 0.0
        self._grown_at = 0.0
        self._grown_sent = 0
        self._is_guess = False  # the pace doubles each second
        self._singles = 0  # cuts for one refusal each, since the last cluster
        self._retry_at, self._retry_s = 0.0, _FIRST_RETRY_S
        self._released_at = -math.inf
        self._fallen = 0.0  # the pace at that moment
        self._singles_from = 0  # calls sent before the first of them
        self._scattered = 0.0  # share of such refusals, before a rate was put to the test for them
        self._ramp_base: int | None = None
        self._ramp_sent = 0  # calls sent before the pause
        self._refused_in_s = 0.0  # how long after sending refusals come
        self._samples: deque[tuple[float, int]] = deque()
        self._measured: deque[float] = deque(maxlen=2)
        self._short_in_row = _SHORTS
        self._long_at = -math.inf  # when calls last flowed again after a long spell
        self._soon = 0  # such spells in a row that came too soon after one another
        self._full_at = 0.0  # when nothing was taken yet, last
        self._told_s = math.inf  # the wait that was asked for when calls were last blocked
        self._spent_at: float | None = None  # since when hardly anything is taken
        self._sent = 0  # some half a second ago
        self._before: tuple[float | None, float, bool] = (None, 0.0, False)  # the trial
        self._tested: float | None = None  # what was thought to be allowed, while that is tested
        self._held_s, self._held_calls = _FIRST_TEST_S, _FIRST_TEST_CALLS
        self._test_at, self._test_sent = math.inf, 0
        self.cluster = ClusterTest()
        self.cluster_size = 1
        self.noise = NoiseTest()
        self._lone = self._lone_of = 0.0
        self._fullest = 0.0
        self._refused_then = 0
        self.cruise = Cruise()
        self._is_cruising = False
        self.waves = WaveTest()

    @property
    def is_suspicious(self) -> bool:
        """Whether refusals are unexplained at the moment: no time to send more."""
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
        taken = sent_before - self.refused
        self.refused += 1
        self._refused_in_s = max(seconds, _FADE * self._refused_in_s)
        if epoch != self.epoch:
            if self._spent_at is None and now >= self.paused_until:
                return Effect.NONE  # sent before an episode that is over
            if self._chance < _RARE:
                self.paused_until = max(self.paused_until, now + (retry_after_s or 0.0))
            return Effect.HELD
        self.cluster.on_refused(sent_before, max(self._chance, least_noise))
        if is_spent:
            self.cluster.score += _TOLD
        wait_s = retry_after_s if retry_after_s is not None else self._backoff()
        is_lone = self.noise.is_trying and self.cluster.in_row == 1
        if not is_lone and self.cluster.score >= self._sure(now, taken, wait_s):
            if self.cluster.in_row > 1 or self._is_long:
                self._singles = 0
            self._end_trial()
            is_blocked = self._pause(now, taken, sent, limit, retry_after_s)
            return Effect.HELD if is_blocked else Effect.PAUSED
        if self._is_cruising:
            self.cruise.on_refused(sent_before)
            return Effect.NONE
        is_free = self.pace is None or self._is_guess or self.noise.is_trying
        is_tried = is_free and self._spent_at is None and self._on_scattered(now, sent_before, sent)
        if is_tried or self.pace is None or self._is_guess or (self.noise.share and not self._is_long):
            return Effect.NONE
        is_quota = self._is_quota_single(now, sent)
        if is_quota is None:
            return Effect.NONE
        if not is_quota:
            self.pace *= 1.0 - (1.0 - _LEAN) * _RARE / (_RARE + self._noise_in_minute)
            return Effect.NONE
        self._singles += 1
        if self._singles == 1:
            self._singles_from = sent_before
        is_short = self._spent_at is None and (retry_after_s or 0.0) > _SINGLE_S
        told_s = _SINGLE_S if is_short else retry_after_s
        is_blocked = self._pause(now, taken, sent, limit, told_s)
        return Effect.SLOWER if is_short else Effect.HELD if is_blocked else Effect.PAUSED

    def _is_quota_single(self, now: float, sent: int) -> bool | None:
        if not self._is_long or self._spent_at is not None:
            return True
        if not self._is_full(now):
            self._lone += 1
            return None
        return self._noise_in_minute < _RARE

    def _is_full(self, now: float) -> bool:
        window = self._taken_by(now) - self._taken_by(now - _MINUTE_S)
        return window >= 0.95 * min(self._allowed * _MINUTE_S, self._fullest)

    @property
    def _chance(self) -> float:
        if self._is_cruising and self.cruise.fit.calls >= 100:
            return self.cruise.fit.noise
        return self._noise_in_minute if self.pace is not None and self._is_long else self.noise.share

    @property
    def _noise_in_minute(self) -> float:
        return self._lone / (self._lone_of + 50.0)

    def on_busy(self, now: float, *, epoch: int, sent_before: int, sent: int) -> None:
        """Learn that a call found no capacity; clusters of those are the breaker's."""
        self.refused += 1
        if self._is_cruising:
            self.cruise.on_refused(sent_before)
        elif epoch == self.epoch and (self.pace is None or self._is_guess or self.noise.is_trying):
            self._on_scattered(now, sent_before, sent)

    def on_down(self) -> None:
        """Learn that the endpoint is down: what was refused says nothing about a rate."""
        self._end_trial()

    def on_taken(self, now: float, sent: int) -> None:
        """Learn that a call was served: a pace that is used may creep up.

        Args:
            now: The time.
            sent: Calls admitted so far.
        """
        if not self._samples or now >= self._samples[-1][0] + _SAMPLE_S:
            self._sample(now, sent - self.refused)
            self._look_back(now, sent - self.refused)
            self.noise.on_sent(sent)
            if self.noise.is_trying:
                self._judge(now, sent)
            elif not self._is_cruising and self.noise.share >= _HEAVY and now >= self._retry_at and not self._is_guess:
                self._try_less(now, sent)
            self._sent = sent
            self._grow(now, sent)

    def _on_scattered(self, now: float, index: int, sent: int) -> bool:
        """Learn of a refusal that is not part of a cluster; True if a trial is on."""
        is_excess = self.noise.on_refused(index)
        if self.noise.is_trying:
            self._judge(now, sent)
            return True
        if is_excess and not self._is_guess and not self._is_speeding_up(now):
            self._try_less(now, sent)
            return True
        return False

    def _try_less(self, now: float, sent: int) -> None:
        """Send a little less than was taken, to see whether less is refused then."""
        self._before = (self.pace, self._allowed, self._is_guess)
        self._sample(now, sent - self.refused)
        recent = self._rate_over(now, _RECENT_S)
        is_enough = recent * _RECENT_S >= _ENOUGH
        self._allowed = recent if is_enough else max(recent, self._rate_over(now, _STEADY_S))
        self.pace = self._allowed * (_LEAN if self.noise.lately < _HEAVY else _DEEP)
        if self._before[0] is not None:
            self.pace = min(self.pace, self._before[0] * _LEAN)
        self._cut_at = now
        self.noise.begin(sent)

    def _judge(self, now: float, sent: int) -> None:
        """End a trial whose outcome is known: undo the cut if it was for nothing."""
        is_noise = self.noise.verdict(self._sent)
        if is_noise is not None:
            self._retry_s *= _LONGER if is_noise else 1.0
            self._retry_at = now + self._retry_s
        if is_noise:
            self.pace, self._allowed, self._is_guess = self._before
        elif is_noise is False:
            self._anchor = self._allowed = self._allowed / (1.0 - self._chance)
            self.pace = self._allowed * _LEAN
            self._begin_cruise(now, sent, 0.1)
            self._hold(now, sent)

    def _end_trial(self) -> None:
        if self.noise.is_trying:
            self.pace, self._allowed, self._is_guess = self._before
        self.noise.forget()

    def _hold(self, now: float, sent: int) -> None:
        """Say when what was measured is put to the test."""
        held_s = max(self._held_s, _LONG_PATIENCE_S) if self._is_long else self._held_s
        self._test_at = max(now, self.paused_until) + held_s
        self._test_sent = sent + self._held_calls

    @property
    def _has_fallen(self) -> bool:
        """Whether single refusals have brought the pace far below what was measured."""
        return self._singles >= _SINGLES and (self.pace or 0.0) < _FALLEN * self._anchor

    def _sure(self, now: float, taken: int, wait_s: float) -> float:
        """The evidence of a cluster that a pause needs: the more, the more calls it would cost."""
        if self._spent_at is not None and taken <= self._mark + 1:
            return _AGAIN
        least, most = _SURE
        calls = max(1.0, wait_s * max(self._rate_over(now, _RECENT_S), self._sent / max(1.0, now)))
        return min(most, max(least, math.log(_COSTLY * calls)))

    def _pause(
        self, now: float, taken: int, sent: int, limit: int, retry_after_s: float | None
    ) -> bool:
        """Begin an episode; or, if nothing was taken since, go on with the last one: True."""
        self.cluster_size = max(1, self.cluster.in_row)
        self.cluster.forget()
        self.epoch += 1
        is_blocked = taken <= self._mark + self._trickle(now)
        self._blocked = self._blocked + 1 if is_blocked else 0
        if self.pace is None:
            self._set_patience(now)
        if not is_blocked or self._tested is not None:
            self._sample(now, taken)  # a young pool may have none that is newer than its start
            self._learn_of_waves(now, taken)
            if self._spent_at is not None and not is_blocked:
                self._end_spell(now, self._spent_at)
            self._cut(now, sent)
        if not is_blocked or self._spent_at is None:
            self._spent_at = now
            self._mark = taken
            self._told_s = math.inf if retry_after_s is None else retry_after_s
            self._full_at = now
        self._cut_at = self._paused_at = now
        wait_s = self._backoff() if retry_after_s is None else retry_after_s
        if taken <= self._mark + 1:
            is_far = retry_after_s is not None and wait_s >= _LONG_S
            self._full_at = max(self._full_at, now + wait_s if is_far else now)
        self.paused_until = max(self.paused_until, now + wait_s)
        if not self._singles:
            self._hold(now, sent)
        elif self._has_fallen:
            self._test_at, self._test_sent = self.paused_until, sent
        is_drained = wait_s >= _DRAINED_S and not is_blocked
        self._ramp_base = max(1, limit // 4) if is_drained else 1  # one asks for the others
        self._ramp_sent = sent
        return is_blocked

    def _begin_cruise(self, now: float, sent: int, sure: float) -> None:
        self._is_cruising = not self._is_long and not self._is_guess and not self.waves.rate
        if self._is_cruising:
            self.cruise.begin(max(now, self.paused_until), sent, self._allowed, sure)
            self.pace = self.cruise.pace

    def _set_patience(self, now: float) -> None:
        """How long it takes until a rate is tested that was measured without a pace before."""
        times = _LONGER if now < self._released_at + _LONG_PATIENCE_S else 1
        first = self._held_calls if times > 1 else _FIRST_TEST_CALLS
        self._held_calls = min(_FIRST_TEST_CALLS * _LONGER**3, first * times)
        self._held_s = _FIRST_TEST_S * self._held_calls / _FIRST_TEST_CALLS

    def _learn_of_waves(self, now: float, taken: int) -> None:
        run_s = now - self.paused_until
        if self._spent_at is not None or self._is_long:
            self.waves.forget()
        elif run_s > 0.0:
            rate = (taken - self._mark) / run_s
            self.waves.on_cluster(rate, run_s, self.paused_until - self._paused_at)

    def _cut(self, now: float, sent: int) -> None:
        """Lower the pace after a cluster."""
        if self.waves.rate:
            self.pace = max(self.pace or 0.0, self.waves.rate)
            return
        tested, self._tested = self._tested, None
        if tested is None:
            if self._is_cruising:
                self.cruise.on_cluster(now, sent, self.paused_until)
                if self._rate_over(now, _RECENT_S) >= 0.65 * self.cruise.pace:
                    self.pace = self.cruise.pace
                    return
            self.pace = self._pace_after(now)
            if self._short_in_row == _SHORTS and self._measured:
                self._allowed = max(self._measured)
                self._measured.clear()
            if not self._singles:
                self._anchor = self._allowed
            self._begin_cruise(now, sent, 0.3)
            return
        self._held_s = _LONGER * max(self._held_s, _LONG_PATIENCE_S if self._is_long else 0.0)
        self._held_calls *= _LONGER
        self._is_guess = False
        seen = self._rate_over(now, _MINUTE_S)
        if not self._is_long or seen > _IN_MINUTE * tested:
            tested = max(tested, seen)
        self._allowed = self._anchor = tested
        self.pace = tested * _LEAN
        if not self._is_long and self.cruise.fit.is_begun:
            self._is_cruising = True
            self.cruise.resume(now, sent)
            self.pace = self.cruise.pace
            self._allowed = self._anchor = self.pace
            return
        if self._scattered:  # are those noise that were refused far below this rate?
            self._before = (self.pace, tested, False)
            self.pace = self._fallen
            self._allowed = self.pace / _LEAN
            self.noise.begin(sent, self._scattered)
            self._scattered = 0.0

    @property
    def is_ramping(self) -> bool:
        """Whether calls are let go one by one, and then faster and faster, after a pause."""
        return self._ramp_base is not None

    @property
    def is_rising(self) -> bool:
        """Whether the pace doubles each second, to see what the server allows."""
        return self._is_guess

    def ramp_room(self, now: float, sent: int, limit: int) -> int:
        """Calls that may go at this moment after a pause; ``limit`` where that is long ago.

        At first one, or a few; twice as many each time that the last ones could have been refused.

        Args:
            now: The time.
            sent: Calls admitted so far.
            limit: Calls that may be in flight; as soon as so many may go, this rule is over.
        """
        if self._ramp_base is None:
            return limit
        steps = int(max(0.0, now - self.paused_until) / self._ramp_s)
        may_go = self._ramp_base << min(steps, 20)
        if may_go >= limit:
            self._ramp_base = None
            return limit
        return max(0, self._ramp_sent + may_go - sent)

    def ramp_wait_s(self, now: float, sent: int, limit: int) -> float:
        """Seconds until one more call may go after a pause; 0.0 means now."""
        if self._ramp_base is None or self.ramp_room(now, sent, limit):
            return 0.0
        step_s = self._ramp_s
        steps = int(max(0.0, now - self.paused_until) / step_s)
        return max(_LEAST_WAIT_S, self.paused_until + (steps + 1) * step_s - now)

    @property
    def _ramp_s(self) -> float:
        return min(_RAMP_S, max(_LEAST_RAMP_S, _REFUSALS * self._refused_in_s))

    def _trickle(self, now: float) -> float:
        """Calls that a server takes beside its refusals while its quota is used up."""
        if self._spent_at is None or self.pace is None:
            return 0.0
        return 1.0 + min(_MOST_TRICKLE, _TRICKLE * self.pace * (now - self._spent_at))

    def _sample(self, now: float, taken: int) -> None:
        samples = self._samples
        if not samples:
            samples.append((now - 1.0, 0))
        samples.append((now, taken))
        while len(samples) > 2 and samples[1][0] <= now - _KEPT_S:  # noqa: PLR2004 (a span)
            samples.popleft()

    def _backoff(self) -> float:
        """Twice as long each time that nothing was taken; but a fast pool asks more often.

        So calls that only ask, and are refused, stay few beside those that are answered.
        """
        longest = self._max_backoff_s
        if self.pace is not None:
            longest = min(longest, max(self._backoff_s, _CALLS_PER_PROBE / self.pace))
        return min(longest, self._backoff_s * 2.0 ** min(self._blocked, 30))

    def _pace_after(self, now: float) -> float:
        """A twentieth below what the server is now thought to allow; growth closes the gap.

        A refusal in the first seconds finds a quota that somebody else has used up, such as the
        start before this one, and one while the rate still rises a rate that was never reached.
        Nothing was measured then: the pace doubles until the next cut.
        """
        if self._is_long and self._measured and self.pace is not None:
            return self.pace * _LEAN  # a better figure comes when calls flow again
        was_guess, before = self._is_guess, self._allowed
        is_long = self._is_long
        self._is_guess = now - self._samples[0][0] < (_MINUTE_S if is_long else _CREDIBLE_S)
        span_s = _MINUTE_S if is_long else _RISEN_S if was_guess else _RECENT_S
        self._allowed = self._rate_over(now, span_s) / (1.0 - self._chance)
        if self.pace is None:
            self._allowed = max(self._allowed, 0.5 * self._rate_over(now, _STEADY_S))
        if self.pace is None or was_guess:
            return self._allowed * _LEAN
        if not self._singles and self._allowed >= _LEAN * self.pace:
            # All that was sent was taken until then: we held back, and the server did not.
            self._allowed = max(self._allowed, before * _LEAST_CUT)
            return self._allowed * _LEAN
        self._allowed = max(self._allowed, self.pace * (_LEAN if self._singles else _DEEPEST))
        return min(self._allowed * _LEAN, self.pace * _LEAST_CUT)

    def _is_speeding_up(self, now: float) -> bool:
        return self.pace is None and self._rate_over(now, 1.0) > _FASTER * self._rate_over(now, 3.0)

    def _rate_over(self, now: float, span_s: float) -> float:
        """Calls a second that the server took in the last ``span_s`` seconds."""
        if not self._samples:
            return 1.0
        since, taken_then = self._samples[0]
        for at, taken in reversed(self._samples):
            since, taken_then = at, taken
            if at <= now - span_s:
                break
        return max(1, self._samples[-1][1] - taken_then) / max(now - since, 1.0)

    def _look_back(self, now: float, taken: int) -> None:
        """When calls flow again: how long was nothing taken, and what is allowed in a minute?

        A server that counts by the minute takes nothing for a while; what it took in the minute
        that ends now is then just what it allows.
        """
        if self._spent_at is None or self.pace is None:
            return
        if taken > self._mark + self._trickle(now) + _FLOW_S * self.pace:
            self._end_spell(now, self._spent_at)

    def _end_spell(self, now: float, spent_at: float) -> None:
        silent_s = self.paused_until - spent_at
        self._spent_at = None
        is_long = silent_s >= _LONG_S and not self._told_s < _LONG_S  # it would have said so
        if is_long:
            self._soon = self._soon + 1 if now - self._long_at < _APART_S else 0
            self._long_at = now
            is_long = self._soon < _SOON
            if not is_long and self._is_long:  # waves, and no minutes
                self._short_in_row = _SHORTS
                self._measured.clear()
                self._test_at, self._test_sent = now, 0
        self._short_in_row = 0 if is_long else self._short_in_row + (self.cluster_size > 1)
        if not is_long or self._is_guess or self.pace is None:
            return
        # Its minute was full when it refused first, and still when it refused last.
        allowed = self._full_rate(self._full_at)
        if spent_at - self._samples[0][0] >= _MINUTE_S:
            allowed = min(allowed, self._full_rate(spent_at))
        self._measured.append(allowed)
        self._allowed = self._anchor = max(self._measured)
        self._is_cruising = False
        self._test_at = max(self._test_at, now + _LONG_PATIENCE_S)
        self.pace = allowed * _LEAN

    @property
    def _is_long(self) -> bool:
        """Whether the server seems to count by the minute, and not by the second or so."""
        return self._short_in_row < _SHORTS

    def _full_rate(self, until: float) -> float:
        return max(1, self._taken_by(until) - self._taken_by(until - _MINUTE_S)) / _MINUTE_S

    def _taken_by(self, then: float) -> int:
        found = self._samples[0][1]
        for at, taken in self._samples:
            if at > then:
                break
            found = taken
        return found

    def _grow(self, now: float, sent: int) -> None:
        seconds, calls = now - self._grown_at, sent - self._grown_sent
        self._grown_at, self._grown_sent = now, sent
        if self.pace is None or calls <= 0:
            return
        if self.noise.is_trying:
            return
        if self._is_guess:
            self._rise(now, seconds)
            return
        since_s = min(_RECENT_S, max(1.0, now - self.paused_until))
        is_used = self._rate_over(now, since_s) >= _UTILISED * self.pace
        is_due = now >= self._test_at and (sent >= self._test_sent or now >= self._test_at + 60.0 * self._held_calls / _FIRST_TEST_CALLS) and self._spent_at is None
        if is_due and (is_used or self._has_fallen):
            self._tested, self._is_guess, self._cut_at = self._allowed, True, now
            self._is_cruising = False
            if self._has_fallen and not self._is_long:  # else refusals come a minute late
                self._tested, self._fallen = self._anchor, self.pace
                self._scattered = self._singles / max(1, sent - self._singles_from)
            return
        if self._is_cruising:
            if self.cruise.on_sample(now, sent, 2.0 * self._refused_in_s):
                self.pace = self.cruise.pace
            return
        if self._is_long:
            window = self._taken_by(now) - self._taken_by(now - _MINUTE_S)
            fullest = self._fullest * 0.9 ** (seconds / _MINUTE_S)
            is_known = self.refused - self._refused_then <= 3 + 0.01 * window
            self._fullest = max(window, fullest) if is_known else fullest
            self._refused_then = self.refused
        if self._is_long and not self._is_full(now):
            self._lone_of += calls
            if self._lone_of >= 100 and self._lone > 0.1 * self._lone_of:
                self._short_in_row = _SHORTS
                self._measured.clear()
                self._lone = self._lone_of = 0.0
                self._allowed = self._anchor = max(1.0, window) / _MINUTE_S
                self._begin_cruise(now, sent, 0.3)
                return
            if self._lone_of > 1000:
                self._lone *= 1000 / self._lone_of
                self._lone_of = 1000
        if not is_used:
            return
        quiet_s = now - self._cut_at
        fastest = _FASTEST_GROWTH
        if self._is_long:
            quiet_s, fastest = max(0.0, quiet_s - _LONG_PATIENCE_S), _LONG_GROWTH
        haste = min(fastest, 1.0 + (quiet_s / _PATIENCE_S) ** 2)
        if self.pace < _BELOW * self._allowed:
            haste = _CATCH_UP
        elif self._chance >= _RARE:
            haste = _NOISY_GROWTH  # whether it goes too fast is hard to see
        step = min(_GROWTH_PER_S * seconds, _GROWTH_PER_CALL * calls)
        self.pace *= 1.0 + step * haste

    def _rise(self, now: float, seconds: float) -> None:
        """Double the pace each second; without one where it is not used."""
        if self._is_limiting(now):
            self.pace = (self.pace or 0.0) * 2.0 ** min(seconds, 1.0)
            self._cut_at = now
        elif now - max(self._cut_at, self.paused_until) >= self._unused_s and not self._spent_at:
            self._release(now)

    def _is_limiting(self, now: float) -> bool:
        """Whether a pace that doubles each second is what holds calls back."""
        return self._rate_over(now, 1.0) >= _GUESS_UTILISED * (self.pace or 0.0)

    def _release(self, now: float) -> None:
        """Send without a pace; where the server objects again soon, it is held for longer then."""
        self.pace, self._is_guess, self._tested = None, False, None
        self._is_cruising = False
        self._scattered = 0.0
        self._released_at = now
        self.waves.forget()

    @property
    def _unused_s(self) -> float:
        """How long a pace has to be unused to be none: one by the minute takes that to object."""
        return _MINUTE_S if self._is_long and self._tested is not None else _UNUSED_S

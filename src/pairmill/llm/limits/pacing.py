"""How fast a pool may go when its server has said "too fast": one pure controller, told the time.

The server's real limit is measured instead of guessed. When it refuses, its quota is used up; so
what it took before says what it allows, whether it charges what was used or what was reserved. Over
which time, shows in what comes next. A server that counts by the second, or in a bucket, takes
calls again at once: the last seconds tell its rate. One that counts by the minute takes hardly any
until its minute is over; then the minute that just ended held exactly what it allows. The pace goes
a little below that, and creeps up again while nothing is refused, more slowly where an objection
takes a minute to come. (A cut by a fixed factor, as in AIMD, took many more refusals to find a
limit far away, and gave up more near it.)

The constants were chosen by simulation: tests/property/test_gate_quotas.py and test_gate_shares.py
hold what they reach.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto

from pairmill.llm.limits.noise import ClusterTest, NoiseModel

__all__ = ["Effect", "RateControl"]

_LEAN = 0.95  # of what is allowed, at first, so that what was overdrawn is paid off
_BELOW = 0.98  # of what is allowed, soon after; from there on it creeps
_LEAST_CUT = 0.99  # of the pace, where the limit is thought to be above it
_DEEPEST = 0.65  # one episode never takes more than this share
_RECENT_S = 5.0  # over which a server that counts by the second is measured
_MINUTE_S = 60.0
_SAMPLE_S = 0.5
_KEPT_S = 90.0  # of samples: a minute, wherever in the pause after it it ended
_GROWTH_PER_S = 0.001
_GROWTH_PER_CALL = 0.0003  # a slow pool creeps slowly, so that a 429 stays rare per call
_FASTEST_GROWTH = 60.0  # times the above, after a minute or more without a refusal
_CATCH_UP = 20.0  # times the above, while below what is known to be allowed
_PATIENCE_S = 10.0  # without a refusal, until growth is twice as fast
_DRAINED_S = 2.0  # a shorter pause leaves most calls in flight: there is no herd to hold back
_TRICKLE = 0.05  # of a pace: what is taken beside refusals while a quota is used up
_FLOW_S = 0.3  # of a pace, taken beyond that: calls flow again
_CALLS_PER_PROBE = 25.0  # calls that a pool could make while it waits to ask again, at most
_UTILISED = 0.8  # only a rate that is used may grow
_LONG_S = 3.0  # with hardly anything taken: the server counts by the minute
_SHORTS = 20  # shorter spells in a row, until it is not thought to any more
_LONG_PATIENCE_S = 75.0  # a server that counts by the minute takes a minute to object
_LONG_GROWTH = 5.0  # and as the fastest growth then
_CREDIBLE_S = 5.0  # what was taken in less time says little about what is allowed
_GUESS_UTILISED = 0.4  # of a pace that doubles each second, as seen over the last second
_STEADY_S = 4.0  # at a pace without a cut: it was not what the server objects to
_TWICE = 2
_ALIKE = 0.85  # what two minutes held, for it to be a quota
_NEAR = 0.85  # the pace of two trials, for their verdicts to be one
_RISEN_S = 2.0  # over which a pace that doubles is measured
_RAMPS_PER_S = 2.0  # doublings of the calls in flight after a pause
_COSTLY = 100.0  # a pause for nothing may cost one part in so many of the calls
_SURE = (8.0, 16.0)  # bounds of the log likelihood ratio that a pause needs
_AGAIN = 5.0  # the same, where calls are refused at once after a pause
_MORE = 0.5  # than the known noise: what is refused after a pause then says which it is
_TRIAL = 0.93  # of a pace: where it is the cause, next to nothing is refused below that
_HEAVY, _DEEP = 0.02, 0.8  # so much noise is believed in only at a pace far below what is taken
_MANY, _OFTEN = 4, 120  # cuts within so many calls: it may not be a quota alone
_FALLING = 0.9  # of the pace of six cuts ago: likewise
_LONGEST_TRIAL_S = 30.0
_LEAST_LEFT = 0.05  # of a pace, at one cut
_TOLD = 4.0  # what it counts for that the server says that nothing is left
_NOISE_GROWTH = 0.002  # noise at which a pace creeps half as fast: an excess shows more slowly


class Effect(Enum):
    """What one refusal led to."""

    NONE = auto()  # it alone waits
    SLOWER = auto()  # a lower pace is tried
    PAUSED = auto()  # an episode began: nothing goes for a while, and then more slowly
    HELD = auto()  # it belongs to an episode: nothing goes for a while

    @property
    def is_held(self) -> bool:
        """Whether nothing is admitted for as long as this refusal asks."""
        return self in {Effect.PAUSED, Effect.HELD}


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
        "_backoff_s",
        "_before",
        "_blocked",
        "_cut_at",
        "_cuts",
        "_flow_since",
        "_grown_at",
        "_grown_sent",
        "_is_deep",
        "_is_guess",
        "_is_quota",
        "_is_soft",
        "_mark",
        "_max_backoff_s",
        "_measured",
        "_objected",
        "_origin",
        "_ramp_base",
        "_samples",
        "_sent",
        "_short_in_row",
        "_silent_s",
        "_spent_at",
        "_told_s",
        "_trial_cap",
        "_was_told",
        "cluster",
        "cluster_size",
        "epoch",
        "noise",
        "pace",
        "paused_until",
        "refused",
    )

    def __init__(self, *, backoff_s: float = 0.5, max_backoff_s: float = 60.0) -> None:
        self.epoch = 0
        self.paused_until = float("-inf")
        self.pace: float | None = None
        self.refused = 0
        self._backoff_s = backoff_s
        self._max_backoff_s = max_backoff_s
        self._allowed = 0.0
        self._blocked = 0  # refusals in a row with nothing taken between them
        self._mark = 0  # calls taken before the last refusal
        self._cut_at = 0.0
        self._grown_at = 0.0
        self._grown_sent = 0
        self._is_guess = False
        self._ramp_base: int | None = None
        self._samples: deque[tuple[float, int]] = deque()
        self._measured: deque[float] = deque(maxlen=2)
        self._short_in_row = _SHORTS
        self._trial_cap = math.inf  # pace, while a trial is on
        self._was_told = False  # how long to wait, with the last refusal
        self._spent_at: float | None = None  # since when hardly anything is taken
        self._flow_since = 0.0  # since when calls are taken
        self._is_deep = False  # the trial is the second one, at a far lower pace
        self._is_quota = False  # every refusal is taken for one of a quota
        self._cuts: deque[tuple[int, float]] = deque(maxlen=6)
        self._origin: tuple[float | None, float, bool] | None = None  # before it was
        self._is_soft = False  # the last cut was a trial
        self._before: tuple[float | None, float, bool] = (None, 0.0, False)  # that cut
        self._objected = 1e-9  # the pace at which a trial found that our rate was the cause
        self._silent_s = 0.0  # how long hardly anything was taken, the last time
        self._told_s = math.inf  # the wait that was asked for when that began
        self._sent = 0  # some half a second ago
        self.cluster = ClusterTest()
        self.cluster_size = 1
        self.noise = NoiseModel()

    def on_refused(
        self,
        now: float,
        *,
        epoch: int,
        sent_before: int,
        sent: int,
        limit: int,
        retry_after_s: float | None,
        is_spent: bool = False,
        least_noise: float = 0.0,
    ) -> Effect:
        """Learn from one refusal.

        A refusal that noise explains changes nothing. One of a cluster pauses the pool and cuts the
        pace; after a pause in which nothing was taken the old episode goes on: the pause gets
        longer, the pace stays. More refusals than usual, but scattered, let a lower pace be tried.

        Args:
            now: The time.
            epoch: The lease's epoch.
            sent_before: How many calls had been admitted before it.
            sent: How many have been admitted by now.
            limit: Calls allowed in flight at the moment.
            retry_after_s: What the server asked for; None where it said nothing.
            is_spent: The server says that a quota is used up.
            least_noise: Share of refusals that are none of our doing, as far as is known elsewhere.
        """
        taken = sent_before - self.refused
        self.refused += 1
        if epoch != self.epoch and not self._is_soft:
            if self._spent_at is None and now >= self.paused_until:
                return Effect.NONE  # sent before an episode that is over
            self.paused_until = max(self.paused_until, now + (retry_after_s or 0.0))
            return Effect.HELD
        self.cluster.on_refused(sent_before, max(self.noise.rate, least_noise))
        if self._is_quota and not self._is_doubtful(now, sent, taken):
            return self._pause(now, taken, sent, limit, retry_after_s)
        if is_spent:
            self.cluster.score += _TOLD
        wait_s = retry_after_s if retry_after_s is not None else self._backoff()
        if self.cluster.score >= self._sure(now, wait_s):
            return self._pause(now, taken, sent, limit, retry_after_s)
        self._on_scattered(now, epoch=epoch, sent_before=sent_before, sent=sent)
        return Effect.NONE

    def believe_quota(self) -> None:
        """Take every refusal for one of a quota, until a trial finds that it is noise."""
        self._is_quota = True

    def on_busy(self, now: float, *, epoch: int, sent_before: int, sent: int) -> None:
        """Learn that a call found no capacity; clusters of those are the breaker's."""
        self.refused += 1
        if epoch == self.epoch or self._is_soft:
            self._on_scattered(now, epoch=epoch, sent_before=sent_before, sent=sent)

    def on_down(self) -> None:
        """Learn that the endpoint is down: what was refused says nothing about a rate."""
        if self.noise.is_trying and self._is_soft:
            self.pace, self._allowed, self._is_guess = self._before
        self.noise.drop_trial()

    def _on_scattered(self, now: float, *, epoch: int, sent_before: int, sent: int) -> None:
        """Learn of a refusal that is not part of a cluster: the noise, or a rate just too high."""
        is_excess = self.noise.on_refused(sent_before)
        if self.noise.is_trying:
            if epoch == self.epoch:
                self._judge(self.noise.on_trial(sent_before, refused=1), sent)
        elif is_excess:
            self._try_less(now, sent)

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
                self._judge(self.noise.on_trial(self._sent, refused=0), sent)
            self._sent = sent
            self._grow(now, sent)

    def _is_doubtful(self, now: float, sent: int, taken: int) -> bool:
        """Whether it is no quota after all: refusals go on, and the pace falls and falls.

        A trial then decides, as it does where nothing is known yet.
        """
        if self.noise.rate:
            self._is_quota = False
        elif self.pace is not None and taken > self._mark + self._trickle(now):
            cuts = self._cuts
            cuts.append((sent, self.pace))
            first, since = cuts[0][1], cuts[-min(len(cuts), _MANY)][0]
            is_often = len(cuts) >= _MANY and sent - since < _OFTEN
            is_falling = len(cuts) == cuts.maxlen and self.pace < _FALLING * first
            if is_often or is_falling:
                cuts.clear()
                self._is_quota = False
                self._spent_at = None
                self.paused_until = min(self.paused_until, now)
                self._try_less(now, sent)
        return not self._is_quota

    def _sure(self, now: float, wait_s: float) -> float:
        """The evidence of a cluster that a pause needs: the more, the more calls it would cost."""
        if self._spent_at is not None:
            return _AGAIN
        least, most = _SURE
        calls = max(1.0, wait_s * max(self._rate_over(now, _RECENT_S), self._rate_so_far(now)))
        return min(most, max(least, math.log(_COSTLY * calls)))

    def _pause(
        self, now: float, taken: int, sent: int, limit: int, retry_after_s: float | None
    ) -> Effect:
        """Begin an episode, or go on with the last one."""
        usual, share = self.cluster.usual, self.cluster.share
        self.cluster_size = max(1, self.cluster.in_row)
        self.cluster.forget()
        if self.noise.is_trying:
            self.noise.drop_trial()
            if self._is_soft and not self._is_deep:
                self.pace, self._allowed, self._is_guess = self._before
        self.epoch += 1
        self._is_soft = self._is_deep = False
        is_blocked = taken <= self._mark + self._trickle(now)
        self._blocked = self._blocked + 1 if is_blocked else 0
        was_told = retry_after_s is not None
        wait_s = self._backoff() if retry_after_s is None else retry_after_s
        if not self._is_quota and not self.noise.rate:
            self._is_quota = True
            self._origin = (self.pace, self._allowed, self._is_guess)
        if not is_blocked:
            self._cut(now, taken, sent, usual, share)
        if not is_blocked or self._spent_at is None:
            self._spent_at = now
            self._mark = taken
            self._told_s = wait_s if was_told else math.inf
        self._cut_at = now
        self._was_told = was_told
        self.paused_until = max(self.paused_until, now + wait_s)
        if is_blocked:
            self._ramp_base = 1  # one call asks; the others wait for its answer
        elif wait_s >= _DRAINED_S:
            self._ramp_base = max(1, limit // 4)
        return Effect.HELD if is_blocked else Effect.PAUSED

    def _cut(self, now: float, taken: int, sent: int, usual: float, share: float) -> None:
        """Lower the pace after a cluster, and watch whether that helps if it may be noise."""
        self._sample(now, taken)  # a young pool may have none that is newer than its start
        self._before = (self.pace, self._allowed, self._is_guess)
        self.pace = self._pace_after(now)
        if self._is_quota:
            return
        before = self._before[0]
        if self._spent_at is not None and before:  # far too high: most is refused
            beside = (taken - self._mark) / max(1.0, now - self._spent_at)
            self.pace = min(self.pace, max(beside, before * (1.0 - share)))
            self.pace = max(self.pace, before * _LEAST_LEFT)
        if usual > (1.0 + _MORE) * self.noise.rate:
            self.noise.try_less(sent, usual)
            self._cap_trial()

    def _try_less(self, now: float, sent: int) -> None:
        """Send a little less than was taken, to see whether less is refused then."""
        self.epoch += 1
        self._is_soft = True
        self._before = (self.pace, self._allowed, self._is_guess)
        self._sample(now, sent - self.refused + 1)
        self.pace = self._pace_after(now)
        if self._before[0] is not None:
            self.pace = min(self.pace, self._before[0] * _TRIAL)
        self._cut_at = now
        self._is_deep = False
        self.noise.try_less(sent, self.cluster.lately)
        self._cap_trial()

    def _cap_trial(self) -> None:
        """Let a trial's pace grow no higher than what can tell something."""
        before = self._before[0]
        self._trial_cap = max(self.pace or 0.0, self._allowed * _LEAN)
        if before is not None:
            self._trial_cap = min(self._trial_cap, before * _TRIAL)

    def _judge(self, is_noise: bool | None, sent: int) -> None:
        """Undo the last cut if it was for nothing."""
        if is_noise is None:
            return
        before = self._before[0]
        if is_noise and self.noise.found > _HEAVY and not self._is_deep and self.pace:
            # Twice as much as a quota allows would look like this too, even when cut by a third.
            self._is_deep = True
            self.epoch += 1
            self._is_soft = True
            self.pace *= _DEEP * (1.0 - self.noise.found)
            self._trial_cap = self.pace
            self.noise.try_less(sent, self.noise.found)
        elif is_noise:
            self.noise.accept()
            self._is_quota = False
            self.pace, self._allowed, self._is_guess = self._origin or self._before
            self._origin = None
        elif not self.noise.rate:
            self._is_quota = True
            self._origin = self._origin or self._before
        elif self._is_soft and before is not None and self.noise.rate:
            if not _NEAR <= before / self._objected <= 1.0 / _NEAR:
                self._allowed = max(self._allowed, before)  # once may have been chance
            self._objected = before

    @property
    def is_ramping(self) -> bool:
        """Whether ``allowed`` still grows by itself after a pause."""
        return self._ramp_base is not None

    def allowed(self, now: float, limit: int) -> int:
        """Calls in flight at this moment: after a pause a few, twice as many each half second."""
        if self._ramp_base is None:
            return limit
        seconds = max(0.0, now - self.paused_until)
        ramped = self._ramp_base << min(int(_RAMPS_PER_S * seconds), 20)
        if ramped >= limit:
            self._ramp_base = None
            return limit
        return ramped

    def _trickle(self, now: float) -> float:
        """Calls that a server takes beside its refusals while its quota is used up."""
        if self._spent_at is None or self.pace is None:
            return 0.0
        return 1.0 + _TRICKLE * self.pace * (now - self._spent_at)

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
        if not self._is_quota and self._is_steady(now):
            self._allowed = self.pace or self._allowed
            return self._allowed * _LEAST_CUT
        if self._is_long and self._measured and self.pace is not None:
            return self.pace * _LEAN  # a better figure comes when calls flow again
        was_guess = self._is_guess
        self._is_guess = now - self._samples[0][0] < _CREDIBLE_S
        span_s = _RISEN_S if was_guess else _MINUTE_S if self._is_long else _RECENT_S
        self._allowed = self._rate_over(now, span_s) / (1.0 - min(0.9, self.noise.rate))
        if self.pace is None or was_guess:
            return self._allowed * _LEAN
        self._allowed = max(self._allowed, self.pace * _DEEPEST)
        return min(self._allowed * _LEAN, self.pace * _LEAST_CUT)

    def _is_steady(self, now: float) -> bool:
        """Whether this pace was taken for so long that it cannot be what is refused.

        Had it been too high by a half, a quota would have been used up in less time.
        """
        if self.pace is None or self._is_guess or self._spent_at is not None:
            return False
        patience_s = _LONG_PATIENCE_S if self._is_long else max(_STEADY_S, 2.0 * self._silent_s)
        is_known = self.pace <= self._allowed
        return is_known and now - max(self._flow_since, self._cut_at) >= patience_s

    def _rate_so_far(self, now: float) -> float:
        return self._sent / max(1.0, now)

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
        if taken <= self._mark + self._trickle(now) + _FLOW_S * self.pace:
            return
        silent_s = self._silent_s = self.paused_until - self._spent_at
        self._spent_at = None
        self._flow_since = now
        is_long = silent_s >= _LONG_S and (
            self._is_quota or not self._told_s < _LONG_S  # it would have said so
        )
        self._short_in_row = 0 if is_long else self._short_in_row + 1
        if not is_long or self._is_guess:
            return
        # Its minute ended when it said, else between the last refusal and now.
        ended_at = self.paused_until if self._was_told else (self._cut_at + now) / 2.0
        began_at = max(ended_at - _MINUTE_S, self._samples[0][0])
        seconds = max(1.0, ended_at - began_at)
        taken_then = self._taken_by(ended_at) - self._taken_by(began_at)
        taken_then = round(taken_then / (1.0 - min(0.9, self.noise.rate)))
        allowed = max(1, taken_then) / seconds  # it may have asked to wait for longer than that
        self._measured.append(allowed)
        is_sure = len(self._measured) == _TWICE and allowed >= _ALIKE * self._measured[0]
        if allowed * _LEAN < self.pace and not is_sure and not self._is_quota:
            return
        self._allowed = max(self._measured)
        self.pace = allowed * _LEAN

    @property
    def _is_long(self) -> bool:
        """Whether the server seems to count by the minute, and not by the second or so."""
        return self._short_in_row < _SHORTS

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
            if now - self._cut_at > _LONGEST_TRIAL_S:
                self.noise.drop_trial()
        elif self.noise.is_suspicious and not self._is_quota:
            return
        most = self._trial_cap if self.noise.is_trying else math.inf
        if self._is_guess:
            if self._rate_over(now, 1.0) >= _GUESS_UTILISED * self.pace:
                self.pace = max(self.pace, min(most, self.pace * 2.0 ** min(seconds, 1.0)))
            return
        if self._rate_over(now, _RECENT_S) < _UTILISED * self.pace:
            return
        quiet_s = now - self._cut_at
        fastest = _FASTEST_GROWTH
        if self._is_long:
            quiet_s, fastest = max(0.0, quiet_s - _LONG_PATIENCE_S), _LONG_GROWTH
        haste = min(fastest, 1.0 + (quiet_s / _PATIENCE_S) ** 2)
        if self.pace < _BELOW * self._allowed:
            haste = _CATCH_UP
        else:
            haste /= 1.0 + self.noise.rate / _NOISE_GROWTH
        step = min(_GROWTH_PER_S * seconds, _GROWTH_PER_CALL * calls)
        self.pace = max(self.pace, min(most, self.pace * (1.0 + step * haste)))

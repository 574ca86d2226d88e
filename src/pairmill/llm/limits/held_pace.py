"""The pace that a pool is held at: how it is measured, lowered, raised and put to the test. Pure.

Where the server does not count by the minute, ``quota_tracker`` finds quota and noise by how much
is refused at which rate, and the pace follows it. Where it does, the pace rises slowly, and goes
down by a twentieth with a refusal while about a minute's calls have been taken; by less, the more
noise was refused when that was not so. ``pacing`` decides when a pace is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.llm.limits.minutes import MINUTE_S, MinuteWatch
from pairmill.llm.limits.noise import HeldNoise, WaveTest
from pairmill.llm.limits.quota_tracker import QuotaTracker
from pairmill.llm.limits.rate_test import LONG_PATIENCE_S, RateTest
from pairmill.llm.limits.slow_increase import RARE, increased

if TYPE_CHECKING:
    from pairmill.llm.limits.exhaustion import Exhaustion
    from pairmill.llm.limits.noise import NoiseTest
    from pairmill.llm.limits.pauses import PoolPause
    from pairmill.llm.limits.windows import RefusedLog, TakenLog

__all__ = ["LEAN", "RECENT_S", "STEADY_S", "HeldPace"]

LEAN = 0.95
"""Share of what is allowed that is sent at first, so that what was overdrawn is paid off."""
RECENT_S, STEADY_S = 5.0, 20.0
"""Seconds over which a server that counts by the second is measured; one of a slow pool."""

_LEAST_CUT = 0.99  # of the pace, where the limit is thought to be above it
_DEEPEST = 0.65  # one episode never takes more than this share
_OF_STEADY = 0.5  # of that rate, at least: after a flood of refusals 5 s tell little
_SURE_AFTER_CUT, _SURE_AFTER_TRIAL = 0.5, 0.1  # of what is measured: standard deviation, log
_UTILISED = 0.8  # only a rate that is used may grow
_CREDIBLE_CALLS = 10  # that a slow pool is measured by, in up to STEADY_S
_CREDIBLE_S = 5.0  # what was taken in less time says little about what is allowed
_CREDIBLE_RUN_S = 1.0  # without a cluster, as waves come
_GUESS_UTILISED = 0.4  # of a pace that doubles each second, as seen over the last second
_RISEN_S = 2.0  # over which a pace that doubles is measured
_IN_MINUTE = 2.1  # times a quota that is dealt out by the minute: more never falls on 60 seconds
_REFUSALS = 2.0  # times that a refusal takes to come: then all are known


class HeldPace:
    """The pace of one pool, and what is known of the quota behind it.

    Attributes:
        per_s: Requests a second that the server was measured to allow; None until it refused.
        allowed: The rate that was measured, in requests a second; the pace is a little below.
        is_rising: The pace doubles each second, to see what the server allows.
        is_tracking: The pace follows ``tracker``.
        cut_at: When the server last objected.
        borne, minutes, test, tracker, waves: What is known.
    """

    __slots__ = (
        "_exhaustion",
        "_grown_at",
        "_grown_sent",
        "_noise",
        "_pause",
        "_taken",
        "allowed",
        "borne",
        "cut_at",
        "is_rising",
        "is_tracking",
        "minutes",
        "per_s",
        "test",
        "tracker",
        "waves",
    )

    def __init__(
        self,
        pause: PoolPause,
        taken: TakenLog,
        refused: RefusedLog,
        exhaustion: Exhaustion,
        noise: NoiseTest,
    ) -> None:
        self._pause, self._taken = pause, taken
        self._exhaustion, self._noise = exhaustion, noise
        self.per_s: float | None = None
        self.allowed = 0.0
        self.is_rising = self.is_tracking = False
        self.cut_at = 0.0
        self._grown_at, self._grown_sent = 0.0, 0
        self.borne = HeldNoise(refused)
        self.minutes = MinuteWatch(taken)
        self.test = RateTest()
        self.tracker = QuotaTracker()
        self.waves = WaveTest()

    @property
    def chance(self) -> float:
        """Share of the calls that is refused by chance, as far as is known."""
        if self.is_tracking and self.tracker.is_known:
            return self.tracker.noise
        return self.minutes.noise if self.is_minute else self._noise.share

    @property
    def is_minute(self) -> bool:
        """True if the pace is held as a minute allows."""
        return self.per_s is not None and self.minutes.is_long

    def postpone_test(self, now: float, sent: int) -> None:
        """Say when what was measured is put to the test."""
        since = max(now, self._pause.until)
        self.test.hold(since, sent, is_long=self.minutes.is_long)

    def cut(self, now: float, sent: int, refused: int, *, is_single: bool, fed: float) -> None:
        """Lower the pace after a cluster, or a single refusal.

        Args:
            now: The time.
            sent: Calls admitted so far.
            refused: How many of these were refused.
            is_single: It was a single refusal.
            fed: What ``fed`` said.
        """
        if self.waves.rate:
            self.per_s = max(self.per_s or 0.0, self.waves.rate)
            return
        if fed:
            self.is_tracking = False
            self.allowed, self.per_s = fed, fed
            return
        tested = self.test.end(now, sent - refused, is_free=self.per_s is None)
        if tested is not None:
            self._restore(now, sent, tested)
            return
        if self.is_tracking:
            self.tracker.on_cluster(now, sent, self._pause.until)
            run_s = now - self._pause.until  # at once, and before a block: the measure is in doubt
            is_borne = self.tracker.fit.calls > 0 or run_s >= _CREDIBLE_RUN_S
            if is_borne and self._taken.rate(now, RECENT_S) >= _DEEPEST * self.tracker.pace:
                self.per_s = self.tracker.pace
                return
        self.per_s = self._pace_after(now, is_single=is_single)
        if not self.minutes.is_long and self.minutes.allowed:  # no minutes, as it seems now
            self.allowed = self.minutes.allowed
            self.minutes.forget()
        self._begin_tracking(now, sent, _SURE_AFTER_CUT)

    def _restore(self, now: float, sent: int, tested: float) -> None:
        """Go back to what was put to the test, and keep to it for longer than before."""
        is_long = self.minutes.is_long
        if self.is_rising:
            self.test.on_failed(is_long=is_long)
        self.is_rising = False
        if not is_long and self.tracker.fit.rate:
            self.tracker.resume(now, sent)
            self.is_tracking = True
            self.allowed = self.per_s = self.tracker.pace
            return
        seen = self._taken.rate(now, MINUTE_S)
        if not is_long or seen > _IN_MINUTE * tested:
            tested = max(tested, seen)
        self.allowed = tested
        self.per_s = tested * LEAN

    def _begin_tracking(self, now: float, sent: int, sure: float) -> None:
        """Hold a pace near what is allowed; ``sure``: standard deviation of its logarithm."""
        self.is_tracking = not (self.minutes.is_long or self.is_rising or self.waves.rate)
        if self.is_tracking:
            self.tracker.begin(
                max(now, self._pause.until), sent, self.allowed, sure, self._noise.share
            )
            self.per_s = self.tracker.pace

    def fed(self, now: float, taken: int) -> float:
        """Return the calls a second that are taken all through an exhaustion; 0.0 if unknown."""
        if self.per_s is None or not self.is_rising:
            return 0.0
        if self.minutes.is_long or self.test.rate is not None:
            return 0.0
        return self._exhaustion.fed(now, taken, self.per_s)

    def _pace_after(self, now: float, *, is_single: bool) -> float:
        """Return a twentieth below the presumed limit of the server; growth closes the gap.

        A refusal in the first seconds finds a quota that somebody else has used up, such as the
        start before this one, and one while the rate still rises a rate that was never reached.
        Nothing was measured then: the pace doubles until the next cut.
        """
        is_long = self.minutes.is_long
        if is_long and self.minutes.allowed and self.per_s is not None:
            return self.per_s * LEAN  # a better figure comes when calls flow again
        was_guess, before = self.is_rising, self.allowed
        self.is_rising = now - self._taken.since < (MINUTE_S if is_long else _CREDIBLE_S)
        span_s = MINUTE_S if is_long else _RISEN_S if was_guess else RECENT_S
        if not is_long:
            span_s = self._taken.span_s(now, _CREDIBLE_CALLS, span_s, STEADY_S)
        self.allowed = self._taken.rate(now, span_s) / (1.0 - self.chance)
        if self.per_s is None:
            steady = _OF_STEADY * self._taken.rate(now, STEADY_S)
            self.allowed = max(self.allowed, steady)
        if self.per_s is None or was_guess:
            return self.allowed * LEAN
        if not is_single and self.allowed >= LEAN * self.per_s:
            # All that was sent was taken until then: we held back, and the server did not.
            self.allowed = max(self.allowed, before * _LEAST_CUT)
            return self.allowed * LEAN
        self.allowed = max(self.allowed, self.per_s * (LEAN if is_single else _DEEPEST))
        return min(self.allowed * LEAN, self.per_s * _LEAST_CUT)

    def on_full(self, now: float) -> bool:
        """Learn of a refusal where a pace is held; True: a minute may have ended.

        Beside noise it may, but need not be: the pace is lowered by as much as that is likely.
        """
        minutes = self.minutes
        if self.per_s is None or not minutes.is_long or not minutes.on_single(now, self.allowed):
            return False
        if minutes.noise >= RARE:
            self.per_s *= 1.0 - (1.0 - LEAN) * RARE / (RARE + minutes.noise)
            return False
        return True

    def end_exhaustion(
        self, now: float, spent_at: float, silent_s: float, *, is_cluster: bool
    ) -> None:
        """Learn that calls flow again; after a minute's end, that tells what is allowed in one.

        Args:
            now: The time.
            spent_at: When the exhaustion began.
            silent_s: For how long hardly anything was taken.
            is_cluster: It began with several refusals.
        """
        is_long = self.minutes.end_exhaustion(now, silent_s, is_cluster=is_cluster)
        if is_long is None:
            self.test.hurry(now)
        elif is_long and not self.is_rising and self.per_s is not None:
            self.per_s = self.minutes.measure(now, spent_at) * LEAN
            self.allowed = self.minutes.allowed
            self.is_tracking = False
            if self.minutes.is_sure:
                self.test.hold_until(now + LONG_PATIENCE_S)

    def lower(self, now: float, rate: float, share: float) -> None:
        """Send at this share of a measured rate for a trial, and below the present pace."""
        before = self.per_s
        self.allowed, self.per_s = rate, rate * share
        if before is not None:
            self.per_s = min(self.per_s, before * LEAN)
        self.cut_at = now

    def keep_lower(self, now: float, sent: int) -> None:
        """Keep what was measured as a trial ended: less was refused then."""
        self.allowed /= 1.0 - self.chance
        self.per_s = self.allowed * LEAN
        self._begin_tracking(now, sent, _SURE_AFTER_TRIAL)
        self.postpone_test(now, sent)

    def grow(self, now: float, sent: int, known: int, refused: int) -> None:
        """Raise the pace if that is due: slowly, by the tracker, or as a test.

        Args:
            now: The time.
            sent: Calls admitted so far.
            known: The outcome of all calls below this number is known.
            refused: Calls refused so far.
        """
        seconds, calls = now - self._grown_at, sent - self._grown_sent
        self._grown_at, self._grown_sent = now, sent
        if self.per_s is None or calls <= 0 or self._noise.is_trying:
            return
        if self.is_rising:
            self._rise(now, calls, seconds)
            return
        since_s = min(RECENT_S, max(1.0, now - self._pause.until))
        is_used = self._taken.rate(now, since_s) >= _UTILISED * self.per_s
        if is_used and self._is_test_due(now, sent, known):
            self._begin_test(now, sent, refused)
        elif self.is_tracking:
            if self.tracker.on_sample(now, sent, _REFUSALS * self._pause.refused_in_s):
                self.per_s = self.tracker.pace
        elif self._leaves_minutes(now, calls, seconds, refused):
            if self.minutes.is_long:
                self.allowed = self._taken.rate(now, MINUTE_S)
                self.minutes.forget()
            self._begin_tracking(now, sent, _SURE_AFTER_CUT)
        elif is_used:
            self._increase(now, calls, seconds)

    def _is_test_due(self, now: float, sent: int, known: int) -> bool:
        if not self.minutes.is_credible:
            self.test.forgive(now, self.borne.quiet(self.per_s or 0.0, known))
        if self._exhaustion.since is not None or not self.test.is_due(now, sent):
            return False
        if self.is_tracking and self.tracker.is_refused:  # it was tested, in small
            self.tracker.is_refused = False
            self.test.on_failed(is_long=False)
            self.postpone_test(now, sent)
            return False
        return True

    def _begin_test(self, now: float, sent: int, refused: int) -> None:
        guess = self.tracker.fit.quantile(0.5) if self.is_tracking else self.allowed
        self.test.begin(now, guess, sent - refused, sent)
        self.is_rising, self.is_tracking, self.cut_at = True, False, now

    def _leaves_minutes(self, now: float, calls: int, seconds: float, refused: int) -> bool:
        """Return whether refusals without a full minute show that the server has no minutes.

        Nor has it any where they were taken for waves, and none came since.
        """
        minutes = self.minutes
        if not minutes.is_long:
            return not self.waves.rate and self._exhaustion.since is None
        return minutes.on_sample(now, calls, seconds, refused, self.allowed)

    def _increase(self, now: float, calls: int, seconds: float) -> None:
        self.per_s = increased(
            self.per_s or 0.0,
            self.allowed,
            calls=calls,
            seconds=seconds,
            quiet_s=now - self.cut_at,
            noise=self.chance,
            is_long=self.minutes.is_long,
        )

    def _rise(self, now: float, calls: int, seconds: float) -> None:
        """Double the pace each second; without one where it is not used."""
        pace = self.per_s or 0.0
        is_limiting = self._taken.rate(now, 1.0) >= _GUESS_UTILISED * pace
        if is_limiting or calls + 1 >= _GUESS_UTILISED * pace * seconds:
            self.per_s = pace * 2.0 ** min(seconds, 1.0, calls / 2.0)
            self.cut_at = now
        elif self._exhaustion.since is None:
            unused_s = now - max(self.cut_at, self._pause.until)
            if unused_s >= self.test.unused_s(is_long=self.minutes.is_long):
                self.release(now)

    def release(self, now: float) -> None:
        """Send without a pace; where the server objects again soon, it is held for longer then."""
        self.test.release(now)
        self.per_s, self.is_rising, self.is_tracking = None, False, False
        self.waves.forget()

"""Controllers of the number of calls in flight. Pure: outcomes and times are passed in.

A fixed number always wins. Behind a provider with quotas the number only has to be large enough,
so ``AimdLimit`` widens while it is used. A server of one's own (vLLM, llama.cpp, TGI) has no quota
but a number of slots: ``GradientLimit`` finds it, by the server's own count of waiting calls where
it tells (simulated: 99.5 % of the best rate and more), else by the seconds that an output token
takes.
"""

from __future__ import annotations

import math
from typing import ClassVar, Protocol

from msgspec import Struct

__all__ = ["AimdLimit", "ConcurrencyLimit", "Done", "FixedLimit", "GradientLimit"]

_UTILISED = 0.8  # a limit that is not used says nothing about a higher one
_AT_ONCE = 64
_RISE_PER_S = 1000.0
_MOST_LATE_S = 0.02  # that a rise makes up for: nobody may have asked for long
_STEP_S = 0.5  # refusals take no longer, nearly always


class Done(Struct, frozen=True):
    """How a call ended.

    Attributes:
        now: The time.
        sent_at: When it was admitted.
        in_flight: Calls in flight, itself still counted.
        output_tokens: What it wrote; 0 if unknown.
        is_clean: The server had room for it.
    """

    now: float
    sent_at: float
    in_flight: int
    output_tokens: int
    is_clean: bool


class ConcurrencyLimit(Protocol):
    """Decides how many calls may be in flight."""

    @property
    def limit(self) -> int:
        """Calls that may be in flight; at least 1."""
        ...

    def on_done(self, done: Done) -> None:
        """Learn how a call ended."""
        ...

    def on_refused(self, now: float, in_flight: int) -> None:
        """Learn that the server said "too fast": once per congestion episode.

        Args:
            now: The time.
            in_flight: Calls in flight, the refused one counted.
        """
        ...

    def on_rise(self, needed: int) -> None:
        """Learn that a rate is put to the test, for which so many calls have to be in flight."""
        ...

    def on_full(self, now: float) -> float:
        """Learn that one more would go; seconds until it may, inf: when another one ends."""
        ...

    def on_gauge(self, now: float, in_flight: int, running: float, waiting: float) -> None:
        """Learn how many calls the server works on, and how many it lets wait."""
        ...


class FixedLimit:
    """The number that the user gave.

    Beyond the first 64 it is reached by 1,000 a second: a thousand connections and questions in the
    same instant would only wait for each other, here and in the server.

    Attributes:
        most: The number.
        limit: So much of it as may be in flight by now.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = min(most, _AT_ONCE)
        self._risen_at = -math.inf

    def narrow(self, most: int) -> None:
        """Put another number in force."""
        self.most = most
        self.limit = min(most, max(self.limit, _AT_ONCE))

    def on_done(self, done: Done) -> None:
        """Change nothing."""

    def on_refused(self, now: float, in_flight: int) -> None:
        """Change nothing."""

    def on_rise(self, needed: int) -> None:
        """Change nothing."""

    def on_full(self, now: float) -> float:
        """Rise by the time since the last rise; at the top, wait for another one to end."""
        if self.limit >= self.most:
            return math.inf
        since = max(self._risen_at, now - _MOST_LATE_S)
        rise = int((now - since) * _RISE_PER_S)
        if rise < 1:
            return 1.0 / _RISE_PER_S
        self.limit = min(self.most, self.limit + rise)
        self._risen_at = since + rise / _RISE_PER_S
        return 0.0

    def on_gauge(self, now: float, in_flight: int, running: float, waiting: float) -> None:
        """Change nothing."""


class AimdLimit:
    """Doubles in the time of one call until the first refusal; then down, and up by a quarter.

    At first each answer widens by one (TCP's slow start), and each half second without a failure in
    which all places are taken doubles: refusals come at once, so that long calls need not end to
    show that they were taken. From the first refusal on a round widens: as many calls as may be in
    flight. It is clean when none failed. Both count only if 80 % of the limit were in use at that
    moment.
    """

    CEILING: ClassVar[int] = 1024

    def __init__(self, *, start: int = 32, ceiling: int = CEILING) -> None:
        self.limit = start
        self._ceiling = ceiling
        self._is_slow_start = True
        self._step_at = math.inf  # when the limit doubles, if all places are still taken
        self._step_from = start
        self._cut_at = float("-inf")
        self._done = 0
        self._peak = 0
        self._is_clean = True

    def on_done(self, done: Done) -> None:
        """Count the call; widen where all is well and the limit in use."""
        if done.sent_at < self._cut_at:
            return  # it says nothing about the limit of now
        if self._is_slow_start:
            if not done.is_clean:
                self._begin_step(done.now)
            elif done.in_flight >= _UTILISED * self.limit:
                self.limit = min(self._ceiling, self.limit + 1)
            return
        self._done += 1
        self._peak = max(self._peak, done.in_flight)
        self._is_clean = self._is_clean and done.is_clean
        if self._done < self.limit:
            return
        if self._is_clean and self._peak >= _UTILISED * self.limit:
            self.limit = min(self._ceiling, self.limit + max(1, self.limit // 4))
        self._begin_round()

    def on_refused(self, now: float, in_flight: int) -> None:
        """Narrow to what was in flight and an eighth more, and stop doubling."""
        self._is_slow_start = False
        self._cut_at = now
        self.limit = max(1, min(self.limit, in_flight + in_flight // 8))
        self._begin_round()

    def on_rise(self, needed: int) -> None:
        """Let the rate decide, and not the width."""
        self.limit = max(self.limit, min(self._ceiling, needed))

    def on_full(self, now: float) -> float:
        """Double half a second after the last time; what was taken is not refused any more then."""
        if not self._is_slow_start or self.limit >= self._ceiling:
            return math.inf
        if self._step_at == math.inf:
            self._begin_step(now)
        if now < self._step_at:
            return self._step_at - now
        self.limit = max(self.limit, min(self._ceiling, 2 * self._step_from))
        self._begin_step(now)
        return 0.0

    def on_gauge(self, now: float, in_flight: int, running: float, waiting: float) -> None:
        """Change nothing: behind a provider, quotas decide."""

    def _begin_step(self, now: float) -> None:
        self._step_at, self._step_from = now + _STEP_S, self.limit

    def _begin_round(self) -> None:
        self._done = 0
        self._peak = 0
        self._is_clean = True


class GradientLimit:
    """Finds the concurrency at which a server without limits is just saturated.

    With the waiting gauge: x 1.5 until calls wait, then 1 to 15 % of the running ones are kept
    waiting. Without it: the gradient of Netflix's Gradient2 limiter, taken on seconds per output
    token (whole latencies would follow the length of the answers). At the start each answer whose
    tokens took no longer than 1.5 times those of the best round widens by one, so that the width
    doubles in the time of one call, until a round's tokens take longer than that.
    """

    CEILING: ClassVar[int] = 256

    def __init__(self, *, start: int = 8, ceiling: int = CEILING) -> None:
        self.limit = start
        self._ceiling = ceiling
        self._is_slow_start = True
        self._changed_at = float("-inf")  # calls sent before say nothing about the present round
        self._gauge_at = float("-inf")
        self._best = float("inf")
        self._seconds = 0.0
        self._tokens = 0
        self._calls = 0
        self._peak = 0
        self._round = min(_ROUND, max(4, start))

    def on_done(self, done: Done) -> None:
        """Without a gauge, measure the call; a round's worth of them moves the limit."""
        if done.now - self._gauge_at < _GAUGE_FRESH_S:
            return  # the gauge decides
        if not done.is_clean or done.output_tokens <= 0:
            return
        seconds, tokens = done.now - done.sent_at, done.output_tokens
        is_used = done.in_flight >= _UTILISED * self.limit
        if self._is_slow_start and is_used and seconds <= _TOLERANCE * self._best * tokens:
            self.limit = min(self._ceiling, self.limit + 1)
        if done.sent_at < self._changed_at:
            return  # it began under another limit
        self._seconds += seconds
        self._tokens += tokens
        self._calls += 1
        self._peak = max(self._peak, done.in_flight)
        if self._calls >= self._round:
            self._end_round(done.now)

    def on_refused(self, now: float, in_flight: int) -> None:
        """Narrow by a quarter: the server has a limit of its own after all."""
        self._is_slow_start = False
        self._set(min(self.limit, in_flight) * 3 // 4, now)

    def on_rise(self, needed: int) -> None:
        """Change nothing: the server has slots."""

    def on_full(self, now: float) -> float:  # noqa: ARG002 (the protocol's)
        """Wait for another one to end: a slot is free then."""
        return math.inf

    def on_gauge(self, now: float, in_flight: int, running: float, waiting: float) -> None:
        """Move to where a few calls wait."""
        self._gauge_at = now
        if waiting > max(1.0, _MOST_WAITING * running):
            self._set(int(running + max(1.0, running * _AIM_WAITING)), now)
        elif waiting < _LEAST_WAITING * running and in_flight >= _UTILISED * self.limit:
            self._set(self.limit + max(1, self.limit // 2), now)

    def _end_round(self, now: float) -> None:
        per_token = self._seconds / self._tokens
        is_used = self._peak >= _UTILISED * self.limit
        self._begin_round()
        self._best = min(self._best, per_token)
        gradient = max(0.5, min(1.0, _TOLERANCE * self._best / per_token))
        if not is_used:
            return
        if gradient < 1.0:
            self._is_slow_start = False
            self._set(int(self.limit * gradient), now)
        elif self._is_slow_start:
            self._changed_at = now
        else:
            self._set(self.limit + max(1, int(self.limit**0.5 / 2)), now)

    def _begin_round(self) -> None:
        self._seconds, self._tokens, self._calls, self._peak = 0.0, 0, 0, 0
        self._round = min(_ROUND, max(4, self.limit))

    def _set(self, limit: int, now: float) -> None:
        limit = max(1, min(self._ceiling, limit))
        if limit != self.limit:
            self.limit = limit
            self._changed_at = now


_ROUND = 32  # calls that are enough to know the seconds per token
_GAUGE_FRESH_S = 10.0
_LEAST_WAITING, _AIM_WAITING, _MOST_WAITING = 0.01, 0.08, 0.15
_TOLERANCE = 1.5

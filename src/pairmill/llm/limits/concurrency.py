"""Controllers of the number of calls in flight. Pure: outcomes and times are passed in.

A number that the user gave always wins. Behind a provider with quotas the number only has to be
large enough, so ``AimdLimit`` widens while it is used. A self-hosted server (vLLM, llama.cpp, TGI)
has no quota but a number of slots. ``GradientLimit`` finds it: from the server's gauge of waiting
calls if there is one (in simulation 99.5 % of the best rate or more), else from the seconds per
output token.
"""

from __future__ import annotations

import math
from typing import ClassVar, Protocol

from msgspec import Struct

__all__ = ["AimdLimit", "ConcurrencyLimit", "Done", "FixedLimit", "GradientLimit"]

_UTILISED = 0.8  # share in use below which a limit says nothing about a higher one
_AT_ONCE = 64
_RISE_PER_S = 1000.0
_MOST_LATE_S = 0.02  # longest time that one rise makes up for
_STEP_S = 0.5  # refusals nearly always come within this time


class Done(Struct, frozen=True):
    """How a call ended.

    Attributes:
        now: The time.
        sent_at: When it was admitted.
        in_flight: Calls in flight, including this one.
        output_tokens: Tokens that it wrote; 0 if unknown.
        is_clean: It was not refused.
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
        """Record how a call ended."""
        ...

    def on_refused(self, now: float, in_flight: int) -> None:
        """Record that the server said "too fast": once per congestion episode.

        Args:
            now: The time.
            in_flight: Calls in flight, including the refused one.
        """
        ...

    def on_rise(self, needed: int) -> None:
        """Allow the test of a rate that needs this many calls in flight."""
        ...

    def on_full(self, now: float) -> float:
        """Return the seconds until one more call may be sent; inf: when another one ends."""
        ...

    def on_gauge(self, now: float, in_flight: int, running: float, waiting: float) -> None:
        """Record the server's gauge of running and waiting calls."""
        ...


class FixedLimit:
    """The number that the user gave.

    Beyond the first 64 it is approached by 1,000 a second: a thousand connections opened at once
    would only wait for each other, here and in the server.

    Attributes:
        most: The number.
        limit: How many may be in flight by now.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = min(most, _AT_ONCE)
        self._risen_at = -math.inf

    def narrow(self, most: int) -> None:
        """Replace the number."""
        self.most = most
        self.limit = min(most, max(self.limit, _AT_ONCE))

    def on_done(self, done: Done) -> None:
        """Change nothing."""

    def on_refused(self, now: float, in_flight: int) -> None:
        """Change nothing."""

    def on_rise(self, needed: int) -> None:
        """Change nothing."""

    def on_full(self, now: float) -> float:
        """Rise by the time since the last rise; at the top, wait for a call to end."""
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
    """Additive increase, multiplicative decrease, after a slow start.

    Until the first refusal each answer raises the limit by one, as in TCP's slow start, and each
    half second without a failure in which all places were taken doubles it: refusals come at once,
    so a long call need not end to show that it was accepted. After that, each clean round raises
    the limit by a quarter; a round is as many calls as may be in flight, and clean if none failed.
    Both need 80 % of the limit to be in use.
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
        """Count the call; raise the limit if none failed and the limit is in use."""
        if done.sent_at < self._cut_at:
            return  # it says nothing about the present limit
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
        """Narrow to the calls in flight and an eighth more; end the slow start."""
        self._is_slow_start = False
        self._cut_at = now
        self.limit = max(1, min(self.limit, in_flight + in_flight // 8))
        self._begin_round()

    def on_rise(self, needed: int) -> None:
        """Raise the limit, so that the rate decides and not the width."""
        self.limit = max(self.limit, min(self._ceiling, needed))

    def on_full(self, now: float) -> float:
        """Double half a second after the last step, when refusals of its calls would be known."""
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
    """Finds the concurrency at which a server without quotas is just saturated.

    With a gauge of waiting calls: raised by half until calls wait, then kept so that 1 to 15 % as
    many wait as run. Without one: the gradient of Netflix's Gradient2 limiter, applied to seconds
    per output token (whole latencies would follow the length of the answers). At the start each
    answer whose tokens took at most 1.5 times as long as the best round's raises the limit by one,
    so that it doubles in the time of one call, until a round's tokens take longer than that.
    """

    CEILING: ClassVar[int] = 256

    def __init__(self, *, start: int = 8, ceiling: int = CEILING) -> None:
        self.limit = start
        self._ceiling = ceiling
        self._is_slow_start = True
        self._changed_at = float("-inf")  # calls sent before do not count
        self._gauge_at = float("-inf")
        self._best = float("inf")
        self._seconds = 0.0
        self._tokens = 0
        self._calls = 0
        self._peak = 0
        self._round = min(_ROUND, max(4, start))

    def on_done(self, done: Done) -> None:
        """Without a gauge, measure the call; a full round moves the limit."""
        if done.now - self._gauge_at < _GAUGE_FRESH_S:
            return
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
        """Narrow by a quarter: the server has a limit after all."""
        self._is_slow_start = False
        self._set(min(self.limit, in_flight) * 3 // 4, now)

    def on_rise(self, needed: int) -> None:
        """Change nothing: the server has slots."""

    def on_full(self, now: float) -> float:  # noqa: ARG002 (the protocol's)
        """Wait for a call to end, which frees a slot."""
        return math.inf

    def on_gauge(self, now: float, in_flight: int, running: float, waiting: float) -> None:
        """Move to the limit at which a few calls wait."""
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

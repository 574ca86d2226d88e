"""When to stop calling: three pure state machines, driven by events and times."""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto

from pairmill.errors import Kind
from pairmill.llm.limits.noise import ClusterTest

__all__ = ["BILLED_PROBES", "EndpointBreaker", "FitBreaker", "State", "Watchdog"]

BILLED_PROBES = 3  # calls that ask whether a silent endpoint is back, and may each be billed

_OF_DOWN = 0.25
_COSTLY = 10.0  # an opening for nothing may cost one part in so many of the calls


class State(Enum):
    """Whether calls go to an endpoint: yes, not now, or one probe."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class EndpointBreaker:
    """Stops calls to an endpoint that is down or silent, and detects when it is back.

    It opens after consecutive failures of the endpoint (`Meaning.is_down`): at least five, more if
    single ones are common, as with one broken replica behind a load balancer; or after ``silent``
    calls in a row without an answer in time. It stays open for ``first_s`` (``first_lost_s`` if a
    probe may be billed; ``first_silent_s``, doubling, if nothing is answered), then sends one
    probe. As long as probes fail, the next one waits for a quarter of the time that the endpoint
    has been down, up to ``longest_s``. Any other outcome proves that the server is there.

    Attributes:
        is_closed: Calls are let through.
        is_calm: Calls are let through, and an answer would change nothing.
        until: While open, the time of the next probe.
        gave_up: It has been down for ``max_wait_s`` without a success, or the permitted number of
            probes that may be billed has failed; the pool should be closed.
    """

    def __init__(
        self,
        *,
        threshold: int = 5,
        first_s: float = 1.0,
        first_lost_s: float = 5.0,
        longest_s: float = 300.0,
        max_wait_s: float = 1800.0,
        silent: int = 12,
        first_silent_s: float = 1.0,
        max_billed_probes: int | None = BILLED_PROBES,
    ) -> None:
        self._cluster = ClusterTest()
        self._calls = 0
        self._began: float | None = None
        self._threshold = threshold
        self._first_s = first_s
        self._first_lost_s = first_lost_s
        self._longest_s = longest_s
        self._max_wait_s = max_wait_s
        self._most_silent = silent
        self._first_silent_s = first_silent_s
        self._most_billed = max_billed_probes
        self._silent = 0  # calls in a row without an answer in time
        self._billed = 0  # probes of this opening that may be billed
        self._open_s = 0.0  # 0 while closed; else the length of the present opening
        self._down_since = 0.0
        self.is_closed = self.is_calm = True
        self.until = 0.0
        self.gave_up = False

    def last_words(self, name: str) -> str:
        """Why the endpoint of this name was given up."""
        if self._silent >= self._most_silent:
            return (
                f"{name}: no answer in time, {self._silent} calls in a row: raise timeout_s (and "
                "that of a proxy on the way), or ask for less at once (concurrency, "
                "pairs_per_chunk)"
            )
        return f"{name} does not answer; gave up"

    def state(self, now: float) -> State:
        """Return the state at ``now``."""
        if self._open_s == 0.0:
            return State.CLOSED
        return State.OPEN if now < self.until else State.HALF_OPEN

    def record(
        self, kind: Kind | None, now: float, *, is_probe: bool = False, index: int | None = None
    ) -> None:
        """Record how a call ended; ``kind`` is None for an answer.

        Calls that were in flight when the breaker opened may still end: success closes it, failure
        changes nothing. Only a failed probe keeps it open for longer.

        Args:
            kind: How it failed.
            now: The time.
            is_probe: It was the probe.
            index: Its position in the order of sending, from 0; None if calls end in that order.
        """
        self._calls += 1
        if kind is None:
            self._silent = 0
            self._close()
        else:
            self._record_failure(kind, now, is_probe=is_probe, index=index)
        self.is_closed = self._open_s == 0.0
        self.is_calm = self.is_closed and not self._silent

    def _record_failure(self, kind: Kind, now: float, *, is_probe: bool, index: int | None) -> None:
        is_down = kind.meaning.is_down
        is_silent = kind is Kind.TIMEOUT
        self._silent = self._silent + 1 if is_silent else 0 if not is_down else self._silent
        if is_probe and (is_down or is_silent):
            self._billed += kind.meaning.may_be_billed
            longer_s = max(self._first(kind), _OF_DOWN * (now - self._down_since))
            self._open(now, min(self._longest_s, self._open_s * 2.0 if is_silent else longer_s))
        elif is_silent:  # slow is not down, unless nobody else is answered either
            if self._silent >= self._most_silent and self._open_s == 0.0:
                self._down_since = now
                self._open(now, self._first_silent_s)
        elif not is_down:
            self._close()
        elif self._open_s == 0.0:
            self._cluster.on_refused(self._calls - 1 if index is None else index)
            if self._is_down(now, self._calls if index is None else index + 1):
                self._down_since = now
                self._open(now, self._first(kind))

    def _is_down(self, now: float, sent: int) -> bool:
        if self._began is None:
            self._began = now
        seconds = max(1.0, now - self._began)
        sure = math.log(_COSTLY * max(1.0, self._first_lost_s * sent / seconds))
        return self._cluster.in_row >= self._threshold and self._cluster.score >= sure

    def _first(self, kind: Kind) -> float:
        """Return the wait before the first probe: longer if the probe may be billed."""
        return self._first_lost_s if kind is Kind.LOST else self._first_s

    def _open(self, now: float, seconds: float) -> None:
        self._open_s = seconds or self._first_s
        give_up_at = self._down_since + self._max_wait_s
        is_spent = self._most_billed is not None and self._billed >= self._most_billed
        self.gave_up = now >= give_up_at or is_spent
        self.until = min(now + self._open_s, max(give_up_at, now))

    def _close(self) -> None:
        if self._open_s:
            self._open_s = 0.0
            self._billed = 0
            self._cluster.forget()


class FitBreaker:
    """Stops a run whose answers are unusable because prompt and model do not fit together.

    Trips if more than half of the first ``first`` answers, or of any ``window`` in a row, were
    unusable; never before the first twenty. Earlier starts count as well, since near the end of a
    run mostly difficult units are left.

    Args:
        good: Units answered in earlier starts.
        bad: Units rejected in earlier starts.
    """

    def __init__(
        self,
        *,
        first: int = 20,
        window: int = 200,
        share: float = 0.5,
        good: int = 0,
        bad: int = 0,
    ) -> None:
        self._first = first
        self._share = share
        self._recent: deque[bool] = deque(maxlen=window)
        self._bad = 0
        self._seen = 0
        self.reason: str | None = None
        before = good + bad
        kept = min(window, before)
        bad = round(kept * bad / before) if before else 0
        for index in range(kept):  # spread evenly
            self._count(is_bad=(index + 1) * bad // kept > index * bad // kept)

    def record(self, *, usable: bool) -> str | None:
        """Count one answer; return the reason to stop, if there is one."""
        self._count(is_bad=not usable)
        is_full = self._seen == self._first or len(self._recent) == self._recent.maxlen
        if self.reason is None and is_full and self._bad > self._share * len(self._recent):
            self.reason = (
                f"{self._bad} of the last {len(self._recent)} answers were unusable: "
                "the prompt and the model do not fit; see rejected/ for what it wrote"
            )
        return self.reason

    def _count(self, *, is_bad: bool) -> None:
        if len(self._recent) == self._recent.maxlen and self._recent[0]:
            self._bad -= 1
        self._recent.append(is_bad)
        self._bad += is_bad
        self._seen += 1


class Watchdog:
    """Reports when nothing has become durable for too long, and why.

    A pause requested by the server is not a stall: it is reported with its end, and does not trip.
    """

    def __init__(self, *, quiet_s: float = 900.0, now: float) -> None:
        self._quiet_s = quiet_s
        self._last_at = now

    def progressed(self, now: float) -> None:
        """Record that something has become durable."""
        self._last_at = now

    def check(
        self, now: float, *, cause: str = "", paused_until: float = float("-inf")
    ) -> tuple[bool, str]:
        """Return whether to stop, and one line for people ("" while there is nothing to report).

        Args:
            now: The time.
            cause: What the pool is waiting for, if anything.
            paused_until: The end of a pause requested by the server.
        """
        quiet_s = now - self._last_at
        if quiet_s < self._quiet_s:
            return False, ""
        text = f"nothing was finished for {quiet_s / 60:.0f} minutes"
        if cause:
            text += f": {cause}"
        if paused_until > now and paused_until != float("inf"):
            return False, f"{text}; going on in {paused_until - now:.0f} s"
        return True, text

"""When to stop asking: three pure state machines that are told what happened, and when."""

from __future__ import annotations

import math
from collections import deque
from enum import Enum, auto

from pairmill.errors import Kind
from pairmill.llm.limits.noise import ClusterTest

__all__ = ["EndpointBreaker", "FitBreaker", "State", "Watchdog"]

_OF_DOWN = 0.25
_COSTLY = 100.0  # an opening for nothing may cost one part in so many of the calls


class State(Enum):
    """Whether an endpoint is asked: always, not now, or by one probe."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class EndpointBreaker:
    """Stops asking an endpoint that is down, and finds out when it is back.

    Overloads (`Kind.OVERLOAD`) one after the other open it for ``first_s``: five at least, and more
    where single ones are usual, as with one sick replica behind a balancer. Then one probe goes;
    while it fails the next one waits for a quarter of the time that the endpoint has been down, up
    to ``longest_s``. Anything but an overload proves that the server is there.

    Attributes:
        until: While open, the time of the next probe.
        gave_up: It has been down for ``max_wait_s`` without one success; the pool is to be closed.
    """

    def __init__(
        self,
        *,
        threshold: int = 5,
        first_s: float = 5.0,
        longest_s: float = 300.0,
        max_wait_s: float = 1800.0,
    ) -> None:
        self._cluster = ClusterTest()
        self._calls = 0
        self._began: float | None = None
        self._threshold = threshold
        self._first_s = first_s
        self._longest_s = longest_s
        self._max_wait_s = max_wait_s
        self._open_s = 0.0  # 0 while closed; else the length of the present opening
        self._down_since = 0.0
        self.until = 0.0
        self.gave_up = False

    @property
    def is_closed(self) -> bool:
        """Whether all is well; the cheap test for the hot path."""
        return self._open_s == 0.0

    def state(self, now: float) -> State:
        """The state at ``now``."""
        if self._open_s == 0.0:
            return State.CLOSED
        return State.OPEN if now < self.until else State.HALF_OPEN

    def record(
        self, kind: Kind | None, now: float, *, is_probe: bool = False, index: int | None = None
    ) -> None:
        """Learn how a call ended; ``kind`` is None for an answer.

        Calls that were in flight when the breaker opened may still end: their success closes it,
        their failure says nothing new. Only the probe's failure opens it for longer.

        Args:
            kind: How it failed.
            now: The time.
            is_probe: It was the one that asks whether the endpoint is back.
            index: Its number in the order of sending, from 0; None: calls end in that order.
        """
        self._calls += 1
        if kind is None:  # the hot path
            if self._open_s:
                self._close()
            return
        is_down = kind is Kind.OVERLOAD
        if kind is Kind.TIMEOUT and not is_probe:
            return  # slow is not down; but a probe that hangs proves nothing
        if is_probe and (is_down or kind is Kind.TIMEOUT):
            down_s = now - self._down_since
            self._open(now, min(self._longest_s, max(self._first_s, _OF_DOWN * down_s)))
        elif not is_down:
            self._close()
        elif self._open_s == 0.0:
            self._cluster.on_refused(self._calls - 1 if index is None else index)
            if self._is_down(now, self._calls if index is None else index + 1):
                self._down_since = now
                self._open(now, self._first_s)

    def _is_down(self, now: float, sent: int) -> bool:
        if self._began is None:
            self._began = now
        seconds = max(1.0, now - self._began)
        sure = math.log(_COSTLY * max(1.0, self._first_s * sent / seconds))
        return self._cluster.in_row >= self._threshold and self._cluster.score >= sure

    def _open(self, now: float, seconds: float) -> None:
        self._open_s = seconds or self._first_s
        give_up_at = self._down_since + self._max_wait_s
        self.gave_up = now >= give_up_at
        self.until = min(now + self._open_s, max(give_up_at, now))

    def _close(self) -> None:
        if self._open_s:
            self._open_s = 0.0
            self._cluster.forget()


class FitBreaker:
    """Stops a run whose answers cannot be used: the prompt and the model do not fit.

    Trips when more than half of the first ``first`` answers, or of any ``window`` in a row, were
    unusable. Until the first twenty are in, it waits.
    """

    def __init__(self, *, first: int = 20, window: int = 200, share: float = 0.5) -> None:
        self._first = first
        self._share = share
        self._recent: deque[bool] = deque(maxlen=window)
        self._bad = 0
        self._seen = 0
        self.reason: str | None = None

    def record(self, *, usable: bool) -> str | None:
        """Count one answer; the reason to stop, once there is one (and from then on)."""
        if len(self._recent) == self._recent.maxlen and self._recent[0]:
            self._bad -= 1
        self._recent.append(not usable)
        self._bad += not usable
        self._seen += 1
        is_full = self._seen == self._first or len(self._recent) == self._recent.maxlen
        if self.reason is None and is_full and self._bad > self._share * len(self._recent):
            self.reason = (
                f"{self._bad} of the last {len(self._recent)} answers were unusable: "
                "the prompt and the model do not fit; see rejected/ for what it wrote"
            )
        return self.reason


class Watchdog:
    """Says when nothing has become durable for too long, and why.

    A pause that the server asked for is no stall: it is named, with its end, and does not trip.
    """

    def __init__(self, *, quiet_s: float = 900.0, now: float) -> None:
        self._quiet_s = quiet_s
        self._last_at = now

    def progressed(self, now: float) -> None:
        """Learn that something has become durable."""
        self._last_at = now

    def check(
        self, now: float, *, cause: str = "", paused_until: float = float("-inf")
    ) -> tuple[bool, str]:
        """Whether to stop, and one line for people ("" while there is nothing to say).

        Args:
            now: The time.
            cause: What the pool says that it waits for, if anything.
            paused_until: The end of a pause that the server asked for.
        """
        quiet_s = now - self._last_at
        if quiet_s < self._quiet_s:
            return False, ""
        text = f"nothing was finished for {quiet_s / 60:.0f} minutes"
        if cause:
            text += f": {cause}"
        if paused_until > now:
            return False, f"{text}; going on in {paused_until - now:.0f} s"
        return True, text

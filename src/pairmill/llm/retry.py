"""Whether a failed call is made again, and after how long: the only place that decides it.

Pure: the time waited and the random numbers come from outside. The back-off is exponential with
full jitter (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015): the wait is
drawn evenly between nothing and the bound, so that calls that failed together do not come back
together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pairmill.errors import Kind

if TYPE_CHECKING:
    from pairmill.errors import ProviderError

__all__ = ["AT_START", "Decision", "GiveUp", "History", "Random", "RetryPolicy", "Wait"]

_MOST_DOUBLINGS = 16
_FOR_GOOD = {
    Kind.QUOTA: "waiting cannot help",
    Kind.AUTH: "waiting cannot help",
    Kind.CONFIG: "waiting cannot help",
    Kind.CHUNK: "this request can never work",
}
# A 200 whose body no server meant to send: a proxy's page, or a reply that was cut off.
_GARBAGE = frozenset({"html", "empty_body", "not_json", "encoding", "no_choices"})


class Random(Protocol):
    """The one thing that is asked of ``random.Random``."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number between ``a`` and ``b``."""
        ...


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after so many seconds, through the gate like any other call."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not ask again. ``reason`` is one plain phrase."""

    reason: str


Decision = Wait | GiveUp


@dataclass(frozen=True, slots=True)
class History:
    """What one request went through so far.

    Attributes:
        failures: Failures in all.
        timeouts: Calls that got no answer in time: each may have been paid for.
        garbage: Replies that were no reply.
        waited_s: Seconds spent waiting between calls, by our own decision.
    """

    failures: int = 0
    timeouts: int = 0
    garbage: int = 0
    waited_s: float = 0.0

    def after(self, error: ProviderError, waited_s: float) -> History:
        """The history with one more failure, and the wait that followed it."""
        return replace(
            self,
            failures=self.failures + 1,
            timeouts=self.timeouts + (error.kind is Kind.TIMEOUT),
            garbage=self.garbage + (error.kind is Kind.BADOUT),
            waited_s=self.waited_s + waited_s,
        )


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient a request is.

    Attributes:
        base_s: Bound of the first wait; it doubles with each failure.
        cap_s: Bound of any wait that the server did not ask for.
        spread: What is added at most to a wait that the server asked for, as a share of it.
        max_wait_s: All waits of one request together.
        max_timeouts: Calls of one request that may be paid for without an answer.
        max_garbage: Replies of one request that may be no reply before it counts.
    """

    base_s: float = 0.5
    cap_s: float = 60.0
    spread: float = 0.1
    max_wait_s: float = 1800.0
    max_timeouts: int = 2
    max_garbage: int = 1

    def decide(self, error: ProviderError, history: History, random: Random) -> Decision:
        """What to do about ``error``, given what went before it.

        Money, keys and settings do not mend by waiting, nor does a request that the server cannot
        take; those are given up at once. An answer without content (`Kind.BADOUT`) is for the
        repair ladder, unless it looks like an accident of the transport.
        """
        if error.kind in _FOR_GOOD:
            return GiveUp(_FOR_GOOD[error.kind])
        if error.kind is Kind.TIMEOUT and history.timeouts + 1 >= self.max_timeouts:
            return GiveUp("no answer in time, again")
        if error.kind is Kind.BADOUT and (
            error.code not in _GARBAGE or history.garbage >= self.max_garbage
        ):
            return GiveUp("no usable answer")
        return self._wait(error, history, random)

    def _wait(self, error: ProviderError, history: History, random: Random) -> Decision:
        asked = error.retry_after_s
        if asked is None:
            bound = min(self.cap_s, self.base_s * 2.0 ** min(history.failures, _MOST_DOUBLINGS))
            seconds = random.uniform(0.0, bound)
        else:
            seconds = asked * (1.0 + random.uniform(0.0, self.spread))
        if history.waited_s + seconds > self.max_wait_s:
            return GiveUp(f"waited {history.waited_s:.0f} s in vain")
        return Wait(seconds)


AT_START = RetryPolicy(max_wait_s=30.0, cap_s=5.0)
"""For the first call of a run: long enough for a server that is still loading, and no longer."""

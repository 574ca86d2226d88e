"""Decides whether a call that failed is made again, and when: `RetryPolicy` within a run.

Pure: the time waited and the random numbers come from outside. The back-off is exponential with
full jitter (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015): the wait is
drawn evenly between nothing and the bound, so that calls that failed together do not come back
together. The first calls of a start have a policy of their own, `ProbePolicy`; units whose calls
were given up may be tried again (`pairmill.run.suspects`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pairmill.errors import Kind
from pairmill.llm.providers.accepted_parameters import Refusal

if TYPE_CHECKING:
    from pairmill.errors import ProviderError

__all__ = [
    "AT_PROBE",
    "IN_PROBE",
    "IN_RUN",
    "MOST_BILLED",
    "Decision",
    "GiveUp",
    "History",
    "ProbePolicy",
    "Random",
    "RetryPolicy",
    "Wait",
    "fails_at_the_format",
    "is_of_server",
    "names_the_format",
]

_MOST_DOUBLINGS = 16

MOST_BILLED = 2
"""Sends of one request that may be billed without an answer to show for it."""


class Random(Protocol):
    """The one method needed of ``random.Random``."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a number between ``a`` and ``b``."""
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
    """History of one request so far.

    Attributes:
        failures: Failures in all.
        billed: Sends that may be billed although no answer came of them.
        alone: Failures of the server while it answered others.
        waited_s: Seconds between calls for which nobody asked.
        asked_s: Seconds between calls for which the server asked.
        spent_s: Seconds since the first failure, less those.
    """

    failures: int = 0
    billed: int = 0
    alone: int = 0
    waited_s: float = 0.0
    asked_s: float = 0.0
    spent_s: float = 0.0

    def after(self, error: ProviderError, *, alone: bool = False) -> History:
        """Return the history with one more failure; ``alone``: others were answered meanwhile."""
        return replace(
            self,
            failures=self.failures + 1,
            billed=self.billed + error.is_billed,
            alone=self.alone + (alone and is_of_server(error)),
        )

    def spent(self, seconds: float) -> History:
        """Return the history as of ``seconds`` after the first failure."""
        return replace(self, spent_s=seconds)

    def rested(self, seconds: float, *, asked: bool) -> History:
        """Return the history with one more wait, which the server asked for or not."""
        if asked:
            return replace(self, asked_s=self.asked_s + seconds)
        return replace(self, waited_s=self.waited_s + seconds)


def is_of_server(error: ProviderError) -> bool:
    """Return whether a failure is the server's, unless it answers others meanwhile, unbilled."""
    return error.kind in {Kind.OVERLOAD, Kind.FOREIGN}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Patience of a request.

    Attributes:
        base_s: Bound of the first wait; it doubles with each failure.
        cap_s: Bound of any wait that the server did not ask for.
        alone_cap_s: The same while the server answers others.
        spread: What is added at most to a wait that the server asked for, as a share of it.
        max_wait_s: All waits of one request together for which the server did not ask.
        max_asked_s: All waits of one request together for which it did.
        max_spent_s: The same as ``max_wait_s``, with the calls themselves and whatever else they
            waited for: so long after the first failure the last try begins.
        max_billed: Sends of one request that may be billed: no more than this, over all starts.
        waits_for_others: A request that may have been billed is given up for now: whoever asks has
            to come back to it, once others are answered.
        max_alone: Failures of the server at one request while it answers others.
    """

    base_s: float = 0.5
    cap_s: float = 60.0
    alone_cap_s: float = 5.0
    spread: float = 0.1
    max_wait_s: float = 1800.0
    max_asked_s: float = 1800.0
    max_spent_s: float = math.inf
    max_billed: int = MOST_BILLED
    waits_for_others: bool = False
    max_alone: int = 4

    def decide(
        self, error: ProviderError, history: History, random: Random, *, alone: bool = False
    ) -> Decision:
        """Decide what to do about ``error``, given what went before it.

        Money, keys and settings do not mend by waiting, nor does a request that the server cannot
        take; those are given up at once. An answer without content (`Kind.BADOUT`) is for the
        repair ladder. A send that may be billed counts, whatever else happened in between.
        """
        if not error.kind.meaning.retries:
            return GiveUp("waiting cannot help")
        if error.kind is Kind.BADOUT:
            return GiveUp("no usable answer")
        if error.is_billed and history.billed + 1 >= self.max_billed:
            return GiveUp("it may have been billed for each try")
        if error.is_billed and self.waits_for_others:
            return GiveUp("others are to be answered first")
        alone = alone and is_of_server(error)
        if alone and history.alone + 1 >= self.max_alone:
            return GiveUp("it fails while others are answered")
        return self._wait(error, history, random, self.alone_cap_s if alone else self.cap_s)

    def _wait(
        self, error: ProviderError, history: History, random: Random, cap_s: float
    ) -> Decision:
        asked_s = error.retry_after_s
        if asked_s is not None:
            if history.asked_s + asked_s > self.max_asked_s:
                return GiveUp("the server asks to wait for too long")
            return Wait(asked_s * (1.0 + random.uniform(0.0, self.spread)))
        bound = min(cap_s, self.base_s * 2.0 ** min(history.failures, _MOST_DOUBLINGS))
        seconds = random.uniform(0.0, bound)
        if history.waited_s + seconds > self.max_wait_s:
            return GiveUp(f"waited {history.waited_s:.0f} s in vain")
        left_s = self.max_spent_s - history.spent_s
        if left_s <= 0.0:
            return GiveUp(f"asked for {history.spent_s:.0f} s in vain")
        return Wait(min(seconds, left_s))


IN_RUN = RetryPolicy(waits_for_others=True)
"""For the calls of a run, whose units are set aside and taken up again."""


_SERVER_ERROR, _UNAVAILABLE = 500, 503
_BAD_GATEWAY, _MOST_BAD_GATEWAY = 502, 4  # sends for each way of asking


def names_the_format(error: ProviderError) -> bool:
    """Return whether a refusal is about the way in which a schema was sent."""
    return isinstance(error.refusal, Refusal) and error.refusal.is_about_format


def fails_at_the_format(error: ProviderError) -> bool:
    """Return True if a server says that what it needs for structured output is not there."""
    return error.status == _UNAVAILABLE and names_the_format(error)


@dataclass(frozen=True, slots=True)
class ProbePolicy(RetryPolicy):
    """Retries once after a 500, and waits out all other server failures.

    Some servers answer 500 to an unknown parameter: then a different parameter is better than a
    retry.
    """

    def decide(
        self, error: ProviderError, history: History, random: Random, *, alone: bool = False
    ) -> Decision:
        """See `RetryPolicy`."""
        if error.status == _SERVER_ERROR and history.failures:
            return GiveUp("an internal error, again")
        if error.status == _BAD_GATEWAY and history.failures + 1 >= _MOST_BAD_GATEWAY:
            return GiveUp("the server behind the gateway fails, again")
        if fails_at_the_format(error) and history.failures:
            return GiveUp("structured output fails, again")
        if error.kind is Kind.FOREIGN:
            return GiveUp("no other reply is to be expected there")
        return RetryPolicy.decide(self, error, history, random, alone=alone)


AT_PROBE = ProbePolicy(max_spent_s=30.0, cap_s=5.0, alone_cap_s=5.0)
"""For the first calls of a run: long enough for a server that is still loading."""

IN_PROBE = replace(AT_PROBE, max_billed=1)
"""For calls that find a mode: after a broken reply, another way of asking is tried."""

"""Determines whose fault a failure is, by the outcome of the other calls of its pool. Pure.

One refused request says nothing: it may be the request's own fault, the account's, or the server's.
What the others meet tells it. Each request that is refused counts as a strike; a strike weighs as
the table of kinds says (``Meaning.strikes``); an answer to a call that was sent after the first one
takes them all away. At a full weight the pool is given up, and no chunk has to pay for it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.errors import EXIT_RESUMABLE, Kind
from pairmill.llm.classify import is_about_money

if TYPE_CHECKING:
    from pairmill.errors import ProviderError

__all__ = ["Assessment", "PoolHealth"]

_FULL = 1.0 - 1e-9
_NEVER_PASSES_S = 90.0  # refused for so long, without one answer, in words of money
_NEVER_PASSES = 5  # refusals
_TOO_LONG_S = 1800.0  # no wait that a run sits out
_RECENTLY_S = 30.0
_MOST_FAILING = 1024
_EMPTY = 24  # replies in a row that hold nothing, each of them paid for
_FEW = 2  # requests that fail while nothing else is asked: the end of a run


class Assessment(Struct, frozen=True):
    """What a failure says about its pool.

    Attributes:
        alone: The pool answers others: it speaks of the request, not of the pool.
        why: Why to give the pool up; "" to keep it.
        exit_code: How a run ends that has no other.
        for_good: It need not be asked again later.
    """

    alone: bool
    why: str = ""
    exit_code: int = EXIT_RESUMABLE
    for_good: bool = True


class PoolHealth:
    """Outcomes of one pool's calls, as far as they tell whose fault a failure is.

    Attributes:
        answers: Calls that were answered.
        sentence: What the last failure was.
        refused: Calls that were refused for the rate since the last answer.
        refused_since: When the first of them was; None where there is none.
    """

    def __init__(self) -> None:
        self.answers = 0
        self.sentence = ""
        self.refused = 0
        self.refused_since: float | None = None
        self._empty = 0
        self._strikes: dict[str, float] = {}
        self._struck_at = float("inf")
        self._failing: OrderedDict[str, float] = OrderedDict()
        self._answered_at = float("-inf")
        self._answer_sent_at = float("-inf")
        self._on_probation = False

    def answered(self, sent_at: float, now: float) -> None:
        """Learn that a call was answered which was sent at ``sent_at``."""
        self._empty = 0
        self._replied(sent_at, now)

    def _replied(self, sent_at: float, now: float) -> None:
        self.answers += 1
        self.refused = 0
        self.refused_since = None
        self._answered_at = now
        self._answer_sent_at = max(self._answer_sent_at, sent_at)
        if self._strikes and sent_at > self._struck_at:
            self._forgive()
        self._on_probation = False

    def on_probation(self) -> None:
        """Begin anew, for a pool that is asked again: the next strike is one too many."""
        self._forgive()
        self._on_probation = True

    def failed(
        self, error: ProviderError, request_id: str, sent_at: float, now: float, *, others: int = 0
    ) -> Assessment:
        """Learn that a call failed; say what that means for the pool.

        Args:
            error: How it failed.
            request_id: What was asked.
            sent_at: When it was sent.
            now: The time.
            others: Calls that are still out. A refusal is faster than an answer, so strikes weigh
                fully only once there are more of them than of these: where a part of all calls is
                refused, the others need the time to be answered.
        """
        kind = error.kind
        if kind is Kind.BADOUT:
            self._replied(sent_at, now)
            self._empty = self._empty + 1 if error.code == "empty" else 0
            if self._empty < _EMPTY:
                return Assessment(alone=True)
            why = f"{self._empty} replies in a row held nothing"
            return Assessment(alone=True, why=f"{why}: {error}", for_good=False)
        alone = self._is_alone(error, request_id, sent_at, now)
        self.sentence = str(error)
        if kind is Kind.RATE:
            return self._refused(error, now)
        meaning = kind.meaning
        if not meaning.strikes:
            return Assessment(alone)
        if not self._strikes:
            self._struck_at = now
        self._strikes[request_id] = 1.0 / meaning.strikes
        weight = sum(self._strikes.values())
        is_full = weight >= _FULL and len(self._strikes) > others + 1
        if not is_full and not self._on_probation:
            return Assessment(alone)
        why = meaning.dropped.format(count=len(self._strikes))
        return Assessment(
            alone, f"{why}: {error}", meaning.exit_code, for_good=not meaning.may_pass
        )

    def _forgive(self) -> None:
        self._strikes.clear()
        self._struck_at = float("inf")

    def _refused(self, error: ProviderError, now: float) -> Assessment:
        """Assess a rate refusal: one that never passes, or asks for hours, means something else."""
        self.refused += 1
        if self.refused_since is None:
            self.refused_since = now
        is_answering = now - self._answered_at < _RECENTLY_S
        if (error.retry_after_s or 0.0) > _TOO_LONG_S and not is_answering:
            return Assessment(alone=False, why=f"it asks to wait for long: {error}")
        if (
            self.refused >= _NEVER_PASSES
            and now - self.refused_since >= _NEVER_PASSES_S
            and is_about_money(str(error))
        ):
            minutes = (now - self.refused_since) / 60.0
            why = f"{self.refused} calls were refused in {minutes:.0f} min and none answered"
            return Assessment(alone=False, why=f"{why}: {error}")
        return Assessment(alone=is_answering)

    def _is_alone(self, error: ProviderError, request_id: str, sent_at: float, now: float) -> bool:
        """Return whether others were answered since this request failed before, or was sent."""
        if error.status is None and error.kind is Kind.OVERLOAD:
            return False  # there is no connection for anybody
        before = self._failing.pop(request_id, sent_at)
        self._failing[request_id] = now
        while len(self._failing) > _MOST_FAILING:
            self._failing.popitem(last=False)
        if self._answer_sent_at >= before:
            return True
        failing = sum(at > self._answered_at for at in self._failing.values())
        return bool(self.answers) and failing <= _FEW

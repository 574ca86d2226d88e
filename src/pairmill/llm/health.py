"""Determines whose fault a failure is, from the outcomes of other calls of its pool. Pure.

A single refused request says nothing: the request, the account or the server may be at fault. The
outcomes of other calls tell. Each refused request is a strike, weighted by the table of kinds
(``Meaning.strikes``); an answer to a call that was sent after the first one clears them all. At
full weight the pool is dropped, and no chunk is blamed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.errors import EXIT_RESUMABLE, Kind
from pairmill.llm.classify import is_about_money

if TYPE_CHECKING:
    from pairmill.errors import ProviderError

__all__ = ["TOO_LONG_S", "Assessment", "PoolHealth"]

TOO_LONG_S = 1800.0
"""Waits for which a server may ask; a run ends instead of waiting for longer."""

_FULL = 1.0 - 1e-9
_NEVER_PASSES_S = 90.0  # refused for this long, without an answer, for billing reasons
_NEVER_PASSES = 5  # refusals
_RECENTLY_S = 30.0
_MOST_FAILING = 1024
_EMPTY = 24  # empty replies in a row, each of which is billed
_FEW = 2  # requests that fail while nothing else is asked, at the end of a run


class Assessment(Struct, frozen=True):
    """What a failure says about its pool.

    Attributes:
        alone: The pool answers other calls, so the request is at fault.
        why: Why to drop the pool; "" to keep it.
        exit_code: Exit code of a run without another pool.
        for_good: True if it need not be tried again later.
    """

    alone: bool
    why: str = ""
    exit_code: int = EXIT_RESUMABLE
    for_good: bool = True


class PoolHealth:
    """Outcomes of one pool's calls, as evidence of whose fault a failure is.

    Attributes:
        answers: Number of answered calls.
        sentence: Description of the last failure.
        refused: Rate refusals since the last answer.
        refused_since: Time of the first of them; None if there is none.
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
        """Record an answer to a call that was sent at ``sent_at``."""
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
        """Reset, for a pool that is tried again: the next strike drops it."""
        self._forgive()
        self._on_probation = True

    def failed(
        self, error: ProviderError, request_id: str, sent_at: float, now: float, *, others: int = 0
    ) -> Assessment:
        """Record a failed call; return what it means for the pool.

        Args:
            error: The failure.
            request_id: Id of the request.
            sent_at: Time of sending.
            now: The time.
            others: Calls still in flight. Refusals are faster than answers, so strikes have full
                weight only once they outnumber these: if some calls are refused, the others need
                time to be answered.
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
        """Assess a rate refusal: one that never ends, or asks for hours, means something else."""
        self.refused += 1
        if self.refused_since is None:
            self.refused_since = now
        is_answering = now - self._answered_at < _RECENTLY_S
        if (error.retry_after_s or 0.0) > TOO_LONG_S and not is_answering:
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
        """Return whether others were answered since this request was sent, or last failed."""
        if error.status is None and error.kind is Kind.OVERLOAD:
            return False  # no call can connect
        before = self._failing.pop(request_id, sent_at)
        self._failing[request_id] = now
        while len(self._failing) > _MOST_FAILING:
            self._failing.popitem(last=False)
        if self._answer_sent_at >= before:
            return True
        failing = sum(at > self._answered_at for at in self._failing.values())
        return bool(self.answers) and failing <= _FEW

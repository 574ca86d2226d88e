"""Holds back chunks that failed without an answer until it is known whose fault that was.

Only a chunk that is itself at fault gets a tombstone. Until that is known, nothing is written: a
chunk whose failure cost nothing is retried later, and so is one whose request may be billed only
again; one that failed for good waits for evidence. Evidence is what happens to other chunks at
the same model. If calls that were sent after the failure are answered, the server works, and the
chunk gets a tombstone. If others fail in the same way now and then, the chunk is retried until
chance alone cannot explain its failures. At the end of a run, when no other chunks come, the
evidence is a probe about a made-up passage. A run that ends because its pool refuses everything
leaves the chunk open for the next start.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.errors import Blame, Kind
from pairmill.llm.retry import MOST_BILLED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.events import CallAnswered
    from pairmill.run.reader import Inbox, Work
    from pairmill.run.stop import Stop
    from pairmill.store.row_encoding import UnitResult

__all__ = ["Cause", "Suspects"]

_SILENCE = "no answer in time"  # ours, not a proxy's
_EVIDENCE = 3  # answers that speak for the server
_NOT_ITS_OWN = frozenset({Blame.ACCOUNT, Blame.SETTINGS})
_LEAST_IF_NOT_ITS_OWN = 3
_MOST_AGAIN = 30
_MOST_COUNTED = 6  # failures of one unit that count as evidence of chance
_CHANCE = 1e-5  # probability that a chunk is given up although refusals are random
_SEVERAL = 3  # failing chunks at the end of a run that are no coincidence
_AN_ACCIDENT = 1  # retries of a unit although nothing was answered since


class Cause(Struct, frozen=True):
    """How a unit's last call failed: its kind, what the server said, and the model it asked."""

    kind: Kind
    sentence: str
    model: str = ""


class _Waiting(Struct):
    """A unit to retry for the n-th time; ``is_billed``: for the last time."""

    at: float
    work: Work
    cause: Cause
    asked: int
    is_billed: bool


class _Held(Struct, eq=False):
    """A result that is not yet written."""

    at: float
    cause: Cause
    result: UnitResult
    answers: int = 0


class Suspects:
    """See the module.

    Args:
        put: Writes a result.
        inbox: Takes units to retry.
        stop: Requested if the chunks are not at fault.
        is_well: Sends a probe to a model, and returns whether it was answered. Used if there is no
            other evidence, and chunks were answered before.
    """

    def __init__(
        self,
        put: Callable[[UnitResult], None],
        inbox: Inbox,
        stop: Stop,
        is_well: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._put = put
        self._inbox = inbox
        self._stop = stop
        self._is_well = is_well
        self._asking = asyncio.Lock()
        # By model:
        self._answered_at: defaultdict[str, float] = defaultdict(lambda: float("-inf"))
        self._asked_at: defaultdict[str, float] = defaultdict(lambda: float("-inf"))
        self._waiting: defaultdict[str, deque[_Waiting]] = defaultdict(deque)
        self._answers: Counter[str] = Counter()
        self._failures: Counter[tuple[str, Kind]] = Counter()
        self._held: list[_Held] = []
        # By unit, until it ends:
        self._own: defaultdict[str, Counter[tuple[str, Kind]]] = defaultdict(Counter)
        self._asked_again: dict[str, int] = {}

    def set_aside(self, work: Work, cause: Cause, *, billed_sends: int) -> bool:
        """Return True if a failed unit will be retried later, and keep it for that.

        Not if the server blamed the chunk itself, or after so many retries that the failures of
        others do not explain it. A request that may have been billed is sent again, and so is
        the next one of the same unit.
        """
        if cause.kind is Kind.CHUNK or billed_sends >= MOST_BILLED:
            return False
        asked = self._asked_again.get(work.unit, 0)
        if not billed_sends:
            if asked >= self._most_again(cause, self._failures_of_others(work, cause)):
                return False
            asked += 1
            self._asked_again[work.unit] = asked
        now = time.monotonic()
        self._waiting[cause.model].append(_Waiting(now, work, cause, asked, billed_sends > 0))
        return True

    def _failures_of_others(self, work: Work, cause: Cause) -> int:
        """Count a failure of this kind; return the failures of other units."""
        like, own = (cause.model, cause.kind), self._own[work.unit]
        if own[like] < _MOST_COUNTED:
            own[like] += 1
            self._failures[like] += 1
        return self._failures[like] - own[like]

    def _most_again(self, cause: Cause, others: int) -> int:
        """Return how often a unit is retried that failed without being at fault.

        Once, if others do not fail; a few times for failures that concern the settings or the
        account, which are not the chunk's fault as long as others are answered. If a share p of the
        others failed likewise, n times such that p ** n is small. Only the first few failures of
        each unit count: a request that is never answered is not noise.
        """
        least = _LEAST_IF_NOT_ITS_OWN if cause.kind.meaning.blame in _NOT_ITS_OWN else 1
        if not others:
            return least
        share = others / (others + self._answers[cause.model] + 1)
        return max(least, min(_MOST_AGAIN, math.ceil(math.log(_CHANCE) / math.log(share)) - 1))

    async def take(self, *, is_last: bool = True) -> Work | None:
        """Return a unit to retry, for an idle worker.

        If several units failed since the last answer, a request that may be billed is not sent for
        the last time before a probe was answered. Nor is a unit tried for the third time before the
        end of the input (``is_last``), since fresh units are better evidence. If the probe is not
        answered, the run ends, and the next start retries.
        """
        model = next((name for name, waiting in self._waiting.items() if waiting), None)
        if model is None:
            return None
        waiting, answered_at = self._waiting[model], self._answered_at[model]
        since = sum(it.is_billed and it.at > answered_at for it in waiting)
        first = waiting.popleft()
        is_often = since >= _SEVERAL if first.is_billed else first.asked > _AN_ACCIDENT
        is_risky = is_often and first.at > answered_at
        if is_risky and not first.is_billed and not is_last:
            waiting.appendleft(first)
            return None
        if not is_risky or await self._is_safe(model, first.at):
            return first.work
        self._end(first.cause, 1 + len(waiting))
        return None

    async def _is_safe(self, model: str, failed_at: float) -> bool:
        """Return whether a probe was answered after a failure."""
        async with self._asking:
            if self._asked_at[model] < failed_at and not self._stop.is_requested:
                began = time.monotonic()
                if await self._is_well(model):
                    self._asked_at[model] = began
            return self._asked_at[model] >= failed_at

    def forget(self, unit: str) -> None:
        """Forget what a unit that has ended failed at; it still counts among the others'."""
        self._own.pop(unit, None)
        self._asked_again.pop(unit, None)

    def hold(self, result: UnitResult, cause: Cause) -> None:
        """Hold back a result until it is known whether the chunk is at fault."""
        self._held.append(_Held(time.monotonic(), cause, result))

    def listen(self, event: CallAnswered) -> None:
        """Use an answer as evidence for units that failed at the same model."""
        model, now = event.asked or event.model, time.monotonic()
        self._answers[model] += 1
        self._answered_at[model] = now
        waiting = self._waiting.get(model)
        if not waiting and not self._held:
            return
        sent_at = now - event.seconds
        while waiting and waiting[0].at <= sent_at:
            self._inbox.put_back(waiting.popleft().work)
        released = []
        for held in self._held:
            held.answers += held.at <= sent_at and held.cause.model == model
            if held.answers >= _EVIDENCE:
                released.append(held)
        if released:
            self._held = [held for held in self._held if held.answers < _EVIDENCE]
            for held in released:
                self._put(held.result)

    async def conclude(self, *, has_pairs: bool) -> None:
        """Decide about all units held at the end of a run, when no more evidence will come.

        If the run was already stopped, they stay open. ``has_pairs``: earlier starts
        had answers.
        """
        held, self._held = self._held, []
        if self._stop.is_requested:
            return
        has_answers = has_pairs or self._answers.total() > 0
        open_ = set()
        for model in dict.fromkeys(it.cause.model for it in held):
            unheard = [it for it in held if it.cause.model == model and not it.answers]
            named = [it for it in unheard if it.cause.kind is Kind.CHUNK]
            unknown = [it for it in unheard if it.cause.kind is not Kind.CHUNK]
            blamed = _blamed(unknown, has_answers=has_answers)
            may_ask = has_answers or blamed is None
            if blamed is None and len(named) >= _SEVERAL:
                blamed = named[-1]
            if blamed is not None and not (may_ask and await self._is_well(model)):
                self._end(blamed.cause, len(unheard))
                open_.update(unheard)
        for it in held:
            if it not in open_:
                self._put(it.result)

    def _end(self, cause: Cause, count: int) -> None:
        """Stop the run, since many chunks in a row got no answer, and no other did."""
        chunks = "the last chunk" if count == 1 else f"the last {count} chunks"
        advice = "; raise timeout_s" if cause.sentence == _SILENCE else ""
        line = f"{chunks} got no answer: {cause.sentence}{advice}"
        self._stop.request(line, cause.kind.meaning.exit_code)


def _blamed(unknown: list[_Held], *, has_answers: bool) -> _Held | None:
    """Return the failure that may be caused by the server, the account or the settings."""
    for it in unknown:
        if it.cause.kind.meaning.blame in _NOT_ITS_OWN:
            return it
    if not unknown or (len(unknown) < _SEVERAL and has_answers):
        return None
    return unknown[-1]

"""Chunks that failed without an answer: kept back until it is known whose fault that was.

A tombstone is for what a chunk itself has earned. While nobody knows, nothing is written: a chunk
whose failure cost nothing is asked again, later, and so is one whose request may be billed but once
more; one that failed for good waits for evidence. Answers to calls that were sent after it failed
speak for the server, and it becomes a tombstone. At the end of a run, where no others come, a
question of the run's own about a made-up passage is the evidence. A run that is ended since its
pool refuses everything leaves it open: the next start asks again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.errors import Blame, Kind
from pairmill.llm.retry import MOST_BILLED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.events import CallAnswered
    from pairmill.run.inbox import Inbox
    from pairmill.run.reader import Work
    from pairmill.run.stop import Stop
    from pairmill.store.rows import UnitResult

__all__ = ["Suspects"]

_SILENCE = "no answer in time"  # ours, not a proxy's
_EVIDENCE = 3  # answers that speak for the server
_NOT_ITS_OWN = frozenset({Blame.ACCOUNT, Blame.SETTINGS})
_MOST_IF_NOT_ITS_OWN = 3
_SEVERAL = 3  # chunks that fail at the end of a run, and are no accident any more


class _Waiting(Struct):
    """A unit to ask once more; ``is_billed``: for the last time, and it may be billed."""

    at: float
    work: Work
    kind: Kind
    sentence: str
    is_billed: bool


class _Held(Struct, eq=False):
    """A result that is not written yet."""

    at: float
    kind: Kind
    sentence: str
    result: UnitResult
    answers: int = 0


class Suspects:
    """See the module.

    Args:
        put: Writes a result.
        inbox: Takes a unit that is to be asked once more.
        stop: Asked for where the fault is not the chunks'.
        is_well: Asks a question that is not at fault, and says whether it was answered. Asked where
            no answers to others tell, and chunks were answered before.
    """

    def __init__(
        self,
        put: Callable[[UnitResult], None],
        inbox: Inbox,
        stop: Stop,
        is_well: Callable[[], Awaitable[bool]],
    ) -> None:
        self._put = put
        self._inbox = inbox
        self._stop = stop
        self._is_well = is_well
        self._asking = asyncio.Lock()
        self._answered_at = float("-inf")
        self._asked_at = float("-inf")  # when ``is_well`` was asked last, and said yes
        self._waiting: deque[_Waiting] = deque()
        self._held: list[_Held] = []
        self._asked_again: dict[str, int] = {}
        self._answers = 0

    def set_aside(self, work: Work, kind: Kind, sentence: str, *, billed_sends: int) -> bool:
        """Whether to ask a unit that failed once more, later; if so, it is kept for that.

        Not where the server named the chunk itself, or where it was done already: once, and a few
        times for what speaks of the settings or the account, which is no chunk's fault as long as
        others are answered. A request that may have been billed is sent once more, and so is the
        next of the same unit.
        """
        if kind is Kind.CHUNK or billed_sends >= MOST_BILLED:
            return False
        if not billed_sends:
            asked = self._asked_again.get(work.unit, 0)
            if asked >= (_MOST_IF_NOT_ITS_OWN if kind.meaning.blame in _NOT_ITS_OWN else 1):
                return False
            self._asked_again[work.unit] = asked + 1
        now = time.monotonic()
        self._waiting.append(_Waiting(now, work, kind, sentence, billed_sends > 0))
        return True

    async def take(self) -> Work | None:
        """Return a unit to ask once more, for a worker that has nothing else to do.

        Where several failed since the last answer, a request that may be billed is not sent for
        the last time before a question of our own is answered. If that is not, the run is ended,
        and the next start asks again.
        """
        if not self._waiting:
            return None
        since = sum(it.is_billed and it.at > self._answered_at for it in self._waiting)
        waiting = self._waiting.popleft()
        is_risky = waiting.is_billed and waiting.at > self._answered_at and since >= _SEVERAL
        if not is_risky or await self._is_safe(waiting.at):
            return waiting.work
        self._end(waiting.kind, waiting.sentence, 1 + len(self._waiting))
        return None

    async def _is_safe(self, failed_at: float) -> bool:
        """Whether a question of our own is answered that was asked after something failed."""
        async with self._asking:
            if self._asked_at < failed_at and not self._stop.is_requested:
                began = time.monotonic()
                if await self._is_well():
                    self._asked_at = began
            return self._asked_at >= failed_at

    def hold(self, result: UnitResult, kind: Kind, sentence: str) -> None:
        """Keep a result back until it is known whether it is the chunk's own."""
        self._held.append(_Held(time.monotonic(), kind, sentence, result))

    def listen(self, event: CallAnswered) -> None:
        """Take note of an answer."""
        self._answers += 1
        self._answered_at = time.monotonic()
        if not self._waiting and not self._held:
            return
        sent_at = time.monotonic() - event.seconds
        while self._waiting and self._waiting[0].at <= sent_at:
            self._inbox.put_back(self._waiting.popleft().work)
        for held in self._held:
            held.answers += held.at <= sent_at
        if self._held and self._held[0].answers >= _EVIDENCE:
            released = [held for held in self._held if held.answers >= _EVIDENCE]
            self._held = [held for held in self._held if held.answers < _EVIDENCE]
            for held in released:
                self._put(held.result)

    async def conclude(self, *, has_pairs: bool) -> None:
        """Decide about what is held at the end of a run, where no more evidence will come.

        If the run is stopped already, all that is held stays open. ``has_pairs``: earlier starts
        had answers.
        """
        held, self._held = self._held, []
        if self._stop.is_requested:
            return
        unknown = [it for it in held if it.kind is not Kind.CHUNK and not it.answers]
        has_answers = has_pairs or self._answers > 0
        blamed = _blamed(unknown, has_answers=has_answers)
        if blamed is not None and has_answers and await self._is_well():
            blamed = None
        if blamed is not None:
            self._end(blamed.kind, blamed.sentence, len(unknown))
        for it in held:
            if blamed is None or it not in unknown:
                self._put(it.result)

    def _end(self, kind: Kind, sentence: str, count: int) -> None:
        """Stop the run, since so many chunks in a row got no answer, and nobody else does."""
        chunks = "the last chunk" if count == 1 else f"the last {count} chunks"
        advice = "; raise timeout_s" if sentence == _SILENCE else ""
        self._stop.request(f"{chunks} got no answer: {sentence}{advice}", kind.meaning.exit_code)


def _blamed(unknown: list[_Held], *, has_answers: bool) -> _Held | None:
    """The failure that the server, the account or the settings may be to blame for."""
    for it in unknown:
        if it.kind.meaning.blame in {Blame.ACCOUNT, Blame.SETTINGS}:
            return it
    if not unknown or (len(unknown) < _SEVERAL and has_answers):
        return None
    return unknown[-1]

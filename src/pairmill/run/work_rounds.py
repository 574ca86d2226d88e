"""Turns on the event loop: bounded work in each of its rounds, so that no answer waits for long.

An answer that has arrived is taken by the event loop between two rounds. If a thousand workers go
on in the same round, each with the next chunk's plan and question, those that arrive meanwhile wait
for all of them, and the server looks slower than it is. Workers therefore take a turn before such
work. Nobody waits while there is little to do.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.recipes.checks import CheckJob, CheckReply

__all__ = ["JudgingQueue", "WorkRounds"]

_ROUND_S = 0.002  # of work in one round; a call's way through the loop takes about five of them
_MOST = 32  # let go at once, however cheap the last ones were


class WorkRounds:
    """Lets tasks go on in the order in which they came, for some milliseconds a round.

    Args:
        round_s: Seconds of work in one round.
        now: Monotonic clock in seconds.
    """

    def __init__(
        self, round_s: float = _ROUND_S, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self._round_s = round_s
        self._now = now
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_begun = False  # this round
        self._ends_at = 0.0
        self._began_at = 0.0
        self._let_go = 0  # at the beginning of this round
        self._batch = 1  # how many of them take about a round

    async def take(self) -> None:
        """Return at once while this round has time left, else in a later one."""
        if not self._waiting:
            if not self._is_begun:
                self._begin()
                return
            if self._now() < self._ends_at:
                return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _begin(self) -> None:
        """Begin a round; it ends after what is scheduled now, and a look at the sockets."""
        self._is_begun = True
        self._started()
        asyncio.get_running_loop().call_soon(self._end)

    def _started(self) -> None:
        self._began_at = self._now()
        self._ends_at = self._began_at + self._round_s

    def _end(self) -> None:
        """End a round, and let those go on who wait for the next."""
        self._learn()
        self._is_begun = False
        self._let_go = 0
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        self._is_begun = True
        loop.call_soon(self._started)  # the sockets come first, and are not counted
        while self._waiting and self._let_go < self._batch:
            future = self._waiting.popleft()
            if not future.done():  # else cancelled
                future.set_result(None)
                self._let_go += 1
        loop.call_soon(self._end)

    def _learn(self) -> None:
        """Adapt how many are let go to what the last ones took."""
        took_s = self._now() - self._began_at
        if self._let_go:
            fitting = int(self._round_s * self._let_go / max(took_s, 1e-6))
            self._batch = max(1, min(fitting, 2 * self._batch, _MOST))


class JudgingQueue:
    """Judges on the event loop, one after the other, what came together: 2 ms in each round of it.

    A job that is judged by itself, between other work, takes a tenth more processor time: by then
    the code and tables of the checks have left the processor's caches.

    Args:
        judge: Judges a job.
        round_s: Seconds of judging in one round.
        now: Monotonic clock in seconds.
    """

    def __init__(
        self,
        judge: Callable[[CheckJob], CheckReply],
        round_s: float = _ROUND_S,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._judge = judge
        self._round_s = round_s
        self._now = now
        self._waiting: deque[tuple[CheckJob, asyncio.Future[CheckReply]]] = deque()
        self._is_due = False  # to go on in the next round

    async def judge(self, job: CheckJob) -> CheckReply:
        """Return the verdicts of a job; what its checks raise is raised here."""
        loop = asyncio.get_running_loop()
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._go_on)
        reply: asyncio.Future[CheckReply] = loop.create_future()
        self._waiting.append((job, reply))
        return await reply

    def _go_on(self) -> None:
        ends_at = self._now() + self._round_s
        while self._waiting:
            job, reply = self._waiting.popleft()
            if not reply.done():  # else cancelled
                try:
                    reply.set_result(self._judge(job))
                except Exception as error:  # noqa: BLE001 (it is its unit's)
                    reply.set_exception(error)
            if self._now() >= ends_at:
                break
        self._is_due = bool(self._waiting)
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._go_on)

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

__all__ = ["Turns"]

_ROUND_S = 0.002  # of work in one round; a call's way through the loop takes about five of them
_MOST = 32  # let go at once, however cheap the last ones were


class Turns:
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

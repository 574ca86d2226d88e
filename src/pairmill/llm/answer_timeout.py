"""Bounds how long a server may take to answer, whatever the call waits for besides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from pairmill.clock import within
from pairmill.errors import Kind, ProviderError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.clock import Clock

__all__ = ["AnswerTimeout"]

_T = TypeVar("_T")


class AnswerTimeout:
    """Bounds each call by itself: waits for a turn, and between tries, do not count.

    Attributes:
        most_s: Longest time for an answer; inf: as long as the wire allows.
        took_s: How long the last call took.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.most_s = math.inf
        self.took_s = 0.0

    async def bound(self, send: Callable[[], Awaitable[_T]]) -> _T:
        """Return what ``send`` returns.

        Raises:
            ProviderError: It took too long, and was cancelled; or what ``send`` raises.
        """
        began = self._clock.monotonic()
        try:
            return await within(self.most_s, self._clock, send)
        except TimeoutError:
            raise ProviderError(Kind.TIMEOUT, "no answer in time", maybe_paid=True) from None
        finally:
            self.took_s = self._clock.monotonic() - began

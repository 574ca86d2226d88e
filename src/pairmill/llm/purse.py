"""A budget that calls wait at: for room while others may still give some back, not for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pairmill.errors import StoppedError
from pairmill.llm.estimate import worst_prompt_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.llm.budget import Budget, Fate, Reservation
    from pairmill.llm.prices import Price
    from pairmill.records import Request, Usage

__all__ = ["Purse"]


class Purse:
    """Reserves the worst case of each call before it goes.

    Args:
        budget: The caps, and what is spent of them.
        clock: Seconds that never run backwards.
    """

    def __init__(self, budget: Budget, clock: Callable[[], float]) -> None:
        self.budget = budget
        self._clock = clock
        self._changed = asyncio.Event()

    async def reserve(self, request: Request, price: Price | None) -> Reservation:
        """Set aside the most that a call may use.

        Raises:
            StoppedError: A cap is reached, and no call in flight will change that.
        """
        prompt, schema = request.prompt, request.schema
        worst = worst_prompt_tokens(prompt, str(schema.schema) if schema else "")
        while True:
            now = self._clock()
            found = self.budget.reserve(worst, prompt.sampling.max_tokens, price, now)
            if found is not None:
                return found
            if self.budget.exhausted is not None:
                raise StoppedError(self.budget.exhausted)
            await self._changed.wait()

    def settle(self, reservation: Reservation, fate: Fate, usage: Usage | None = None) -> None:
        """End a reservation, and let those look again who found no room."""
        self.budget.settle(reservation, fate, usage)
        self._changed.set()
        self._changed = asyncio.Event()

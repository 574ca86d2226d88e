"""A budget that calls wait at: for room while others may still give some back, not for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pairmill.errors import StoppedError
from pairmill.llm.estimate import worst_constant_tokens, worst_text_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.llm.budget import Budget, CallOutcome, Reservation
    from pairmill.llm.prices import Price
    from pairmill.records import Request, Usage

__all__ = ["Purse"]

_MOST_CONSTANTS = 256


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
        self._constant: dict[tuple[str, str], int] = {}  # by the ids of template and schema

    async def reserve(self, request: Request, price: Price | None) -> Reservation:
        """Set aside the most that a call may use.

        Raises:
            StoppedError: A cap is reached, and no call in flight will change that.
        """
        prompt = request.prompt
        worst = self._constant_tokens(request) + worst_text_tokens(prompt.text)
        while True:
            now = self._clock()
            found = self.budget.reserve(worst, prompt.sampling.max_tokens, price, now)
            if found is not None:
                return found
            if self.budget.exhausted is not None:
                raise StoppedError(self.budget.exhausted)
            await self._changed.wait()

    def _constant_tokens(self, request: Request) -> int:
        template, schema = request.prompt.template, request.schema
        key = (template.id, schema.id if schema else "")
        found = self._constant.get(key)
        if found is None:
            if len(self._constant) >= _MOST_CONSTANTS:
                self._constant.clear()
            found = worst_constant_tokens(template, str(schema.schema) if schema else "")
            self._constant[key] = found
        return found

    def settle(
        self, reservation: Reservation, fate: CallOutcome, usage: Usage | None = None
    ) -> None:
        """End a reservation, and let those look again who found no room."""
        self.budget.settle(reservation, fate, usage)
        self._changed.set()
        self._changed = asyncio.Event()

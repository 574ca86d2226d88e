"""What the calls cost: billed when a request is accepted, whether or not its answer arrives.

Amounts are whole pico-dollars: a price of 0.0375 dollars per million tokens adds up exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairmill.simulator.settings import SimulatedPrices

__all__ = ["Wallet", "dollars"]

_PICO = 1_000_000_000_000
_PICO_PER_MILLIONTH = _PICO // 1_000_000


def dollars(pico: int) -> str:
    """An exact decimal number of dollars."""
    return f"{Decimal(pico) / _PICO:f}"


@dataclass(slots=True)
class Wallet:
    """The bill so far. Refuses nothing.

    Attributes:
        spent_pico: What the usage of all accepted calls costs.
        worst_pico: What it would cost had each used all of its max_tokens.
    """

    input_pico: int
    output_pico: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    spent_pico: int = 0
    worst_pico: int = 0

    @classmethod
    def at(cls, prices: SimulatedPrices) -> Wallet:
        """An empty bill at these prices per million tokens."""
        return cls(
            int(Decimal(prices.input_usd) * _PICO_PER_MILLIONTH),
            int(Decimal(prices.output_usd) * _PICO_PER_MILLIONTH),
        )

    def bill(self, prompt_tokens: int, completion_tokens: int, max_tokens: int | None) -> None:
        """Add one accepted call."""
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        prompt_pico = prompt_tokens * self.input_pico
        self.spent_pico += prompt_pico + completion_tokens * self.output_pico
        most = completion_tokens if max_tokens is None else max(max_tokens, completion_tokens)
        self.worst_pico += prompt_pico + most * self.output_pico

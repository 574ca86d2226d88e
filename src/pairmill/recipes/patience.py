"""Stops asking a judge or a verifier that gives no usable answer, before it is paid for to the end.

Its answers change no pair, so that a run goes on without them; whoever waits for ratings is told at
once, and again at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.events import Notice

if TYPE_CHECKING:
    from pairmill.recipes.recipe import Ask

__all__ = ["MOST_MISSED", "Patience"]

MOST_MISSED = 20
"""Questions in a row without a usable answer. Of a model that fails at half of all questions, one
run of a million questions would see as many in a row about once."""


@dataclass(slots=True)
class Patience:
    """How often in a row a role has failed; for one start of a run.

    Attributes:
        role: ``judge`` or ``verifier``.
        flag: What its pairs are flagged with.
        missed: Questions since the last usable answer.
    """

    role: str
    flag: str
    missed: int = 0

    @property
    def is_over(self) -> bool:
        """True if nothing is asked any more."""
        return self.missed >= MOST_MISSED

    def note(self, ask: Ask, *, is_usable: bool) -> None:
        """Count a question's answer; say so if it was the last that was waited for."""
        was_over = self.is_over
        self.missed = 0 if is_usable else self.missed + 1
        if self.is_over and not was_over:
            ask.tell(
                Notice(
                    text=f"the {self.role} gave no usable answer to {MOST_MISSED} questions in a"
                    f" row, and is not asked any more: further pairs are flagged {self.flag}; start"
                    " again to ask it again, or name another model"
                )
            )

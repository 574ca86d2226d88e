"""Chooses the chunks in which a judge or a verifier is tested with a planted fault, and the fault.

Until there are enough faults of each kind, every chunk gets one, the rarest kind first. That
depends on the order of answers, so each choice is kept for later starts under the question that it
belongs to, and a question that was answered before without a test gets none: a replay asks for what
was asked before, and buys nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pairmill.recipes.planted_faults import ENOUGH
from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.recipes.answers import AnswerModel
    from pairmill.recipes.recipe import Ask
    from pairmill.records import Prompt

__all__ = ["Controls", "PossibleControl"]


@dataclass(frozen=True, slots=True)
class PossibleControl:
    """A test that may follow a question.

    Attributes:
        name: Name under which the choice is kept.
        kind: Fault that was chosen for this question before; "" if the choice is still to be made.
    """

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Controls:
    """The tests of one role in one start of a run.

    Attributes:
        role: ``judge`` or ``verifier``.
        kinds: Faults that can be planted, in order of preference.
        share: Share of the chunks that get one when there are enough; none at all if 0.
        planted: Faults of each kind in this start.
    """

    role: str
    kinds: tuple[str, ...]
    share: float
    planted: Counter[str] = field(default_factory=Counter)

    def of(
        self, ask: Ask, question: Prompt, answer: type[AnswerModel], *, model: str | None
    ) -> PossibleControl | None:
        """Return the test that may follow a question, before that is asked; None if none may."""
        if self.share <= 0.0:
            return None
        seed = repr(question.sampling.seed)
        name = digest(question.template.id, question.text, seed, model or "")
        name = f"control of the {self.role} {name}"
        kind = ask.around.recall(name)
        if kind is None and ask.is_answered(question, answer, model=model):
            return None
        return PossibleControl(name, kind or "")

    def takes(self, control: PossibleControl, draw: float) -> bool:
        """Return whether to test: always if that was chosen before, or until there are enough.

        Args:
            control: The test.
            draw: The chunk's number in [0, 1).
        """
        is_early = sum(self.planted.values()) < ENOUGH * len(self.kinds)
        return bool(control.kind) or is_early or draw < self.share

    def choose(
        self, control: PossibleControl, possible: Mapping[str, str], draw: int, ask: Ask
    ) -> tuple[str, str]:
        """Return a fault and the faulty text: as chosen before, else one of the rarest kind.

        Args:
            control: The test.
            possible: Fault to faulty text.
            draw: A number of 0 or more that chooses among the rarest.
            ask: Keeps the choice.
        """
        kind = control.kind
        if kind not in possible:
            fewest = min(self.planted[each] for each in possible)
            rarest = [
                each for each in self.kinds if each in possible and self.planted[each] == fewest
            ]
            kind = rarest[draw % len(rarest)]
            ask.around.remember(control.name, kind)
        self.planted[kind] += 1
        return kind, possible[kind]

"""Finds the parameters with which one model thinks as little as possible. Pure.

Some models think by default, which is billed; each provider has its own parameters to turn that
off, and only the answers show whether a model obeys them. So each form is tried on real answers,
one after the other, until one stops the thinking. If none does, the least is found among them: the
length of single thoughts says little (those of one model are spread like a lognormal distribution),
so the next request uses the form whose mean may be lowest, by a lower confidence bound (T. L. Lai
and H. Robbins, "Asymptotically efficient adaptive allocation rules", 1985), and forms that cannot
be the lowest any more are not tried again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ReasoningSearch"]

_NOTHING = 48  # tokens of thinking that are not worth a search
_CLEARLY_LESS = 0.7  # maximum share of the thinking without parameters; above it, none is sent
_SUSPICIOUS = 2  # unexplained failures before the parameters are suspected
_SPREAD = 0.7  # spread of the logarithms of one model's thoughts
_LEAST_ANSWERS = 3  # answers before a form that once worked is dropped for its mean


class ReasoningSearch:
    """The forms of a request for less thinking, and their results. Form 0 sends nothing.

    Args:
        forms: Fields of the request, in order of preference.
        level: ``auto`` and ``off`` search for the least; others use the first form that is not
            refused.
        thinks: True if the model is known to think by default.
    """

    def __init__(self, forms: Sequence[Mapping[str, Any]], level: str, *, thinks: bool) -> None:
        self.forms: tuple[Mapping[str, Any], ...] = ({}, *forms)
        self.level = level
        self._searches = level in {"auto", "off"}
        self._refused: set[int] = set()
        self._given_up: set[int] = set()
        self._answers: dict[int, tuple[int, int]] = {}
        self._logs: dict[int, float] = {}  # form to the sum of the logarithms of its thoughts
        self._troubles = 0
        self.at = 0 if level == "auto" and not thinks else min(1, len(forms))

    @property
    def fields(self) -> Mapping[str, Any]:
        """Fields in use."""
        return self.forms[self.at]

    @property
    def is_over(self) -> bool:
        """True if every form was tried, and none stops the model's thinking."""
        out = self._given_up | self._refused
        return self._searches and all(at in out for at in range(1, len(self.forms)))

    def refuse(self, at: int) -> bool:
        """Record that the server refused a form; return whether another one is in use now."""
        self._refused.add(at)
        if at == self.at:
            self._move()
        return self.at != at

    def prefer(self, at: int) -> bool:
        """Record that the server asks for a form by name; return whether the form changes."""
        if at == self.at or at in self._refused:
            return False
        self.at = at
        return True

    def troubled(self) -> bool:
        """Record an unexplained failure of a call; return whether another form is in use now.

        A form that was never answered is suspected at the second failure: some servers answer an
        unknown parameter with 500 or a bare 400.
        """
        if not self.at or self.at in self._answers:
            return False
        self._troubles += 1
        if self._troubles < _SUSPICIOUS:
            return False
        self._refused.add(self.at)
        if self._answers:
            self._move()
        else:
            self.at = 0
        return True

    def say_nothing(self) -> None:
        """Stop using any form."""
        self._refused.update(range(1, len(self.forms)))
        self.at = 0

    def saw(self, at: int, tokens: int) -> bool:
        """Record an answer to a form, and its thinking tokens; return whether the form changes."""
        answers, total = self._answers.get(at, (0, 0))
        self._answers[at] = (answers + 1, total + tokens)
        self._logs[at] = self._logs.get(at, 0.0) + math.log(max(1, tokens))
        if self.is_over:
            before, self.at = self.at, self._best()
            return self.at != before
        if not self._searches or at != self.at:
            return False
        mean = (total + tokens) / (answers + 1)
        has_worked = answers and total / answers <= _NOTHING
        if mean <= _NOTHING or (has_worked and answers + 1 < _LEAST_ANSWERS):
            return False
        self._given_up.add(at)
        self._move()
        return self.at != at

    def _move(self) -> None:
        out = self._refused | self._given_up if self._searches else self._refused
        following = next((at for at in range(1, len(self.forms)) if at not in out), None)
        self.at = self._best() if following is None else following

    def _best(self) -> int:
        """Return the form to use next, once each was tried: 0, unless another may think less."""
        lows = {at: self._low(at) for at in self._answers if at not in self._refused}
        if 0 in lows:  # even if the first thoughts without a parameter were long by chance
            bound = lows.pop(0) + math.log(_CLEARLY_LESS)
            lows = {at: low for at, low in lows.items() if low < bound}
        return min(lows, key=lambda at: (lows[at], at), default=0)

    def _low(self, at: int) -> float:
        """Return the lower confidence bound of the mean logarithm of a form's thoughts."""
        answers = self._answers[at][0]
        return self._logs[at] / answers - _SPREAD / math.sqrt(answers)

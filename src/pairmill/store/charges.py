"""Charges of calls and reasons of dropped lines, as values: sums by model and outcome.

The tokens of answers are always counted; a charge says what they cost. So a bill has two sources:
the sums of all answers by model, and the sums of charges.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from operator import add
from typing import TYPE_CHECKING, NamedTuple

from pairmill.records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Bill", "CallCharge", "CallTotals", "ChargeSum", "ChargeSums", "DropKey"]

_MOST = 2**53
_NAME_CHARS = 200


class CallCharge(NamedTuple):
    """Charge of one call.

    Attributes:
        model: As named by the reply; without a reply, as in the request.
        outcome: ``answer``; ``empty``: a reply that held none; ``probe``: a question about the
            endpoint; ``lost``: its end is unknown.
        picodollars: Cost of ``usage``; None if the price was unknown.
        doubt_tokens: Further tokens that it may have used.
        doubt_picodollars: Cost of those.
    """

    model: str
    outcome: str
    usage: Usage
    picodollars: int | None
    doubt_tokens: int = 0
    doubt_picodollars: int = 0


class DropKey(NamedTuple):
    """Why a line is in ``rejected/``.

    Attributes:
        scope: ``chunk``: the chunk was rejected; ``empty``: it has nothing to write about;
            ``pair``: one pair was dropped.
    """

    scope: str
    reason: str


class CallTotals(NamedTuple):
    """Totals of one model's answers, by its name in the replies."""

    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class ChargeSum(NamedTuple):
    """Charges of one model and outcome, summed up.

    Attributes:
        model: See ``CallCharge``.
        outcome: Likewise.
        unpriced_calls: Calls without a known price; the fields below are their tokens.
    """

    model: str
    outcome: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    picodollars: int = 0
    doubt_tokens: int = 0
    doubt_picodollars: int = 0
    unpriced_calls: int = 0
    unpriced_prompt: int = 0
    unpriced_completion: int = 0
    unpriced_cached: int = 0

    def plus(self, other: ChargeSum) -> ChargeSum:
        """Return the sum, under the name of the first."""
        return ChargeSum(self.model, self.outcome, *map(add, self[2:], other[2:]))


class ChargeSums:
    """Charges waiting for the next commit, summed up by model and outcome."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], tuple[int, ...]] = {}  # a ChargeSum's counts

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, charge: CallCharge) -> None:
        """Add one call's."""
        usage, price = charge.usage, charge.picodollars
        prompt = _bounded(usage.prompt_tokens)
        answer = _bounded(usage.completion_tokens)
        cached = _bounded(usage.cached_tokens)
        model = charge.model[:_NAME_CHARS].encode("utf-8", "replace").decode()
        new = price is None
        self._put(
            (model, charge.outcome),
            (
                1,
                prompt,
                answer,
                cached,
                min(price or 0, _MOST),
                charge.doubt_tokens,
                charge.doubt_picodollars,
                int(new),
                new * prompt,
                new * answer,
                new * cached,
            ),
        )

    def take(self) -> list[ChargeSum]:
        """Return the sums, and reset them."""
        sums = [ChargeSum(*key, *counts) for key, counts in self._sums.items()]
        self._sums = {}
        return sums

    def put_back(self, sums: Iterable[ChargeSum]) -> None:
        """Add sums back that could not be written."""
        for new in sums:
            self._put((new.model, new.outcome), new[2:])

    def _put(self, key: tuple[str, str], counts: tuple[int, ...]) -> None:
        old = self._sums.get(key)
        self._sums[key] = counts if old is None else tuple(map(add, old, counts))


def _bounded(count: int) -> int:
    return max(0, min(count, _MOST))


@dataclass(frozen=True, slots=True)
class Bill:
    """Charges of all calls of all starts.

    Attributes:
        answers: Calls that were answered, whose answers are kept.
        probes: Calls before a run, to find out what the endpoint can do.
        empty: Replies that were paid for and held no answer.
        lost: Calls whose end is unknown.
        usage: Tokens of all of these, except lost ones.
        picodollars: Their cost, except for calls without a known price.
        unpriced: Of these, model to tokens.
        doubt_tokens: Further tokens at worst, including those of lost calls.
        doubt_picodollars: Cost of those.
    """

    answers: int
    probes: int
    empty: int
    lost: int
    usage: Usage
    picodollars: int
    unpriced: Mapping[str, Usage]
    doubt_tokens: int
    doubt_picodollars: int

    @property
    def calls(self) -> int:
        """Calls that were paid for."""
        return self.answers + self.probes + self.empty

    @property
    def most_tokens(self) -> int:
        """Maximum number of tokens."""
        return self.usage.prompt_tokens + self.usage.completion_tokens + self.doubt_tokens

    @classmethod
    def of(cls, totals: Iterable[CallTotals], charges: Iterable[ChargeSum]) -> Bill:
        """Sum up tokens and charges of calls.

        Answers without a charge were bought by an earlier version, or had no price.

        Args:
            totals: Of all answers, by model.
            charges: Of all calls, by model and outcome.
        """
        unpriced: dict[str, Usage] = {}
        usage, answers = Usage(), 0
        for model, calls, *tokens in totals:
            unpriced[model] = Usage(*tokens)
            usage, answers = usage + unpriced[model], answers + calls
        calls_of: Counter[str] = Counter()
        all_of = ChargeSum("", "")
        for charge in charges:
            calls_of[charge.outcome] += charge.calls
            all_of = all_of.plus(charge)
            took, not_priced = Usage(*charge[3:6]), Usage(*charge[10:13])
            known = unpriced.get(charge.model, Usage())
            if charge.outcome == "answer":
                unpriced[charge.model] = _less(known, _less(took, not_priced))
            else:
                usage, unpriced[charge.model] = usage + took, known + not_priced
        return cls(
            answers=answers,
            probes=calls_of["probe"],
            empty=calls_of["empty"],
            lost=calls_of["lost"],
            usage=usage,
            picodollars=all_of.picodollars,
            unpriced={model: left for model, left in sorted(unpriced.items()) if left != Usage()},
            doubt_tokens=all_of.doubt_tokens,
            doubt_picodollars=all_of.doubt_picodollars,
        )


def _less(usage: Usage, part: Usage) -> Usage:
    return Usage(
        max(0, usage.prompt_tokens - part.prompt_tokens),
        max(0, usage.completion_tokens - part.completion_tokens),
        max(0, usage.cached_tokens - part.cached_tokens),
    )

"""Estimates a run without a call: tokens, dollars and hours, each as a range.

The input is really read, and the recipe's prompts are really made for a sample of its chunks. Token
counts are assumed: characters per token as measured on English prose (3.2 to 4.9, 4.1 on average),
answers as a share of their max_tokens (450 of 1,380 are usual for three pairs). If the run folder
has finished units, their measured counts replace both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from pairmill.llm.estimate import prompt_chars
from pairmill.llm.prices import PICO
from pairmill.recipes.registry import make_recipe
from pairmill.records import Chunk, digest
from pairmill.service.forecast import PlannedCall, calls_per_min, declared_limits
from pairmill.service.rehearsal import rehearse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.config import Settings
    from pairmill.llm.limits.headers import Unit
    from pairmill.llm.prices import Price
    from pairmill.service.pilot import Pace
    from pairmill.service.survey import Survey
    from pairmill.store.entries import Mean

__all__ = ["Estimate", "Range", "estimate", "usual_call"]

_CHARS_PER_TOKEN = (4.9, 4.1, 3.2)
_OUTPUT_SHARE = (0.2, 0.33, 0.7)
_REPAIRS = (1.0, 1.05, 1.3)
_PAIRS_SHARE = (0.4, 0.85, 1.0)
_SIGMAS = 2.0
_DOUBT = 0.05  # a pilot takes the first chunks, which are not a random sample
_LEAST_UNITS = 5  # fewer say too little


class Range(NamedTuple):
    """A lower, a likely and an upper figure."""

    low: float
    likely: float
    high: float

    def times(self, other: Range) -> Range:
        """Add two ranges; their errors are assumed to go in the same direction."""
        return Range(*(a * b for a, b in zip(self, other, strict=True)))

    @classmethod
    def around(cls, mean: Mean) -> Range:
        """Return a mean with two standard errors and a small margin on either side."""
        doubt = _SIGMAS * mean.error + _DOUBT * mean.value
        return cls(max(0.0, mean.value - doubt), mean.value, mean.value + doubt)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the rest of a run takes. None: unknown.

    Attributes:
        survey: Survey of the input that it is based on.
        is_measured: True if based on units of this run, not on rules of thumb.
        usd: Cost without discounts for cached prompts.
        hours: At the given limits; else at a pilot's pace.
        pace: A pilot's pace, if the hours are based on it.
        saved_tokens: Prompt and answer tokens saved by not asking about duplicate chunks.
        saved_usd: What these would have cost; None: unknown.
    """

    survey: Survey
    is_measured: bool
    calls: Range
    prompt_tokens: Range
    output_tokens: Range
    pairs: Range
    usd: Range | None
    hours: Range | None
    pace: Pace | None = None

    @property
    def saved_tokens(self) -> int:
        """Return the likely number of tokens."""
        return round((self.prompt_tokens.likely + self.output_tokens.likely) * self._saved_share)

    @property
    def saved_usd(self) -> float | None:
        """Return the likely cost in dollars."""
        return None if self.usd is None else self.usd.likely * self._saved_share

    @property
    def _saved_share(self) -> float:
        return self.survey.repeated / self.survey.fresh if self.survey.fresh else 0.0


def estimate(
    found: Survey,
    settings: Settings,
    prices: Sequence[Price | None],
    pace: Pace | None = None,
) -> Estimate:
    """Compute the estimate from a survey of the input.

    Args:
        found: The survey.
        settings: For limits, and for pairs per chunk.
        prices: Prices of the models that may be asked; with a None among them the cost is unknown.
        pace: A pilot's pace, for the hours if no limits were given.
    """
    units = Range(*[float(found.fresh)] * 3)
    is_measured = found.measured.units >= _LEAST_UNITS
    calls, prompt, output, pairs = (
        _of_measured(found) if is_measured else _of_rules(found, settings)
    )
    total = Estimate(
        survey=found,
        is_measured=is_measured,
        calls=calls.times(units),
        prompt_tokens=prompt.times(units),
        output_tokens=output.times(units),
        pairs=pairs.times(units),
        usd=None,
        hours=None,
    )
    total = _priced(total, settings, prices)
    if total.hours is not None or pace is None:
        return total
    return replace(total, hours=_hours_at(pace, total.calls), pace=pace)


async def usual_call(settings: Settings) -> PlannedCall:
    """Describe a typical call of the settings' recipe, rehearsed on a chunk of typical size."""
    sentence = "The harbour of the town supplies timber to the market because people rely on it. "
    text = (sentence * (settings.chunk_target_chars // len(sentence) + 1)).strip()
    chunk = Chunk(digest(text), text, "document", 0, len(text), "nowhere")
    prompts = await rehearse(make_recipe(settings), chunk)
    count = len(prompts) or 1
    return PlannedCall(
        sum(map(prompt_chars, prompts)) / _CHARS_PER_TOKEN[1] / count,
        sum(prompt.sampling.max_tokens for prompt in prompts) * _OUTPUT_SHARE[1] / count,
    )


def _of_rules(found: Survey, settings: Settings) -> tuple[Range, Range, Range, Range]:
    repairs = Range(*_REPAIRS)
    prompt = Range(*(found.prompt_chars / size for size in _CHARS_PER_TOKEN))
    output = Range(*(found.max_tokens * share for share in _OUTPUT_SHARE))
    most = settings.pairs_per_chunk if found.rows is None else found.rows
    pairs = Range(*(most * share for share in _PAIRS_SHARE))
    calls = Range(*[found.calls] * 3)
    return calls.times(repairs), prompt.times(repairs), output.times(repairs), pairs


def _of_measured(found: Survey) -> tuple[Range, Range, Range, Range]:
    known = found.measured
    means = (known.answers, known.prompt_tokens, known.completion_tokens, known.pairs)
    calls, prompt, output, pairs = (Range.around(mean) for mean in means)
    return calls, prompt, output, pairs


def _priced(total: Estimate, settings: Settings, prices: Sequence[Price | None]) -> Estimate:
    known = [price for price in prices if price is not None]
    usd = None
    if known and len(known) == len(prices):
        sums = [
            [(tokens_in * price.input + tokens_out * price.output) / PICO for price in known]
            for tokens_in, tokens_out in zip(total.prompt_tokens, total.output_tokens, strict=True)
        ]
        usd = Range(min(sums[0]), sum(sums[1]) / len(known), max(sums[2]))
    return replace(total, usd=usd, hours=_hours(total, _all_limits(settings)))


def _hours(total: Estimate, limits: dict[Unit, float]) -> Range | None:
    if not limits:
        return None
    hours = []
    for calls, tokens_in, tokens_out in zip(
        total.calls, total.prompt_tokens, total.output_tokens, strict=True
    ):
        call = (
            PlannedCall(tokens_in / calls, tokens_out / calls) if calls else PlannedCall(0.0, 0.0)
        )
        allowed = calls_per_min(limits, call)
        hours.append(calls / allowed[0] / 60.0 if allowed and calls else 0.0)
    return Range(*hours)


def _hours_at(pace: Pace, calls: Range) -> Range:
    seconds = (calls.low / pace.high, calls.likely / pace.likely, calls.high / pace.low)
    return Range(*(value / 3600.0 for value in seconds))


def _all_limits(settings: Settings) -> dict[Unit, float]:
    """Add up the limits of all pools; {} unless each pool has one of the same unit."""
    if not settings.pools:
        return declared_limits(settings)
    per_pool = [
        declared_limits(settings.model_copy(update=pool.model_dump(
            include={"rpm", "tpm", "input_tpm", "output_tpm"}, exclude_none=True)))
        for pool in settings.pools
        if not pool.escalation
    ]  # fmt: skip
    shared = set.intersection(*(set(limits) for limits in per_pool)) if per_pool else set()
    return {unit: sum(limits[unit] for limits in per_pool) for unit in shared}

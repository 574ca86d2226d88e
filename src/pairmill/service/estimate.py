"""Estimates a run without a call: tokens, dollars and hours, each as a range.

The input is really read, and the recipe's prompts are really made for a sample of its chunks. Token
counts are assumed: characters per token as measured on English prose (3.2 to 4.9, 4.1 on average),
answers as a share of their max_tokens (450 of 1,380 are usual for three pairs). If the run folder
has finished units, their measured counts replace both.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairmill.display import wrap_line
from pairmill.llm.prices import PICO
from pairmill.llm.token_estimate import prompt_chars
from pairmill.recipes.make import make_recipe
from pairmill.records import Chunk, digest
from pairmill.service.forecast import PlannedCall, calls_per_min, declared_limits
from pairmill.service.survey import rehearse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.config import Settings
    from pairmill.events import CallAnswered
    from pairmill.llm.limits.headers import Unit
    from pairmill.llm.prices import Price
    from pairmill.service.survey import Survey
    from pairmill.store.entries import Mean

__all__ = [
    "Estimate",
    "Pace",
    "PilotWatch",
    "Range",
    "estimate",
    "notes_on",
    "print_estimate",
    "to_json",
    "usual_call",
]

_LEAST_CALLS = 5  # fewer say too little
_SLOWER = 0.8
_FASTER = 4.0  # a pilot ends while the run is still ramping up its concurrency


class Pace(NamedTuple):
    """Calls per second: minimum, likely, maximum."""

    low: float
    likely: float
    high: float


class PilotWatch:
    """Subscribes to a pilot's answers (`CallAnswered`).

    Args:
        clock: Seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began_at = clock()
        self._answers: list[tuple[float, float]] = []  # arrival time and duration of each answer

    def __call__(self, event: CallAnswered) -> None:
        """Record an answer."""
        self._answers.append((self._clock(), event.seconds))

    def pace(self, concurrency: int | None) -> Pace | None:
        """Predict the pace of a longer run; None if too few calls were answered.

        With a given concurrency: that many calls at a time, each as long as the pilot's average.
        Otherwise the pace that was reached, over the whole pilot and over the middle half of its
        answers (without the first and the last ones), up to four times that.

        Args:
            concurrency: Calls in flight, if given.
        """
        count = len(self._answers)
        if count < _LEAST_CALLS:
            return None
        times = sorted(at for at, _ in self._answers)
        mean_s = sum(seconds for _, seconds in self._answers) / count
        began_at = max(self._began_at, min(at - seconds for at, seconds in self._answers))
        whole = count / max(times[-1] - began_at, 1e-6)
        if concurrency is not None:
            full = max(whole, concurrency / max(mean_s, 1e-6))
            return Pace(min(whole, _SLOWER * full), full, full / _SLOWER)
        first, last = count // 4, count - 1 - count // 4
        likely = max(whole, (last - first) / max(times[last] - times[first], 1e-6))
        likely = min(likely, _FASTER * whole)  # answers that arrive all at once give no rate
        return Pace(_SLOWER * whole, likely, _FASTER * likely)


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


def notes_on(total: Estimate, settings: Settings) -> list[str]:
    """Return the caveats, one line each."""
    notes = []
    known = total.survey.measured
    if total.is_measured:
        notes.append(
            f"from {known.units:,} finished units: {known.prompt_tokens.value:,.0f} prompt and"
            f" {known.completion_tokens.value:,.0f} answer tokens and {known.pairs.value:.1f} pairs"
            f" per chunk, {known.repaired:.0%} of the chunks took more than one answer"
        )
    else:
        notes.append(
            "based on rules of thumb: --pilot 50 asks about 50 chunks, keeps the answers, and"
            " measures"
        )
        if total.survey.varies:
            notes.append(
                "the recipe asks once for each item that the model writes: only a pilot shows how"
                " many those are"
            )
    if total.usd is None:
        notes.append(
            f"no price is known for '{settings.model}'; give one in a price file (prices: FILE)"
        )
    if total.hours is None:
        notes.append(
            "to estimate hours, give limits (--rpm, --tpm; with pools, for each) or use --pilot"
        )
    elif total.pace is not None:
        notes.append(
            f"hours based on the pilot's {total.pace.likely:,.1f} calls a second; a longer run may"
            " be faster, and with --rpm and --tpm the quota decides"
        )
    notes.extend(_caps(total, settings))
    return notes


def _caps(total: Estimate, settings: Settings) -> list[str]:
    """Return warnings about caps below the likely figure. Caps hold over all starts of a run."""
    tokens = total.prompt_tokens.likely + total.output_tokens.likely
    caps = [
        (settings.max_usd, total.usd.likely if total.usd else 0.0, "max_usd", "dollars"),
        (settings.max_total_tokens, tokens, "max_total_tokens", "tokens"),
        (settings.max_hours, total.hours.likely if total.hours else 0.0, "max_hours", "hours"),
    ]
    return [
        f"{name} {cap:,g} will end the run early: about {likely:,.2f} {what} are still needed"
        for cap, likely, name, what in caps
        if cap is not None and likely > cap
    ]


WIDTH = 100  # width without a terminal


def to_json(total: Estimate, notes: Sequence[str]) -> dict[str, Any]:
    """Return the estimate as plain values under stable names; a range is [low, likely, high]."""
    found = total.survey
    return {
        "schema": 1,
        "documents": found.documents,
        "skipped": found.skipped,
        "skipped_by_reason": dict(found.reasons),
        "skipped_examples": {reason: list(named) for reason, named in found.examples.items()},
        "chunks": found.chunks,
        "finished": found.finished,
        "to_ask": found.fresh,
        "measured_units": found.measured.units if total.is_measured else 0,
        "repaired": round(found.measured.repaired, 4) if total.is_measured else None,
        "repeated_chunks": found.repeated,
        "saved_tokens": total.saved_tokens,
        "saved_usd": None if total.saved_usd is None else round(total.saved_usd, 6),
        "calls": _whole(total.calls),
        "prompt_tokens": _whole(total.prompt_tokens),
        "output_tokens": _whole(total.output_tokens),
        "pairs": _whole(total.pairs),
        "usd": [round(value, 6) for value in total.usd] if total.usd else None,
        "hours": [round(value, 6) for value in total.hours] if total.hours else None,
        "notes": list(notes),
    }


def print_estimate(
    total: Estimate, notes: Sequence[str], *, as_json: bool, console: Console | None = None
) -> None:
    """Print the estimate; ``console`` is for tests."""
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.write(orjson.dumps(to_json(total, notes), option=options).decode())
        return
    out = console or Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=WIDTH, file=out.file)
    found = total.survey
    out.print(
        f"{found.documents:,} documents ({found.skipped:,} pieces cannot be used),"
        f" {found.chunks:,} chunks, {found.finished:,} finished, {found.fresh:,} to ask about"
    )
    if found.repeated:
        usd = "" if total.saved_usd is None else f", {_dollars(total.saved_usd)}"
        saved = f": about {total.saved_tokens:,} tokens{usd} saved" if total.saved_tokens else ""
        out.print(f"{found.repeated:,} chunks repeat others and are not asked about{saved}")
    for reason, count in found.reasons.items():
        named = "; ".join(found.examples[reason])
        more = " ..." if count > len(found.examples[reason]) else ""
        out.print(Text(f"  {count:,} {reason}: {named}{more}", style="dim"))
    if not found.chunks:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for name in ("low", "likely", "high"):
        table.add_column(name, justify="right")
    rows: list[tuple[str, Range | None, Callable[[float], str]]] = [
        ("calls", total.calls, _count),
        ("prompt tokens", total.prompt_tokens, _count),
        ("answer tokens", total.output_tokens, _count),
        ("pairs", total.pairs, _count),
        ("dollars", total.usd, _dollars),
        ("hours", total.hours, _hours_text),
    ]
    for name, values, show in rows:
        shown = [show(value) for value in values] if values else ["unknown"] * 3
        table.add_row(name, *shown)
    out.print(table)
    for note in notes:
        width = out.width if out.is_terminal else len(note)
        out.print(wrap_line(note, width), markup=False, soft_wrap=True)


def _whole(values: Range) -> list[int]:
    return [round(value) for value in values]


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _dollars(value: float) -> str:
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:.2g}"


def _hours_text(value: float) -> str:
    return f"{value:,.1f}" if value >= 1 or not value else f"{value:.2g}"

"""Counts of a run, updated by its events, and what people and programs see of them.

To show another figure, count it in `RunTally` and add it to `RunProgress`: ``/status.json`` has all
of these, the status page those that its ``page.js`` names, companions see them as ``progress()``.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict as dataclass_fields
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from pairmill.events import (
    AnswerRead,
    CallAnswered,
    CallCharged,
    CallFailed,
    CallReplayed,
    DocumentsRead,
    InputSkipped,
    LoopLate,
    PartsCounted,
    ReadingDone,
    RepairAsked,
    RunOpened,
    ShardPublished,
    UnitFinished,
    UnitsKnown,
    UnitsPlanned,
)
from pairmill.llm.prices import PICO
from pairmill.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pairmill.events import Bus

__all__ = ["EarlierStarts", "RunProgress", "RunTally"]

RATE_WINDOW_S = 60.0
_COUNTED = tuple(
    name for name in PartsCounted.__struct_fields__ if name not in {"before", "skipped", "failures"}
)


@dataclass(slots=True)
class EarlierStarts:
    """Counts of the run folder when this start began.

    Attributes:
        ended: Chunks that had ended.
        usd: Dollars spent; None if nothing was, or a price is unknown.
    """

    pairs: int = 0
    ended: int = 0
    rejected: int = 0
    dropped: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Counts of a run at one moment.

    Units and pairs include those of earlier starts; calls, tokens and failures are this start's.

    Attributes:
        units: Units of work that have ended.
        planned: Units that were read so far; all of them once ``reading_done``.
        pairs: Pairs in the folder.
        rejected: Units that ended without a valid answer.
        dropped: Pairs that a check dropped.
        skipped: Pieces of input that cannot be used, by reason.
        calls: Calls that were paid for.
        replayed: Answers taken from the ledger.
        failures: Failed calls, by kind.
        usd: Dollars spent in all starts; None if no price is known.
        usd_in_doubt: Possible further cost of calls of this start whose outcome is unknown.
        units_per_min: Over the last minute.
        pairs_per_min: Over the last minute.
        eta_s: Seconds until the end; None while that is unknown.
        elapsed_s: Seconds since this start.
    """

    units: int
    planned: int
    reading_done: bool
    pairs: int
    rejected: int
    dropped: int
    repaired: int
    skipped: Mapping[str, int]
    calls: int
    replayed: int
    failures: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    usd: float | None
    usd_in_doubt: float
    units_per_min: float
    pairs_per_min: float
    eta_s: float | None
    elapsed_s: float


@dataclass(slots=True)
class RunTally:
    """Counts of this start and of earlier ones. Constant in size.

    Attributes:
        now: A monotonic clock, in seconds.
        before: Counts of earlier starts.
        skipped: Pieces of input that cannot be used, by reason.
        rejected: Chunks that ended without a valid answer.
        dropped: Pairs that a check dropped.
        calls: Replies that were paid for, empty ones included.
        picodollars: Their cost.
        doubt_picodollars: Possible further cost of these and of calls with an unknown outcome.
        outcomes: Units by how they ended.
        failures: Failed calls by kind.
        loop_late_s: Longest delay of the event loop; shows code that blocks it.
        readings: Answers by the step of the ladder that parsed them.
    """

    now: Callable[[], float]
    started: float = field(init=False)
    before: EarlierStarts = field(default_factory=EarlierStarts)
    documents: int = 0
    planned: int = 0
    known: int = 0
    units: int = 0
    pairs: int = 0
    rejected: int = 0
    dropped: int = 0
    repairs: int = 0
    calls: int = 0
    replayed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    picodollars: int = 0
    doubt_picodollars: int = 0
    is_priced: bool = False
    shards: int = 0
    loop_late_s: float = 0.0
    reading_done: bool = False
    skipped: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    readings: Counter[str] = field(default_factory=Counter)
    _marks: deque[tuple[float, int, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.started = self.now()

    def listen(self, bus: Bus) -> None:
        """Count events of ``bus`` from now on."""
        bus.subscribe(self._open, RunOpened)
        bus.subscribe(self._read, DocumentsRead, InputSkipped, ReadingDone)
        bus.subscribe(self._plan, UnitsPlanned, UnitsKnown)
        bus.subscribe(self._charge, CallAnswered, CallCharged)
        bus.subscribe(self._fail, CallFailed)
        bus.subscribe(self._count, CallReplayed, RepairAsked, ShardPublished)
        bus.subscribe(self._parse, AnswerRead)
        bus.subscribe(self._finish, UnitFinished)
        bus.subscribe(self._be_late, LoopLate)
        bus.subscribe(self._take_parts, PartsCounted)

    @property
    def elapsed_s(self) -> float:
        """Seconds since this start."""
        return self.now() - self.started

    def rates(self) -> tuple[float, float]:
        """Return units and pairs a minute, over the last minute at most."""
        now = self.now()
        marks = self._marks
        while len(marks) > 1 and now - marks[1][0] > RATE_WINDOW_S:
            marks.popleft()
        if not marks or now - marks[-1][0] >= 1.0:
            marks.append((now, self.units, self.pairs))
        since, units, pairs = marks[0] if now - marks[0][0] >= 1.0 else (self.started, 0, 0)
        minutes = max(now - since, 1e-9) / 60.0
        return (self.units - units) / minutes, (self.pairs - pairs) / minutes

    def left_s(self) -> float | None:
        """Return the seconds until the end at the current rate; None while unknown."""
        per_minute, _ = self.rates()
        if not self.reading_done or per_minute <= 0:
            return None
        return (self.planned - self.units) / per_minute * 60.0

    @property
    def ended(self) -> int:
        """Chunks finished in all starts, as far as the input was read."""
        return self.known + self.units

    @property
    def usd(self) -> float | None:
        """Dollars spent in all starts; None if no price is known."""
        if not self.is_priced:
            return self.before.usd
        return (self.before.usd or 0.0) + self.picodollars / PICO

    def expected_usd(self) -> float | None:
        """Return the expected cost of the whole run, from this start's cost per chunk so far."""
        if not (self.is_priced and self.reading_done and self.units) or self.usd is None:
            return None
        return self.usd + self.picodollars / PICO / self.units * (self.planned - self.units)

    def progress(self) -> RunProgress:
        """Return counts, rates and cost at this moment."""
        units_per_min, pairs_per_min = self.rates()
        return RunProgress(
            units=self.ended,
            planned=self.known + self.planned,
            reading_done=self.reading_done,
            pairs=self.before.pairs + self.pairs,
            rejected=self.before.rejected + self.rejected,
            dropped=self.before.dropped + self.dropped,
            repaired=self.repairs,
            skipped=dict(self.skipped),
            calls=self.calls,
            replayed=self.replayed,
            failures={str(kind): count for kind, count in self.failures.items()},
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cached_tokens=self.cached_tokens,
            usd=self.usd,
            usd_in_doubt=self.doubt_picodollars / PICO,
            units_per_min=units_per_min,
            pairs_per_min=pairs_per_min,
            eta_s=self.left_s(),
            elapsed_s=self.elapsed_s,
        )

    def counts(self) -> tuple[int, ...]:
        """Return everything that a progress line shows; unchanged if there is nothing new."""
        return (
            self.ended,
            self.planned,
            self.calls,
            self.replayed,
            self.repairs,
            self.picodollars,
            sum(self.failures.values()),
        )

    def summary(self) -> dict[str, object]:
        """Return the figures as plain values, for a log line or a manifest.

        Sums over all starts; figures of this start alone are named ``new_...``.
        """
        _, pairs_per_minute = self.rates()
        left_s, expected, before = self.left_s(), self.expected_usd(), self.before
        return {
            "done": self.ended,
            "total": self.known + self.planned,
            "pairs": before.pairs + self.pairs,
            "new_pairs": self.pairs,
            "pairs_per_min": round(pairs_per_minute, 1),
            "repaired": self.repairs,
            "rejected": before.rejected + self.rejected,
            "dropped_pairs": before.dropped + self.dropped,
            "skipped_input": sum(self.skipped.values()),
            "calls": self.calls,
            "replayed": self.replayed,
            "failed_calls": sum(self.failures.values()),
            "prompt_tokens": before.prompt_tokens + self.prompt_tokens,
            "completion_tokens": before.completion_tokens + self.completion_tokens,
            "usd": None if self.usd is None else round(self.usd, 6),
            "new_usd": round(self.picodollars / PICO, 6) if self.is_priced else None,
            "usd_expected": None if expected is None else round(expected, 4),
            "loop_late_ms": round(self.loop_late_s * 1000),
            "eta_s": None if left_s is None else round(left_s),
        }

    def as_part(self) -> PartsCounted:
        """Return the counts, to be added up over all parts."""
        found = {name: getattr(self, name) for name in _COUNTED}
        skipped = dict(self.skipped)
        failures = {str(kind): count for kind, count in self.failures.items()}
        before = RunOpened(**dataclass_fields(self.before))
        return PartsCounted(before=before, skipped=skipped, failures=failures, **found)

    def _take_parts(self, event: PartsCounted) -> None:
        for name in _COUNTED:
            setattr(self, name, getattr(event, name))
        self.before = EarlierStarts(**asdict(event.before))
        self.skipped, self.failures = Counter(event.skipped), Counter(event.failures)

    def _open(self, event: RunOpened) -> None:
        self.before = EarlierStarts(**asdict(event))

    def _read(self, event: DocumentsRead | InputSkipped | ReadingDone) -> None:
        if isinstance(event, DocumentsRead):
            self.documents += event.count
        elif isinstance(event, InputSkipped):
            if event.fate == "repeated":
                return
            self.skipped[event.reason.partition(":")[0]] += 1
        else:
            self.reading_done = True

    def _plan(self, event: UnitsPlanned | UnitsKnown) -> None:
        if isinstance(event, UnitsPlanned):
            self.planned += event.count
        else:
            self.known += event.count

    def _charge(self, event: CallAnswered | CallCharged) -> None:
        usage = event.usage
        self.calls += event.outcome != "lost"
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.cached_tokens += usage.cached_tokens
        self.doubt_picodollars += event.doubt_picodollars
        if event.picodollars is not None:
            self.is_priced = True
            self.picodollars += event.picodollars

    def _fail(self, event: CallFailed) -> None:
        self.failures[event.kind] += 1

    def _count(self, event: CallReplayed | RepairAsked | ShardPublished) -> None:
        if isinstance(event, CallReplayed):
            self.replayed += 1
        elif isinstance(event, RepairAsked):
            self.repairs += 1
        else:
            self.shards += 1

    def _parse(self, event: AnswerRead) -> None:
        self.readings[event.how] += 1

    def _finish(self, event: UnitFinished) -> None:
        self.units += 1
        self.outcomes[event.outcome] += 1
        self.pairs += event.pairs
        self.rejected += event.outcome is Outcome.REJECTED
        self.dropped += event.dropped

    def _be_late(self, event: LoopLate) -> None:
        self.loop_late_s = max(self.loop_late_s, event.seconds)

"""What parts on a cluster and the process that started them tell each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pairmill.events import PartsCounted, RunOpened

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Board", "PartNews", "PartsProgress"]

_PICO = 10**12
_MOST_NOTICES = 1_000
_OF_FOLDER = ("pairs", "rejected", "dropped", "prompt_tokens", "completion_tokens")
_ADDED = (
    *("planned", "known", "units", *_OF_FOLDER, "repairs", "calls", "replayed", "cached_tokens"),
    *("picodollars", "doubt_picodollars", "shards"),
)
_OF_ATTEMPTS = ("repairs", "calls", "replayed", "cached_tokens", "doubt_picodollars", "shards")


@dataclass(frozen=True, slots=True)
class PartNews:
    """What a part tells.

    Attributes:
        index: Of the part.
        attempt: Number of its task: 1, or more where workers were lost.
        is_open: Its folder was opened; before that, it has counted nothing.
        counts: Of this attempt.
        notices: For people, since it told last.
    """

    index: int
    attempt: int
    is_open: bool
    counts: PartsCounted
    notices: tuple[str, ...] = ()


class Board:
    """Takes news of parts, and passes a stop on to them (as an actor).

    It can be lost at any time: parts tell all their counts each time, and whoever reads them says
    each time whether to stop.
    """

    def __init__(self) -> None:
        self._news: dict[int, PartNews] = {}
        self._notices: list[tuple[int, str]] = []
        self._stop = ""

    def post(self, news: PartNews) -> str:
        """Take a part's news; return why it is to stop, "" if it is not."""
        known = self._news.get(news.index)
        if known is None or known.attempt <= news.attempt:
            self._news[news.index] = news
            room = _MOST_NOTICES - len(self._notices)
            self._notices += [(news.index, text) for text in news.notices[: max(0, room)]]
        return self._stop

    def look(self, stop: str) -> tuple[list[PartNews], list[tuple[int, str]]]:
        """Set whether parts are to stop; return the latest news, and new notices."""
        self._stop = stop
        notices, self._notices = self._notices, []
        return list(self._news.values()), notices


@dataclass(slots=True)
class _PartSum:
    """A part over all its attempts.

    Attributes:
        first: What its folder held before the first one.
        earlier: What earlier attempts counted, where the folder does not tell.
    """

    first: RunOpened
    attempt: int
    counts: PartsCounted
    earlier: dict[str, int] = field(default_factory=dict)


class PartsProgress:
    """Adds up the counts of all parts, across workers that were lost.

    Args:
        count: Number of parts.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts: dict[int, _PartSum] = {}

    def take(self, news: Iterable[PartNews]) -> None:
        """Learn what parts count now."""
        for each in news:
            if not each.is_open:
                continue
            part = self._parts.get(each.index)
            if part is None:
                part = _PartSum(each.counts.before, each.attempt, each.counts)
                self._parts[each.index] = part
            elif each.attempt > part.attempt:
                for name in _OF_ATTEMPTS:
                    counted = getattr(part.counts, name)
                    part.earlier[name] = part.earlier.get(name, 0) + counted
                part.attempt = each.attempt
            if each.attempt == part.attempt:
                part.counts = each.counts

    def ended(self, index: int) -> int:
        """Return how many chunks of a part have ended, as far as its folder was opened."""
        part = self._parts.get(index)
        return part.counts.before.ended + part.counts.units if part else 0

    def total(self) -> PartsCounted:
        """Return the sum."""
        total = dict.fromkeys(_ADDED, 0)
        before = dict.fromkeys(("ended", *_OF_FOLDER), 0)
        usd: list[float] = []
        for part in self._parts.values():
            counts, first, now = part.counts, part.first, part.counts.before
            for name in _ADDED:
                total[name] += getattr(counts, name) + part.earlier.get(name, 0)
            for name in before:
                before[name] += getattr(first, name)
            # what earlier attempts of this start did stands in the folder of a later one
            for name in _OF_FOLDER:
                total[name] += getattr(now, name) - getattr(first, name)
            done = now.ended - first.ended
            for name, sign in (("units", 1), ("known", -1), ("planned", 1)):
                total[name] += sign * min(done, counts.known)
            total["picodollars"] += round(((now.usd or 0.0) - (first.usd or 0.0)) * _PICO)
            usd += [first.usd] if first.usd is not None else []
        all_counts = [part.counts for part in self._parts.values()]
        skipping = max(all_counts, key=lambda it: sum(it.skipped.values()), default=None)
        failures: dict[str, int] = {}
        for counts in all_counts:
            for kind, number in counts.failures.items():
                failures[kind] = failures.get(kind, 0) + number
        return PartsCounted(
            before=RunOpened(**before, usd=sum(usd) if usd else None),
            documents=max((it.documents for it in all_counts), default=0),
            is_priced=any(it.is_priced for it in all_counts),
            loop_late_s=max((it.loop_late_s for it in all_counts), default=0.0),
            reading_done=len(all_counts) == self._count
            and all(it.reading_done for it in all_counts),
            skipped=dict(skipping.skipped) if skipping else {},
            failures=failures,
            **total,
        )

"""What a run writes besides its shards: the dataset card, the manifest, and a reason."""

from __future__ import annotations

import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pairmill import __version__
from pairmill.errors import PairmillError, StorageError
from pairmill.events import (
    Committed,
    DocumentsRead,
    InputSkipped,
    ReadingDone,
    ShardPublished,
    UnitsPlanned,
)
from pairmill.llm.prices import PICO
from pairmill.output.card import write_card
from pairmill.output.facts import RunFacts, cost_usd, counted
from pairmill.output.origins import read_run_origins
from pairmill.quality.trust import parse_figures
from pairmill.records import Outcome
from pairmill.sources.notes import InputFate
from pairmill.store.counts import InputCounts, RunCounts, count_run, read_input_counts, write_pace
from pairmill.store.manifest import write_manifest
from pairmill.store.row_encoding import read_fields
from pairmill.store.superseded import SupersededPairs
from pairmill.store.verdict import read_verdict

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pairmill.config import Settings
    from pairmill.events import Bus
    from pairmill.output.origins import Origins
    from pairmill.recipes.recipe import Recipe
    from pairmill.store.entries import Totals
    from pairmill.store.folder import RunFolder
    from pairmill.store.ledger import LedgerReader

__all__ = ["Account", "Ending"]

MAX_REASONS = 3
KEEP_S = 5.0  # between two records of the input's counts
PACE_MARKS = 12  # window for the pace: a minute


@dataclass(frozen=True, slots=True)
class Account:
    """Contents and cost of a run folder, over all starts.

    Attributes:
        usd: None if a price is unknown.
    """

    counts: RunCounts
    totals: Totals
    usd: float | None

    @property
    def usd_in_doubt(self) -> float:
        """Additional dollars that calls with an unknown end or token count may have cost."""
        return self.totals.bill.doubt_picodollars / PICO


class Ending:
    """Keeps the folder's card, manifest and counts current, and explains a run without pairs."""

    def __init__(
        self,
        folder: RunFolder,
        lookup: LedgerReader,
        recipe: Recipe,
        settings: Settings,
        followed: InputCounts | None = None,
    ) -> None:
        """Start tracking a start of the run.

        Args:
            folder: The run folder.
            lookup: Its ledger.
            recipe: The run's recipe.
            settings: Of this start.
            followed: For a followed input, the counts of earlier starts, which are not read again.
        """
        self._folder = folder
        self._lookup = lookup
        self._recipe = recipe
        self._settings = settings
        self._superseded = SupersededPairs(folder.path)
        self._before = read_input_counts(folder)
        self._follows = followed is not None
        base = followed or InputCounts()
        self._planned = 0
        self._read, self._dropped = base.read, base.dropped
        self._repeated_chunks, self._repeated_chars = base.repeated_chunks, base.repeated_chars
        self._skips: Counter[str] = Counter(base.skipped)
        self._first_skip = ""
        self._ended_before = sum(lookup.totals().units.values())
        self._is_read = False
        self._kept_at = time.monotonic()
        self._committed = 0
        self._marks: deque[tuple[float, int]] = deque([(self._kept_at, 0)], maxlen=PACE_MARKS)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pairmill-origins")
        self._counting: Future[Origins | None] | None = None
        self._origins: Origins | None = None

    def listen(self, bus: Bus) -> None:
        """Count reads and commits, and update the card when a shard is published."""
        bus.subscribe(self._publish, ShardPublished)
        bus.subscribe(self._count, DocumentsRead, UnitsPlanned, Committed)
        bus.subscribe(self._skip, InputSkipped)
        bus.subscribe(self._read_all, ReadingDone)

    def _publish(self, _event: ShardPublished) -> None:
        self._take_origins()
        with suppress(StorageError):  # keep the older card; the next update writes it
            write_card(self._folder.path, self._facts(self.account(), finished=False))
        if self._counting is None:  # beside the loop: a shard may hold a hundred thousand rows
            self._counting = self._thread.submit(read_run_origins, self._folder)

    def _take_origins(self) -> None:
        """Take what was counted beside the loop, if it is there."""
        if self._counting is not None and self._counting.done():
            with suppress(PairmillError, OSError):
                self._origins = self._counting.result()
            self._counting = None

    def _count(self, event: DocumentsRead | UnitsPlanned | Committed) -> None:
        if isinstance(event, Committed):
            self._committed += event.units
        elif isinstance(event, DocumentsRead):
            self._read += event.count
        else:
            self._planned += event.count
        self._keep_now_and_then()

    def _skip(self, event: InputSkipped) -> None:
        self._repeated_chunks += event.chunks
        self._repeated_chars += event.chars
        if event.fate == InputFate.REPEATED.value:
            return
        self._skips[event.reason.partition(":")[0]] += 1
        self._dropped += event.fate == InputFate.DROPPED.value
        self._first_skip = self._first_skip or f"{event.source}: {event.reason}"
        self._keep_now_and_then()

    def _read_all(self, _event: ReadingDone) -> None:
        self._is_read = True
        self._keep(time.monotonic())

    def _keep_now_and_then(self) -> None:
        now = time.monotonic()
        if now - self._kept_at >= KEEP_S:
            self._keep(now)

    def _keep(self, now: float) -> None:
        self._kept_at = now
        with suppress(StorageError):
            self._found().write(self._folder)
            self._keep_pace(now)

    def _keep_pace(self, now: float) -> None:
        """Store the pace of the last minute, for ``status``."""
        since, committed = self._marks[0]
        self._marks.append((now, self._committed))
        if now > since:
            pace = (self._committed - committed) / (now - since) * 60.0
            write_pace(self._folder, pace, time.time())

    def _found(self) -> InputCounts:
        """Return the input's counts from this start, or from an earlier one that read all of it."""
        found = InputCounts(
            read=self._read,
            skipped=dict(self._skips),
            dropped=self._dropped,
            repeated_chunks=self._repeated_chunks,
            repeated_chars=self._repeated_chars,
            expected=self._ended_before + self._planned,
            is_whole=self._is_read,
            inputs=self._settings.inputs,
        )
        before = self._before
        if self._follows:
            return found
        if not found.is_whole and before.is_whole and before.inputs == found.inputs:
            return replace(before, expected=max(before.expected, found.expected))
        return found

    @property
    def pairs(self) -> int:
        """Number of pairs in the folder."""
        return self._lookup.totals().pairs

    def account(self) -> Account:
        """Return the folder's contents and cost."""
        totals = self._lookup.totals()
        counts = count_run(self._folder, self._lookup, totals, self._superseded)
        return Account(counts, totals, cost_usd(totals.bill, self._settings.prices))

    @property
    def judged(self) -> tuple[int, int]:
        """Number of units with a usable answer, and of rejected ones."""
        units = self._lookup.totals().units
        bad = units.get(Outcome.REJECTED.value, 0)
        return sum(units.values()) - bad, bad

    def begin(self) -> Account:
        """Write card and manifest before the first shard, so that the folder always loads."""
        account = self.account()
        with suppress(PairmillError, OSError):
            self._origins = read_run_origins(self._folder, only_kept=True)
        write_card(self._folder.path, self._facts(account, finished=False))
        self._write_manifest(account, finished=False)
        return account

    def finish(self, *, whole: bool) -> Account:
        """Write the final counts, card and manifest.

        Args:
            whole: The whole input was read, and all its units have ended.
        """
        self._thread.shutdown()
        with suppress(PairmillError, OSError):
            self._origins = read_run_origins(self._folder)
        found = self._found()
        if whole:
            expected = sum(self._lookup.totals().units.values())
            found = replace(found, is_whole=True, expected=expected)
        found.write(self._folder)
        write_pace(self._folder, None, time.time())
        account = self.account()
        write_card(self._folder.path, self._facts(account, finished=whole))
        self._write_manifest(account, finished=whole)
        return account

    def _write_manifest(self, account: Account, *, finished: bool) -> None:
        write_manifest(
            self._folder,
            self._lookup,
            facts={
                "recipe": self._recipe.name,
                "prompt_version": self._recipe.prompt_version,
                "finished": finished,
            },
            usd=account.usd,
            counts=account.counts,
        )

    @property
    def has_text(self) -> bool:
        """True if this start read a document with text to work on."""
        return self._read > self._dropped

    def why_no_chunk(self) -> str:
        """Explain a run in which nothing was left to work on."""
        names = ", ".join(self._settings.inputs)
        if self._settings.chunks_by == "subject" and self._read > self._dropped:
            return f"{names}: no two articles in it are near enough in subject to make a unit"
        if not self._skips:
            return f"{names}: holds no article"
        most = ", ".join(f"{count} x {why}" for why, count in self._skips.most_common(MAX_REASONS))
        return f"{names}: no usable text ({most}; the first: {self._first_skip})"

    def why_no_pair(self) -> str:
        """Explain a run that wrote nothing."""
        totals = self._lookup.totals()
        reasons = ", ".join(
            f"{count} {reason}" for reason, count in list(totals.reasons.items())[:MAX_REASONS]
        )
        units = sum(totals.units.values())
        where, folder = self._folder.rejected, self._folder.path
        return (
            f"no pair was written out of {units} chunks ({reasons or 'all skipped'}); see {where},"
            f" or the page of 'pairmill report {folder}'"
        )

    def _facts(self, account: Account, *, finished: bool) -> RunFacts:
        totals = account.totals
        return RunFacts(
            recipe=self._recipe.name,
            prompt_version=self._recipe.prompt_version,
            models=tuple(totals.models) or (self._settings.model,),
            version=__version__,
            **counted(account.counts),
            usage=totals.usage,
            cost_usd=account.usd if totals.bill.calls else None,
            doubt_usd=account.usd_in_doubt,
            figures=parse_figures(self._folder.read_figures(), self._folder.read_voice()),
            fields=read_fields(self._folder.state),
            verdict=read_verdict(self._folder),
            origins=self._origins,
            languages=self._origins.languages if self._origins else (),
            finished=finished,
        )

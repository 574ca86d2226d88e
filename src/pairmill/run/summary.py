"""How a run ended, and the final lines for people."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.display import format_duration, sanitize
from pairmill.errors import EXIT_CONFIG, EXIT_DONE, EXIT_RESUMABLE
from pairmill.store.counts import describe, describe_saved

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.store.counts import RunCounts

__all__ = ["Summary"]

_PER = 1000


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended.

    Attributes:
        exit_code: 0 done, 1 no pair was written, 75 stopped and resumable, 78 bad config.
        reason: One line, if the exit code is not 0.
        asked: True if there was anything new to ask the model.
        chunks: Chunks read in this start.
        pairs: Pairs in the folder, those of earlier starts included.
        warning: Problems with the pairs of this start; "" if there are none.
        counts: What became of documents, chunks and pairs, over all starts.
        new_pairs: Pairs of this start.
        usd: Dollars that all starts were charged; None if a price is unknown.
        usd_in_doubt: Dollars that calls with an unknown end may have cost.
        calls: Calls that were paid for, in all starts.
        prompt_tokens: Of these calls.
        completion_tokens: Likewise.
        seconds: Duration of this start.
        cap: Name of the setting that ended the run (``max_usd`` ...); "" if none did.
        formats: Training formats that can hold its rows; see ``choose_formats``.
        voice: Why its answers cannot be attributed to their authors; "" if that is not known.
        store: URL that all of it was uploaded to; "" if it was not.
    """

    folder: Path
    exit_code: int
    reason: str
    asked: bool
    chunks: int
    pairs: int
    warning: str = ""
    counts: RunCounts | None = None
    new_pairs: int = 0
    usd: float | None = None
    usd_in_doubt: float = 0.0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    cap: str = ""
    formats: tuple[str, ...] = ("messages",)
    voice: str = ""
    store: str = ""

    @property
    def _has_earlier(self) -> bool:
        return self.pairs > self.new_pairs or not self.asked

    @property
    def rejected(self) -> int:
        """Chunks in the folder that ended without a valid answer."""
        return self.counts.rejected_chunks if self.counts else 0

    @property
    def dropped(self) -> int:
        """Pairs that a check dropped, over all starts."""
        return self.counts.dropped_pairs if self.counts else 0

    @property
    def data(self) -> Path:
        """Folder of the pairs: ``train-*.jsonl``."""
        return self.folder / "data"

    @property
    def rejects(self) -> Path:
        """Folder of rejected chunks and dropped pairs, each line with its reason."""
        return self.folder / "rejected"

    @property
    def skipped_input(self) -> Path:
        """File that lists all input that this start could not use."""
        return self.folder / "skipped.jsonl"

    def lines(self) -> list[str]:
        """Return the final lines for people: totals, warnings, how it ended, and next steps."""
        warnings = [f"warning: {self.warning}"] if self.warning else []
        return [*self._sums(), *warnings, *self.ending(), *self._next()]

    def _sums(self) -> list[str]:
        counts = self.counts
        if counts is None or not counts.ended:
            return []
        cost = [("cost", self._cost())] if self.calls else []
        took = [
            ("time", format_duration(self.seconds) + (", this start" if self._has_earlier else ""))
        ]
        saved = describe_saved(counts, self.prompt_tokens + self.completion_tokens, self.usd)
        voice = [("voice", f"not measured: {self.voice}")] if self.voice and self.pairs else []
        told = (*describe(counts), *saved, *cost, *took, *voice)
        return [f"  {name:<11}{value}" for name, value in told]

    def _cost(self) -> str:
        tokens = (
            f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens in {self.calls:,} calls"
        )
        if self.usd is None:
            return f"{tokens}, no price known"
        each = f", ${self.usd / self.pairs * _PER:,.2f} per 1,000 pairs" if self.pairs else ""
        doubt = (
            f" (and at most ${self.usd_in_doubt:,.4f} for calls whose end or count is not known)"
            if self.usd_in_doubt >= 5e-5  # noqa: PLR2004 (what four places show)
            else ""
        )
        return f"${self.usd:,.4f}{doubt}{each}; {tokens}"

    def ending(self) -> list[str]:
        """Describe in one line how it ended."""
        places = str(self.folder)
        if self.store:
            places = f"{self.store} and {places}" if self.folder.exists() else self.store
        told = f"{self.pairs:,} pairs in {places}"
        if self.exit_code == EXIT_DONE:
            if self.asked:
                return [told]
            return [f"nothing new in {self.chunks:,} chunks: the model was not asked; {told}"]
        line = f"pairmill: {self.reason}; {told}" if self.chunks else f"pairmill: {self.reason}"
        if self.exit_code == EXIT_CONFIG and self.chunks and "same command" not in self.reason:
            return [f"{line}; fix that, then run the same command again"]
        if self.exit_code != EXIT_RESUMABLE:
            return [line]
        if self.cap:  # the reason names the cap to raise
            return [line]
        return [f"{line}; run the same command again to resume"]

    def _next(self) -> list[str]:
        if self.exit_code != EXIT_DONE or not self.pairs:
            return []
        place = sanitize(shlex.quote(str(self.folder)))
        commands = [
            (f"pairmill show {place}", "a few pairs beside their text"),
            (f"pairmill report {place}", "a page with a verdict, figures and pairs"),
        ]
        if self.counts is not None and self.counts.rejected:
            chunks = "chunk" if self.rejected == 1 else "chunks"
            asks = f"asks about the {self.rejected:,} rejected {chunks} again"
            commands.append((f"pairmill retry {place}", asks))
        commands += [
            (f"pairmill export {place} --to {name}", "the files for a trainer")
            for name in self.formats
        ]
        width = max(len(command) for command, _ in commands)
        return ["next:", *(f"  {command:<{width}}  {why}" for command, why in commands)]

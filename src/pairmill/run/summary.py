"""How a run ended, and what to tell a person about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pairmill.errors import EXIT_DONE, EXIT_RESUMABLE
from pairmill.plain import plain
from pairmill.store.counts import RunCounts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Summary"]

MOST_REASONS = 4
_PER = 1000


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended.

    Attributes:
        exit_code: 0 done, 1 no pair was written, 75 stopped and resumable, 78 bad config.
        reason: One plain line where the exit code is not 0.
        asked: Whether there was anything new to ask the model.
        chunks: Chunks seen in this start.
        pairs: Pairs in the folder, those of earlier starts included.
        warning: What is wrong with the pairs of this start, as far as so few can tell.
        counts: What became of documents, chunks and pairs, over all starts.
        new_pairs: Pairs of this start.
        usd: Dollars that all starts were charged; None where no price is known.
        usd_in_doubt: Dollars that calls may have cost whose end is not known.
        calls: Calls that were paid for, in all starts.
        prompt_tokens: Of these calls.
        completion_tokens: Likewise.
        seconds: How long this start took.
        cap: Name of the setting that ended the run (``max_usd`` ...); "" where none did.
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
    rejected: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What to tell a person at the end: the sums, what is wrong, how it ended, what is next."""
        warnings = [f"warning: {self.warning}"] if self.warning else []
        return [*self._sums(), *warnings, *self._ending(), *self._next()]

    def _sums(self) -> list[str]:
        counts = self.counts
        if counts is None or not (counts.ended or counts.documents):
            return []
        skipped = sum(counts.skipped.values())
        documents = f"{counts.documents:,} = {counts.used:,} used + {skipped:,} skipped"
        chunks = (
            f"{counts.chunks:,} = {counts.written:,} written + {counts.empty:,} empty"
            f" + {counts.rejected_chunks:,} rejected"
        )
        more = "" if counts.is_input_whole else ", more of the input was not read"
        chunks += f" + {counts.to_do:,} to do{more}" if counts.to_do or more else ""
        pairs = f"{counts.pairs + counts.dropped_pairs:,} = {counts.pairs:,} kept"
        pairs += f" + {counts.dropped_pairs:,} dropped"
        rows = [
            ("documents", documents + _reasons(counts.skipped)) if counts.documents else None,
            ("chunks", chunks + _reasons(counts.rejected)),
            ("pairs", pairs + _reasons(counts.dropped)),
            ("cost", self._cost()) if self.calls else None,
        ]
        return [f"  {name:<10}{value}" for name, value in filter(None, rows)]

    def _cost(self) -> str:
        tokens = f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens in {self.calls:,} calls"
        time = _duration(self.seconds)
        if self.usd is None:
            return f"{tokens}, no price known; {time}"
        each = f", ${self.usd / self.pairs * _PER:,.2f} per 1,000 pairs" if self.pairs else ""
        doubt = (
            f" (and at most ${self.usd_in_doubt:,.4f} for calls whose end or count is not known)"
            if self.usd_in_doubt >= 5e-5  # noqa: PLR2004 (what four places show)
            else ""
        )
        return f"${self.usd:,.4f}{doubt}{each}; {tokens}; {time}"

    def _ending(self) -> list[str]:
        told = f"{self.pairs:,} pairs in {self.folder}"
        if self.exit_code == EXIT_DONE:
            if self.asked:
                return [told]
            return [f"nothing new in {self.chunks:,} chunks: the model was not asked; {told}"]
        line = f"pairmill: {self.reason}; {told}" if self.chunks else f"pairmill: {self.reason}"
        if self.exit_code != EXIT_RESUMABLE:
            return [line]
        if self.cap:
            return [f"{line}; raise {self.cap}, and the same command goes on"]
        return [f"{line}; the same command goes on"]

    def _next(self) -> list[str]:
        if self.exit_code != EXIT_DONE or not self.pairs:
            return []
        place = plain(str(self.folder))
        commands = [f"pairmill show {place}", f"pairmill report {place}"]
        if self.counts is not None and self.counts.rejected:
            commands.append(f"pairmill retry {place}")
        else:
            commands.append(f"pairmill export {place} --to messages")
        return [f"next: {' | '.join(commands)}"]


def _reasons(counts: Mapping[str, int]) -> str:
    """The most frequent reasons, in brackets; "" where there are none."""
    if not counts:
        return ""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {plain(reason)}" for reason, count in ordered[:MOST_REASONS]]
    rest = sum(count for _, count in ordered[MOST_REASONS:])
    return f" ({', '.join([*shown, f'{rest:,} others'] if rest else shown)})"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

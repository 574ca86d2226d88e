"""Options of an export, and the selection among pairs that pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pairmill.output.rows import exchanges_of, key_text, mean_score, task_of
from pairmill.output.split import Shares
from pairmill.quality.text import key
from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.output.rows import Row

__all__ = ["ExportOptions", "ExportPolicy", "drop_same_instruction"]


@dataclass(frozen=True, slots=True)
class ExportPolicy:
    """Thresholds. Nothing is dropped by default.

    Attributes:
        min_score: Minimum mean of a judge's ratings, 1 to 5.
        min_aspects: Minimum rating of single aspects, by name (``truthfulness``), since a mean
            hides a low one. A missing aspect passes.
        keep_unscored: True if rows without a rating pass. A missing rating never counts as low or
            high.
        min_grounding: Minimum grounding, 0 to 1; a row without a value passes.
        min_support: Minimum support, 0 to 1; likewise.
        verified: Whether a row is dropped that was not verified, or has a sentence that the
            verifier did not find supported.
        drop_flags: Rows that bear any of these flags are dropped; ``*`` stands for every flag.
    """

    min_score: float | None = None
    min_aspects: tuple[tuple[str, float], ...] = ()
    keep_unscored: bool = False
    min_grounding: float | None = None
    min_support: float | None = None
    verified: bool = False
    drop_flags: frozenset[str] = frozenset()

    def reason_to_drop(self, row: Row) -> str | None:
        """Return a short stable word, or None if the row passes."""
        if _is_empty(row):
            return "empty"
        if flag := self._unwanted_flag(row):
            return f"flag_{flag}"
        if _is_below(row.get("grounding"), self.min_grounding):
            return "low_grounding"
        if _is_below(row.get("support"), self.min_support):
            return "low_support"
        if self.verified and not _is_verified(row):
            return "unverified"
        return self._score_reason(row)

    def _unwanted_flag(self, row: Row) -> str | None:
        for flag in row.get("flags") or ():
            if flag in self.drop_flags or "*" in self.drop_flags:
                return str(flag)
        return None

    def _score_reason(self, row: Row) -> str | None:
        if self.min_score is None and not self.min_aspects:
            return None
        score = mean_score(row)
        if score is None:
            return None if self.keep_unscored else "unscored"
        given = row["scores"]
        for aspect, least in self.min_aspects:
            if given.get(aspect) is not None and given[aspect] < least:
                return f"low_{aspect}"
        return "low_score" if self.min_score is not None and score < self.min_score else None


def _is_below(found: float | None, least: float | None) -> bool:
    return least is not None and found is not None and found < least


def _is_verified(row: Row) -> bool:
    found = row.get("verification")
    doubts = ("contradicted", "not_in_text", "unproven")
    return found is not None and not any(found.get(verdict) for verdict in doubts)


def _is_empty(row: Row) -> bool:
    """Return whether a request or a reply in it is empty."""
    asks = task_of(row) != "text"
    turns = exchanges_of(row)
    return not turns or any(not said.strip() or (asks and not ask.strip()) for ask, said in turns)


def drop_same_instruction(
    first_time: Callable[[str], bool],
) -> Callable[[Row], str | None]:
    """Keep the first row of each instruction or plain text, case and punctuation aside.

    Args:
        first_time: Tells whether a name comes for the first time, and remembers it.
    """

    def judge(row: Row) -> str | None:
        return None if first_time(digest(key(key_text(row)))) else "same_instruction"

    return judge


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        shape: Name of the training format.
        file_type: ``jsonl``, ``parquet`` or ``csv``.
        shares: Shares of the splits.
        seed: Of the assignment to splits.
        policy: Which rows to drop.
        license_id: For the card.
        keep_parents: Also keep parents of evolved rows. Preference formats always see both.
        system: A system message for rows that have none of their own; "" for none.
        fold_system: In formats without a system field, put the system text before the prompt.
        dry_run: Read, select and count as usual, but write nothing.
        replace_changed: Replace an earlier export although its files were changed since.
        marks: What to do with people's marks: ``apply`` them, keep only what was ``accepted`` or
            edited, or ``ignore`` them.
        columns: Columns of the row, or fields of its recipe, to keep beside the format's own.
        open_book: Percent of the rows whose prompt gets their passage.
        unanswerable: Percent of these without their own passage, and with the answer that the texts
            do not say.
        licenses: Keep only rows of documents under one of these, see `licenses.is_wanted`; all
            where empty.
        file_bytes: A data file is closed once its records, as JSON, reach this size.
    """

    shape: str = "messages"
    file_type: str = "jsonl"
    shares: Shares = field(default_factory=Shares)
    seed: int = 0
    policy: ExportPolicy = field(default_factory=ExportPolicy)
    license_id: str = "unknown"
    keep_parents: bool = False
    columns: tuple[str, ...] = ()
    open_book: float = 0.0
    unanswerable: float = 10.0
    system: str = ""
    fold_system: bool = False
    dry_run: bool = False
    replace_changed: bool = False
    marks: str = "apply"
    licenses: tuple[str, ...] = ()
    file_bytes: int = 256 * 2**20

"""Options of an export."""

from __future__ import annotations

from dataclasses import dataclass, field

from pairmill.output.policy import ExportPolicy
from pairmill.output.split import Shares

__all__ = ["ExportOptions"]


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

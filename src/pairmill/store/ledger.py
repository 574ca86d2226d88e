"""Interface of ledgers: three protocols, and the look-up of a folder's store.

A ledger holds every answer that was paid for, how each unit ended, and the committed length of each
shard. It
has one writing end, and any number of reading ends that never wait for it. `LedgerStore` makes and
opens both below a run folder's ``.run/``. SQLite is the default (`store.sqlite.store`); another one
is passed to `pairmill.generate`, or installed under the entry point ``pairmill.ledgers``.
docs/ledgers.md says how to write one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from pairmill.errors import FolderError
from pairmill.store.files import DISK, atomic_write

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from pairmill.store.chain import LedgerChain
    from pairmill.store.charges import ChargeSum, DropKey
    from pairmill.store.entries import (
        BilledSend,
        Known,
        Measured,
        PaidAnswer,
        ShardRecord,
        Totals,
        UnitKey,
        UnitOutcome,
    )
    from pairmill.store.files import Files

__all__ = ["Ledger", "LedgerReader", "LedgerStore", "find_store", "note_store"]

ENTRY_POINTS = "pairmill.ledgers"
_KIND = "ledger-kind"


class Ledger(Protocol):
    """The writing end, used by one thread at a time.

    Once a method has returned, its change is durable as a whole. If it raised StorageError, the
    change is not durable, or in doubt until ``settle``.

    Attributes:
        chain: Its id, and a generation that each transaction raises by one; None for a ledger that
            has no id yet, until ``begin_chain``.
    """

    chain: LedgerChain | None

    def begin_chain(self, chain_id: str) -> None:
        """Give it an id."""
        ...

    def finished(self, unit_ids: Sequence[str]) -> set[str]:
        """Return those of the units that have an outcome."""
        ...

    def shards(self) -> list[ShardRecord]:
        """List every shard, open or closed, by kind and number."""
        ...

    def commit(
        self,
        answers: Sequence[PaidAnswer],
        outcomes: Sequence[UnitOutcome],
        shards: Sequence[ShardRecord],
        charges: Sequence[ChargeSum] = (),
        sends: Sequence[BilledSend] = (),
    ) -> None:
        """Make all of it durable in one transaction, or none.

        Args:
            answers: All are counted, as they were paid for; of answers to one call the first is
                used.
            outcomes: None of a finished unit; that of a retried unit ends its lifted state.
            shards: Replace the records of the same kind and number.
            charges: Added to those of the same model and outcome.
            sends: Added to those of the same call; the last error text is kept.

        Raises:
            StorageError: The disk refused.
            FolderError: The ledger is damaged.
        """
        ...

    @property
    def counts_drops(self) -> bool:
        """True if the ledger counts all lines of ``rejected/``."""
        ...

    def count_drops(self, drops: Mapping[DropKey, int]) -> None:
        """Set the counts of ``rejected/``, for a ledger without them."""
        ...

    def reopened(self) -> frozenset[str]:
        """Return lifted tombstones, including those of an earlier start."""
        ...

    def reopen(self, reason: str | None, units: Collection[str] | None = None) -> int:
        """Lift tombstones, so that their units count as new; return how many.

        Their answers and sends are deleted; their cost stays in the bill.

        Args:
            reason: Of the tombstones; None: of any reason.
            units: Lift these units instead, unless they have a pair.
        """
        ...

    def put_back(self) -> int:
        """Restore tombstones that were lifted but not retried; return how many."""
        ...

    def settle(self) -> None:
        """Resolve a failed commit: afterwards it has taken effect, or never will.

        Raises:
            StorageError: The disk still refuses; the commit remains in doubt.
        """
        ...

    def close(self) -> None:
        """Release all resources."""
        ...


class LedgerReader(Protocol):
    """A reading end: sees what was committed before each query. The caller closes it."""

    def known(self, units: Sequence[UnitKey]) -> Known:
        """Return which of up to 500 or so units are finished, and answers for the others' chunks.

        Raises:
            FolderError: The ledger is damaged.
            StorageError: The disk refused.
        """
        ...

    def totals(self) -> Totals:
        """Sum up everything committed so far; the cost must not grow with the run."""
        ...

    def measured(self) -> Measured:
        """Return averages over finished units: all of them, or a sample of some thousands."""
        ...

    def reopened(self) -> int:
        """Count lifted tombstones."""
        ...

    def shards(self) -> list[ShardRecord]:
        """List every shard, open or closed, by kind and number."""
        ...

    def chain(self) -> LedgerChain | None:
        """Return the ledger's id and generation; None for one that has none."""
        ...

    def close(self) -> None:
        """Release all resources."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class LedgerStore(Protocol):
    """Creates and opens the ledgers of run folders.

    Each method gets the folder's ``.run/``, which exists.

    Attributes:
        name: Its name in the folder, and of its entry point.
    """

    name: str

    def is_there(self, state: Path) -> bool:
        """Return whether the folder has a ledger, in any state."""
        ...

    def create(self, state: Path, version: str, chain: LedgerChain) -> None:
        """Create an empty ledger with this id, atomically.

        Raises:
            StorageError: The disk refused.
        """
        ...

    def open(self, state: Path) -> Ledger:
        """Open the writing end.

        Raises:
            FolderError: It is missing, damaged, or a newer version's.
            StorageError: The disk refused.
        """
        ...

    def read(self, state: Path) -> LedgerReader:
        """Open a reading end; raises as ``open`` does."""
        ...


def find_store(state: Path, usual: LedgerStore, given: LedgerStore | None = None) -> LedgerStore:
    """Return the store that a run folder's ledger is kept in.

    Args:
        state: The folder's ``.run/``.
        usual: Used if the folder names none.
        given: The caller's own; used if the folder was begun with it, or is new.

    Raises:
        FolderError: The folder's store differs from ``given``, or is not installed.
    """
    try:
        name = (state / _KIND).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        name = usual.name if usual.is_there(state) else ""
    if given is not None:
        if name not in {"", given.name}:
            raise FolderError(
                f"{state.parent}: its ledger is kept by '{name}', not by '{given.name}'; give"
                " another folder"
            )
        return given
    if name in {"", usual.name}:
        return usual
    return _installed(name, state)


def _installed(name: str, state: Path) -> LedgerStore:
    """Load a store by its entry point; a name in a folder is never imported."""
    from importlib.metadata import entry_points  # noqa: PLC0415 (it costs a start 20 ms)

    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            store: LedgerStore = point.load()
        except Exception as error:  # noqa: BLE001 (another package's fault, with its name)
            raise FolderError(
                f"the installed ledger '{name}' ({point.value}) cannot be loaded:"
                f" {type(error).__name__}: {error}; uninstall or repair it"
            ) from None
        return store
    raise FolderError(f"{state.parent}: its ledger is kept by '{name}', which is not installed")


def note_store(state: Path, store: LedgerStore, usual: LedgerStore, files: Files = DISK) -> None:
    """Record in a run folder where its ledger is kept, unless that is the default.

    Raises:
        StorageError: The disk refused.
    """
    if store.name != usual.name:
        atomic_write(state / _KIND, store.name.encode(), files=files)

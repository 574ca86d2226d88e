"""Interface of ledgers: three protocols, and the look-up of a folder's own.

A ledger holds every answer that was paid for, how each unit ended, and how far each shard goes. It
has one writing end, and any number of reading ends that never wait for it. `LedgerStore` makes and
opens both below a run folder's ``.run/``. SQLite's is the usual one (`store.sqlite.store`); another
is given to `pairmill.generate`, or installed under the entry point ``pairmill.ledgers``.
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

    What a method has returned from is durable, whole; what it raised StorageError from is not, or
    in doubt until ``settle``.

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
            answers: Each counts, for it was paid for; of answers to one call the first is found.
            outcomes: None of a finished unit; a unit that is asked again is lifted no more.
            shards: Take the place of the records of the same kind and number.
            charges: Add to those of the same model and outcome.
            sends: Add to those of the same call; the last one's words are kept.

        Raises:
            StorageError: The disk refused.
            FolderError: The ledger is damaged.
        """
        ...

    @property
    def counts_drops(self) -> bool:
        """True if every line of ``rejected/`` is counted in it."""
        ...

    def count_drops(self, drops: Mapping[DropKey, int]) -> None:
        """Take what was counted in ``rejected/`` itself, where it does not count that yet."""
        ...

    def reopened(self) -> frozenset[str]:
        """Return the tombstones that are being asked again, those of an earlier start included."""
        ...

    def reopen(self, reason: str | None, units: Collection[str] | None = None) -> int:
        """Lift tombstones, so that their units count as new; return how many.

        Their answers and sends are forgotten; what was paid for them stays in the bill.

        Args:
            reason: Of the tombstones; None: of any reason.
            units: These units instead, as far as they have no pair, whatever their end was.
        """
        ...

    def put_back(self) -> int:
        """Make tombstones again of what was lifted and not asked; return how many."""
        ...

    def settle(self) -> None:
        """End the doubt that a failed commit leaves: after it, that one took effect or never will.

        Raises:
            StorageError: The disk still refuses; the doubt remains.
        """
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class LedgerReader(Protocol):
    """A reading end: sees what was committed before each query. Closed by whoever opened it."""

    def known(self, units: Sequence[UnitKey]) -> Known:
        """Say which of up to some 500 units are finished, and what the others' chunks were asked.

        Raises:
            FolderError: The ledger is damaged.
            StorageError: The disk refused.
        """
        ...

    def totals(self) -> Totals:
        """Sum up everything committed so far; the cost must not grow with the run."""
        ...

    def measured(self) -> Measured:
        """Return what finished units took: all of them, or a sample of some thousands."""
        ...

    def reopened(self) -> int:
        """Count the tombstones that are being asked again."""
        ...

    def shards(self) -> list[ShardRecord]:
        """List every shard, open or closed, by kind and number."""
        ...

    def chain(self) -> LedgerChain | None:
        """Return the ledger's id and generation; None for one that has none."""
        ...

    def close(self) -> None:
        """Give everything back."""
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

    Each method is given the folder's ``.run/``, which is there.

    Attributes:
        name: What the folder calls it by, and what its entry point is called.
    """

    name: str

    def is_there(self, state: Path) -> bool:
        """Return whether the folder has a ledger, in whatever state."""
        ...

    def create(self, state: Path, version: str, chain: LedgerChain) -> None:
        """Make an empty ledger of this id; it is there whole, or not at all.

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
        usual: Taken where the folder names none.
        given: The caller's own; it is taken where the folder was begun with it, or is not begun.

    Raises:
        FolderError: The folder's is another one than ``given``, or is not installed.
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
    """Load a store by its entry point: what a folder names is never imported by that name."""
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
    """Note in a run folder where its ledger is kept, unless that is the usual place.

    Raises:
        StorageError: The disk refused.
    """
    if store.name != usual.name:
        atomic_write(state / _KIND, store.name.encode(), files=files)

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from pairmill.records import digest
from pairmill.store.entries import Batch, UnitKey
from pairmill.store.journal import Journal
from pairmill.store.sqlite.lookup import SqliteLookup

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.store.folder import RunFolder


def test_it_sees_each_commit_of_the_running_journal(
    folder: RunFolder, make_batch: Callable[..., Batch]
) -> None:
    key = UnitKey(digest("unit", "1"), digest("chunk", "1"))
    with Journal.open(folder, clock=lambda: 0.0) as journal, journal.lookup() as lookup:
        assert lookup.known([key]).finished == set()
        journal.commit(Batch(make_batch(1).answers))
        assert set(lookup.known([key]).answers) == {key.chunk_id}
        journal.commit(Batch(outcomes=make_batch(1).outcomes))
        assert lookup.known([key]).finished == {key.unit_id}


def test_it_reads_from_a_read_only_medium(
    folder: RunFolder, make_batch: Callable[..., Batch]
) -> None:
    with Journal.open(folder, clock=lambda: 0.0) as journal:
        journal.commit(make_batch(1))
    # Root may write anywhere, so this proves the plain path there and the fallback elsewhere.
    folder.state.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with SqliteLookup(folder.ledger) as lookup:
            assert lookup.totals().pairs == 2
    finally:
        folder.state.chmod(0o700)

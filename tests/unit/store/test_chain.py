from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pairmill.errors import FolderError
from pairmill.store.chain import GenerationLog, LedgerChain, check_chain, new_chain_id
from pairmill.store.entries import ShardRecord
from pairmill.store.files import DISK
from pairmill.store.folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

SHARD = ShardRecord("train", 0, False, 10, 1, "")  # noqa: FBT003 (open)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    for place in (folder.data, folder.rejected, folder.open_shards):
        place.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(("generation", "shards"), [(3, []), (0, [SHARD]), (3, [SHARD])])
def test_a_ledger_with_anything_in_it_needs_its_witness(
    folder: RunFolder, generation: int, shards: list[ShardRecord]
) -> None:
    with pytest.raises(FolderError, match=r"generation is missing.*pairmill recover"):
        check_chain(folder, LedgerChain(new_chain_id(), generation), shards)


def test_a_new_ledger_needs_none(folder: RunFolder) -> None:
    check_chain(folder, LedgerChain(new_chain_id()), [])


@pytest.mark.parametrize(("generation", "says"), [(4, "2 commits are missing"), (6, "")])
def test_a_ledger_is_as_far_as_its_witness(folder: RunFolder, generation: int, says: str) -> None:
    name = new_chain_id()
    GenerationLog(folder.generation, DISK, LedgerChain(name, 6)).close()
    if not says:
        check_chain(folder, LedgerChain(name, generation), [])
        return
    with pytest.raises(FolderError, match=says):
        check_chain(folder, LedgerChain(name, generation), [])
    with pytest.raises(FolderError, match="belongs to another folder"):
        check_chain(folder, LedgerChain(new_chain_id(), 6), [])

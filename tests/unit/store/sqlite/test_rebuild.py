from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from pairmill.errors import Kind
from pairmill.records import Chunk, Completion, Outcome, Pair, Rejection, Usage, digest
from pairmill.store.charges import CallCharge, ChargeSums
from pairmill.store.columns import RowOrigin
from pairmill.store.entries import Batch, BilledSend, PaidAnswer, UnitKey, UnitOutcome
from pairmill.store.folder import RunFolder, lock_folder, open_folder
from pairmill.store.journal import Journal
from pairmill.store.row_encoding import UnitResult, encode_unit
from pairmill.store.sqlite.lookup import SqliteLookup
from pairmill.store.sqlite.rebuild import rebuild

if TYPE_CHECKING:
    from pathlib import Path

IDENTITIES = [digest("old recipe"), digest("new recipe")]


def outcome(number: int, identity: str, pairs: int = 2) -> UnitOutcome:
    chunk = Chunk(digest("chunk", str(number)), "text", "d", 0, 4, "s")
    unit = digest(chunk.id, identity)
    origin = RowOrigin(unit, "r", "1", "model-1", 2, Usage(10, 5), 1.0)
    made = [Pair("i", "a", index) for index in range(pairs)]
    dropped = [] if pairs else [Rejection("refusal", "no")]
    reason = None if pairs else "refusal"
    kind = Outcome.WRITTEN if pairs else Outcome.REJECTED
    return encode_unit(UnitResult(chunk, origin, kind, made, dropped, reason))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Eleven units under two recipes, all published."""
    place = tmp_path / "out"
    units = [outcome(n, IDENTITIES[n % 2], 0 if n == 7 else 2) for n in range(11)]
    with (
        open_folder(place, settings_fingerprint={}, accept_change=False, version="1") as folder,
        Journal.open(folder, clock=lambda: 0.0) as journal,
    ):
        journal.commit(Batch((), units))
    return place


def lost(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.ledger.unlink()
    return folder


def test_units_are_named_by_the_recipes_that_were_used(path: Path) -> None:
    folder = lost(path)
    with lock_folder(path, version="1") as locked:
        rebuilt = rebuild(locked, IDENTITIES, version="9.9.9")
    assert (rebuilt.pairs, rebuilt.units, rebuilt.unnamed, rebuilt.damaged) == (20, 11, 0, [])
    with SqliteLookup(folder.ledger) as lookup:
        totals = lookup.totals()
    assert totals.units == {"written": 10, "rejected": 1}
    assert totals.calls == 22
    assert totals.usage == Usage(110, 55)
    assert totals.models == {"model-1": 22}


def test_the_bill_of_a_lost_ledger_is_what_the_lines_tell(path: Path) -> None:
    folder = lost(path)
    with lock_folder(path, version="1") as locked:
        rebuild(locked, IDENTITIES, version="9.9.9")
    with SqliteLookup(folder.ledger) as lookup:
        totals = lookup.totals()
    assert (totals.calls, totals.usage, dict(totals.models)) == (
        22,
        Usage(110, 55),
        {"model-1": 22},
    )


def test_what_no_recipe_explains_is_counted_and_kept(path: Path) -> None:
    lost(path)
    with lock_folder(path, version="1") as locked:
        rebuilt = rebuild(locked, IDENTITIES[:1], version="9.9.9")
    assert rebuilt.pairs == 20
    assert rebuilt.unnamed == 8  # of 5 units, one of which wrote nothing and says its own name
    assert rebuilt.units == 7


def test_a_published_shard_that_was_edited_is_taken_as_it_stands(path: Path) -> None:
    folder = lost(path)
    shard = folder.data / "train-00000.jsonl"
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"".join([*lines[:6], b'{"id": "somebody\'s own"}\n', b"\0" * 9 + b"\n"]))
    before = shard.read_bytes()
    with lock_folder(path, version="1") as locked:
        rebuilt = rebuild(locked, IDENTITIES, version="9.9.9")
    assert shard.read_bytes() == before
    assert rebuilt.pairs == 6
    assert rebuilt.damaged == [f"{shard}: 2 lines are no rows; left as they are"]
    with SqliteLookup(folder.ledger) as lookup:
        assert lookup.totals().units == {"written": 3, "rejected": 1}


@pytest.mark.parametrize("kind", ["train", "rejected"])
def test_a_published_shard_that_ends_in_a_line_is_cut_back_to_whole_units(
    path: Path, kind: str
) -> None:
    """What somebody wrote into it before stays as it is."""
    folder = lost(path)
    shard = folder.published(kind) / f"{kind}-00000.jsonl"
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"".join([b'{"id": 1}\n', *lines])[:-7])
    with lock_folder(path, version="1") as locked:
        rebuilt = rebuild(locked, IDENTITIES, version="1")
    whole = lines[:-2] if kind == "train" else []
    assert shard.read_bytes() == b"".join([b'{"id": 1}\n', *whole])
    assert rebuilt.cut == (2 if kind == "train" else 1)
    with SqliteLookup(folder.ledger) as lookup:
        assert sum(lookup.totals().units.values()) == 10, "the unit that was cut off is open again"


@pytest.mark.parametrize("data", [b"", b'{"id": "39'])
def test_a_published_shard_of_which_nothing_is_left_is_removed(path: Path, data: bytes) -> None:
    folder = lost(path)
    shard = folder.data / "train-00000.jsonl"
    shard.write_bytes(data)
    with lock_folder(path, version="1") as locked:
        rebuilt = rebuild(locked, IDENTITIES, version="1")
    assert not shard.exists()
    assert (rebuilt.pairs, rebuilt.cut) == (0, int(data != b""))


def test_a_row_that_lacks_nothing_but_its_newline_gets_it(path: Path) -> None:
    folder = lost(path)
    shard = folder.data / "train-00000.jsonl"
    before = shard.read_bytes()
    shard.write_bytes(before[:-1])
    with lock_folder(path, version="1") as locked:
        rebuilt = rebuild(locked, IDENTITIES, version="1")
    assert shard.read_bytes() == before
    assert (rebuilt.pairs, rebuilt.cut) == (20, 0)


def ids(folder: RunFolder) -> list[str]:
    shards = sorted(folder.data.iterdir())
    return [
        orjson.loads(line)["id"] for shard in shards for line in shard.read_bytes().splitlines()
    ]


def test_an_older_copy_of_a_published_shard_is_dropped(path: Path) -> None:
    folder = lost(path)
    published = (folder.data / "train-00000.jsonl").read_bytes()
    (folder.open_shards / "train-00000.jsonl").write_bytes(published[: len(published) // 2])
    with lock_folder(path, version="1") as locked:
        rebuilt = rebuild(locked, IDENTITIES, version="9.9.9")
    assert (rebuilt.pairs, rebuilt.doubles) == (20, 0)
    assert (folder.data / "train-00000.jsonl").read_bytes() == published
    assert list(folder.open_shards.iterdir()) == []


@pytest.mark.parametrize("identities", [IDENTITIES, []], ids=["named", "unnamed"])
def test_units_that_stand_twice_stand_once_afterwards(path: Path, identities: list[str]) -> None:
    """Of the second time all rows go, though it gave one pair more."""
    folder = lost(path)
    again = [outcome(n, IDENTITIES[n % 2], 3 if identities else 2) for n in range(6)]
    new = [outcome(n, IDENTITIES[n % 2]) for n in (20, 21)]
    lines = [line for unit in (*again, *new) for line in unit.rows]
    (folder.open_shards / "train-00000.jsonl").write_bytes(b"".join(lines))
    with lock_folder(path, version="1") as locked:
        rebuilt = rebuild(locked, identities, version="9.9.9")
    assert rebuilt.doubles == len([line for unit in again for line in unit.rows])
    assert rebuilt.pairs == 22  # the last unit of an open shard may be half
    assert len(set(ids(folder))) == len(ids(folder)) == 22
    assert sorted(p.name for p in folder.data.iterdir()) == [
        "train-00000.jsonl",
        "train-00001.jsonl",
    ]
    with SqliteLookup(folder.ledger) as lookup:
        known = {it.number: (it.rows, it.bytes) for it in lookup.shards() if it.kind == "train"}
    assert known == {
        number: (len(data.splitlines()), len(data))
        for number, data in enumerate(shard.read_bytes() for shard in sorted(folder.data.iterdir()))
    }
    with lock_folder(path, version="1") as locked:
        assert rebuild(locked, identities, version="9.9.9").doubles == 0


def test_an_open_shard_of_one_unit_that_may_be_half_is_removed(path: Path) -> None:
    folder = lost(path)
    lines = outcome(20, IDENTITIES[0]).rows
    (folder.open_shards / "train-00000.jsonl").write_bytes(b"".join(lines))
    with lock_folder(path, version="1") as locked:
        rebuilt = rebuild(locked, IDENTITIES, version="9.9.9")
    assert (rebuilt.pairs, rebuilt.cut) == (20, 2)
    assert list(folder.open_shards.iterdir()) == []
    assert [shard.name for shard in folder.data.iterdir()] == ["train-00000.jsonl"]


def test_the_bill_is_carried_over(path: Path) -> None:
    """Calls that wrote nothing stand in no row: probes, lost and empty replies, and all prices."""
    folder = RunFolder(path)
    sums = ChargeSums()
    for charge in (
        CallCharge("model-1", "answer", Usage(110, 55), 700, 3, 4),
        CallCharge("model-1", "probe", Usage(7, 2), 30),
        CallCharge("model-2", "empty", Usage(20, 9), None),
        CallCharge("model-1", "lost", Usage(), 0, 4000, 90_000),
    ):
        sums.add(charge)
    with (
        open_folder(path, settings_fingerprint={}, accept_change=False, version="1") as opened,
        Journal.open(opened, clock=lambda: 0.0) as journal,
    ):
        journal.commit(Batch((), (), sums.take()))
    with SqliteLookup(folder.ledger) as lookup:
        before = lookup.totals().bill
    assert (before.probes, before.empty, before.lost, before.picodollars) == (1, 1, 1, 730)
    for _ in range(2):  # also where the new ledger is gone, and only the old one stands beside it
        with lock_folder(path, version="1") as locked:
            rebuild(locked, IDENTITIES, version="9.9.9")
        with SqliteLookup(folder.ledger) as lookup:
            after = lookup.totals().bill
        assert after.picodollars == before.picodollars
        assert after.usage == Usage(137, 66)  # that of the rows is told by their lines
        assert (after.probes, after.empty, after.lost) == (1, 1, 1)
        assert (after.doubt_tokens, after.doubt_picodollars) == (4003, 90_004)
        assert after.unpriced == before.unpriced
        folder.ledger.unlink()


def test_answers_that_stand_in_no_row_cost_what_they_did(path: Path) -> None:
    """Such as one that was paid for just before the ledger was damaged."""
    bought = Completion("text", "stop", "model-3", Usage(100, 50, cached_tokens=30), 1.0)
    with (
        open_folder(path, settings_fingerprint={}, accept_change=False, version="1") as opened,
        Journal.open(opened, clock=lambda: 0.0) as journal,
    ):
        journal.commit(Batch([PaidAnswer("a" * 32, "b" * 32, "c" * 32, bought)]))
    for _ in range(2):
        with lock_folder(path, version="1") as locked:
            rebuild(locked, IDENTITIES, version="9.9.9")
        with SqliteLookup(RunFolder(path).ledger) as lookup:
            assert lookup.totals().bill.unpriced["model-3"] == bought.usage


def test_what_was_sent_in_vain_is_carried_over(path: Path) -> None:
    open_chunk = digest("chunk", "100")
    key = UnitKey(digest(open_chunk, IDENTITIES[0]), open_chunk)
    send = BilledSend(digest("call"), *(key.unit_id, key.chunk_id), Kind.LOST, "r", "", "cut off")
    with (
        open_folder(path, settings_fingerprint={}, accept_change=False, version="1") as folder,
        Journal.open(folder, clock=lambda: 0.0) as journal,
    ):
        journal.commit(Batch(sends=[send]))
    with lock_folder(path, version="1") as locked:
        rebuild(locked, IDENTITIES, version="9.9.9")
    with SqliteLookup(RunFolder(path).ledger) as lookup:
        assert lookup.known([key]).sends == {open_chunk: {send.call_id: send}}


def test_a_folder_in_the_place_of_the_ledger_is_put_aside(path: Path) -> None:
    folder = lost(path)
    folder.ledger.mkdir()
    with lock_folder(path, version="1") as locked:
        assert rebuild(locked, IDENTITIES, version="9.9.9").pairs == 20
    with SqliteLookup(folder.ledger) as lookup:
        assert lookup.totals().pairs == 20


def test_a_chunk_with_nothing_to_write_about_is_no_failure_afterwards(tmp_path: Path) -> None:
    """``retry`` asks about what was rejected, and must not ask about these again."""
    chunk = Chunk(digest("chunk"), "text", "d", 0, 4, "s")
    origin = RowOrigin(digest("unit"), "r", "1", "model-1", 1, Usage(10, 5), 1.0)
    dropped = [Rejection("boilerplate", "a menu")]
    empty = encode_unit(UnitResult(chunk, origin, Outcome.EMPTY, [], dropped))
    place = tmp_path / "out"
    with (
        open_folder(place, settings_fingerprint={}, accept_change=False, version="1") as folder,
        Journal.open(folder, clock=lambda: 0.0) as journal,
    ):
        journal.commit(Batch((), [empty]))
    before = SqliteLookup(RunFolder(place).ledger).totals()
    folder = lost(place)
    with lock_folder(place, version="1") as locked:
        rebuild(locked, IDENTITIES, version="9.9.9")
    with SqliteLookup(folder.ledger) as lookup:
        assert lookup.totals().units == before.units == {"empty": 1}

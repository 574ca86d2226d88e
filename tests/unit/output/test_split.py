from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pairmill.errors import UsageError
from pairmill.output.split import Shares, SplitRecord, Splitter, parse_shares, read_splits

if TYPE_CHECKING:
    from pathlib import Path


def test_shares_are_read_as_written() -> None:
    assert parse_shares("80/15/5") == Shares(80, 15, 5)
    assert parse_shares("100/0/0") == Shares(100, 0, 0)
    assert parse_shares("80/20") == Shares(80, 20, 0)


@pytest.mark.parametrize(
    "text", ["", "90", "90/20", "90/5/5/0", "a/b/c", "90/5/6", "-10/55/55", "nan/5/5"]
)
def test_shares_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="90/5/5"):
        parse_shares(text)


def test_all_in_one_split() -> None:
    names = [str(number) for number in range(200)]
    assert {Splitter(Shares(100, 0, 0)).split_of(name) for name in names} == {"train"}
    assert {Splitter(Shares(0, 0, 100)).split_of(name) for name in names} == {"test"}


def test_another_seed_is_another_assignment() -> None:
    names = [str(number) for number in range(200)]
    one, other = (Splitter(Shares(50, 0, 50), seed) for seed in (1, 2))
    plain, zero = Splitter(Shares(50, 0, 50)), Splitter(Shares(50, 0, 50), 0)
    assert all(plain.split_of(name) == zero.split_of(name) for name in map(str, range(100)))
    assert [one.split_of(name) for name in names] != [other.split_of(name) for name in names]


def test_the_assignment_is_pinned() -> None:
    """A change here moves pairs between the splits of datasets that people have published."""
    splitter = Splitter(Shares(60, 20, 20), 7)
    found = "".join(splitter.split_of(f"d{number}")[1] for number in range(20))
    assert found == "arrerraaeerrrrrrerar"


def test_a_long_chain_of_edges_is_one_component() -> None:
    edges = [(f"{number:06d}", f"{number + 1:06d}") for number in range(50_000, 0, -1)]
    assert Splitter(Shares(), 0, edges).component("050001") == "000001"


def test_documents_keep_their_split_only_under_the_shares_and_seed_of_their_export(
    tmp_path: Path,
) -> None:
    shares = Shares(80, 10, 10)
    assert list(read_splits(tmp_path, shares, 1)) == []
    with SplitRecord(tmp_path, shares, 1) as record:
        for name, split in (("a", "train"), ("a", "train"), ("b", "test")):
            record.note(name, split)
    assert list(read_splits(tmp_path, shares, 1)) == [("a", "train"), ("b", "test")]
    assert list(read_splits(tmp_path, shares, 2)) == []
    assert list(read_splits(tmp_path, Shares(90, 5, 5), 1)) == []

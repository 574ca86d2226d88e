from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import FolderError
from pairmill.output import show
from pairmill.output.show import Reservoir, random_rows
from pairmill.store.superseded import SupersededLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_same_seed_shows_the_same_rows(
    row: Callable[..., Any], run_folder: Callable[..., Path]
) -> None:
    folder = run_folder([row(n) for n in range(50)], [row(n) for n in range(50, 90)])
    one, same, other = (random_rows(folder, 5, seed) for seed in (1, 1, 2))
    assert one == same != other
    assert len({item["id"] for item in one}) == 5


def test_open_shards_are_read_to_their_last_whole_line(
    row: Callable[..., Any], run_folder: Callable[..., Path]
) -> None:
    folder = run_folder([row(0)])
    shard = folder / ".run" / "open" / "train-00001.jsonl"
    shard.parent.mkdir(parents=True)
    shard.write_text(json.dumps(row(1)) + "\n" + '{"id": "torn')
    assert {item["id"][-1] for item in random_rows(folder, 10, 0)} == {"0", "1"}


def test_a_shard_published_meanwhile_is_shown_once(
    row: Callable[..., Any], run_folder: Callable[..., Path]
) -> None:
    folder = run_folder([row(0), row(1)])
    shard = folder / ".run" / "train-00000.jsonl"
    shard.parent.mkdir()
    shard.write_text(json.dumps(row(0)) + "\n")
    assert sorted(item["id"][-1] for item in random_rows(folder, 10, 0)) == ["0", "1"]


def test_an_open_shard_that_vanishes_is_no_error(
    row: Callable[..., Any], run_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder([row(0)])
    monkeypatch.setattr(show, "open_shards", lambda folder: [folder / "gone.jsonl"])
    assert len(random_rows(folder, 3, 0)) == 1


def test_superseded_rows_take_no_place_from_the_others(
    row: Callable[..., Any], run_folder: Callable[..., Path]
) -> None:
    chunks = [f"{n:032x}" for n in range(40)]
    folder = run_folder([row(n, chunk_id=chunk) for n, chunk in enumerate(chunks)])
    with closing(SupersededLog(folder)) as log:
        log.append([(chunk, True) for chunk in chunks[:34]])
    assert {item["chunk_id"] for item in random_rows(folder, 6, 0)} == set(chunks[34:])


def test_nothing_there_shows_nothing(tmp_path: Path) -> None:
    assert random_rows(tmp_path, 5, 0) == []


def test_a_damaged_line_is_named(run_folder: Callable[..., Path]) -> None:
    folder = run_folder([])
    (folder / "data" / "train-00000.jsonl").write_text("nonsense\n")
    with pytest.raises(FolderError, match=r"train-00000\.jsonl: no row at byte 0"):
        random_rows(folder, 1, 0)


def test_every_item_has_the_same_chance() -> None:
    seen: Counter[int] = Counter()
    for seed in range(4_000):
        reservoir: Reservoir[int] = Reservoir(3, seed)
        for item in range(10):
            reservoir.offer(item)
        seen.update(reservoir.items)
    assert all(abs(seen[item] - 1_200) < 150 for item in range(10))

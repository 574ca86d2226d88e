from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import ConfigError
from pairmill.partition import Partition, check_parts, check_whole, find_parts, parse_partition

if TYPE_CHECKING:
    from pathlib import Path

SLURM = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "4", "SLURM_ARRAY_TASK_COUNT": "8"}


@pytest.mark.parametrize(
    ("text", "environ", "part"),
    [
        ("0/1", {}, Partition(0, 1)),
        ("3/8", {}, Partition(3, 8)),
        ("auto/8", {"JOB_COMPLETION_INDEX": "5"}, Partition(5, 8)),
        ("auto", {"JOB_COMPLETION_INDEX": "5", "PAIRMILL_PARTITIONS": "6"}, Partition(5, 6)),
        ("auto", SLURM, Partition(3, 8)),
        ("auto/9", SLURM, Partition(3, 9)),
        ("auto/8", {**SLURM, "JOB_COMPLETION_INDEX": "1"}, Partition(1, 8)),
    ],
)
def test_a_part_is_named_or_found_in_the_environment(
    text: str, environ: dict[str, str], part: Partition
) -> None:
    assert parse_partition(text, environ) == part


@pytest.mark.parametrize(
    ("text", "environ", "told"),
    [
        ("8/8", {}, "there is no part 8 of 8; parts are numbered from 0: 0/8 to 7/8"),
        ("0/0", {}, "there is no part 0 of 0"),
        ("0/999999", {}, "at most 100,000 parts"),
        ("-1/8", {}, "is not of the form INDEX/COUNT"),
        ("1", {}, "is not of the form INDEX/COUNT"),
        ("1/8/2", {}, "is not of the form INDEX/COUNT"),
        ("\u0661/8", {}, "is not of the form INDEX/COUNT"),
        ("auto", {}, "neither JOB_COMPLETION_INDEX nor SLURM_ARRAY_TASK_ID gives"),
        ("auto", {"JOB_COMPLETION_INDEX": "1"}, "neither PAIRMILL_PARTITIONS nor SLURM"),
        ("auto/2", {"JOB_COMPLETION_INDEX": "x"}, "JOB_COMPLETION_INDEX is 'x', and no number"),
    ],
)
def test_a_part_that_there_cannot_be_is_told(text: str, environ: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match="partition: ") as caught:
        parse_partition(text, environ)
    assert told in str(caught.value)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_each_chunk_falls_to_one_part_and_parts_come_out_even(count: int) -> None:
    ids = [sha256(str(number).encode()).hexdigest()[:32] for number in range(300 * count)]
    parts = [Partition(index, count) for index in range(count)]
    taken = Counter(part.index for name in ids for part in parts if part.takes(name))
    assert sum(taken.values()) == len(ids)
    assert min(taken.values()) > 200
    assert max(taken.values()) < 400


def test_a_number_of_parts_cannot_change_midway(tmp_path: Path) -> None:
    (tmp_path / "part-0-of-3").mkdir()
    (tmp_path / "part-x-of-3").mkdir()
    (tmp_path / "part-9-of-9").write_text("no folder")
    assert find_parts(tmp_path) == {Partition(0, 3): tmp_path / "part-0-of-3"}
    check_parts(tmp_path / "part-1-of-3", Partition(1, 3))
    with pytest.raises(ConfigError, match="holds parts of 3, and this is part 1/4"):
        check_parts(tmp_path / "part-1-of-4", Partition(1, 4))
    (tmp_path / ".run").mkdir()
    with pytest.raises(ConfigError, match="is the run folder of a single process"):
        check_parts(tmp_path / "part-1-of-3", Partition(1, 3))


def test_a_whole_run_does_not_begin_among_parts(tmp_path: Path) -> None:
    check_whole(tmp_path / "not-there")
    check_whole(tmp_path)
    (tmp_path / "part-0-of-3").mkdir()
    with pytest.raises(ConfigError, match="holds parts of 3; add --partition"):
        check_whole(tmp_path)
    (tmp_path / ".run").mkdir()  # a run folder whose user keeps something beside it
    check_whole(tmp_path)

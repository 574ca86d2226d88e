"""Parts of one run: several processes that share an input, each with a run folder of its own.

A part takes the chunks whose id hashes to it: about one in ``count``, whatever the documents, and
the same ones at every start. All parts read the whole input, so that code that depends on all of it
(limits, duplicates, style cards) sees what a single process would see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "MOST_PARTS",
    "Partition",
    "check_parts",
    "check_whole",
    "find_parts",
    "parse_partition",
    "part_of",
]

MOST_PARTS = 100_000
_FORM = re.compile(r"(\d{1,6}|auto)/(\d{1,6})|auto", re.ASCII)
_NAME = re.compile(r"part-(\d{1,6})-of-(\d{1,6})", re.ASCII)
_INDEX_FROM = ("JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID")
_COUNT_FROM = ("PAIRMILL_PARTITIONS", "SLURM_ARRAY_TASK_COUNT")


@dataclass(frozen=True, order=True, slots=True)
class Partition:
    """One part of several.

    Attributes:
        index: From 0.
        count: Number of parts.
    """

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def name(self) -> str:
        """Name of its run folder."""
        return f"part-{self.index}-of-{self.count}"

    def takes(self, chunk_id: str) -> bool:
        """Return whether a chunk belongs to this part.

        Args:
            chunk_id: 32 hexadecimal digits of a hash, which makes the parts equal in size.
        """
        return int(chunk_id[:16], 16) % self.count == self.index


def parse_partition(text: str, environ: Mapping[str, str]) -> Partition:
    """Read ``3/8``, ``auto/8`` or ``auto``.

    ``auto`` takes the index from JOB_COMPLETION_INDEX (a Kubernetes Indexed Job) or
    SLURM_ARRAY_TASK_ID; the count, where it is not given, from PAIRMILL_PARTITIONS or
    SLURM_ARRAY_TASK_COUNT. A Slurm array may begin at any number with steps of 1.

    Raises:
        ConfigError: It has another form, or the environment lacks the numbers.
    """
    if not _FORM.fullmatch(text):
        raise ConfigError(
            f"partition: '{text}' is not of the form INDEX/COUNT, such as 0/8, nor auto or auto/8"
        )
    first, _, last = text.partition("/")
    index = _index(environ) if first == "auto" else int(first)
    count = int(last) if last else _number(environ, _COUNT_FROM)
    if not 1 <= count <= MOST_PARTS or index >= count:
        numbered = f"parts are numbered from 0: 0/{count} to {count - 1}/{count}"
        raise ConfigError(
            f"partition: there is no part {index} of {count}"
            + (f"; {numbered}" if 1 <= count <= MOST_PARTS else f"; at most {MOST_PARTS:,} parts")
        )
    return Partition(index, count)


def part_of(name: str) -> Partition | None:
    """Return the part that a folder's name stands for; None if it is no part's."""
    match = _NAME.fullmatch(name)
    return Partition(int(match[1]), int(match[2])) if match else None


def find_parts(folder: Path) -> dict[Partition, Path]:
    """Return the run folders of parts that lie in a folder."""
    found = {}
    if folder.is_dir():
        for path in folder.iterdir():
            if (part := part_of(path.name)) and path.is_dir():
                found[part] = path
    return found


def check_parts(output: Path, partition: Partition) -> None:
    """Check that a part fits the other folders beside it.

    Args:
        output: The part's own run folder.
        partition: The part.

    Raises:
        ConfigError: The parent folder holds parts of another count, or is a run folder itself.
    """
    if output.name != partition.name:
        return
    around = output.parent
    others = sorted({part.count for part in find_parts(around)} - {partition.count})
    if others:
        raise ConfigError(
            f"{around}: holds parts of {others[0]}, and this is part {partition}; the number of"
            f" parts cannot be changed: continue with {others[0]}, or give another folder with -o"
        )
    if (around / ".run").is_dir():
        raise ConfigError(
            f"{around}: is the run folder of a single process; give the parts another folder with"
            f" -o"
        )


def check_whole(output: Path) -> None:
    """Check that a folder for the run of a single process does not hold the parts of another run.

    Raises:
        ConfigError: It does.
    """
    parts = find_parts(output)
    if parts and not (output / ".run").is_dir():
        raise ConfigError(
            f"{output}: holds parts of {min(parts).count}; add --partition, or give another folder"
            " with -o"
        )


def _index(environ: Mapping[str, str]) -> int:
    index = _number(environ, _INDEX_FROM)
    if "JOB_COMPLETION_INDEX" not in environ and environ.get("SLURM_ARRAY_TASK_MIN", "").isdigit():
        index -= int(environ["SLURM_ARRAY_TASK_MIN"])
    return index


def _number(environ: Mapping[str, str], names: tuple[str, ...]) -> int:
    for name in names:
        value = environ.get(name, "").strip()
        if value:
            if not (value.isascii() and value.isdigit()):
                raise ConfigError(f"partition: {name} is '{value}', and no number")
            return int(value)
    what = " nor ".join(names)
    raise ConfigError(f"partition: auto needs a number that neither {what} gives")

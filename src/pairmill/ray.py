"""Ray Data: a run's pairs as a dataset of Ray, in a pipeline that people already have.

    import pairmill
    from pairmill.ray import read_pairs

    pairmill.generate(documents, output="dataset", engine="ray", partitions=8)
    read_pairs("dataset").filter(lambda row: row["support"] > 0.5).write_parquet("good")

``documents`` may be a dataset of Ray, with a column for the text. Needs the extra ``ray``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairmill.errors import ConfigError, FolderError
from pairmill.output.marks.overlay import read_marks
from pairmill.output.rows import complete_lines, parse, published_shards
from pairmill.output.table_files import ArrowTables
from pairmill.partition import find_parts
from pairmill.store.columns import with_fields
from pairmill.store.folder import read_folder
from pairmill.store.row_encoding import read_fields

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import ray.data

    from pairmill.output.marks.overlay import Marks

__all__ = ["read_pairs"]

_TABLE_ROWS = 1_000


def read_pairs(folder: str | os.PathLike[str]) -> ray.data.Dataset:
    """Return the published pairs of a run as a dataset of Ray, one block or more a shard.

    People's marks hold: what they rejected, and what was superseded, is left out; edits are in.

    Args:
        folder: A run folder, or one with the parts of a run, on a disk that all nodes see.

    Raises:
        ConfigError: Ray is not installed.
        FolderError: It is not a run folder, or no pair was published yet.
    """
    try:
        import pyarrow  # noqa: ICN001, PLC0415 (an extra)
        import ray.data  # noqa: PLC0415
    except ImportError:
        raise ConfigError("read_pairs: needs the extra: pip install 'pairmill[ray]'") from None
    place = Path(folder).absolute()
    parts = find_parts(place)
    folders = [parts[part] for part in sorted(parts)] or [place]
    fields: dict[str, Any] = {}
    shards: list[dict[str, str]] = []
    for each in folders:
        fields |= read_fields(read_folder(each).state)
        shards += [{"folder": str(each), "shard": str(path)} for path in published_shards(each)]
    if not shards:
        raise FolderError(f"{place}: holds no published pairs yet")
    reader = _ShardReader(ArrowTables(pyarrow, with_fields(fields)))
    items = ray.data.from_items(shards, override_num_blocks=len(shards))
    return items.map_batches(reader, batch_size=1, batch_format="numpy")


class _ShardReader:
    """Reads shards in a Ray worker, as tables of the same columns."""

    def __init__(self, tables: ArrowTables) -> None:
        self._tables = tables
        self._marks: dict[str, Marks] = {}

    def __call__(self, batch: dict[str, Any]) -> Iterator[Any]:
        for folder, shard in zip(batch["folder"], batch["shard"], strict=True):
            yield from self._tables_of(Path(str(folder)), Path(str(shard)))

    def _tables_of(self, folder: Path, shard: Path) -> Iterator[Any]:
        marks = self._marks.get(str(folder))
        if marks is None:
            marks = self._marks[str(folder)] = read_marks(folder)
        rows: list[dict[str, Any]] = []
        for line in complete_lines(shard):
            row = parse(line, shard)
            if not marks.leaves_out(row):
                rows.append(marks.revise(row))
            if len(rows) == _TABLE_ROWS:
                yield self._tables.make(rows)
                rows = []
        yield self._tables.make(rows)

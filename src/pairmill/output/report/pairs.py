"""Selects the pairs that the report lists: the worst, some at random, and some rejected ones."""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pairmill.output.marks.overlay import NO_MARKS, reject_key
from pairmill.output.marks.rescue import row_of_reject
from pairmill.output.qc.limits import Status
from pairmill.output.record import Place
from pairmill.output.report.items import badness_of, foreign_item, pair_item, reject_item
from pairmill.output.rows import complete_lines, parse, published_shards
from pairmill.output.sample import Reservoir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pairmill.output.marks.overlay import Mark, Marks
    from pairmill.output.qc.report import Report
    from pairmill.output.qc.shapes import PairRow
    from pairmill.output.report.items import Finding
    from pairmill.output.rows import Row
    from pairmill.records import Chunk

__all__ = ["findings_by_place", "findings_by_row", "list_pairs", "list_rows"]

WORST, RANDOM, REJECTED = 300, 200, 200
_WEIGHT = {Status.FAIL: 8, Status.WARN: 4, Status.OK: 2, Status.INFO: 1}


def findings_by_row(report: Report) -> dict[int, list[Finding]]:
    """Everything that a report found in a row, by the row's number, from 1."""
    found: defaultdict[int, list[Finding]] = defaultdict(list)
    for metric in report.by_severity:
        if metric.status is Status.INFO:
            continue
        for hit in metric.hits:
            found[hit.row].append((metric.key, hit.detail, _WEIGHT[metric.status]))
    return dict(found)


def findings_by_place(report: Report, places: list[Place]) -> dict[Place, list[Finding]]:
    """Everything that a report found in a row, by where the row is.

    Args:
        report: The report.
        places: Of its rows, in their order.
    """
    return {places[row - 1]: found for row, found in findings_by_row(report).items()}


def list_pairs(
    folder: Path,
    found: Mapping[Place, list[Finding]],
    find_chunks: Callable[[set[str]], Mapping[str, Chunk]],
    *,
    seed: int = 0,
    most: tuple[int, int, int] = (WORST, RANDOM, REJECTED),
    marks: Marks = NO_MARKS,
) -> tuple[list[dict[str, Any]], str]:
    """Select the pairs to list as plain values, and describe the selection in a sentence.

    Args:
        folder: The run folder.
        found: What was found in its rows.
        find_chunks: Finds chunks by their ids.
        seed: Of the random ones.
        most: How many of the worst, of the others at random, and of the rejected.
        marks: What people decided.
    """
    worst: list[tuple[float, int, Row, Place]] = []
    others: Reservoir[tuple[int, Row, Place]] = Reservoir(most[1], seed)
    total = 0
    current = (entry for entry in _rows(folder, "train") if not marks.is_superseded(entry[0]))
    for total, (read, place, _) in enumerate(current, 1):
        row = marks.revise(read)
        badness = badness_of(row, found.get(place, ()))
        entry = (badness, -total, row, place)
        if badness < 1:
            others.offer((total, row, place))
        elif len(worst) < most[0]:
            heapq.heappush(worst, entry)
        elif entry[:2] > worst[0][:2]:
            left = heapq.heapreplace(worst, entry)
            others.offer((-left[1], left[2], left[3]))
        else:
            others.offer((total, row, place))
    rejects: Reservoir[tuple[int, Row, Mark, str]] = Reservoir(most[2], seed)
    dropped = 0
    for dropped, (row, _, data) in enumerate(_rows(folder, "rejected"), 1):
        key = reject_key(data)
        rejects.offer((dropped, row, marks.of(key), key))
    kept = [*((-number, row, place) for _, number, row, place in worst), *others.items]
    wanted = {str(row.get("chunk_id")) for _, row, _ in kept}
    wanted |= {str(row.get("chunk_id")) for _, row, *_ in rejects.items}
    chunks = find_chunks(wanted)

    def chunk_of(row: Row) -> Chunk | None:
        return chunks.get(str(row.get("chunk_id")))

    listed = [
        pair_item(row, at, found.get(place, ()), chunk_of(row), marks.of(str(row.get("id"))))
        for at, row, place in kept
    ]
    listed += [
        reject_item(row, total + at, chunk_of(row), mark, row_of_reject(row, key, marks))
        for at, row, mark, key in rejects.items
    ]
    if len(kept) == total and len(rejects.items) == dropped:
        return listed, f"All {total:,} pairs, and all {dropped:,} entries of rejected/."
    return listed, (
        f"A part of the dataset: the {len(worst):,} worst of {total:,} pairs,"
        f" {len(others.items):,} of the others at random, and {len(rejects.items):,} of"
        f" {dropped:,} entries of rejected/. 'pairmill view' shows all."
    )


def list_rows(
    rows: Sequence[PairRow],
    report: Report,
    *,
    seed: int = 0,
    most: tuple[int, int] = (WORST, RANDOM),
) -> tuple[list[dict[str, Any]], str]:
    """Select the rows of any dataset to list, and describe the selection in a sentence.

    Args:
        rows: What the report was made of, in order.
        report: The report.
        seed: Of the random ones.
        most: How many of the worst, and of the others at random.
    """
    found = findings_by_row(report)
    bad = sorted(found, key=lambda at: (-sum(weight for *_, weight in found[at]), at))[: most[0]]
    chosen = set(bad)
    others: Reservoir[int] = Reservoir(most[1], seed)
    for number in range(1, len(rows) + 1):
        if number not in chosen:
            others.offer(number)
    listed = [foreign_item(rows[at - 1], at, found.get(at, [])) for at in (*bad, *others.items)]
    if len(listed) == len(rows):
        return listed, f"All {len(rows):,} pairs."
    return listed, (
        f"A part of the dataset: the {len(bad):,} worst of {len(rows):,} pairs,"
        f" and {len(others.items):,} of the others at random. 'pairmill view' shows all."
    )


def _rows(folder: Path, kind: str) -> Iterator[tuple[Row, Place, bytes]]:
    for shard in published_shards(folder, kind):
        for number, line in enumerate(complete_lines(shard), 1):
            yield parse(line, shard), Place(str(shard), number), line.data

"""Which pairs the report lists: the worst, some at random, and some of those that were rejected."""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pairmill.output.markup import page_text
from pairmill.output.qc.limits import Status
from pairmill.output.qc.shapes import Place
from pairmill.output.rows import complete_lines, mean_score, parse, published_shards, turns_of
from pairmill.output.sample import Reservoir
from pairmill.quality.language import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pairmill.output.qc.report import Report
    from pairmill.output.qc.shapes import PairRow
    from pairmill.output.rows import Row

__all__ = ["Finding", "findings_by_place", "list_pairs", "list_rows"]

Finding = tuple[str, str, int]
"""A figure's key, what was found, and how much it weighs."""

WORST, RANDOM, REJECTED = 300, 200, 200
_TEXT_CHARS = 8_000
_CHUNK_CHARS = 6_000
_WEIGHT = {Status.FAIL: 8, Status.WARN: 4, Status.OK: 2, Status.INFO: 1}


def findings_by_place(report: Report, places: list[Place]) -> dict[Place, list[Finding]]:
    """Everything that a report found in a row, by where the row stands.

    Args:
        report: The report.
        places: Of its rows, in their order.
    """
    found: defaultdict[Place, list[Finding]] = defaultdict(list)
    for metric in report.by_severity:
        if metric.status is Status.INFO:
            continue
        for hit in metric.hits:
            found[places[hit.row - 1]].append((metric.key, hit.detail, _WEIGHT[metric.status]))
    return dict(found)


def list_pairs(
    folder: Path,
    found: Mapping[Place, list[Finding]],
    find_chunks: Callable[[set[str]], Mapping[str, str]],
    *,
    seed: int = 0,
    most: tuple[int, int, int] = (WORST, RANDOM, REJECTED),
) -> tuple[list[dict[str, Any]], str]:
    """The pairs to list as plain values, and a sentence that says how they were chosen.

    Args:
        folder: The run folder.
        found: What was found in its rows.
        find_chunks: Finds the texts of chunks by their ids.
        seed: Of the random ones.
        most: How many of the worst, of the others at random, and of the rejected.
    """
    worst: list[tuple[float, int, Row, Place]] = []
    others: Reservoir[tuple[int, Row, Place]] = Reservoir(most[1], seed)
    total = 0
    for total, (row, place) in enumerate(_rows(folder, "train"), 1):
        badness = _badness(row, found.get(place, ()))
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
    rejects: Reservoir[tuple[int, Row]] = Reservoir(most[2], seed)
    dropped = 0
    for dropped, (row, _) in enumerate(_rows(folder, "rejected"), 1):
        rejects.offer((dropped, row))
    kept = [*((-number, row, place) for _, number, row, place in worst), *others.items]
    wanted = {str(row.get("chunk_id")) for _, row, _ in kept}
    wanted |= {str(row.get("chunk_id")) for _, row in rejects.items}
    chunks = find_chunks(wanted)
    listed = [_listed(row, number, found.get(place, ()), chunks) for number, row, place in kept]
    listed += [_rejected(row, total + number, chunks) for number, row in rejects.items]
    if len(kept) == total and len(rejects.items) == dropped:
        return listed, f"All {total:,} pairs, and all {dropped:,} entries of rejected/."
    return listed, (
        f"A part of the dataset: the {len(worst):,} worst of {total:,} pairs,"
        f" {len(others.items):,} of the others at random, and {len(rejects.items):,} of"
        f" {dropped:,} entries of rejected/."
    )


def list_rows(
    rows: Sequence[PairRow],
    report: Report,
    *,
    seed: int = 0,
    most: tuple[int, int] = (WORST, RANDOM),
) -> tuple[list[dict[str, Any]], str]:
    """The rows of any dataset to list, and a sentence that says how they were chosen.

    Args:
        rows: What the report was made of, in order.
        report: The report.
        seed: Of the random ones.
        most: How many of the worst, and of the others at random.
    """
    found: defaultdict[int, list[Finding]] = defaultdict(list)
    for metric in report.by_severity:
        for hit in metric.hits if metric.status is not Status.INFO else ():
            found[hit.row].append((metric.key, hit.detail, _WEIGHT[metric.status]))
    bad = sorted(found, key=lambda at: (-sum(weight for *_, weight in found[at]), at))[: most[0]]
    chosen = set(bad)
    others: Reservoir[int] = Reservoir(most[1], seed)
    for number in range(1, len(rows) + 1):
        if number not in chosen:
            others.offer(number)
    listed = [_foreign(rows[at - 1], at, found.get(at, [])) for at in (*bad, *others.items)]
    if len(listed) == len(rows):
        return listed, f"All {len(rows):,} pairs."
    return listed, (
        f"A part of the dataset: the {len(bad):,} worst of {len(rows):,} pairs,"
        f" and {len(others.items):,} of the others at random."
    )


def _foreign(row: PairRow, number: int, found: list[Finding]) -> dict[str, Any]:
    turns = [
        turn
        for asked, said in row.exchanges
        for turn in (["user", asked], ["assistant" if asked else "text", said])
    ]
    said = " ".join(text for _, text in row.exchanges)
    place = f"{row.place.file.rpartition('/')[2]}:{row.place.line}"
    return {
        "place": number, "id": place, "source": _text(row.place.file.rpartition("/")[2]),
        "model": "", "chunk": page_text(row.passage, _CHUNK_CHARS), "reason": "", "detail": "",
        "turns": [[role, _text(text)] for role, text in turns if text],
        "system": _text(row.surroundings), "reasoning": "",
        "findings": [[key, _text(detail)] for key, detail, _ in found], "flags": [],
        "grounding": None, "support": None, "score": None, "kind": _text(row.task), "title": "",
        "evidence": "", "language": identify(said) or "", "fields": "", "alternative": "",
        "length": len(said.split()),
        "badness": sum(weight for *_, weight in found),
    }  # fmt: skip


def _rows(folder: Path, kind: str) -> Iterator[tuple[Row, Place]]:
    for shard in published_shards(folder, kind):
        for number, line in enumerate(complete_lines(shard), 1):
            yield parse(line, shard), Place(str(shard), number)


def _badness(row: Row, found: tuple[Finding, ...] | list[Finding]) -> float:
    """How much there is to look at: what was found, by weight, then flags, then coverage."""
    grounding = row.get("grounding")
    ungrounded = 1 - grounding if isinstance(grounding, int | float) else 0.0
    flags = row.get("flags") or ()
    return sum(weight for _, _, weight in found) + len(flags) + min(ungrounded, 0.99)


def _listed(
    row: Row, number: int, found: tuple[Finding, ...] | list[Finding], chunks: Mapping[str, str]
) -> dict[str, Any]:
    turns = turns_of(row) or [("text", str(row.get("answer") or ""))]
    said = " ".join(text for role, text in turns if role != "user")
    fields = row.get("fields")
    other = row.get("alternative")
    return _plain(row, number, chunks) | {
        "turns": [[_text(role), _text(text)] for role, text in turns],
        "system": _text(row.get("system")),
        "reasoning": _text(row.get("reasoning")),
        "findings": [[key, _text(detail)] for key, detail, _ in found],
        "flags": [_text(flag) for flag in row.get("flags") or ()],
        "grounding": _number(row.get("grounding")),
        "support": _number(row.get("support")),
        "score": mean_score(row),
        "kind": _text(row.get("kind")),
        "title": _text(row.get("title")),
        "evidence": _text(row.get("evidence")),
        "language": identify(said) or "",
        "fields": _text("; ".join(f"{key}: {value}" for key, value in fields.items()))
        if isinstance(fields, dict)
        else "",
        "alternative": _text(other.get("answer")) if isinstance(other, dict) else "",
        "length": len(said.split()),
        "badness": round(_badness(row, found), 3),
    }


def _rejected(row: Row, number: int, chunks: Mapping[str, str]) -> dict[str, Any]:
    raw = _text(row.get("raw"))
    return _plain(row, number, chunks) | {
        "turns": [["raw answer", raw]] if raw else [],
        "system": "", "reasoning": "", "findings": [], "flags": [], "grounding": None,
        "support": None, "score": None, "kind": "", "title": "", "evidence": "", "fields": "",
        "alternative": "", "language": "", "length": len(raw.split()), "badness": 0.5,
        "reason": _text(row.get("reason")) or "rejected", "detail": _text(row.get("detail")),
    }  # fmt: skip


def _plain(row: Row, number: int, chunks: Mapping[str, str]) -> dict[str, Any]:
    return {
        "place": number,
        "id": _text(row.get("id")),
        "source": _text(row.get("source")),
        "model": _text(row.get("model")),
        "chunk": page_text(chunks.get(str(row.get("chunk_id")), ""), _CHUNK_CHARS),
        "reason": "",
        "detail": "",
    }


def _text(value: object) -> str:
    return page_text(str(value), _TEXT_CHARS) if value is not None else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None

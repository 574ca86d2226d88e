"""Documents that are so much alike that they must not be parted: their answers share their words.

Two answers from different documents make those kin when half of the 8-word runs of the one stand in
the other: what the leak test calls a copied answer. Only every fourth run is looked at, chosen by
its hash, so that the same run is looked at wherever it stands.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import TYPE_CHECKING

from pairmill.output.rows import said_in
from pairmill.quality.text import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pairmill.output.rows import Row

__all__ = ["related_documents"]

_GRAM = 8
_EACH = 4
_LEAST_SHARE = 0.5


def related_documents(rows: Iterable[Row]) -> set[tuple[str, str]]:
    """Pairs of ids of documents that belong into one split.

    Holds some 25 bytes for each word of all answers. The same rows in the same order give the same.
    """
    first: dict[int, int] = {}  # run to the first answer that holds it
    sizes: list[int] = []
    owners: list[str] = []
    found: set[tuple[str, str]] = set()
    for number, row in enumerate(rows):
        owner = row["document_id"]
        runs = _runs(said_in(row))
        sizes.append(len(runs))
        owners.append(owner)
        shared = Counter(first.setdefault(run, number) for run in runs)
        for other, count in shared.items():
            if owners[other] != owner and count >= _LEAST_SHARE * min(len(runs), sizes[other]):
                found.add((owners[other], owner))
    return found


def _runs(text: str) -> set[int]:
    """Hashes of the runs that are looked at; of a text of fewer words there is none."""
    tokens = words(text)
    hashes = (
        zlib.crc32(" ".join(tokens[start : start + _GRAM]).encode("utf-8", "backslashreplace"))
        for start in range(len(tokens) - _GRAM + 1)
    )
    return {value for value in hashes if value % _EACH == 0}

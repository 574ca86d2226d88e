"""Which split a document's pairs belong to: by document and its kin, never by pair.

Documents that share text (given as edges) form one component. A component's split is a function of
its name and a seed alone, so that a dataset may grow, and be exported in any order, without a pair
moving from one split to another. Only a new edge that joins two components can move the documents
of the one whose name is the greater.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from typing import TYPE_CHECKING

from pairmill.errors import UsageError
from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SPLITS", "Shares", "Splitter", "parse_shares"]

SPLITS = ("train", "validation", "test")

_ALL = 100.0
_HASH_RANGE = 2**64


@dataclass(frozen=True, slots=True)
class Shares:
    """Percent of the documents, by expectation, in each split; the three add up to 100."""

    train: float = 90.0
    validation: float = 5.0
    test: float = 5.0

    def __post_init__(self) -> None:
        given = (self.train, self.validation, self.test)
        if not all(0 <= share <= _ALL for share in given) or not isclose(sum(given), _ALL):
            raise UsageError("shares of train/validation/test must add up to 100, such as 90/5/5")


def parse_shares(text: str) -> Shares:
    """Read ``90/5/5``: train, validation and test in percent.

    Raises:
        UsageError: It does not read so, or does not add up to 100.
    """
    try:
        train, validation, test = (float(part) for part in text.split("/"))
    except ValueError:
        raise UsageError(f"cannot read '{text[:40]}' as shares, such as 90/5/5") from None
    return Shares(train, validation, test)


class Splitter:
    """Assigns documents to splits.

    Args:
        shares: How much each split is to get.
        seed: Another seed gives another, unrelated assignment.
        edges: Pairs of documents that must not be parted. Only documents that stand in an edge
            take memory.
    """

    def __init__(
        self, shares: Shares, seed: int = 0, edges: Iterable[tuple[str, str]] = ()
    ) -> None:
        self._seed = str(seed)
        self._test_below = shares.test / _ALL
        self._validation_below = (shares.test + shares.validation) / _ALL
        self._parents: dict[str, str] = {}
        for one, other in edges:
            self._join(one, other)

    def component(self, document_id: str) -> str:
        """The name of the document's component: the least id in it."""
        root = document_id
        while (parent := self._parents.get(root, root)) != root:
            root = parent
        while (parent := self._parents.get(document_id, root)) != root:  # shorten the way
            self._parents[document_id] = root
            document_id = parent
        return root

    def split_of(self, document_id: str) -> str:
        """``train``, ``validation`` or ``test``."""
        name = digest(self._seed, self.component(document_id))
        point = int(name[:16], 16) / _HASH_RANGE
        if point < self._test_below:
            return "test"
        return "validation" if point < self._validation_below else "train"

    def _join(self, one: str, other: str) -> None:
        first, second = sorted((self.component(one), self.component(other)))
        self._parents[first] = first
        self._parents[second] = first

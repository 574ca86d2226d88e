"""Assigns pairs to splits: by document and related documents, never by pair.

Documents that share text (given as edges) form one component. A component's split is a function of
its name and a seed alone, so that a dataset may grow, and be exported in any order, without a pair
moving from one split to another. A new edge that joins a component to another could move documents;
so what an earlier export has put into a split stays there, and takes its new kin along. Only where
an edge joins documents that were exported to different splits must some of them move.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from typing import TYPE_CHECKING

import orjson

from pairmill.display import sanitize
from pairmill.errors import UsageError
from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = [
    "SPLITS",
    "SPLIT_RECORD",
    "Components",
    "Shares",
    "SplitRecord",
    "Splitter",
    "parse_shares",
    "read_splits",
]

SPLIT_RECORD = "splits.txt"


class SplitRecord:
    """Writes the file: the shares and the seed, then a line for each document.

    A context manager; the file is complete once it exits.
    """

    def __init__(self, folder: Path, shares: Shares, seed: int) -> None:
        self._path = folder / SPLIT_RECORD
        self._head = _head(shares, seed)
        self._last = ""

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        self._file.write(self._head)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def note(self, document_id: str, split: str) -> None:
        """Note where a document's rows went; they come one after the other."""
        if document_id != self._last:
            self._last = document_id
            line = orjson.dumps({"document_id": document_id, "split": split})
            self._file.write(line + b"\n")


def read_splits(folder: Path, shares: Shares, seed: int) -> Iterator[tuple[str, str]]:
    """Yield id and split of each document of an earlier export with the same shares and seed."""
    try:
        with (folder / SPLIT_RECORD).open("rb") as file:
            if file.readline() != _head(shares, seed):
                return  # another assignment was asked for
            for line in file:
                entry = orjson.loads(line)
                yield str(entry["document_id"]), str(entry["split"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # there is none, or it was damaged: nothing is held that cannot be read


def _head(shares: Shares, seed: int) -> bytes:
    given = [shares.train, shares.validation, shares.test]
    return orjson.dumps({"shares": given, "seed": seed}) + b"\n"


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
    """Read ``90/5/5``: train, validation and test in percent; ``90/10`` has no test split.

    Raises:
        UsageError: It does not read so, or does not add up to 100.
    """
    try:
        given = [float(part) for part in text.split("/")]
    except ValueError:
        given = []
    if len(given) not in {2, 3}:
        raise UsageError(
            f"cannot read '{sanitize(text, 40)}' as shares of train/validation/test, such as 90/5/5"
            " (or 90/10: no test)"
        )
    train, validation, test = (*given, 0.0)[:3]
    return Shares(train, validation, test)


class Components:
    """Documents that are joined, also through others. Only joined ones take memory."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def __contains__(self, document_id: str) -> bool:
        """Return whether the document was ever joined to another one."""
        return document_id in self._parents

    def of(self, document_id: str) -> str:
        """Return the name of the document's component: the smallest id in it."""
        root = document_id
        while (parent := self._parents.get(root, root)) != root:
            root = parent
        while (parent := self._parents.get(document_id, root)) != root:  # shorten the way
            self._parents[document_id] = root
            document_id = parent
        return root

    def join(self, one: str, other: str) -> None:
        """Make one component of two."""
        first, second = sorted((self.of(one), self.of(other)))
        self._parents[first] = first
        self._parents[second] = first


class Splitter:
    """Assigns documents to splits.

    Args:
        shares: How much each split is to get.
        seed: Another seed gives another, unrelated assignment.
        edges: Pairs of documents that must not be parted. Only documents that are in an edge
            take memory.
    """

    def __init__(
        self, shares: Shares, seed: int = 0, edges: Iterable[tuple[str, str]] = ()
    ) -> None:
        self._seed = str(seed)
        self._test_below = shares.test / _ALL
        self._validation_below = (shares.test + shares.validation) / _ALL
        self._held: dict[str, str] = {}  # component to its split
        self._components = Components()
        for one, other in edges:
            self._components.join(one, other)

    def hold(self, earlier: Iterable[tuple[str, str]]) -> list[str]:
        """Keep documents in the splits into which an earlier export has put them.

        A component whose documents were in different splits goes where most of them were, of equals
        to the first of ``SPLITS``.

        Args:
            earlier: Id and split of each document.

        Returns:
            Sorted ids of documents that must change their split nevertheless.
        """
        votes: dict[str, dict[str, list[str]]] = {}
        for document, split in earlier:
            if document in self._components or self._by_hash(document) != split:
                group = votes.setdefault(self.component(document), {})
                group.setdefault(split, []).append(document)
        moved: list[str] = []
        for name, group in votes.items():
            chosen = max(SPLITS, key=lambda split: len(group.get(split, ())))
            self._held[name] = chosen
            moved += [each for split in group if split != chosen for each in group[split]]
        return sorted(moved)

    def component(self, document_id: str) -> str:
        """Return the name of the document's component: the smallest id in it."""
        return self._components.of(document_id)

    def split_of(self, document_id: str) -> str:
        """``train``, ``validation`` or ``test``."""
        name = self.component(document_id)
        return self._held.get(name) or self._by_hash(name)

    def _by_hash(self, name: str) -> str:
        point = int(digest(self._seed, name)[:16], 16) / _HASH_RANGE
        if point < self._test_below:
            return "test"
        return "validation" if point < self._validation_below else "train"

"""Combines all actions, and applies them to rows and records: the only place for that."""

from __future__ import annotations

import json
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pairmill.errors import FolderError
from pairmill.output.marks.log import MarksFile, marks_beside
from pairmill.records import digest
from pairmill.store.folder import read_folder
from pairmill.store.superseded import read_superseded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pairmill.output.marks.log import Action, Edit
    from pairmill.output.rows import Record, Row

__all__ = [
    "EDITED",
    "NO_MARKS",
    "RESCUED",
    "Mark",
    "Marks",
    "RecordMarks",
    "edited_record",
    "effective",
    "is_reject",
    "is_run_folder",
    "read_marks",
    "reject_key",
]

EDITED = "edited"
"""The flag of a row whose texts a person changed."""
RESCUED = "rescued"
"""The flag of a row that the run had dropped, and a person accepted."""
_REJECT = "rejected-"


@dataclass(frozen=True, slots=True)
class Mark:
    """Decisions about one pair.

    Attributes:
        decision: ``accepted``, ``rejected`` or "".
        edits: Every text that differs from the data.
        flags: What the checks found in the edited texts.
        grounding: Of the edited texts, or of a dropped pair that was accepted; None if it was
            not measured.
        support: Likewise.
        note: A remark, or "".
    """

    decision: str = ""
    edits: tuple[Edit, ...] = ()
    flags: tuple[str, ...] = ()
    grounding: float | None = None
    support: float | None = None
    note: str = ""

    @property
    def is_out(self) -> bool:
        """True if the pair is left out."""
        return self.decision == "rejected"

    @property
    def is_in(self) -> bool:
        """True if a person wants the pair, whatever the thresholds."""
        return self.decision == "accepted" or (bool(self.edits) and not self.is_out)


_NONE = Mark()


@dataclass(slots=True, eq=False)
class Marks:
    """The marks of a dataset, by the keys of its pairs.

    Attributes:
        path: The file that they are kept in.
        unreadable: Lines of it that hold no action.
        superseded: Ids of chunks whose article has changed since: their pairs are left out,
            whatever people decided.
    """

    path: Path | None = None
    by_key: dict[str, Mark] = field(default_factory=dict)
    unreadable: int = 0
    superseded: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.by_key)

    def of(self, key: str) -> Mark:
        """Return the mark of a pair, which may be empty."""
        return self.by_key.get(key, _NONE)

    def is_superseded(self, row: Row) -> bool:
        """Return whether a run's row is from a text that its article no longer contains."""
        return bool(self.superseded) and row.get("chunk_id") in self.superseded

    def leaves_out(self, row: Row) -> bool:
        """Return whether a run's row does not count: rejected by a person, or superseded."""
        return self.of(str(row.get("id"))).is_out or self.is_superseded(row)

    def revise(self, row: Row) -> Row:
        """Return a run's row as edited, flagged as such, or the row itself.

        What a judge said of the former texts is left out; grounding and support are those of the
        new ones.
        """
        mark = self.by_key.get(str(row.get("id"))) if self.by_key else None
        return edited_row(row, mark) if mark and mark.edits else row

    def wanted_rejects(self) -> frozenset[str]:
        """Return the keys of entries of ``rejected/`` that a person wants in the dataset."""
        return frozenset(key for key, mark in self.by_key.items() if mark.is_in and is_reject(key))

    def counts(self) -> dict[str, int]:
        """Count the pairs that are accepted, rejected, edited, and have a note; without zeros.

        A pair that the run dropped, and a person wants, is ``rescued``, and not ``accepted``.
        """
        found: Counter[str] = Counter()
        for key, mark in self.by_key.items():
            if mark.is_in and is_reject(key):
                found["rescued"] += 1
            elif mark.decision:
                found[mark.decision] += 1
        found["edited"] = sum(bool(mark.edits) for mark in self.by_key.values())
        found["noted"] = sum(bool(mark.note) for mark in self.by_key.values())
        return dict(+found)

    def notices(self) -> tuple[str, ...]:
        """Plain lines on what could not be read."""
        if not self.unreadable:
            return ()
        lines = "line holds" if self.unreadable == 1 else "lines hold"
        return (f"{self.path}: {self.unreadable:,} {lines} no mark, and is left out",)

    def take(self, action: Action) -> set[str]:
        """Let one more action hold; returns the keys of the pairs that it concerns."""
        for key in action.pairs:
            mark = self._with(self.by_key.get(key, _NONE), action)
            if mark == _NONE:
                self.by_key.pop(key, None)
            else:
                self.by_key[key] = mark
        return set(action.pairs)

    def _with(self, mark: Mark, action: Action) -> Mark:
        if action.action == "edit":
            return replace(
                mark,
                edits=tuple(action.edits),
                flags=tuple(action.flags),
                grounding=action.grounding,
                support=action.support,
            )
        if action.action == "note":
            return replace(mark, note=action.note)
        decision = {"accept": "accepted", "reject": "rejected"}.get(action.action, "")
        if mark.edits:
            return replace(mark, decision=decision)
        return replace(mark, decision=decision, grounding=action.grounding, support=action.support)


NO_MARKS = Marks()


def effective(actions: Sequence[Action]) -> list[Action]:
    """Return the effective actions: without undone ones. An undo may be undone itself."""
    undone: set[str] = set()
    held: list[Action] = []
    for action in reversed(actions):
        if action.id in undone:
            continue
        if action.action == "undo":
            undone.add(action.of)
        else:
            held.append(action)
    return held[::-1]


def fold(actions: Iterable[Action], path: Path | None = None, unreadable: int = 0) -> Marks:
    """Fold effective actions into marks."""
    marks = Marks(path, unreadable=unreadable)
    for action in actions:
        marks.take(action)
    return marks


def read_marks(dataset: Path) -> Marks:
    """Read the marks of a run folder, or of any other dataset; empty if there are none.

    Raises:
        FolderError: The file cannot be read, or was made by a newer pairmill.
    """
    is_run = is_run_folder(dataset)
    file = MarksFile(marks_beside(dataset, is_run=is_run))
    file.refresh()
    found = fold(effective(file.actions), file.path, file.unreadable)
    if is_run:
        found.superseded = read_superseded(dataset)
    return found


def is_run_folder(path: Path) -> bool:
    """Return whether a folder is, or was, a run folder of pairmill."""
    try:
        read_folder(path)
    except FolderError:
        return False
    return True


class RecordMarks:
    """Applies marks to the records of a dataset, one after the other, in their order.

    A run's row goes by its id. Any other record goes by what it holds, and where several hold the
    same, by their order among these: records may move, and files be joined.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._seen: Counter[str] = Counter()

    def key(self, value: Any) -> str:
        """Return the next record's key."""
        if isinstance(value, dict) and value.get("chunk_id") and isinstance(value.get("id"), str):
            return str(value["id"])
        name = digest(json.dumps(value, default=str, sort_keys=True, ensure_ascii=True))
        self._seen[name] += 1
        times = self._seen[name]
        return name if times == 1 else f"{name}-{times}"

    def apply(self, record: Record) -> Record | None:
        """Return the next record, edited or unchanged; None if it was rejected."""
        value = record.value
        if self._marks.superseded and isinstance(value, dict) and self._marks.is_superseded(value):
            return None
        if not self._marks:
            return record
        mark = self._marks.of(self.key(record.value))
        if mark.is_out:
            return None
        if not mark.edits or not isinstance(value, dict):
            return record
        is_ours = bool(value.get("chunk_id"))
        changed = edited_row(value, mark) if is_ours else edited_record(value, mark.edits)
        return replace(record, value=changed, raw=None)


def reject_key(line: bytes) -> str:
    """Return the key of an entry of ``rejected/``, whose ids are those of units."""
    return f"{_REJECT}{digest(line.decode('utf-8', 'replace').rstrip())}"


def is_reject(key: str) -> bool:
    """Return whether a key is that of an entry of ``rejected/``."""
    return key.startswith(_REJECT)


def edited_record(value: dict[str, Any], edits: Iterable[Edit]) -> dict[str, Any]:
    """Copy a record with some of its texts replaced; missing texts are ignored."""
    changed = deepcopy(value)
    for path, text in edits:
        _put(changed, path, text)
    return changed


def edited_row(row: Row, mark: Mark) -> Row:
    """Return a run's row with its new texts, their check results, and the flag ``edited``."""
    changed = edited_record(row, mark.edits)
    turns = changed.get("messages")
    if isinstance(turns, list) and turns:
        for name, role in (("instruction", "user"), ("answer", "assistant")):
            said = next((turn["content"] for turn in turns if turn.get("role") == role), None)
            changed[name] = said if isinstance(said, str) else changed.get(name)
    rescued = [RESCUED] if is_reject(str(row.get("id"))) else []
    changed["flags"] = [*mark.flags, *rescued, EDITED]
    changed["grounding"], changed["support"] = mark.grounding, mark.support
    changed["scores"] = None
    return changed


def _put(value: Any, path: Sequence[str | int], text: str) -> None:
    """Replace a text, or put one where a name holds nothing; anything else is left alone."""
    if not path:
        return
    for step in path[:-1]:
        value = _step(value, step)
    last = path[-1]
    if isinstance(value, dict) and isinstance(last, str):
        if last in value and (value[last] is None or isinstance(value[last], str)):
            value[last] = text
    elif isinstance(_step(value, last), str):
        value[last] = text


def _step(value: Any, step: str | int) -> Any:
    if isinstance(value, dict) and isinstance(step, str):
        return value.get(step)
    if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
        return value[step]
    return None

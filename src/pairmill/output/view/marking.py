"""Handles marks while they are made: the growing file, its result, and edited texts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pairmill.errors import InputError
from pairmill.output.explain import prepare_row, thresholds_of
from pairmill.output.marks.log import MarksFile, new_action
from pairmill.output.marks.overlay import Marks, effective, fold
from pairmill.quality.filters import inspect
from pairmill.quality.grounding import score
from pairmill.quality.support import support

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.output.marks.log import Action, Edit
    from pairmill.output.rows import Row
    from pairmill.output.view.index import Index
    from pairmill.records import Chunk

__all__ = ["MarkEditor", "check_edit", "editable_texts", "parse_edits"]

LONGEST_TEXT = 200_000
"""Characters of a text that can be edited in the page."""
_MOST_TEXTS = 60
_ROW_TEXTS = ("instruction", "answer", "system", "reasoning")
_NO_TEXTS = frozenset({"role", "from", "id", "type", "name", "speaker", "author", "source", "url"})
_DEPTH = 6


class MarkEditor:
    """The marks of one dataset: reads those of others, adds new ones.

    Attributes:
        marks: What holds now.
    """

    def __init__(self, path: Path, index: Index) -> None:
        self._file = MarksFile(path)
        self._index = index
        self._lock = threading.Lock()
        self._read = 0
        self.marks = Marks(path)

    @property
    def version(self) -> str:
        """Another one whenever something was decided, here or elsewhere."""
        actions = self._file.actions
        return f"{len(actions)}:{actions[-1].id}" if actions else ""

    def refresh(self) -> None:
        """Take in what was added to the file since.

        Raises:
            FolderError: It cannot be read.
        """
        with self._lock:
            is_other = self._file.refresh()
            new = self._file.actions[self._read :]
            if not is_other and not new:
                return
            self.marks.unreadable = self._file.unreadable
            if is_other or any(action.action == "undo" for action in new):
                self.marks = fold(
                    effective(self._file.actions), self._file.path, self._file.unreadable
                )
                self._index.set_marks(self.marks.by_key.items(), afresh=True)
            else:
                touched: set[str] = set()
                for action in new:
                    touched |= self.marks.take(action)
                self._index.set_marks((key, self.marks.of(key)) for key in touched)
            self._read = len(self._file.actions)

    def add(self, action: Action) -> None:
        """Keep an action, and let it hold.

        Raises:
            PairmillError: The disk refused, or the file cannot be used.
        """
        self._file.append(action)
        self.refresh()

    def undo(self, name: str) -> None:
        """Take an action back.

        Raises:
            InputError: There is no such action, or it does not hold any more.
        """
        self.refresh()
        if all(action.id != name for action in effective(self._file.actions)):
            raise InputError("that action does not hold any more")
        self.add(new_action("undo", of=name))

    def last(self) -> dict[str, Any] | None:
        """Return the last effective action, which the page offers to undo."""
        held = effective(self._file.actions)
        if not held:
            return None
        return {"id": held[-1].id, "action": held[-1].action, "pairs": len(held[-1].pairs)}


def editable_texts(value: dict[str, Any], *, is_run: bool, shown: str) -> list[dict[str, Any]]:
    """Return the texts of a record that can be edited: their paths and names.

    Args:
        value: The record.
        is_run: It is a run's row.
        shown: All that the page shows of it; texts that are no part of that are left out.
    """
    found = list(_row_texts(value) if is_run else _leaves(value, (), shown))
    return [
        {"path": list(path), "label": " ".join(map(str, path)), "text": text}
        for path, text in found[:_MOST_TEXTS]
        if len(text) <= LONGEST_TEXT
    ]


def parse_edits(given: object, allowed: list[dict[str, Any]]) -> list[Edit]:
    """Parse the texts from a page; return those that differ from the record.

    Raises:
        InputError: It is no list of texts, or one is where nothing can be edited.
    """
    places = {tuple(text["path"]): text["text"] for text in allowed}
    edits: list[Edit] = []
    if not isinstance(given, list):
        raise InputError("edits: a list of [path, text]")
    for entry in given:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], list)):  # noqa: PLR2004
            raise InputError("edits: a list of [path, text]")
        path, text = tuple(entry[0]), entry[1]
        if not isinstance(text, str) or any(not isinstance(step, str | int) for step in path):
            raise InputError("edits: a list of [path, text]")
        if path not in places:
            raise InputError("edits: nothing can be edited there")
        if len(text) > LONGEST_TEXT:
            raise InputError(f"edits: a text of more than {LONGEST_TEXT:,} characters")
        clean = text.replace("\x00", "").encode("utf-8", "replace").decode()
        if clean != places[path]:
            edits.append((path, clean))
    return edits


def check_edit(row: Row, chunk: Chunk | None, settings: Settings | None) -> dict[str, Any]:
    """Return the check results of a row's texts: ``flags``, ``grounding``, ``support``.

    A person has the last word: what would drop a model's pair is a flag here. Without the text that
    the row was written from nothing can be told, and nothing is.
    """
    if chunk is None:
        return {}
    text, pairs = prepare_row(row, chunk)
    limits = thresholds_of(settings)
    flags: dict[str, None] = {}
    grounding: list[float] = []
    backed: list[float] = []
    for pair in pairs:
        told = support(pair, text, limits.support_formula)
        if told is not None:
            backed.append(told)
        grounding.append(score(pair, text))
        found = inspect(pair, text, thresholds=limits, support=told)
        flags.update(dict.fromkeys(finding.check for finding in found))
    return {
        "flags": list(flags),
        "grounding": min(grounding, default=None),
        "support": min(backed, default=None),
    }


def _row_texts(row: Row) -> Iterator[tuple[tuple[str | int, ...], str]]:
    turns = row.get("messages")
    for name in _ROW_TEXTS:
        if isinstance(row.get(name), str) and not (turns and name in {"instruction", "answer"}):
            yield (name,), row[name]
    for at, turn in enumerate(turns if isinstance(turns, list) else ()):
        if isinstance(turn, dict) and isinstance(turn.get("content"), str):
            yield ("messages", at, "content"), turn["content"]


def _leaves(
    value: Any, path: tuple[str | int, ...], shown: str
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        if value.strip() and value.strip() in shown and path and path[-1] not in _NO_TEXTS:
            yield path, value
        return
    if len(path) >= _DEPTH:
        return
    inner: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for step, part in inner:
        yield from _leaves(part, (*path, step), shown)

"""Requests of the page, without HTTP: pairs, their history, the state, marks."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import msgspec
import orjson

from pairmill.errors import InputError, PairmillError
from pairmill.output.explain import explain_row, explanation_to_json, settings_of
from pairmill.output.facts import cost_usd
from pairmill.output.marks.log import marks_beside, new_action
from pairmill.output.marks.overlay import Mark, edited_record, reject_key
from pairmill.output.marks.rescue import row_of_reject
from pairmill.output.qc.record_formats import Fields, read_record
from pairmill.output.report.pairs import foreign_item, pair_item, reject_item
from pairmill.output.rows import Place
from pairmill.output.view.indexer import JUDGED
from pairmill.output.view.judging import JUDGE_NOW
from pairmill.output.view.marking import MarkEditor, check_edit, editable_texts, parse_edits
from pairmill.output.view.place import GoneError, read_value
from pairmill.records import Chunk
from pairmill.store.counts import count_run, describe
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.output.rows import Row
    from pairmill.output.view.index import Filter, Found, Index
    from pairmill.output.view.place import ViewJob

__all__ = ["StaleError", "Viewer"]

Decision = Literal["accept", "reject", "clear", "note"]
_LONGEST_NOTE = 10_000
_LIVE_S = 2.0  # for so long the figures of a run are told again without being counted


class StaleError(InputError):
    """The target of a bulk action has changed since it was counted."""


class Viewer:
    """One dataset for the page. Its methods block, and may be called from any thread."""

    def __init__(
        self, job: ViewJob, index: Index, why_ended: Callable[[], str] = lambda: ""
    ) -> None:
        self._why_ended = why_ended
        self._job = job
        self._index = index
        self._path = Path(job.path)
        self._scratch = Path(job.scratch)
        self._editor = MarkEditor(marks_beside(self._path, is_run=job.is_run), index)
        self._live_lines: list[tuple[str, str]] = []
        self._live_until = 0.0
        self._overview: tuple[int, dict[str, Any]] = (0, {})
        self._settings = settings_of(read_folder(self._path)) if job.is_run else None

    def state(self) -> dict[str, Any]:
        """Return the progress of everything."""
        progress = self._index.progress()
        problem = self._why_ended() or progress.get("problem", "")
        try:
            self._editor.refresh()
        except PairmillError as error:
            problem = problem or str(error)
        overview = self._judged()
        return {
            "progress": progress,
            "problem": problem,
            "newest": self._index.last_number(),
            "marks": self._editor.marks.counts(),
            "marks_version": self._editor.version,
            "notices": self._editor.marks.notices(),
            "last": self._editor.last(),
            "live": self._live(),
            "overview": self._overview[0],
            "verdict_note": overview.get("note", ""),
            "is_run": self._job.is_run,
        }

    def overview(self) -> dict[str, Any]:
        """Return the verdict and the figures as HTML; empty until they are available."""
        found = self._judged()
        return {
            "version": self._overview[0],
            "verdict": found.get("verdict", ""),
            "figures": found.get("figures", ""),
            "note": found.get("note", ""),
        }

    def judge(self) -> None:
        """Have the dataset judged again."""
        (self._scratch / JUDGE_NOW).touch()

    def page(self, wanted: Filter, sort: str, offset: int, limit: int) -> dict[str, Any]:
        """Some of the pairs that pass, and how many do."""
        with suppress(PairmillError):  # told by the state
            self._editor.refresh()
        total, found = self._index.page(wanted, sort, offset, limit)
        decidable = total
        if wanted.state in {"", "rejected"} and total:
            decidable = self._index.count_decidable(wanted)
        return {
            "total": total,
            "decidable": decidable,
            "pairs": [self._item(place) for place in found],
        }

    def pair(self, number: int) -> dict[str, Any]:
        """One pair, and its texts as they can be edited.

        Raises:
            InputError: There is no such pair.
            GoneError: It is no longer where it was.
        """
        found = self._find(number)
        value, mark = self._value(found), self._mark(found)
        texts: list[dict[str, Any]] = []
        if found.is_reject:
            value = row_of_reject(value, found.key)
        if isinstance(value, dict):
            edited = {tuple(path): text for path, text in mark.edits}
            texts = [
                text
                | {"original": text["text"], "text": edited.get(tuple(text["path"]), text["text"])}
                for text in self._texts(value)
            ]
        return {"pair": self._item(found), "texts": texts}

    def story(self, number: int) -> dict[str, Any]:
        """Return how a pair of a run was made: prompts, raw answers, drops, figures and cost.

        Raises:
            InputError: There is no such pair, or the dataset is no run.
            GoneError: It is no longer where it was.
        """
        if not self._job.is_run:
            raise InputError("only a run folder records how its pairs were made")
        found = self._find(number)
        value = self._value(found)
        told = explain_row(
            read_folder(self._path),
            value,
            Path(found.path),
            self._chunk(found.chunk_id),
            is_rejected=found.is_reject,
            run_code=self._job.run_code,
        )
        plain: dict[str, Any] = orjson.loads(orjson.dumps(explanation_to_json(told), default=str))
        return plain

    def decide(
        self, action: str, numbers: Sequence[int], note: str = "", where: str = ""
    ) -> dict[str, Any]:
        """Accept or reject pairs, clear a decision, or make a note.

        Raises:
            InputError: There is no such action or pair, or it cannot be decided about.
            PairmillError: The file of marks cannot be written.
        """
        _check(action, note)
        found = self._index.find(list(numbers))
        if not found or len(found) != len(set(numbers)):
            raise InputError("no such pair")
        if action != "note":
            for place in found:
                self._check_is_pair(place)
        keys = [place.key for place in found]
        figures = self._measured(found[0]) if action == "accept" and len(found) == 1 else {}
        given = {"note": note, "where": where} | figures
        self._editor.add(new_action(cast("Decision", action), keys, **given))
        return {"pairs": [self._item(place) for place in found]} | self._after(len(keys))

    def decide_all(self, action: str, wanted: Filter, expected: int) -> dict[str, Any]:
        """Accept, reject or clear every pair that passes a filter, as one action.

        Raises:
            StaleError: More or fewer pass than were expected.
            InputError: There is no such action, or nothing passes.
            PairmillError: The file of marks cannot be written.
        """
        _check(action, "")
        if action == "note":
            raise InputError("a note is about one pair")
        self._editor.refresh()
        if self._index.count(wanted) != expected:
            raise StaleError("the pairs found have changed; look at them again")
        keys = list(dict.fromkeys(self._index.keys(wanted)))
        if not keys:
            raise InputError("none of these can be marked")
        where = wanted.describe() or "all"
        self._editor.add(new_action(cast("Decision", action), keys, where=where))
        return self._after(len(keys))

    def edit(self, number: int, given: object) -> dict[str, Any]:
        """Put texts in the place of a pair's own, and check what comes of it.

        Raises:
            InputError: There is no such pair, or nothing can be edited there.
            GoneError: It is no longer where it was.
            PairmillError: The file of marks cannot be written.
        """
        found = self._find(number)
        self._check_is_pair(found)
        value = self._value(found)
        if found.is_reject:
            value = row_of_reject(value, found.key)
        edits = parse_edits(given, self._texts(value))
        checked: dict[str, Any] = {}
        if edits and self._job.is_run:
            changed = edited_record(value, edits)
            checked = check_edit(changed, self._chunk(found.chunk_id), self._settings)
        action = new_action("edit", [found.key], edits=edits, **checked)
        self._editor.add(action)
        is_checked = bool(checked) or not edits
        return {"pairs": [self._item(found)], "is_checked": is_checked} | self._after(1)

    def undo(self, action: str) -> dict[str, Any]:
        """Take an action back.

        Raises:
            InputError: It does not hold.
            PairmillError: The file of marks cannot be written.
        """
        self._editor.undo(action)
        return self._after(0)

    def _after(self, count: int) -> dict[str, Any]:
        return {
            "count": count,
            "last": self._editor.last(),
            "marks": self._editor.marks.counts(),
            "marks_version": self._editor.version,
        }

    def _find(self, number: int) -> Found:
        found = self._index.find([number])
        if not found:
            raise InputError("no such pair")
        return found[0]

    def _mark(self, found: Found) -> Mark:
        return self._editor.marks.of(found.key)

    def _value(self, found: Found) -> Any:
        value, data = read_value(found)
        if self._job.is_run:
            key = reject_key(data) if found.is_reject else str(value.get("id"))
            if key != found.key:
                raise GoneError(f"{found.path}: another pair is there now")
        return value

    def _check_is_pair(self, found: Found) -> None:
        """Raise InputError for an entry of ``rejected/`` from which no pair can be read."""
        if found.is_reject and row_of_reject(self._value(found), found.key) is None:
            raise InputError(
                "this entry of rejected/ holds no readable pair: it can only have a note"
            )

    def _measured(self, found: Found) -> dict[str, Any]:
        """Measure a dropped pair that the run dropped unmeasured; {} if nothing can be told."""
        if not (found.is_reject and self._job.is_run):
            return {}
        row = row_of_reject(self._value(found), found.key)
        if row is None or row["grounding"] is not None:
            return {}
        told = check_edit(row, self._chunk(found.chunk_id), self._settings)
        return {name: told[name] for name in ("grounding", "support") if name in told}

    def _texts(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        row = None if self._job.is_run else read_record(value, Fields(), None, Place())
        shown = "\n".join(
            [text for exchange in row.exchanges for text in exchange]
            + [row.passage, row.surroundings]
            if row
            else []
        )
        return editable_texts(value, is_run=self._job.is_run, shown=shown)

    def _item(self, found: Found) -> dict[str, Any]:
        """Return a pair for the page; if it is gone, a note of that."""
        mark = self._mark(found)
        try:
            value = self._value(found)
            return self._shown(found, value, mark)
        except (PairmillError, ValueError, TypeError, KeyError, AttributeError) as error:
            told = str(error) if isinstance(error, PairmillError) else "cannot be read any more"
            return {"place": found.number, "gone": told}

    def _shown(self, found: Found, value: Any, mark: Mark) -> dict[str, Any]:
        findings = self._index.findings(found.number)
        if found.is_reject:
            row = row_of_reject(value, found.key, self._editor.marks)
            item = reject_item(value, found.number, self._chunk(found.chunk_id), mark, row)
            return item | {"has_story": True}
        if self._job.is_run:
            kept: Row = self._editor.marks.revise(value)
            chunk, language = self._chunk(found.chunk_id), found.language or ""
            item = pair_item(kept, found.number, findings, chunk, mark, language=language)
        else:
            changed = edited_record(value, mark.edits) if mark.edits else value
            place = Place(found.path, found.line)
            record = read_record(changed, Fields(), None, place)
            if record is None:
                raise GoneError("no longer holds a pair")
            language = found.language or ""
            item = foreign_item(record, found.number, findings, mark, language=language)
        return item | {"can_decide": True, "has_story": self._job.is_run}

    def _chunk(self, chunk_id: str | None) -> Chunk | None:
        found = self._index.chunk(chunk_id) if chunk_id else None
        return msgspec.convert(found, Chunk) if found else None

    def _judged(self) -> dict[str, Any]:
        file = self._scratch / JUDGED
        try:
            stamp = file.stat().st_mtime_ns
            if stamp != self._overview[0]:
                self._overview = (stamp, orjson.loads(file.read_bytes()))
        except (OSError, ValueError):
            pass
        return self._overview[1]

    def _live(self) -> list[tuple[str, str]]:
        """Describe what happened to documents, chunks and pairs so far; [] without a run."""
        if not self._job.is_run:
            return []
        if time.monotonic() < self._live_until:
            return self._live_lines
        self._live_lines = self._count_live()
        self._live_until = time.monotonic() + _LIVE_S
        return self._live_lines

    def _count_live(self) -> list[tuple[str, str]]:
        try:
            folder = read_folder(self._path)
            if not folder.has_ledger:
                return []
            with folder.read_ledger() as lookup:
                totals = lookup.totals()
                lines = describe(count_run(folder, lookup, totals))
        except (PairmillError, OSError):
            return []
        usd = cost_usd(totals.bill, self._settings.prices if self._settings else None)
        return lines if usd is None else [*lines, ("spent", f"${usd:,.4f}")]


def _check(action: str, note: str) -> None:
    if action not in get_args(Decision):
        raise InputError(f"no such action; one of {', '.join(get_args(Decision))}")
    if len(note) > _LONGEST_NOTE:
        raise InputError(f"a note of more than {_LONGEST_NOTE:,} characters")

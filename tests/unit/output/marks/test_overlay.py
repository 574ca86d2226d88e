from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pairmill.output.check_dataset import check_dataset
from pairmill.output.marks.log import MarksFile, new_action
from pairmill.output.marks.overlay import (
    Marks,
    RecordMarks,
    edited_record,
    effective,
    fold,
    is_run_folder,
    read_marks,
)
from pairmill.output.qc.read import read_pairs
from pairmill.output.rows import Place, Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def marked(*actions: Any) -> Marks:
    return fold(effective(actions))


def test_the_last_decision_holds() -> None:
    marks = marked(
        new_action("accept", ["a", "b", "c"]),
        new_action("reject", ["b"]),
        new_action("clear", ["c"]),
        new_action("note", ["a"], note="why"),
    )
    assert marks.of("a").is_in
    assert marks.of("b").is_out
    assert "c" not in marks.by_key
    assert marks.counts() == {"accepted": 1, "rejected": 1, "noted": 1}
    assert not marks.of("nobody").is_in


def test_an_edited_row_bears_what_was_measured_anew(row: Callable[..., dict[str, Any]]) -> None:
    given = row(1, scores={"truthfulness": 5.0}, grounding=0.9, support=0.9, flags=["near_copy"])
    key = given["id"]
    edit = new_action(
        "edit", [key], edits=[(["answer"], "Shorter.")], flags=["truncated"], grounding=0.25
    )
    changed = marked(edit).revise(given)
    assert changed["answer"] == "Shorter."
    assert changed["flags"] == ["truncated", "edited"]
    assert (changed["grounding"], changed["support"], changed["scores"]) == (0.25, None, None)
    assert given["answer"] != "Shorter."
    back = marked(edit, new_action("edit", [key], edits=[]))
    assert back.revise(given) == given


def test_an_edited_conversation_agrees_with_its_columns(row: Callable[..., dict[str, Any]]) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    given = row(1, task="conversation", messages=turns, instruction="a", answer="b")
    edits = [(["messages", 1, "content"], "c"), (["messages", 0, "role"], "system")]
    changed = marked(new_action("edit", [given["id"]], edits=edits[:1])).revise(given)
    assert changed["answer"] == changed["messages"][1]["content"] == "c"
    assert turns[1]["content"] == "b"


def test_an_edit_changes_texts_that_are_there_and_nothing_else() -> None:
    record = {"a": {"b": ["x", 1]}, "n": None, "f": 1.5}
    edits = [
        (("a", "b", 0), "new"), (("a", "b", 1), "no"), (("a", "b", 9), "no"),
        (("a", "b", -1), "no"),
        (("a",), "no"), (("f",), "no"), (("z",), "no"), ((), "no"), (("n",), "put"), (("n", 0), ""),
    ]  # fmt: skip
    assert edited_record(record, edits) == {"a": {"b": ["new", 1]}, "n": "put", "f": 1.5}


def test_records_go_by_what_they_hold() -> None:
    values = [{"q": "1", "a": "2"}, {"a": "2", "q": "1"}, {"q": "2"}, {"id": "7", "chunk_id": "c"}]
    overlay = RecordMarks(Marks())
    first, second, third, fourth = [overlay.key(value) for value in values]
    assert second == f"{first}-2"
    assert third != first
    assert fourth == "7"
    marks = marked(new_action("reject", [second]))
    overlay = RecordMarks(marks)
    kept = [overlay.apply(Record(value, None, Place("f", 1))) for value in values]
    assert [found is not None for found in kept] == [True, False, True, True]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def test_qc_and_clean_honour_the_marks_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"instruction": f"What does part {at} of a loom do?", "output": f"It turns wheel {at}."}
        for at in range(10)
    ]
    write_rows(path, rows)
    keys = RecordMarks(Marks())
    names = [keys.key(row) for row in rows]
    file = MarksFile(tmp_path / "pairs.jsonl.marks")
    file.append(new_action("reject", names[:2]))
    file.append(new_action("edit", [names[4]], edits=[(["output"], "It stands still.")]))
    out = tmp_path / "clean.jsonl"
    report, lines = check_dataset(path, clean=out, drop="none")
    assert report.pairs == 8
    assert "marks of people apply: 2 rejected, 1 edited" in report.notes
    assert lines == [f"8 records in {out}, 2 left out"]
    kept = [json.loads(line) for line in out.read_text().splitlines()]
    assert kept[2]["output"] == "It stands still."
    assert kept[0] == rows[2]
    moved = tmp_path / "moved.jsonl"
    write_rows(moved, rows[::-1])  # marks go with what a record holds, wherever it stands
    (tmp_path / "pairs.jsonl.marks").rename(tmp_path / "moved.jsonl.marks")
    assert len(read_pairs(moved, marks=read_marks(moved)).rows) == 8


def test_qc_honours_the_marks_of_a_run(
    run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    folder = run_folder([row(at) for at in range(6)])
    assert is_run_folder(folder)
    file = MarksFile(folder / "marks.jsonl")
    file.append(new_action("reject", [row(1)["id"]]))
    report, _ = check_dataset(folder)
    assert report.pairs == 5

"""Every format honours what people decided; so do splits, repeats, and the card."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import InputError, UsageError
from pairmill.output.export import export
from pairmill.output.export_options import ExportOptions, ExportPolicy
from pairmill.output.export_summary import ExportSummary, summary_lines
from pairmill.output.formats.registry import FORMATS
from pairmill.output.marks.log import MarksFile, new_action
from pairmill.output.split import Shares

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MakeRow = "Callable[..., dict[str, Any]]"
NEW = "An answer that a person wrote, about as long as the one before it."


def rows_for(shape: str, row: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    """Eight rows that the format holds."""
    made = [row(at, document_id=f"d{at}") for at in range(8)]
    for at, item in enumerate(made):
        if shape == "text":
            item |= {"task": "text", "instruction": None}
        elif shape == "question":
            item |= {"task": "question", "fields": {"choices": ["a", "b"]}}
        elif shape == "triplets":
            item["fields"] = {"negatives": ["something else"]}
        elif shape == "preference":
            other = f"Number {at} is something quite different, I should say."
            item["alternative"] = {"answer": other, "route": "closed_book", "score": None}
        elif shape == "reasoning":
            item["reasoning"] = "Let me see."
    return made


def written(out: Path) -> str:
    return "".join(file.read_text("utf-8") for file in sorted((out / "data").glob("*.jsonl")))


def made(folder: Path, out: Path, **given: Any) -> ExportSummary:
    given.setdefault("shares", Shares(100, 0, 0))
    return export(folder, out, ExportOptions(**given))


@pytest.mark.parametrize("shape", FORMATS)
def test_each_format_honours_the_marks(
    shape: str,
    tmp_path: Path,
    run_folder: Callable[..., Path],
    row: Callable[..., dict[str, Any]],
) -> None:
    rows = rows_for(shape, row)
    folder = run_folder(rows)
    before = made(folder, tmp_path / "before", shape=shape)
    assert before.kept == {"train": 8}
    assert before.marked == {}
    marks = MarksFile(folder / "marks.jsonl")
    marks.append(new_action("reject", [rows[1]["id"], rows[2]["id"]]))
    marks.append(new_action("edit", [rows[5]["id"]], edits=[(["answer"], NEW)]))
    marks.append(new_action("reject", [rows[6]["id"]]))
    marks.append(new_action("undo", of=last_id(folder)))
    after = made(folder, tmp_path / "after", shape=shape)
    text = written(tmp_path / "after")
    assert after.kept == {"train": 6}
    assert after.dropped == {"marked_rejected": 2}
    assert rows[1]["answer"] not in text
    assert rows[6]["answer"] in text
    assert NEW in text
    assert rows[5]["answer"] not in text
    assert after.marked == {"rejected": 2, "edited": 1}
    only = made(folder, tmp_path / "only", shape=shape, marks="accepted")
    assert only.kept == {"train": 1}
    assert NEW in written(tmp_path / "only")
    made(folder, tmp_path / "ignored", shape=shape, marks="ignore")
    assert written(tmp_path / "ignored") == written(tmp_path / "before")


def last_id(folder: Path) -> str:
    return str(json.loads((folder / "marks.jsonl").read_bytes().splitlines()[-1])["id"])


def test_an_edited_conversation_is_exported_as_it_was_edited(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    turns = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]
    rows = [row(1, task="conversation", messages=turns, instruction="a?", answer="b.")]
    folder = run_folder(rows)
    edits = [(["messages", 1, "content"], NEW)]
    MarksFile(folder / "marks.jsonl").append(new_action("edit", [rows[0]["id"]], edits=edits))
    for shape in ("messages", "sharegpt"):
        made(folder, tmp_path / shape, shape=shape)
        assert NEW in written(tmp_path / shape)
        assert '"b."' not in written(tmp_path / shape)


def test_repeats_and_splits_see_the_edited_text(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    rows = [row(at, document_id=f"d{at}") for at in range(30)]
    folder = run_folder(rows)
    same = rows[3]["instruction"]
    marks = MarksFile(folder / "marks.jsonl")
    marks.append(new_action("edit", [rows[4]["id"]], edits=[(["instruction"], same.upper())]))
    found = made(folder, tmp_path / "out", shares=Shares(80, 10, 10))
    assert found.dropped == {"same_instruction": 1}
    assert found.leak is not None
    assert found.leak.same_instruction == 0
    marks.append(new_action("reject", [rows[3]["id"]]))  # now it repeats nothing
    found = made(folder, tmp_path / "out", shares=Shares(80, 10, 10))
    assert found.dropped == {"marked_rejected": 1}
    assert same.upper() in written(tmp_path / "out")


def test_a_rejected_child_leaves_its_parent(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    parent, child = row(2), row(3, parent_id=row(2)["id"], answer="Evolved, and better than that.")
    folder = run_folder([parent, child])
    assert made(folder, tmp_path / "a").dropped == {"evolved_from": 1}
    MarksFile(folder / "marks.jsonl").append(new_action("reject", [child["id"]]))
    made(folder, tmp_path / "a")
    assert parent["answer"] in written(tmp_path / "a")
    assert "Evolved" not in written(tmp_path / "a")


def test_a_person_outweighs_thresholds_but_not_emptiness(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    rows = [row(at, grounding=0.1, flags=["near_copy"]) for at in range(4)]
    folder = run_folder(rows)
    policy = ExportPolicy(min_grounding=0.5, drop_flags=frozenset("*"))
    with pytest.raises(InputError):
        made(folder, tmp_path / "out", policy=policy)
    marks = MarksFile(folder / "marks.jsonl")
    marks.append(new_action("accept", [rows[0]["id"]]))
    marks.append(new_action("edit", [rows[1]["id"]], edits=[(["answer"], " ")]))
    found = made(folder, tmp_path / "out", policy=policy, columns=("flags",))
    assert found.kept == {"train": 1}
    assert found.dropped == {"empty": 1, "flag_near_copy": 2}
    marks.append(new_action("edit", [rows[1]["id"]], edits=[(["answer"], NEW)], flags=["yes_no"]))
    made(folder, tmp_path / "out", policy=policy, columns=("flags",))
    flags = [json.loads(line)["flags"] for line in written(tmp_path / "out").splitlines()]
    assert flags == [["near_copy"], ["yes_no", "edited"]]


def test_card_manifest_and_end_lines_name_the_marks(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    rows = [row(at) for at in range(4)]
    folder = run_folder(rows)
    MarksFile(folder / "marks.jsonl").append(new_action("reject", [rows[0]["id"]]))
    with (folder / "marks.jsonl").open("ab") as file:
        file.write(b'{"torn')
    with (folder / "marks.jsonl").open("ab") as file:
        file.write(b"\n")
    summary = made(folder, tmp_path / "out")
    lines = summary_lines(summary)
    assert "marks: 1 rejected" in lines
    assert any("1 line holds no mark" in line for line in lines)
    assert "0 edited and 1 rejected" in (tmp_path / "out" / "README.md").read_text("utf-8")
    assert json.loads((tmp_path / "out" / "export.json").read_bytes())["marks"]["rejected"] == 1
    with pytest.raises(UsageError, match="--marks"):
        made(folder, tmp_path / "out", marks="some")

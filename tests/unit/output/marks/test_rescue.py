"""Pairs that were dropped and accepted anyway count everywhere, and nothing is moved for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import InputError
from pairmill.output.check_dataset import check_dataset
from pairmill.output.export import export
from pairmill.output.export_options import ExportOptions
from pairmill.output.export_summary import summary_lines
from pairmill.output.marks.log import MarksFile, new_action
from pairmill.output.marks.overlay import RESCUED, read_marks, reject_key
from pairmill.output.marks.rescue import rescued_rows, row_of_reject
from pairmill.output.report.folder import report_on
from pairmill.output.split import Shares
from pairmill.recipes.refine import raw_pair
from pairmill.records import Message, Pair
from pairmill.store.columns import REJECTED_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MakeRow = "Callable[..., dict[str, Any]]"
PAIR = Pair("What does a weir hold back?", "A weir holds back water.", 0, "why", "holds back")


def entry(number: int, raw: str, reason: str = "ungrounded", **given: Any) -> dict[str, Any]:
    made: dict[str, Any] = dict.fromkeys(REJECTED_FIELDS)
    made |= {
        "id": f"{number:032x}", "chunk_id": f"chunk {number}", "document_id": f"document {number}",
        "source": "b.txt", "recipe": "backtranslate", "prompt_version": "1", "model": "m-1",
        "reason": reason, "detail": "2 of 9 words", "raw": raw, "attempts": 1,
        "prompt_tokens": 7, "completion_tokens": 3, "whole_unit": False,
        "created": "2026-11-22T10:20:30Z",
    }  # fmt: skip
    return made | given


def with_rejects(folder: Path, *entries: dict[str, Any]) -> list[str]:
    """Write entries of ``rejected/``; returns their keys."""
    (folder / "rejected").mkdir(exist_ok=True)
    lines = [(json.dumps(one) + "\n").encode() for one in entries]
    (folder / "rejected" / "rejected-00000.jsonl").write_bytes(b"".join(lines))
    return [reject_key(line) for line in lines]


def mark(folder: Path, action: Any, keys: list[str], **given: Any) -> None:
    MarksFile(folder / "marks.jsonl").append(new_action(action, keys, **given))


def records(out: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted((out / "data").glob("*.jsonl"))
        for line in file.read_text("utf-8").splitlines()
    ]


def test_what_the_checks_dropped_can_be_read_back_whole() -> None:
    row = row_of_reject(entry(1, raw_pair(PAIR)), "rejected-1")
    assert row is not None
    assert (row["instruction"], row["answer"], row["kind"], row["evidence"]) == (
        PAIR.instruction, PAIR.answer, "why", "holds back",
    )  # fmt: skip
    assert row["flags"] == ["ungrounded", RESCUED]
    assert (row["id"], row["document_id"], row["prompt_tokens"]) == ("rejected-1", "document 1", 7)
    talk = Pair(
        "Hello?", "Hi.", 0, task="conversation", system="Be kind.", fields={"mood": "calm"},
        messages=(Message("user", "Hello?"), Message("assistant", "Hi.")), reasoning="So.",
    )  # fmt: skip
    row = row_of_reject(entry(1, raw_pair(talk)), "rejected-1")
    assert row is not None
    assert row["task"] == "conversation"
    assert row["messages"] == [
        {"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hi."},
    ]  # fmt: skip
    assert (row["system"], row["reasoning"], row["fields"]) == ("Be kind.", "So.", {"mood": "calm"})
    text = Pair("", "Water runs downhill.", 0, task="text")
    row = row_of_reject(entry(1, raw_pair(text)), "rejected-1")
    assert row is not None
    assert row["task"] == "text"


def test_a_rescued_row_has_the_figures_that_were_measured(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    folder = run_folder([row(at) for at in range(2)])
    keys = with_rejects(
        folder,
        entry(1, raw_pair(PAIR), grounding=0.25, support=0.5),
        entry(2, raw_pair(PAIR)),
        entry(3, raw_pair(PAIR)),
        entry(4, raw_pair(PAIR), grounding="1", support=7),  # anyone may have written the line
    )
    mark(folder, "accept", keys[:1], grounding=0.9)  # the run's own figure stands
    mark(folder, "accept", keys[1:2], grounding=0.75, support=0.5)  # measured at that moment
    mark(folder, "accept", keys[2:])
    found = {row["id"]: row for row, _ in rescued_rows(folder, read_marks(folder))}
    told = [(found[key]["grounding"], found[key]["support"]) for key in keys]
    assert told == [(0.25, 0.5), (0.75, 0.5), (None, None), (None, None)]
    mark(folder, "reject", keys[1:2])
    mark(folder, "accept", keys[1:2])
    rows = {row["id"]: row for row, _ in rescued_rows(folder, read_marks(folder))}
    assert rows[keys[1]]["grounding"] is None  # of the former decision


@pytest.mark.parametrize(
    "given",
    [
        {"raw": "no JSON"},
        {"raw": "[1, 2]"},
        {"raw": '{"instruction": "What?"}'},
        {"raw": '{"instruction": " ", "answer": "So."}'},
        {"raw": '{"instruction": 3, "answer": "So."}'},
        {"raw": raw_pair(PAIR), "whole_unit": True},
        {"raw": raw_pair(PAIR), "chunk_id": None},
        {"raw": None},
    ],
)
def test_what_holds_no_pair_stays_dropped(given: dict[str, Any]) -> None:
    assert row_of_reject(entry(1, "") | given, "rejected-1") is None


def test_export_qc_and_report_count_it_with_the_others(
    tmp_path: Path,
    run_folder: Callable[..., Path],
    row: Callable[..., dict[str, Any]],
) -> None:
    folder = run_folder([row(at) for at in range(6)])
    keys = with_rejects(
        folder,
        entry(1, raw_pair(PAIR)),
        entry(2, raw_pair(Pair("What is a lock gate?", "It shuts a lock.", 0)), "near_copy"),
        entry(3, "no pair in this"),
    )
    before = {file: file.read_bytes() for file in folder.rglob("*.jsonl")}
    mark(folder, "reject", [f"{0:032x}"])
    mark(folder, "accept", keys)  # the last of them holds no pair
    options = ExportOptions(shares=Shares(100, 0, 0))
    summary = export(folder, tmp_path / "out", options)
    assert summary.rows == 8
    assert summary.kept == {"train": 7}
    assert summary.rows == sum(summary.kept.values()) + sum(summary.dropped.values())
    said = [record["messages"][1]["content"] for record in records(tmp_path / "out")]
    assert {"A weir holds back water.", "It shuts a lock."} <= set(said)
    assert any("rescued" in line for line in summary_lines(summary))
    assert "the run had dropped were accepted" in (tmp_path / "out" / "README.md").read_text()
    assert not list((tmp_path / "out").glob("rescued*"))
    report, told = check_dataset(folder, clean=tmp_path / "clean", drop="none")
    assert report.pairs == 7
    assert "7 records" in told[0]
    cleaned = "".join(file.read_text() for file in (tmp_path / "clean").glob("*.jsonl"))
    assert "A weir holds back water." in cleaned
    assert cleaned.count("\n") == 7
    page = report_on(folder, version="1").read_text("utf-8")
    assert "rescued by people" in page
    ignored = export(folder, tmp_path / "out", ExportOptions(marks="ignore"))
    assert ignored.rows == 6
    assert {file: file.read_bytes() for file in before} == before


def test_edits_undo_and_only_accepted_ones_work_for_it_too(
    tmp_path: Path,
    run_folder: Callable[..., Path],
    row: Callable[..., dict[str, Any]],
) -> None:
    folder = run_folder([row(at) for at in range(3)])
    (key,) = with_rejects(folder, entry(1, raw_pair(PAIR)))
    mark(folder, "edit", [key], edits=[(("answer",), "A weir holds water back.")])
    options = ExportOptions(shares=Shares(100, 0, 0), marks="accepted", columns=("flags",))
    export(folder, tmp_path / "out", options)
    (record,) = records(tmp_path / "out")
    assert record["messages"][1]["content"] == "A weir holds water back."
    assert record["flags"] == [RESCUED, "edited"]
    mark(folder, "edit", [key], edits=[])
    assert not list(rescued_rows(folder, read_marks(folder)))
    with pytest.raises(InputError):
        export(folder, tmp_path / "out", options)


def test_a_run_whose_every_pair_was_dropped_can_still_be_exported(
    tmp_path: Path, run_folder: Callable[..., Path]
) -> None:
    folder = run_folder()
    (folder / ".run").mkdir()
    (folder / ".run" / "settings.json").write_text("{}", "utf-8")
    keys = with_rejects(folder, entry(1, raw_pair(PAIR)))
    mark(folder, "accept", keys)
    summary = export(folder, tmp_path / "out", ExportOptions(shares=Shares(100, 0, 0)))
    assert (summary.rows, summary.kept) == (1, {"train": 1})

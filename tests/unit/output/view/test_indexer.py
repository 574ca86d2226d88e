from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import InputError
from pairmill.output.marks.log import MarksFile, new_action
from pairmill.output.marks.overlay import RecordMarks, read_marks
from pairmill.output.view.index import Filter, Index, spaced
from pairmill.output.view.indexer import INDEX, JUDGED, Indexer
from pairmill.output.view.marking import MarkEditor, check_edit, editable_texts, parse_edits
from pairmill.output.view.place import GoneError, read_value, view_job
from pairmill.records import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def indexed(path: Path, scratch: Path) -> tuple[Indexer, Index]:
    scratch.mkdir(exist_ok=True)
    indexer = Indexer(view_job(path, scratch, "1"))
    settle(indexer)
    return indexer, Index(scratch / INDEX)


def settle(indexer: Indexer) -> None:
    for _ in range(500):
        is_busy = indexer._look()
        is_busy |= indexer._tell_languages()
        is_busy |= indexer._take_findings()
        indexer._tell()
        if not is_busy:
            return
    raise AssertionError("it never ends")


def found(index: Index, **given: Any) -> list[int]:
    return [place.number for place in index.page(Filter(**given), "order", 0, 100)[1]]


def append(path: Path, *rows: Any) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_a_run_is_indexed_as_it_grows(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    folder = run_folder([row(at) for at in range(130)])
    indexer, index = indexed(folder, tmp_path / "scratch")
    assert index.count(Filter()) == 130
    assert index.progress()["pairs"] == 130
    assert index.progress()["facets"]["language"][0][0] == "en"
    append(folder / "data" / "train-00000.jsonl", row(130))
    (folder / ".run" / "open").mkdir(parents=True)
    opened = folder / ".run" / "open" / "train-00001.jsonl"
    append(opened, row(131), row(132))
    settle(indexer)
    assert index.last_number() == 133
    opened.rename(folder / "data" / "train-00001.jsonl")
    place = index.find([133])[0]
    assert read_value(place)[0]["id"] == row(132)["id"]  # found under its new name at once
    settle(indexer)
    assert index.count(Filter()) == 133
    assert index.find([133])[0].path.endswith("data/train-00001.jsonl")


def test_a_shard_that_was_cut_back_is_read_again(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    folder = run_folder([row(at) for at in range(6)])
    shard = folder / "data" / "train-00000.jsonl"
    indexer, index = indexed(folder, tmp_path / "scratch")
    shard.write_text("")
    append(shard, *(row(at) for at in range(9, 2, -1)))  # longer than before, and another
    settle(indexer)
    assert index.count(Filter()) == 7
    ids = [read_value(place)[0]["id"] for place in index.page(Filter(), "order", 0, 10)[1]]
    assert ids == [row(at)["id"] for at in range(9, 2, -1)]
    assert found(index, search="number 2") == []  # what is gone is not found by its words
    assert index.progress()["pairs"] == 7


def test_lines_that_are_no_rows_are_counted(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    folder = run_folder([row(1)])
    bad = [[], "x", {"id": "2"}, row(3, messages=[1]), row(4, answer=None, messages=[{"a": 1}])]
    append(folder / "data" / "train-00000.jsonl", *bad, row(5))
    with (folder / "data" / "train-00000.jsonl").open("ab") as file:
        file.write(b"not json\n" + b'{"torn": ')
    _, index = indexed(folder, tmp_path / "scratch")
    assert index.progress()["damaged"] == 6
    assert index.count(Filter()) == 2


def test_words_are_found_in_any_script(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    texts = [
        "Die Öfen sind heiß",
        "今日は良い天気です",
        "Погода хорошая",
        "naïve café",
        "สวัสดีชาวโลก",
    ]
    folder = run_folder([row(at, answer=text) for at, text in enumerate(texts)])
    _, index = indexed(folder, tmp_path / "scratch")
    for number, words in enumerate(("ofen", "天気", "пого", "cafe naive", "ชาวโลก"), 1):
        assert found(index, search=words) == [number], words
    assert found(index, search="気天") == []
    assert spaced("天気ab") == " 天  気 ab"


@pytest.mark.parametrize("words", ['"', "a OR b", "*", "NEAR(", "-", "col:x", "' --", "\x00", "^a"])
def test_no_search_is_an_error(
    words: str, tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., Any]
) -> None:
    _, index = indexed(run_folder([row(1)]), tmp_path / "scratch")
    assert isinstance(found(index, search=words), list)


def test_findings_of_the_judge_come_and_go(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    rows = [row(at, grounding=1.0) for at in range(3)]
    folder = run_folder([*rows, row(3, grounding=1.0, flags=["truncated"])])
    indexer, index = indexed(folder, tmp_path / "scratch")
    shard = str(folder / "data" / "train-00000.jsonl")
    judged = tmp_path / "scratch" / JUDGED
    assert found(index, state="flagged") == [4]
    judged.write_text(json.dumps({"findings": [[shard, 3, [["refusals", "it refuses", 8]]]]}))
    settle(indexer)
    assert found(index, finding="refusals") == [3]
    assert found(index, state="flagged") == [3, 4]
    assert index.page(Filter(), "worst", 0, 1)[1][0].number == 3
    assert index.findings(3) == [("refusals", "it refuses", 8)]
    both = [
        [shard, 2, [["refusals", "so does this", 8]]],
        [shard, 4, [["truncated", "it ends", 2]]],
    ]
    judged.write_text(json.dumps({"findings": both}))
    settle(indexer)
    assert found(index, finding="refusals") == [2]
    assert found(index, state="flagged") == [2, 4]
    assert index.find([3])[0].badness == 0
    judged.write_text(json.dumps({"findings": []}))
    settle(indexer)
    assert found(index, finding="truncated") == [4]  # the run's own flag
    assert found(index, state="flagged") == [4]
    assert index.progress()["facets"]["finding"] == [["truncated", 1]]


def test_a_pair_that_is_gone_is_no_surprise(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    folder = run_folder([row(1), row(2)])
    _, index = indexed(folder, tmp_path / "scratch")
    place = index.find([2])[0]
    shard = folder / "data" / "train-00000.jsonl"
    shard.write_bytes(b"x" * 5000)
    with pytest.raises(GoneError, match="changed"):
        read_value(place)
    shard.unlink()
    with pytest.raises(GoneError, match="is gone"):
        read_value(place)


def test_any_dataset_is_indexed_with_the_keys_of_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    rows = [{"instruction": f"Do {at % 2}", "output": "Done so."} for at in range(4)]
    path.write_text(json.dumps(rows))
    _, index = indexed(path, tmp_path / "scratch")
    keys = [place.key for place in index.page(Filter(), "order", 0, 9)[1]]
    overlay = RecordMarks(read_marks(path))
    assert keys == [overlay.key(row) for row in rows]
    assert len(set(keys)) == 4
    assert read_value(index.find([2])[0])[0] == rows[1]


def test_the_desk_sees_what_others_decide(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    folder = run_folder([row(at) for at in range(5)])
    _, index = indexed(folder, tmp_path / "scratch")
    desk = MarkEditor(folder / "marks.jsonl", index)
    desk.add(new_action("accept", [row(1)["id"], row(2)["id"]]))
    MarksFile(folder / "marks.jsonl").append(new_action("reject", [row(2)["id"]]))
    desk.refresh()
    assert found(index, mark="accepted") == [2]
    assert found(index, mark="rejected") == [3]
    assert found(index, mark="none") == [1, 4, 5]
    last = desk.last()
    assert last is not None
    desk.undo(last["id"])
    assert found(index, mark="accepted") == [2, 3]
    with pytest.raises(InputError):
        desk.undo(last["id"])


def test_only_texts_that_are_shown_can_be_edited(row: Callable[..., dict[str, Any]]) -> None:
    texts = editable_texts(row(1, system="Be kind."), is_run=True, shown="")
    assert [text["path"] for text in texts] == [["instruction"], ["answer"], ["system"]]
    edits = parse_edits([[["answer"], "New\x00 \ud800"], [["system"], "Be kind."]], texts)
    assert edits == [(("answer",), "New ?")]
    foreign = {"conversations": [{"from": "human", "value": "Hi"}], "id": "Hi", "secret": "other"}
    texts = editable_texts(foreign, is_run=False, shown="Hi")
    assert [text["path"] for text in texts] == [["conversations", 0, "value"]]
    for given in (
        "x",
        [1],
        [["a", "b"]],
        [[["a"], "b"]],
        [[["id"], "x"]],
        [[[1.5], "x"]],
        [[[{}], "x"]],
    ):
        with pytest.raises(InputError):
            parse_edits(given, texts)


def test_an_edit_is_checked_as_a_models_answer_would_be(row: Callable[..., dict[str, Any]]) -> None:
    text = "The loom of the mill turns forty times a day, since the weaver needs cloth before noon."
    chunk = Chunk("c", text, "d", 0, len(text), "a.txt", language="en")
    good = row(1, instruction="How often does the loom of the mill turn each day?",
               answer="The loom of the mill turns forty times a day.")  # fmt: skip
    assert check_edit(good, chunk, None)["grounding"] > 0.9
    bad = check_edit(
        good | {"answer": "Quantum computers factor large primes at night."}, chunk, None
    )
    assert bad["grounding"] < 0.3
    assert "ungrounded" in bad["flags"]
    assert check_edit(good, None, None) == {}


def test_what_was_dropped_is_found_by_reason_and_only_pairs_of_it_can_be_decided(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    folder = run_folder([row(at) for at in range(3)])
    (folder / "rejected").mkdir()
    raw = json.dumps({"instruction": "What is a weir?", "answer": "A low dam."})
    shared = {"chunk_id": "c", "document_id": "d", "whole_unit": False, "source": "a.txt"}
    append(
        folder / "rejected" / "rejected-00000.jsonl",
        shared | {"id": "1", "reason": "near_copy", "raw": raw},
        shared | {"id": "2", "reason": "near_copy", "raw": "cut off"},
        shared | {"id": "3", "reason": "refused", "raw": raw, "whole_unit": True},
    )
    _, index = indexed(folder, tmp_path / "scratch")
    assert index.progress()["facets"]["reason"] == [["near_copy", 2], ["refused", 1]]
    assert index.count(Filter(state="rejected", finding="near_copy")) == 2
    assert len(index.keys(Filter(state="rejected"))) == 1
    assert len(index.keys(Filter())) == 3  # of a mixed list only the dataset's own

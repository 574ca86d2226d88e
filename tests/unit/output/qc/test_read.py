from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from pairmill.errors import ConfigError, InputError
from pairmill.output.qc.read import Fields, PairRow, read_pairs, to_pair

WANTED = PairRow("Why copper?", "It spreads heat.")
SHAPES: list[dict[str, Any]] = [
    {"instruction": "Why copper?", "answer": "It spreads heat."},
    {"instruction": "Why copper?", "input": "", "output": "It spreads heat."},
    {"question": "Why copper?", "response": "It spreads heat."},
    {"prompt": "Why copper?", "completion": "It spreads heat."},
    {"prompt": "Why copper?", "chosen": "It spreads heat.", "rejected": "No."},
    {"input": "Why copper?", "output": "It spreads heat."},
    {"messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why copper?"},
        {"role": "assistant", "content": "It spreads heat."},
        {"role": "user", "content": "And brass?"}]},
    {"conversations": [
        {"from": "human", "value": "Why copper?"}, {"from": "gpt", "value": "It spreads heat."}]},
    {"prompt": [{"role": "user", "content": "Why copper?"}],
     "completion": [{"role": "assistant", "content": "It spreads heat."}]},
]  # fmt: skip


@pytest.mark.parametrize("record", SHAPES)
def test_known_shapes_are_read(record: dict[str, Any]) -> None:
    assert to_pair(record, Fields(), None) == WANTED


def test_every_exchange_of_a_conversation_and_plain_texts_are_read() -> None:
    turns = [
        {"role": role, "content": content}
        for role, content in (("user", "A?"), ("assistant", "b"), ("user", "C?"), ("model", "d"))
    ]
    talk = to_pair({"messages": turns}, Fields(), None)
    assert talk == PairRow("A?", "b", None, "conversation", (("C?", "d"),))
    assert talk is not None
    assert talk.exchanges == (("A?", "b"), ("C?", "d"))
    row = {"task": "text", "instruction": None, "answer": "Rain.", "messages": None}
    for record in (row, {"text": "Rain."}):
        text = to_pair(record, Fields(), None)
        assert text == PairRow("", "Rain.", None, "text")
        assert text is not None
        assert text.key_text == "Rain."


def test_alpaca_input_belongs_to_the_instruction() -> None:
    record = {"instruction": "Translate.", "input": "Guten Tag", "output": "Good day"}
    assert to_pair(record, Fields(), None) == PairRow("Translate.\n\nGuten Tag", "Good day")


def test_fields_can_be_named() -> None:
    record = {"ask": "Why copper?", "say": "It spreads heat.", "messages": []}
    assert to_pair(record, Fields("ask", "say"), None) == WANTED
    assert to_pair(record, Fields(), None) is None


@pytest.mark.parametrize(
    "record",
    [{}, {"instruction": "Why?"}, {"answer": "So."}, {"instruction": 3, "answer": None},
     {"messages": ["x", 3, {"role": "user"}]}, {"instruction": "", "answer": "So."}],
)  # fmt: skip
def test_other_records_hold_no_pair(record: dict[str, Any]) -> None:
    assert to_pair(record, Fields(), None) is None


def test_jsonl_counts_what_it_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(f'{json.dumps(SHAPES[0])}\n\n{{"torn": \n[1]\n{{"other": 1}}\n', "utf-8")
    pairs = read_pairs(file)
    assert (pairs.rows, pairs.unreadable) == ([WANTED], 3)
    packed = tmp_path / "pairs.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert (read_pairs(packed).rows, read_pairs(packed).unreadable) == (pairs.rows, 3)
    assert [place.line for place in pairs.bad] == [3, 4, 5]
    assert "3 records hold no pair that can be read" in pairs.notes[0]


def test_json_lists_are_found_anywhere_and_keys_name_splits(tmp_path: Path) -> None:
    file = tmp_path / "set.json"
    nested = {"id": "x", "train": {"articles": {"samples": [SHAPES[0]]}}, "test": [SHAPES[3]]}
    file.write_text(json.dumps(nested), "utf-8")
    assert [row.split for row in read_pairs(file).rows] == ["train", "test"]
    file.write_text(json.dumps([SHAPES[1] | {"split": "validation"}]), "utf-8")
    assert [row.split for row in read_pairs(file).rows] == ["validation"]


def test_parquet_is_read(tmp_path: Path) -> None:
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    file = tmp_path / "test-00000.parquet"
    parquet.write_table(arrow.Table.from_pylist([SHAPES[6], SHAPES[6]]), file)
    assert read_pairs(file).rows == [PairRow("Why copper?", "It spreads heat.", "test")] * 2
    file.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="not a Parquet file"):
        read_pairs(file)


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"pairmill\[parquet\]"):
        read_pairs(tmp_path)


def test_folders_are_read_without_what_is_no_data(tmp_path: Path) -> None:
    for name in ("data/train-00000.jsonl", "data/test-00000.jsonl", "rejected/rejected-0.jsonl",
                 ".run/open.jsonl", "manifest.json"):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(SHAPES[0]) + "\n", "utf-8")
    assert [row.split for row in read_pairs(tmp_path).rows] == ["test", "train"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", b"{", "not valid JSON"),
        ("a.jsonl", b'{"q": 1, "a": 2}', "no pairs found (fields: q, a)"),
        ("a.jsonl.gz", b"no gzip", "cannot be read: damaged"),
        ("a.txt", b"", "holds no"),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_pairs(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_path_is_named() -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read_pairs(Path("nowhere/pairs.jsonl"))


def test_a_row_with_negatives_is_for_retrieval() -> None:
    plain = {"question": "Why copper?", "answer": "It spreads heat."}
    for record, is_found in (
        (plain, False),
        ({**plain, "fields": {"negatives": ["Iron scorches."]}}, True),
        ({**plain, "negatives": ["Iron scorches."]}, True),
        ({**plain, "fields": {"negatives": None}}, False),
        ({**plain, "fields": None, "negatives": "two"}, False),
    ):
        row = to_pair(record, Fields(), None)
        assert row is not None
        assert row.is_found is is_found

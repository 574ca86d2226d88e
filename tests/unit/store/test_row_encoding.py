from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from pairmill.records import Chunk, Message, Outcome, Pair, Rejection, Usage
from pairmill.store.columns import REJECTED_FIELDS, ROW_FEATURES, RowOrigin, pair_id
from pairmill.store.row_encoding import UnitResult, encode_rejection, encode_row, encode_unit, share

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = Chunk("c" * 32, "text", "doc", 0, 4, "a.json:1", title="T")
ORIGIN = RowOrigin("a" * 32, "backtranslate", "1", "m-1", 2, Usage(100, 11), 1_700_000_000.9)


def decode(line: bytes) -> dict[str, Any]:
    row = orjson.loads(line)
    assert isinstance(row, dict)
    return row


def test_a_row_has_the_declared_fields_in_their_order() -> None:
    row = decode(encode_row(Pair("Why?", "So.", 0), CHUNK, ORIGIN, 1, 2))
    assert list(row) == list(ROW_FEATURES)
    assert row["id"] == pair_id("a" * 32, 0)
    assert row["created"] == "2023-11-14T22:13:20Z"
    assert row["task"] == "pair"
    missing = {name for name, value in row.items() if value is None}
    assert missing == {
        *(
            "messages",
            "system",
            "reasoning",
            "fields",
            "url",
            "license",
            "kind",
            "evidence",
            "scores",
        ),
        *("grounding", "support", "verification", "parent_id", "alternative"),
    }


def test_a_conversation_and_a_plain_text_are_rows_of_the_same_keys() -> None:
    turns = (Message("user", "Why?"), Message("assistant", "So."))
    talk = Pair("Why?", "So.", 0, task="conversation", messages=turns, system="Be kind.")
    row = decode(encode_row(talk, CHUNK, ORIGIN, 1, 2))
    assert list(row) == list(ROW_FEATURES)
    assert row["messages"][1] == {"role": "assistant", "content": "So."}
    assert (row["task"], row["system"]) == ("conversation", "Be kind.")
    text = Pair("", "Rain.", 0, task="text", reasoning="hm", fields={"style": "wiki", "n": 2})
    row = decode(encode_row(text, CHUNK, ORIGIN, 1, 2))
    assert list(row) == list(ROW_FEATURES)
    assert (row["instruction"], row["answer"], row["messages"]) == (None, "Rain.", None)
    assert (row["reasoning"], row["fields"]) == ("hm", {"style": "wiki", "n": 2})


def test_hostile_text_in_a_field_or_a_turn_is_replaced() -> None:
    turns = (Message("user", "a\ud800"), Message("assistant", "b\x00"))
    pair = Pair("a", "b", 0, task="conversation", messages=turns, fields={"x": ["\udfff"]})
    row = decode(encode_row(pair, CHUNK, ORIGIN, 1, 2))
    assert [turn["content"] for turn in row["messages"]] == ["a\ufffd", "b"]
    assert row["fields"] == {"x": ["\ufffd"]}


def test_scores_have_four_keys_and_floats_stay_floats() -> None:
    pair = Pair(
        "Why?", "So.", 0, grounding=1, scores={"honesty": 3, "nonsense": 1, "truthfulness": None}
    )
    line = encode_row(pair, CHUNK, ORIGIN, 1, 2)
    assert b'"grounding":1.0' in line
    assert (
        b'"scores":{"instruction_following":null,"truthfulness":null,"honesty":3.0,'
        b'"helpfulness":null}' in line
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_lacks_are_null(value: float) -> None:
    assert (
        decode(encode_row(Pair("i", "a", 0, grounding=value), CHUNK, ORIGIN, 1, 2))["grounding"]
        is None
    )


def test_hostile_text_is_replaced_and_stays_one_line() -> None:
    text = "a\ud800b\x00c\u2028d\ne\ud83d\ude00"
    pair = Pair(text, "so\udfff", 0, flags=("x\x00",), evidence="\x00")
    line = encode_row(pair, CHUNK, ORIGIN, 1, 2)
    assert line.find(b"\n") == len(line) - 1
    row = decode(line)
    assert row["instruction"] == "a\ufffdbc\u2028d\ne\U0001f600"
    assert row["answer"] == "so\ufffd"
    assert row["flags"] == ["x"]


def test_a_text_about_nul_escapes_is_kept() -> None:
    row = decode(encode_row(Pair("What is \\u0000?", "NUL.", 0), CHUNK, ORIGIN, 1, 2))
    assert row["instruction"] == "What is \\u0000?"


def test_absurd_token_counts_do_not_raise() -> None:
    assert decode(encode_row(Pair("i", "a", 0), CHUNK, ORIGIN, 2**70, 1))["prompt_tokens"] == 2**53


def test_tokens_are_shared_so_that_columns_add_up_to_the_bill() -> None:
    assert share(11, 3) == [5, 3, 3]
    assert share(5, 0) == []
    pairs = [Pair("i", str(index), index) for index in range(3)]
    dropped = [Rejection("short", whole_unit=False)]
    unit = encode_unit(UnitResult(CHUNK, ORIGIN, Outcome.WRITTEN, pairs, dropped))
    assert [decode(line)["completion_tokens"] for line in unit.rows] == [5, 3, 3]
    assert sum(decode(line)["prompt_tokens"] for line in unit.rows) == 100
    assert decode(unit.rejected[0])["prompt_tokens"] == 0


def test_a_rejected_unit_bears_its_own_cost() -> None:
    rejections = [Rejection("short", whole_unit=False), Rejection("invalid_json")]
    unit = encode_unit(UnitResult(CHUNK, ORIGIN, Outcome.REJECTED, (), rejections, "badout"))
    assert unit.rows == []
    assert [decode(line)["prompt_tokens"] for line in unit.rejected] == [50, 50]
    assert {decode(line)["class"] for line in unit.rejected} == {"badout"}


def test_a_reject_has_the_declared_fields_in_their_order() -> None:
    row = decode(encode_rejection(Rejection("refusal", "it refused", "No.\ud800"), CHUNK, ORIGIN))
    assert tuple(row) == REJECTED_FIELDS
    assert row["id"] == "a" * 32
    assert row["raw"] == "No.\ufffd"
    assert row["whole_unit"] is True


def test_the_datasets_library_loads_rows_as_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")

    def typed(kind: Any) -> Any:
        if isinstance(kind, tuple):
            return datasets.List(typed(kind[0]))
        if isinstance(kind, str):
            return datasets.Value(kind)
        return {key: typed(inner) for key, inner in kind.items()}

    types = {name: typed(kind) for name, kind in ROW_FEATURES.items()}
    scored = Pair("i", "a", 1, "how_to", "e", 0.5, ("long",), {"honesty": 4.0})
    first = encode_row(Pair("i", "a", 0), CHUNK, ORIGIN, 1, 2)
    shard = tmp_path / "train-00000.jsonl"
    shard.write_bytes(first + encode_row(scored, CHUNK, ORIGIN, 1, 2))
    loaded = datasets.load_dataset(
        "json",
        data_files=str(shard),
        features=datasets.Features(types),
        cache_dir=str(tmp_path / "cache"),
        split="train",
    )
    assert loaded[0]["scores"] is None or set(loaded[0]["scores"].values()) == {None}
    assert loaded[1]["scores"]["honesty"] == 4.0
    assert loaded[0]["flags"] == []
    assert loaded[0]["created"].isoformat() == "2023-11-14T22:13:20+00:00"

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.sources.json_files import Item, cut_items, cut_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sources.conftest import Read

RECORDS: list[Any] = [
    {"text": 'brackets ]}[{ and "quotes" and \\ and \u2028'},
    {"a": [{"b": []}], "data": "x"},
    "plain",
    12,
    None,
    [1, [2]],
    {},
]


class _Trickle:
    def __init__(self, data: bytes, block: int) -> None:
        self._data = io.BytesIO(data)
        self._block = block
        self.given = 0

    def read(self, size: int, /) -> bytes:
        block = self._data.read(min(size, self._block))
        self.given += len(block)
        return block


def _cut(data: bytes, block: int = 2**18, max_bytes: int = 10_000) -> list[Item]:
    return list(cut_items(_Trickle(data, block), max_bytes))


def _decoded(items: list[Item]) -> list[Any]:
    assert all(isinstance(item, bytes) for item in items)
    return [json.loads(item) for item in items if isinstance(item, bytes)]


@pytest.mark.parametrize("block", [1, 2, 3, 5, 100_000])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("wrap", ["list", "first", "last", "two"])
def test_items_come_out_whole(block: int, indent: int | None, wrap: str) -> None:
    first, second = [RECORDS[0], *RECORDS], [RECORDS[1]]
    whole = {
        "list": first,
        "first": {"artifact_data": first, "n": {"articles": 1}, "metadata": [1, {"a": "]"}]},
        "last": {"meta": {"data": [{"no": 1}]}, "s": "[{", "artifact_data": first},
        "two": {"data": first, "x": [{}], "records": second},
    }[wrap]
    data = json.dumps(whole, indent=indent, ensure_ascii=False).encode()
    expected = [*first, *second] if wrap == "two" else first
    assert _decoded(_cut(data, block)) == expected


@pytest.mark.parametrize("block", [1, 4, 100_000])
def test_objects_one_after_another_are_items(block: int) -> None:
    data = b'{"a": 1}{"b": "}"}\n\n {"c": {"data": [{"x": 1}]}}\x1e{"data": [1]}'
    assert len(_decoded(_cut(data, block))) == 4


def test_a_record_with_a_list_of_its_own_is_no_wrapper() -> None:
    record = {"text": "long " * 1000, "data": [{"x": 1}]}
    assert _decoded(_cut(json.dumps(record).encode())) == [record]


@pytest.mark.parametrize("block", [1, 64, 100_000])
def test_a_long_item_is_named_by_its_size_and_the_rest_goes_on(block: int) -> None:
    long = json.dumps({"text": "x" * 500}).encode()
    data = b'[{"a": 1}, ' + long + b', {"b": 2}]'
    assert _cut(data, block, 100) == [b'{"a": 1}', len(long), b'{"b": 2}']


def test_a_long_item_is_not_held() -> None:
    class _Endless:
        left = 200

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            return b'["' if self.left == 199 else b"x" * 2**18 if self.left > 0 else b""

    assert list(cut_items(_Endless(), 2**20)) == ["the file ends inside a record"]


@pytest.mark.parametrize(
    ("data", "whole", "fault"),
    [
        (b'[{"a": 1}, {"b": ', 1, "the file ends inside a record"),
        (b'[{"a": 1}, "abc', 1, "the file ends inside a record"),
        (b'[{"a": 1}, {"b": 2}', 2, "the file ends before its list does"),
        (b'{"a": [1', 0, "the file ends inside a record"),
        (b'{"data": [{"a": 1}], "b"', 1, "the file ends inside a record"),
    ],
)
def test_a_file_cut_off_gives_what_is_whole_and_says_so(
    data: bytes, whole: int, fault: str
) -> None:
    *items, last = _cut(data)
    assert len(items) == whole
    assert last == fault


def test_a_list_is_read_lazily() -> None:
    stream = _Trickle(b"[" + b'{"text": "x"},' * 100_000 + b"{}]", 1000)
    next(cut_items(stream, 100))
    assert stream.given == 1000


def test_items_become_documents_or_named_skips(read: Callable[..., Read]) -> None:
    data = b'[{"text": "one"}, {"text": }, 7, {"text": "two"}, nul]'
    result = read("a.json", data)
    assert result.texts == ["one", "two"]
    assert result.skips == [
        ("a.json#2", "broken JSON"), ("a.json#3", "not a record"), ("a.json#5", "broken JSON"),
    ]  # fmt: skip


def test_an_empty_list_and_no_json_are_reported(read: Callable[..., Read]) -> None:
    assert read("a.json", b"[]").skips == [("a.json", "no records")]
    assert read("a.json", b"no json\nat all").skips == [
        ("a.json#1", "broken JSON"), ("a.json#2", "broken JSON"),
    ]  # fmt: skip


@pytest.mark.parametrize("block", [1, 2, 3, 7, 10_000])
def test_lines_are_cut_alike_whatever_the_blocks_are(block: int) -> None:
    data = b"one\n\n" + b"x" * 20 + b"\ntwo\xe2\x80\xa8still\r\n" + b"y" * 30
    stream = _Trickle(data, block)
    assert list(cut_lines(stream, 14)) == [
        (1, b"one"), (2, b""), (3, 20), (4, b"two\xe2\x80\xa8still\r"), (5, 30),
    ]  # fmt: skip


def test_a_huge_line_is_never_held() -> None:
    lines = cut_lines(_Zeros(200 * 2**20), 2**20)
    assert list(lines) == [(1, 200 * 2**20)]


def test_every_line_gives_a_document_or_a_named_skip(read: Callable[..., Read]) -> None:
    good = json.dumps({"text": "fine \u2028 still one line", "id": 7})
    data = "\n".join(
        [good, "{broken", "", '{"title": "x", "n": 1}', "[1]", '"a plain text"', "x" * 3000, "{}"]
    )
    result = read("a.jsonl", data.encode(), max_line_bytes=2048)
    assert (result.documents[0].id, result.documents[0].source[-2:]) == ("7", ":1")
    assert result.texts == ["fine \u2028 still one line", "a plain text"]
    assert result.skips == [
        ("a.jsonl:2", "broken JSON"),
        ("a.jsonl:4", "no text field"),
        ("a.jsonl:5", "not a record"),
        ("a.jsonl:7", "line too long"),
        ("a.jsonl:8", "no text field"),
    ]
    assert "among: title, n" in result.details
    assert "max_line_bytes" in result.details


def test_bad_bytes_and_lone_surrogates_are_replaced_and_counted(read: Callable[..., Read]) -> None:
    data = b'{"text": "caf\xe9"}\n{"text": "a\\ud800b"}\n{"text": "ok", "n": NaN}\n'
    result = read("a.jsonl", data)
    assert result.texts == ["caf\ufffd", "ab", "ok"]
    assert result.notices == ["characters replaced"]
    assert "3 records" in result.details


def test_deep_nesting_and_long_numbers_are_broken_json(read: Callable[..., Read]) -> None:
    data = b"[" * 100_000 + b"\n" + b"1" * 5000 + b'\n{"text": "ok"}\n'
    deep = b'{"text":' * 900 + b'"x"' + b"}" * 900 + b"\n"
    result = read("a.jsonl", data + deep)
    assert result.texts == ["ok"]
    assert [place for place, _ in result.skips] == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:4"]


def test_no_line_at_all_is_reported(read: Callable[..., Read]) -> None:
    assert read("a.jsonl", b"\n \n").skips == [("a.jsonl", "no records")]
    assert read("a.jsonl", b"").skips == [("a.jsonl", "empty file")]


class _Zeros:
    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int, /) -> bytes:
        block = bytes(min(size, self._left))
        self._left -= len(block)
        return block

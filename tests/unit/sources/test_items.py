from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.sources.items import Item, cut_items

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

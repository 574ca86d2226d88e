from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from pairmill.sources.lines import cut_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sources.conftest import Read


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


class _Trickle:
    def __init__(self, data: bytes, block: int) -> None:
        self._data = io.BytesIO(data)
        self._block = block

    def read(self, size: int, /) -> bytes:
        return self._data.read(min(size, self._block))


class _Zeros:
    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int, /) -> bytes:
        block = bytes(min(size, self._left))
        self._left -= len(block)
        return block

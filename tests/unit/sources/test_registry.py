from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sources.conftest import Read

LINE = b'{"text": "one"}\n'


@pytest.mark.parametrize(
    ("name", "data", "texts"),
    [
        ("-", LINE * 2, ["one", "one"]),
        ("-", b'[{"text": "one"}]', ["one"]),
        ("-", b'{\n "text": "one"\n}', ["one"]),
        ("-", b"Just text.\n", ["Just text.\n"]),
        ("-", b"[link](https://a.b) opens it", ["[link](https://a.b) opens it"]),
        ("-", gzip.compress(LINE, mtime=0), ["one"]),
        ("data", LINE, ["one"]),
        ("a.JSONL", b"\xef\xbb\xbf" + LINE, ["one"]),
        (
            "a.jsonl.gz",
            gzip.compress(LINE, mtime=0) + gzip.compress(LINE, mtime=0) + b"\0\0",
            ["one", "one"],
        ),
        ("a.jsonl", gzip.compress(LINE, mtime=0), ["one"]),
        ("a.txt", "é\n".encode("utf-16"), ["é\n"]),
        ("a.jsonl", ("\ufeff" + LINE.decode()).encode("utf-16-be"), ["one"]),
        ("a.jsonl", (LINE.decode()).encode("utf-32"), ["one"]),
        ("a.txt", b"caf\xe9 is Latin-1", ["caf\ufffd is Latin-1"]),
    ],
)
def test_the_format_is_known_by_name_or_by_its_bytes(
    read: Callable[..., Read], name: str, data: bytes, texts: list[str]
) -> None:
    assert read(name, data).texts == texts


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x89PNG ...", "an image"),
        (bytes(range(256)) * 40, "binary data"),
        (
            random.Random(1).randbytes(400).translate(bytes(range(128, 256)) * 2),
            "text in an unknown encoding",
        ),
    ],
)
def test_what_is_no_text_is_skipped_with_its_kind(
    read: Callable[..., Read], data: bytes, what: str
) -> None:
    result = read("a.txt", data)
    assert result.skips == [("a.txt", "not text")]
    assert result.details.startswith(what)


def test_a_cut_gzip_file_keeps_what_was_read(read: Callable[..., Read]) -> None:
    lines = b"".join(b'{"text": "line %d"}\n' % n for n in range(5000))
    packed = gzip.compress(lines, mtime=0)
    result = read("a.jsonl.gz", packed[: len(packed) // 2])
    assert 1000 < len(result.documents) < 4000
    assert result.notices == ["gzip data ends early"]
    assert len(result.skips) <= 1


def test_damaged_gzip_keeps_what_was_read(read: Callable[..., Read]) -> None:
    packed = gzip.compress(LINE, mtime=0)
    result = read("a.jsonl.gz", packed + b"garbage")
    assert result.texts == ["one"]
    assert result.notices == ["gzip data ends early"]


def test_a_gzip_bomb_is_stopped(read: Callable[..., Read]) -> None:
    bomb = gzip.compress(b"x" * (32 * 2**20))
    result = read("a.jsonl.gz", bomb)
    assert result.skips == [("a.jsonl.gz", "gzip bomb")]
    assert read("b.txt", gzip.compress(bomb, mtime=0)).skips == [("b.txt", "gzip bomb")]


def test_a_text_over_the_limit_is_skipped(read: Callable[..., Read]) -> None:
    assert read("a.md", b"x " * 2000, max_line_bytes=1024).skips == [("a.md", "file too long")]


def test_front_matter_and_first_heading_give_the_title(read: Callable[..., Read]) -> None:
    (document,) = read(
        "a.txt", b'---\ntitle: "T: x"\nauthor: A\nlink: u\nodd: 1\n---\nBody.\n'
    ).documents
    assert (document.title, document.author, document.url) == ("T: x", "A", "u")
    assert document.text == "Body.\n"
    assert read("b.md", b"\n# Head #\n\nBody.").documents[0].title == "Head"
    (plain,) = read("c.md", b"---\nno fields here\n---\nBody.").documents
    assert plain.text.startswith("---")
    assert plain.title is None

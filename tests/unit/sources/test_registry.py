from __future__ import annotations

import bz2
import gzip
import lzma
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


_PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "bz2": ("bzip2", bz2.compress),
    "xz": ("xz", lzma.compress),
}


@pytest.mark.parametrize("ending", _PACKERS)
def test_bzip2_and_xz_are_read_like_gzip(read: Callable[..., Read], ending: str) -> None:
    name, pack = _PACKERS[ending]
    lines = [
        b'{"text": "line %d of %d, %s"}\n' % (n, n * n, b"and more " * 60) for n in range(4000)
    ]
    packed = pack(b"".join(lines))
    two = read(f"a.jsonl.{ending}", pack(lines[0]) + pack(lines[1]) + bytes(4))
    assert len(two.documents) == 2
    assert read("-", pack(lines[0])).documents
    cut = read(f"a.jsonl.{ending}", packed[: len(packed) // 2])
    assert 100 < len(cut.documents) < 4000
    assert cut.notices == [f"{name} data ends early"]
    spoilt = read(f"a.jsonl.{ending}", packed[:-400] + bytes(400))
    assert spoilt.notices == [f"{name} data ends early"]
    bomb = pack(b"x" * (32 * 2**20))
    assert read(f"a.txt.{ending}", bomb).skips == [(f"a.txt.{ending}", f"{name} bomb")]


@pytest.mark.parametrize(
    "data", [b"%!PS-Adobe-3.0\n/Times-Roman findfont\n", b"[Script Info]\nTitle: x\n"]
)
def test_programs_of_printers_and_styled_subtitles_are_no_text(
    read: Callable[..., Read], data: bytes
) -> None:
    assert read("a.txt", data * 9).skips == [("a.txt", "not text")]

from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pairmill.chunking.reader import read_documents
from pairmill.config import load
from pairmill.sources.base import Deferred, Opener
from pairmill.sources.extractors import Extractors
from pairmill.sources.json_files import cut_items, cut_lines, is_one_value, read_items, read_lines
from pairmill.sources.notes import InputFate, Note
from pairmill.sources.registry import Formats, read_input
from pairmill.sources.streams import take_head
from pairmill.sources.text import read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pairmill.records import Document
    from pairmill.sources.base import Documents

calm = settings(deadline=None)  # the machine may be busy; correctness is what is held here

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "data", "id", "é"]), inner, max_size=3)
    ),
    max_leaves=8,
)
_PIECES = st.one_of(
    st.binary(max_size=60),
    _JSON.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [b"\n", b'{"text": "a"}\n', b"\xff\xfe", b"\xef\xbb\xbf", b"[", b"]", b'{"data": [', b",",
         b"\\", b'"', b"\x1f\x8b\x08", b"\xe2\x80\xa8", b"<html><p>x</p>", b"---\ntitle: x\n---\n"]
    ),
)  # fmt: skip
BYTES = st.lists(_PIECES, max_size=12).map(b"".join)


PAGES = Extractors(page_s=20.0)
FORMATS = Formats()


@pytest.fixture(scope="module", autouse=True)
def _pages() -> Iterator[None]:
    with PAGES:
        yield


class _Trickle:
    def __init__(self, data: bytes, block: int) -> None:
        self._data = io.BytesIO(data)
        self._block = block

    def read(self, size: int, /) -> bytes:
        return self._data.read(min(size, self._block))


def _read(data: bytes, name: str) -> tuple[list[Document], list[Note]]:
    notes: list[Note] = []
    opener = _opener(_Trickle(data, 2**18), notes, name)
    return _resolved(read_input(opener, FORMATS)), notes


def _opener(stream: _Trickle, notes: list[Note], name: str = "f") -> Opener:
    return Opener(name, "f", stream, None, 1024, notes.append, PAGES)


def _resolved(items: Documents) -> list[Document]:
    documents: list[Document] = []
    for item in items:
        documents.extend(item.resolve() if isinstance(item, Deferred) else [item])
    return documents


def _read_by(
    reader: Callable[[Opener], Documents], data: bytes, block: int
) -> tuple[list[Document], list[Note]]:
    notes: list[Note] = []
    return _resolved(reader(_opener(_Trickle(data, block), notes))), notes


@calm
@given(BYTES, st.sampled_from([*FORMATS.endings, ""]), st.booleans())
def test_any_bytes_under_any_name_give_documents_or_reasons(
    data: bytes, ending: str, packed: bool
) -> None:
    documents, notes = _read(gzip.compress(data) if packed else data, f"a{ending}")
    assert documents or any(note.fate is InputFate.SKIPPED for note in notes)
    for document in documents:
        document.text.encode("utf-8")
        assert document.id
    assert all(note.detail.isprintable() for note in notes)


@calm
@given(BYTES, st.sampled_from([read_lines, read_items, read_text]), st.integers(1, 50))
def test_the_size_of_the_blocks_does_not_matter(
    data: bytes, reader: Callable[[Opener], Documents], block: int
) -> None:
    if reader is read_lines:  # whether it is one value is told by what came with the first line
        head, _ = take_head(_Trickle(data, block))
        assume(is_one_value(head) == is_one_value(data))
    assert _read_by(reader, data, block) == _read_by(reader, data, 2**18)


@calm
@given(st.binary(), st.integers(1, 40), st.integers(1, 40))
def test_each_line_is_given_whole_or_by_its_size(data: bytes, most: int, block: int) -> None:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    expected = [line if len(line) <= most else len(line) for line in lines]
    assert list(cut_lines(_Trickle(data, block), most)) == list(enumerate(expected, 1))


@calm
@given(st.lists(_JSON, max_size=5), st.integers(0, 4), st.integers(1, 40))
def test_each_element_of_a_list_is_an_item(items: list[Any], indent: int, block: int) -> None:
    data = json.dumps(items, indent=indent or None, ensure_ascii=False).encode()
    cut = list(cut_items(_Trickle(data, block), 10**6))
    assert [json.loads(item) for item in cut if isinstance(item, bytes)] == items
    assert len(cut) == len(items)


@calm
@given(st.lists(st.one_of(_JSON.map(json.dumps), st.just("{"), st.just("x")), max_size=8))
def test_each_line_is_a_document_or_a_skip(lines: list[str]) -> None:
    notes: list[Note] = []
    stdin = io.BytesIO("\n".join(['{"text": "first"}', *lines]).encode())
    documents = list(read_documents(load(given={"inputs": ("-",)}), notes.append, stdin))
    skips = [note for note in notes if note.fate is InputFate.SKIPPED]
    assert len(documents) + len(skips) == len(lines) + 1

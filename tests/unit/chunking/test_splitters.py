from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pairmill.chunking.reader import chunks_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.chunking.splitters import make_splitter, split_by_tokens
from pairmill.config import load
from pairmill.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.chunking.chunk import Span

PROSE = "The mill stands by the river, and grinds whatever the farmers bring to it. "


def by_paragraphs(text: str) -> list[tuple[int, int]]:
    spans, at = [], 0
    for part in text.split("\n\n"):
        spans.append((at, at + len(part)))
        at += len(part) + 2
    return spans


def backwards(text: str) -> list[tuple[int, int]]:
    return [(10, 20), (0, 5)] if text else []


def _tokens(piece: str) -> int:
    return len(piece.replace(",", " ,").replace(".", " .").split())


def _job(path: Path, **settings: object) -> ReaderJob:
    given = {"inputs": (str(path),), "output": path.parent / "out", **settings}
    return ReaderJob.of(load(given=given))


def _holds(text: str, spans: list[Span]) -> None:
    position = 0
    for start, end, *_ in spans:
        assert not text[position:start].strip()
        assert text[start:end].strip()
        position = end
    assert not text[position:].strip()


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    return path


def test_no_chunk_has_more_tokens_than_allowed(tokenizer: Path, tmp_path: Path) -> None:
    dense = "! ? . , ; " * 600  # a token for each mark, where prose has one for five
    text = f"# Mills\n\n{PROSE * 40}\n\n{dense}\n\n{PROSE * 10}"
    (tmp_path / "a.md").write_text(text)
    sizes = {"chunk_min_tokens": 40, "chunk_target_tokens": 100, "chunk_max_tokens": 150}
    job = _job(tmp_path / "a.md", tokenizer=tokenizer, **sizes)
    spans = make_splitter(job)(text)
    _holds(text, spans)
    assert max(_tokens(text[start:end]) for start, end, *_ in spans) <= 150
    assert len(list(chunks_of(job, lambda _: None))) >= 7
    assert {span[2] for span in spans} == {("Mills",)}


@pytest.mark.parametrize("text", ["", " ", "a", "水" * 500, "a" * 3000, PROSE * 100])
def test_any_counter_is_held_to(text: str) -> None:
    for count in (len, lambda piece: 3 * len(piece), lambda piece: len(piece) // 7):
        spans = split_by_tokens(text, (10, 20, 40), count)
        _holds(text, spans)
        assert all(count(text[start:end]) <= 40 for start, end, *_ in spans)


def test_a_splitter_of_ones_own(tmp_path: Path) -> None:
    paragraphs = [f"Number {n}. {PROSE * 3}".strip() for n in range(4)]
    (tmp_path / "a.md").write_text("# Mills\n\n" + "\n\n".join(paragraphs))
    job = _job(tmp_path / "a.md", splitter=f"{__name__}:by_paragraphs")
    chunks = list(chunks_of(job, lambda _: None))
    assert [chunk.text for chunk in chunks] == ["# Mills", *paragraphs]
    assert {chunk.section for chunk in chunks} == {("Mills",)}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere:cut", "cannot load"),
        ("json", "not of the form module:name"),
        (f"{__name__}:PROSE", "is not a function"),
        (f"{__name__}:backwards", "in order, disjoint"),
        ("json:loads", "failed: JSONDecodeError"),
    ],
)
def test_a_splitter_that_cannot_be_used_is_one_line(
    name: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text(PROSE * 9)
    with pytest.raises((ConfigError, InputError), match=f"splitter: .*{problem}"):
        list(chunks_of(_job(tmp_path / "a.md", splitter=name), lambda _: None))


def test_a_tokenizer_that_is_none_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    (tmp_path / "a.md").write_text(PROSE * 9)
    (tmp_path / "broken.json").write_text("{}")
    for name in ("broken.json", "missing.json"):
        job = _job(tmp_path / "a.md", tokenizer=tmp_path / name)
        with pytest.raises(ConfigError, match="tokenizer: cannot read"):
            make_splitter(job)

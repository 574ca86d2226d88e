"""The bundled articles: what the first run of a newcomer reads."""

from __future__ import annotations

from pathlib import Path

from pairmill.chunking.clean import clean
from pairmill.chunking.reader import read_chunks, read_documents
from pairmill.config import load
from pairmill.records import Document, digest
from pairmill.sources.notes import InputFate, Note

EXAMPLES = Path(__file__).parents[3] / "examples"
SETTINGS = load(given={"inputs": (str(EXAMPLES / "articles"),), "limit_per_document": 1})


def test_each_article_has_a_title_an_author_and_a_text() -> None:
    notes: list[Note] = []
    documents = list(read_documents(SETTINGS, notes.append))
    assert 12 <= len(documents) <= 20
    assert {note.fate for note in notes} == {InputFate.READ}
    for document in documents:
        assert document.title
        assert document.author
        assert isinstance(clean(document), Document)
    assert len({document.author for document in documents}) >= 12


def test_each_first_chunk_is_prose() -> None:
    for chunk in read_chunks(SETTINGS, lambda _: None):
        prose = chunk.text.split("```")[0]
        assert sum(map(str.isalpha, prose)) > 300, chunk.source
        assert prose.count(". ") >= 2, chunk.source


def test_the_same_chunks_are_cut_as_ever() -> None:
    """Whoever changes this makes every user pay again for what stands in a run folder."""
    files = sorted((EXAMPLES / "articles").glob("*.[jmt]*"))  # HTML is up to a library
    chosen = load(given={"inputs": tuple(map(str, files))})
    chunks = read_chunks(chosen, lambda _: None)
    named = [f"{chunk.id} {chunk.start} {chunk.end} {chunk.section}" for chunk in chunks]
    assert digest(*named) == "d44c204908c5247c4499d546db17add3"


def test_the_notice_names_each_file_and_all_is_small() -> None:
    notice = (EXAMPLES / "articles-NOTICE.md").read_text("utf-8")
    files = list((EXAMPLES / "articles").iterdir())
    assert all(f"`{file.name}`" in notice for file in files)
    assert sum(file.stat().st_size for file in files) < 400_000

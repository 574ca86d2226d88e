from __future__ import annotations

import gc
import tracemalloc
from typing import TYPE_CHECKING

import orjson
import pytest

from pairmill.chunking import shared_lines
from pairmill.chunking.chunk_batches import read_batches, unpack
from pairmill.chunking.intake_file import IntakeFile
from pairmill.chunking.reader import prepared_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.chunking.shared_lines import KeyCounts, SharedLines, site_of
from pairmill.config import load
from pairmill.records import Document

if TYPE_CHECKING:
    from pathlib import Path

MIDDLE = "Whenever you are ready, here is how I can help you on your way:"
HEAD = "Home | Blog | About us"
FOOT = "## Newsletter\n\nJoin 40,{n:03} readers every week\n\n© The Mill"
CODE = f"```\n{MIDDLE}\n{HEAD}\n```"
OWN = (
    "On day {n} the mill ground {n} sacks of rye, and the miller of house {n} wrote it down. "
    "Nothing of note came of sack {n}, but for the dust on the sill of window {n}."
)


def _article(n: int) -> str:
    body = "\n\n".join(OWN.format(n=f"{n}-{part}") for part in range(4))
    foot = FOOT.format(n=n)
    return f"# Day {n}\n\n{HEAD}\n\n{body}\n\n{MIDDLE}\n\n{CODE}\n\n## Example\n\n{body}\n\n{foot}"


def _write(path: Path, articles: list[str], host: str = "mill.example") -> None:
    path.write_bytes(
        b"".join(
            orjson.dumps({"text": text, "url": f"https://{host}/{at}"}) + b"\n"
            for at, text in enumerate(articles)
        )
    )


def _job(path: Path, *, keeps: bool = False, **settings: str) -> ReaderJob:
    chosen = load(given={"inputs": (str(path),), "output": path.parent / "out", **settings})
    return ReaderJob.of(chosen, keeps_memory=keeps)


def test_lines_of_a_site_go_and_code_and_headings_stay(tmp_path: Path) -> None:
    _write(tmp_path / "a.jsonl", [_article(n) for n in range(8)])
    found = list(prepared_of(_job(tmp_path / "a.jsonl"), lambda _: None))
    assert len(found) == 8
    for n, one in enumerate(found):
        text = one.document.text
        assert text.count(MIDDLE) == 1
        assert CODE in text
        assert "## Example" in text
        assert text.startswith(f"# Day {n}\n\nOn day")
        assert text.rstrip().endswith(f"window {n}-3.")
        assert one.removed["shared lines"] == sum(map(len, one.lines)) > 100


def test_what_few_documents_share_stays(tmp_path: Path) -> None:
    _write(tmp_path / "a.jsonl", [_article(n) for n in range(4)])
    found = list(prepared_of(_job(tmp_path / "a.jsonl"), lambda _: None))
    assert [one.lines for one in found] == [[]] * 4
    _write(tmp_path / "a.jsonl", [_article(n) for n in range(8)])
    kept = list(prepared_of(_job(tmp_path / "a.jsonl", shared_lines="keep"), lambda _: None))
    assert [one.lines for one in kept] == [[]] * 8


def test_copies_are_no_frame(tmp_path: Path) -> None:
    same = [f"# Day {n}\n\n{OWN.format(n=1)}\n\n{MIDDLE}\n\n{OWN.format(n=2)}" for n in range(9)]
    _write(tmp_path / "a.jsonl", same)
    found = list(prepared_of(_job(tmp_path / "a.jsonl", duplicates="off"), lambda _: None))
    assert [one.document.text for one in found] == same


def test_a_site_s_lines_say_nothing_about_another(tmp_path: Path) -> None:
    _write(tmp_path / "a.jsonl", [_article(n) for n in range(8)])
    _write(tmp_path / "b.jsonl", [_article(99)], host="other.example")
    job = _job(tmp_path)
    other = [
        it
        for it in prepared_of(job, lambda _: None)
        if it.document.url == "https://other.example/0"
    ]
    assert HEAD in other[0].document.text.split("\n")[2]


def test_a_document_that_was_decided_on_keeps_its_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    (tmp_path / "out" / ".run").mkdir(parents=True)

    def chunks() -> set[str]:
        job = _job(path, keeps=True)
        return {unpack(it).text for batch in read_batches(job) for it in batch.chunks}

    _write(path, [_article(n) for n in range(3)])
    before = chunks()
    assert any(MIDDLE in text.split("```")[0] for text in before)
    _write(path, [_article(n) for n in range(20)])
    after = chunks()
    assert before <= after  # nothing is paid for twice
    fresh = after - before
    assert fresh
    assert not any(text.startswith(HEAD) or "Newsletter" in text for text in fresh)


@pytest.mark.parametrize("order", ["by site", "in turns"])
def test_how_many_sites_are_held_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Neither in the first start nor in one that finds more; what is not held is looked up."""
    (tmp_path / "out" / ".run").mkdir(parents=True)

    def texts(folder: str, numbers: range) -> list[str]:
        path = tmp_path / folder / "a.jsonl"
        path.parent.mkdir(exist_ok=True)
        (path.parent / "out" / ".run").mkdir(parents=True, exist_ok=True)
        records = [
            {"text": _article(n).replace("Blog", f"Blog {site}"), "url": f"https://s{site}/{n}"}
            for site in "abcdef"
            for n in numbers
        ]
        if order == "in turns":
            records.sort(key=lambda it: it["url"].rpartition("/")[2])
        path.write_bytes(b"".join(orjson.dumps(it) + b"\n" for it in records))
        return [it.document.text for it in prepared_of(_job(path, keeps=True), lambda _: None)]

    expected = [texts("all", range(7)), texts("all", range(12))]
    monkeypatch.setattr(shared_lines, "_MOST_LINES_HELD", 5)
    assert [texts("few", range(7)), texts("few", range(12))] == expected
    monkeypatch.setattr(shared_lines, "_MOST_SITES_HELD", 1)
    assert [texts("one", range(7)), texts("one", range(12))] == expected
    assert not any(MIDDLE in text.split("```")[0] for text in expected[0])


def test_a_site_more_takes_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each site's shared lines were held to the end: a gigabyte for 100,000 sites."""
    monkeypatch.setattr(shared_lines, "_MOST_LINES_HELD", 100)
    monkeypatch.setattr(shared_lines, "_MOST_SITES_HELD", 100)
    monkeypatch.setattr(shared_lines, "_MOST_COUNTED", 1_000)
    held = []
    with IntakeFile(tmp_path / "intake.db", is_own=True) as file:
        tracemalloc.start()
        try:
            lines = SharedLines(file)
            for first, last in ((0, 200), (200, 400)):
                for site in range(first, last):
                    for n in range(6):
                        one = Document("d", _article(n), f"s{site}/{n}")
                        lines.strip(one, f"{site * 10 + n:016x}", lines.count(one))
                    lines.flush()
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
    assert held[1] < held[0] + 100_000


def test_sites() -> None:
    def site(source: str, url: str | None = None) -> str:
        return site_of(Document("d", "t", source, url=url))

    assert site("x", "https://www.Mill.example/a") == "mill.example"
    assert site("in/a.jsonl:12") == site("in/a.jsonl:13") == "in/a.jsonl"
    assert site("in/a.json#2") == "in/a.json"
    assert site("in/blog/a.html") == "in/blog"
    assert site("a", "http://[broken") == ""


def test_forgetting_keys_takes_no_memory_beside_the_table() -> None:
    """Another table of 8 MB each 300,000 documents made a long run's reading process grow."""
    tracemalloc.start()
    try:
        counts = KeyCounts(10_000)
        (held, _) = tracemalloc.get_traced_memory()
        for start in range(1, 50_000, 100):
            counts.add(range(start, start + 100))
        (_, peak) = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(counts) < 10_000, "it has forgotten some"
    assert peak < 1.2 * held

"""The first pass: each author's card, whatever comes first, in bounded memory."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest
from tests.support.asks import KETTLES, settings

from pairmill.chunking.reader_job import ReaderJob
from pairmill.recipes.style import card_name, pool
from pairmill.run.author_styles import AuthorStyles, pool_styles
from pairmill.run.run_memory import RunMemory

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

TALK = "I don't know why, but we liked it. It's ours, and I won't sell it! "


def corpus(folder: Path, order: int = 0) -> Path:
    """Three texts of Ann, three of Bob, a short one of Cid, one of nobody."""
    documents = [
        *({"text": f"Story {n}: {KETTLES} {KETTLES}", "author": "Ann"} for n in range(3)),
        *({"text": f"Story {n}: {TALK * 20}", "author": "Bob"} for n in range(3)),
        {"text": KETTLES, "author": "Cid"},
        {"text": KETTLES * 3},
    ]
    random.Random(order).shuffle(documents)
    path = folder / f"articles-{order}.jsonl"
    path.write_text("\n".join(map(json.dumps, documents)), "utf-8")
    return path


async def cards(folder: Path, source: Path) -> tuple[dict[str, str | None], list[str]]:
    job = ReaderJob.of(settings(inputs=(str(source),), output=folder / "out"))
    with RunMemory(folder / f"{source.stem}.db") as memory:
        told = (await pool_styles(job, memory)).notices
        assert (await pool_styles(job, memory)).notices == []  # the same files are read once
        return {name: memory.get(card_name(name)) for name in ("Ann", "Bob", "Cid")}, told


async def test_cards_are_the_same_whichever_text_comes_first(tmp_path: Path) -> None:
    found = [await cards(tmp_path, corpus(tmp_path, order)) for order in range(4)]
    assert all(each == found[0] for each in found)
    by_author, told = found[0]
    assert "full forms" in (by_author["Ann"] or "")
    assert "shortened forms" in (by_author["Bob"] or "")
    assert by_author["Cid"] == ""
    assert told == [
        "style cards of 2 authors, each pooled over their texts; 1 without one (1 too little text)"
    ]


async def test_a_card_that_is_there_stays_when_the_input_grows(tmp_path: Path) -> None:
    source = corpus(tmp_path)
    job = ReaderJob.of(settings(inputs=(str(source),), output=tmp_path / "out"))
    with RunMemory(tmp_path / "m.db") as memory:
        await pool_styles(job, memory)
        before = memory.get(card_name("Ann"))
        more = {"text": TALK * 80, "author": "Ann"}
        new = {"text": TALK * 80, "author": "Dee"}
        lines = "\n".join(map(json.dumps, [more, new]))
        source.write_text(f"{source.read_text()}\n{lines}", "utf-8")
        await pool_styles(job, memory)
        assert memory.get(card_name("Ann")) == before
        assert memory.get(card_name("Dee"))


async def test_too_few_authors_to_tell_apart_are_said_on_every_start(tmp_path: Path) -> None:
    source = tmp_path / "one.jsonl"
    documents = [{"text": KETTLES * 2, "author": "Ann"}] * 2 + [{"text": TALK * 9, "author": "Bob"}]
    source.write_text("\n".join(map(json.dumps, documents)), "utf-8")
    with RunMemory(tmp_path / "m.db") as memory:
        for path, few in ((source, "1 of 2 authors with 2 documents or more"),
                          (corpus(tmp_path), "")):  # fmt: skip
            job = ReaderJob.of(settings(inputs=(str(path),), output=tmp_path / "out"))
            for _ in range(2):
                assert (await pool_styles(job, memory)).few == few


async def test_a_pipe_is_not_read_twice(tmp_path: Path) -> None:
    job = ReaderJob.of(settings(inputs=("-",), output=tmp_path / "out"))
    with RunMemory(tmp_path / "m.db") as memory:
        (told,) = (await pool_styles(job, memory)).notices
    assert "second look" in told
    assert "pipe" in told


def test_memory_is_bounded_and_the_order_changes_nothing() -> None:
    texts = [(f"a{n % 40}", f"d{n}", f"{TALK * (n % 5 + 1)}") for n in range(800)]
    pooled = []
    for order in range(3):
        draw = random.Random(order)
        shuffled = draw.sample(texts, len(texts))
        manners = AuthorStyles(most_authors=10, most_texts=4)
        for text in shuffled:
            manners.add(*text)
            assert len(manners._known) <= 20
        found = manners.pooled()
        assert len(found) == 10
        assert all(len(each) == 4 for each in found.values())
        pooled.append({author: pool(each) for author, each in sorted(found.items())})
    assert pooled[0] == pooled[1] == pooled[2]

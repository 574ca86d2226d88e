from __future__ import annotations

import random
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from tests.support.subjects import FILLER, SUBJECTS, prose

from pairmill.chunking import subjects
from pairmill.chunking.subjects import gather
from pairmill.errors import StoppedError
from pairmill.records import Chunk, digest


def chunk(text: str, document: str, **given: Any) -> Chunk:
    return Chunk(digest(text), text, document, 0, len(text), f"{document}.txt", **given)


def corpus(each: int = 6) -> list[Chunk]:
    return [
        chunk(prose(subject, number), f"{subject}{number}", title=f"{subject} {number}")
        for subject in SUBJECTS
        for number in range(each)
    ]


def subject_of(document: str) -> str:
    return document.rstrip("0123456789")


def documents(unit: Chunk) -> list[str]:
    return [unit.document_id, *(origin.document_id for origin in unit.origins)]


def test_units_hold_one_subject_and_different_documents() -> None:
    units = list(gather(corpus(), 3))
    assert len(units) >= 6
    for unit in units:
        named = documents(unit)
        assert 2 <= len(named) == len(set(named)) <= 3
        assert len({subject_of(name) for name in named}) == 1
    everything = [name for unit in units for name in documents(unit)]
    assert len(everything) == len(set(everything))


def test_the_parts_are_the_chunks_texts_with_where_they_come_from() -> None:
    given = {one.document_id: one for one in corpus()}
    for unit in gather(given.values(), 3):
        bounds = [0, *unit.parts, len(unit.text)]
        parts = [unit.text[a:b].strip() for a, b in pairwise(bounds)]
        assert parts == [given[name].text for name in documents(unit)]
        assert unit.id == digest(unit.text)
        assert unit.title == given[unit.document_id].title
        for origin in unit.origins:
            assert origin.title == given[origin.document_id].title
            assert origin.source == given[origin.document_id].source


def test_the_same_documents_in_any_order_give_the_same_units() -> None:
    given = corpus(8)
    wanted = list(gather(given, 3))
    for seed in range(5):
        random.Random(seed).shuffle(given)
        assert list(gather(given, 3)) == wanted


def test_of_one_text_in_two_documents_the_first_one_by_id_is_taken_in_any_order() -> None:
    given = [*corpus(2), chunk(prose("vine", 0), "mirror"), chunk(prose("vine", 0), "another")]
    wanted = list(gather(given, 2))
    assert list(gather(reversed(given), 2)) == wanted
    named = [name for unit in wanted for name in documents(unit)]
    assert "another" in named
    assert "mirror" not in named


def test_chunks_of_one_document_and_near_copies_make_no_unit() -> None:
    text = prose("vine", 1)
    copies = [chunk(text, "a"), chunk(f"{text} Soil.", "b")]
    assert list(gather(copies, 2)) == []
    same = [chunk(prose("orbit", number), "one") for number in range(4)]
    assert list(gather(same, 2)) == []


def test_what_is_alone_with_its_subject_gives_no_unit() -> None:
    given = [*corpus(3), chunk("Sir Gawain rode to the green chapel in deep winter snow.", "alone")]
    assert all("alone" not in documents(unit) for unit in gather(given, 3))
    assert list(gather([], 3)) == []
    assert list(gather([chunk("...", "none"), chunk("", "empty")], 3)) == []


def test_scripts_without_spaces_are_compared_too() -> None:
    tea, train = ("绿茶", "杀青", "茶叶", "香气", "蒸青"), ("铁路", "信号", "列车", "轨道", "调度")

    def told(terms: tuple[str, ...], seed: int) -> str:
        dice = random.Random(seed)
        return "。".join("的".join(dice.choices(terms, k=4)) for _ in range(6))

    given = [chunk(told(tea, n), f"tea{n}", language="zh") for n in range(3)]
    given += [chunk(told(train, n), f"train{n}", language="zh") for n in range(3)]
    units = list(gather(given, 3))
    assert units
    assert all(len(set(map(subject_of, documents(unit)))) == 1 for unit in units)


@pytest.mark.slow
def test_the_chunks_wait_outside_of_memory() -> None:
    def many(count: int) -> int:
        tracemalloc.start()
        texts = (
            chunk(f"{prose('vine', 0)} {' '.join(random.Random(n).choices(FILLER, k=300))}", str(n))
            for n in range(count)
        )
        for _ in gather(texts, 3):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert many(160) < 1.2 * many(40) + 200_000


def test_a_disk_without_room_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "_SCHEMA", f"PRAGMA max_page_count = 12; {subjects._SCHEMA}")
    with pytest.raises(StoppedError, match=r"full.*set TMPDIR to a folder with free space"):
        list(gather(corpus(60), 3))

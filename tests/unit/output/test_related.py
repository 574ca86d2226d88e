from __future__ import annotations

import random
from typing import Any

from pairmill.output.related import SourceSketches, related_documents

WORDS = [f"{one}{two}" for one in "abcdefghklmnprst" for two in ("ra", "lo", "mi", "ten", "sky")]


def text(seed: int, count: int = 200) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def test_documents_with_the_same_passage_at_another_place_are_kin() -> None:
    sketches = SourceSketches()
    passage = text(1)
    sketches.add("a", "a1", passage)
    sketches.add("b", "b1", f"{text(2, 150)} {passage[: len(passage) // 2]}")  # cut elsewhere
    sketches.add("b", "b2", f"{passage[len(passage) // 2 :]} {text(3, 150)}")
    sketches.add("c", "c1", text(4))
    assert sketches.kin() == {("b", "a")} or sketches.kin() == {("a", "b")}


def test_a_short_footer_makes_no_kin() -> None:
    sketches = SourceSketches()
    for number in range(4):
        sketches.add(f"d{number}", "footer", text(7, 25))
        sketches.add(f"d{number}", f"c{number}", text(100 + number))
    assert sketches.kin() == set()
    assert len(sketches) == 4


def test_the_same_documents_in_any_order_give_the_same_kin() -> None:
    given = [(f"d{number}", f"c{number}", text(number % 6)) for number in range(18)]
    found = []
    for seed in range(3):
        random.Random(seed).shuffle(given)
        sketches = SourceSketches()
        for each in given:
            sketches.add(*each)
        found.append(sketches.kin())
    assert found[0] == found[1] == found[2]
    assert len({name for edge in found[0] for name in edge}) == 18


def test_a_held_out_row_whose_text_train_holds_is_a_leak() -> None:
    sketches = SourceSketches()
    sketches.add("train", "t", text(1))
    sketches.add("copy", "c", text(1) + " and one more")
    sketches.add("other", "o", text(9))
    rows = [{"chunk_id": name} for name in ("c", "o", "unknown")]
    assert sketches.leaked(rows, ["train"]) == 1
    assert sketches.leaked(rows, ["other"]) == 1
    assert sketches.leaked(rows, []) == 0


def test_documents_that_one_row_was_written_from_are_kin() -> None:
    rows: list[dict[str, Any]] = [
        {"document_id": "a", "answer": text(1), "fields": {"document_ids": ["a", "b", "c"]}},
        {"document_id": "d", "answer": text(2), "fields": {"document_ids": ["d"]}},
        {"document_id": "e", "answer": text(3), "fields": {"document_ids": "e"}},  # a recipe's own
        {"document_id": "f", "answer": text(4), "fields": None},
        {"document_id": "g", "answer": text(5)},
    ]
    assert related_documents(rows) == {("b", "a"), ("c", "a")}

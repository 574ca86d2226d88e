from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pairmill.quality import duplicates
from pairmill.quality.duplicates import (
    Duplicate,
    Item,
    find_alike,
    find_duplicates,
    group,
    jaccard,
    shingles,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG = "Describe how the brewers of the northern valley used a copper kettle in winter"


def test_exact_repeats_differ_in_case_and_punctuation_only() -> None:
    found = find_duplicates([Item("a", "What is copper?"), Item("b", "what is COPPER")])
    assert found == {"b": Duplicate("a", 1.0)}


def test_near_repeats_carry_their_jaccard() -> None:
    near = f"{LONG} nights"
    found = find_duplicates([Item("a", LONG), Item("b", near)])
    assert found == {"b": Duplicate("a", jaccard(shingles(LONG), shingles(near)))}
    assert find_duplicates([Item("a", LONG), Item("b", near)], least=0.95) == {}


def test_the_higher_score_stays() -> None:
    items = [Item("a", LONG, 2.0), Item("b", f"{LONG} nights", 4.5), Item("c", LONG, 3.0)]
    assert set(find_duplicates(items)) == {"a", "c"}
    assert {duplicate.of for duplicate in find_duplicates(items).values()} == {"b"}


def test_other_questions_are_no_repeats() -> None:
    items = [
        Item("a", "How do I brew with a copper kettle?"),
        Item("b", "How do I brew with a granite trough?"),
        Item("c", ""),
        Item("d", "Why?"),
        Item("e", "Why not?"),
    ]
    assert find_duplicates(items) == {}
    assert group(items) == {item.id: item.id for item in items}


def test_groups_reach_through_others() -> None:
    words = LONG.split()
    chain = [" ".join([*words[shift:], *(f"w{number}" for number in range(shift))]) for shift in
             range(0, 6, 2)]  # fmt: skip
    assert jaccard(shingles(chain[0]), shingles(chain[2])) < 0.7
    items = [Item(name, text) for name, text in zip("cba", chain, strict=True)]
    assert group(items) == {"a": "a", "b": "a", "c": "a"}


def test_texts_without_spaces_are_compared_by_characters() -> None:
    found = find_duplicates(
        [Item("a", "銅の釜はなぜ醸造に使われたのか説明してください"),
         Item("b", "銅の釜はなぜ醸造に使われたのかを説明してください"),
         Item("c", "水車はどのように粉を挽くのか教えてください")]
    )  # fmt: skip
    assert set(found) == {"b"}


def test_what_means_the_same_is_found_across_blocks_and_by_score(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    np = pytest.importorskip("numpy")
    monkeypatch.setattr(duplicates, "_BLOCK", 2)

    def embed(texts: Sequence[str]) -> Any:
        """Give texts of the same first letter the same direction."""
        vectors = np.zeros((len(texts), 4))
        for row, text in enumerate(texts):
            if text:
                vectors[row, "abcd".index(text[0])] = len(text)
        return vectors

    texts = ["a", "b", "", "aa", "c", "bb", "", "aaa"]
    items = [Item(str(at), text, float(at)) for at, text in enumerate(texts)]
    alike = {"0": "7", "3": "7", "1": "5"}  # the higher score stays; the empty ones do, too
    for given in (items, items[::-1]):
        found = find_alike(given, embed, least=0.9)
        assert {name: it.of for name, it in found.items()} == alike
        assert {it.similarity for it in found.values()} == {1.0}
    assert find_alike([], embed) == {}

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from pairmill.quality.duplicates import Item, find_duplicates, group, jaccard, shingles
from pairmill.quality.filters import inspect
from pairmill.quality.grounding import fragments, prepare_chunk, prepare_pair, score
from pairmill.quality.privacy import redact
from pairmill.quality.text import prepare, words

TEXTS = st.lists(st.sampled_from("abcdef"), max_size=12).map(" ".join)
ANY = st.text(max_size=400)


@given(st.lists(TEXTS, max_size=25), st.randoms())
def test_duplicates_are_complete_and_do_not_depend_on_order(texts: list[str], rng: object) -> None:
    items = [Item(f"{at:03}", text, at % 3) for at, text in enumerate(texts)]
    found = find_duplicates(items)
    shuffled = list(items)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert find_duplicates(shuffled) == found
    runs = {item.id: shingles(item.text) for item in items}
    for name, duplicate in found.items():
        assert duplicate.of not in found
        assert abs(jaccard(runs[name], runs[duplicate.of]) - duplicate.similarity) < 1e-9
        assert duplicate.similarity >= 0.7 - 1e-6
    kept = [item.id for item in items if item.id not in found and runs[item.id]]
    assert all(jaccard(runs[one], runs[two]) < 0.7 for one, two in combinations(kept, 2))


@given(st.lists(TEXTS, max_size=20))
def test_groups_are_the_connected_components(texts: list[str]) -> None:
    items = [Item(f"{at:03}", text) for at, text in enumerate(texts)]
    groups = group(items)
    runs = {item.id: shingles(item.text) for item in items}
    expected = {item.id: item.id for item in items}
    for _ in items:  # relax until nothing changes: at most one step per item
        for one, two in combinations(expected, 2):
            if jaccard(runs[one], runs[two]) >= 0.7:
                expected[one] = expected[two] = min(expected[one], expected[two])
    assert groups == expected


@given(ANY, ANY, ANY, ANY)
def test_any_text_can_be_inspected(text: str, asked: str, answer: str, evidence: str) -> None:
    chunk = prepare_chunk(text)
    pair = prepare_pair(asked, answer, evidence, language=chunk.language)
    for finding in inspect(pair, chunk, [pair]):
        assert finding.detail.isprintable()
    assert 0 <= score(pair, chunk) <= 1
    assert fragments(pair.answer.words, chunk).longest <= len(pair.answer.words)


@given(ANY)
def test_a_text_is_grounded_in_itself(text: str) -> None:
    chunk = prepare_chunk(text)
    pair = prepare_pair("", text, text, language=chunk.language)
    assert score(pair, chunk) == 1
    assert fragments(pair.answer.words, chunk).longest == len(pair.answer.words)


@given(ANY)
def test_redaction_leaves_nothing_to_redact(text: str) -> None:
    clean, matches = redact(f"{text} anna@brewmail.org {text}")
    assert matches
    assert "anna@brewmail.org" not in clean


@given(ANY)
def test_words_are_stable_under_joining(text: str) -> None:
    tokens = words(text)
    assert words(" ".join(tokens)) == tokens
    assert prepare(text).vocabulary == set(tokens)

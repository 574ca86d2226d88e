from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from pairmill.quality.duplicates import Item, find_duplicates, group, jaccard, shingles
from pairmill.quality.filters import inspect
from pairmill.quality.grounding import fragments, prepare_chunk, prepare_pair, score
from pairmill.quality.privacy import redact
from pairmill.quality.text import prepare, words

ANY = st.text(max_size=400)
ALPHABET = [f"{one}{two}" for one in "bdfgk" for two in "aeiou"]


@st.composite
def texts_with_neighbours(draw: st.DrawFn) -> list[str]:
    """Texts of which some are others with words added or changed, around the bound of 0.7.

    A text of ``n`` runs is like one that begins with it and has ``k`` more up to
    ``n / (n + k) = 0.7``: one more word, and they are two.
    """
    texts: list[str] = []
    for _ in range(draw(st.integers(1, 5))):
        base = draw(st.permutations(ALPHABET))[: draw(st.integers(5, 20))]
        texts.append(" ".join(base))
        runs = len(base) - 2
        for _ in range(draw(st.integers(0, 2))):
            more = max(0, int(runs / 0.7) - runs + draw(st.integers(-1, 1)))
            other = base + draw(st.permutations(ALPHABET))[:more]
            if draw(st.booleans()):
                other[draw(st.integers(0, len(other) - 1))] = draw(st.sampled_from(ALPHABET))
            texts.append(" ".join(other))
    return draw(st.permutations(texts))


def has_near(texts: list[str]) -> bool:
    """Whether two of the texts are alike and not the same."""
    pairs = combinations({words(text) for text in texts}, 2)
    runs = ((shingles(" ".join(one)), shingles(" ".join(two))) for one, two in pairs)
    return any(jaccard(one, two) >= 0.7 - 1e-9 for one, two in runs)


class Share:
    """Counts in how many examples the thing occurs that the property is about."""

    def __init__(self) -> None:
        self.examples = self.hits = 0

    def count(self, *, hit: bool) -> None:
        self.examples += 1
        self.hits += hit

    def check(self) -> None:
        assert 3 * self.hits >= self.examples, f"{self.hits} of {self.examples} examples"


def test_duplicates_are_complete_and_do_not_depend_on_order() -> None:
    share = Share()

    @given(texts_with_neighbours(), st.randoms())
    def check(texts: list[str], rng: object) -> None:
        share.count(hit=has_near(texts))
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
        alike = (jaccard(runs[one], runs[two]) for one, two in combinations(kept, 2))
        assert all(similarity < 0.7 - 1e-9 for similarity in alike)

    check()
    share.check()


def test_groups_are_the_connected_components() -> None:
    share = Share()

    @given(texts_with_neighbours())
    def check(texts: list[str]) -> None:
        share.count(hit=has_near(texts))
        items = [Item(f"{at:03}", text) for at, text in enumerate(texts)]
        runs = {item.id: shingles(item.text) for item in items}
        expected = {item.id: item.id for item in items}
        for _ in items:  # relax until nothing changes: at most one step per item
            for one, two in combinations(expected, 2):
                if jaccard(runs[one], runs[two]) >= 0.7 - 1e-9:
                    expected[one] = expected[two] = min(expected[one], expected[two])
        assert group(items) == expected

    check()
    share.check()


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

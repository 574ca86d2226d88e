"""What must hold of any split, whatever the documents and edges are."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pairmill.output.split import SPLITS, Shares, Splitter

IDS = st.text(alphabet="abcdef", min_size=1, max_size=3)
EDGES = st.lists(st.tuples(IDS, IDS), max_size=30)
SEEDS = st.integers(0, 5)


@given(EDGES, SEEDS)
def test_joined_documents_share_a_split(edges: list[tuple[str, str]], seed: int) -> None:
    splitter = Splitter(Shares(50, 25, 25), seed, edges)
    for one, other in edges:
        assert splitter.component(one) == splitter.component(other)
        assert splitter.split_of(one) == splitter.split_of(other)


@given(EDGES, st.randoms(use_true_random=False), SEEDS)
def test_the_order_and_direction_of_edges_do_not_matter(
    edges: list[tuple[str, str]], random: object, seed: int
) -> None:
    shuffled = [(other, one) for one, other in edges]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (Splitter(Shares(50, 25, 25), seed, given) for given in (edges, shuffled))
    for document in {name for edge in edges for name in edge}:
        assert one.component(document) == other.component(document)
        assert one.split_of(document) == other.split_of(document)


@given(EDGES, EDGES, SEEDS)
def test_documents_that_no_new_edge_reaches_stay_where_they_are(
    edges: list[tuple[str, str]], more: list[tuple[str, str]], seed: int
) -> None:
    before = Splitter(Shares(50, 25, 25), seed, edges)
    after = Splitter(Shares(50, 25, 25), seed, edges + more)
    touched = {before.component(name) for edge in more for name in edge}
    for document in {name for edge in edges for name in edge}:
        if before.component(document) not in touched:
            assert before.split_of(document) == after.split_of(document)


@given(EDGES)
def test_a_component_is_named_by_its_least_document(edges: list[tuple[str, str]]) -> None:
    splitter = Splitter(Shares(), 0, edges)
    members: dict[str, set[str]] = {}
    for document in {name for edge in edges for name in edge}:
        members.setdefault(splitter.component(document), set()).add(document)
    assert all(name == min(group) for name, group in members.items())


@given(SEEDS)
def test_shares_come_out_as_asked(seed: int) -> None:
    splitter = Splitter(Shares(80, 15, 5), seed)
    found = Counter(splitter.split_of(f"document {number}") for number in range(4_000))
    for split, share in zip(SPLITS, (0.80, 0.15, 0.05), strict=True):
        assert abs(found[split] / 4_000 - share) < 0.03

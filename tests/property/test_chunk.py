from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.chunking.chunk import split
from pairmill.records import Chunk, Document

calm = settings(deadline=None)  # the machine may be busy; correctness is what is held here

_WORDS = st.text(
    st.sampled_from("abc XY.!?。 \n\t#`~|-=*1é\u0301\u200d\u3000\U0001f1eb"), max_size=60
)
_FENCES = st.builds(
    lambda mark, lines: f"\n{mark}\n" + "\n".join(lines) + f"\n{mark}\n",
    st.sampled_from(["```", "~~~", "````"]),
    st.lists(st.text(st.sampled_from("xyz =.#\t "), max_size=20), max_size=6),
)
_BLOCKS = st.one_of(
    _WORDS,
    _FENCES,
    st.builds(lambda level, title: f"\n{'#' * level} {title}\n", st.integers(1, 6), _WORDS),
    st.builds(lambda count: "A sentence of words. " * count, st.integers(1, 12)),
    st.just("\n\n"),
    st.text(max_size=40),
)
TEXTS = st.lists(_BLOCKS, max_size=14).map("".join)
BOUNDS = st.lists(st.integers(1, 200), min_size=3, max_size=3).map(
    lambda sizes: (min(sizes), sorted(sizes)[1], max(*sizes, 16))
)


def _split(text: str, bounds: tuple[int, int, int]) -> list[Chunk]:
    least, target, most = bounds
    return split(Document("d", text, "s"), min_chars=least, target_chars=target, max_chars=most)


@calm
@given(TEXTS, BOUNDS)
def test_spans_are_exact_ordered_disjoint_and_cover_all_but_white_space(
    text: str, bounds: tuple[int, int, int]
) -> None:
    position = 0
    for index, chunk in enumerate(_split(text, bounds)):
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.index == index
        assert position <= chunk.start < chunk.end
        assert not text[position : chunk.start].strip()
        assert chunk.text.strip()
        position = chunk.end
    assert not text[position:].strip()


@calm
@given(TEXTS, BOUNDS)
def test_no_chunk_is_over_the_maximum(text: str, bounds: tuple[int, int, int]) -> None:
    assert all(len(chunk.text) <= bounds[2] for chunk in _split(text, bounds))


@calm
@given(TEXTS, BOUNDS)
def test_the_same_text_gives_the_same_chunks(text: str, bounds: tuple[int, int, int]) -> None:
    assert _split(text, bounds) == _split(text, bounds)


@calm
@given(TEXTS, BOUNDS)
def test_two_neighbours_that_fit_together_are_not_both_too_short(
    text: str, bounds: tuple[int, int, int]
) -> None:
    least, _, most = bounds
    for left, right in pairwise(_split(text, bounds)):
        if right.end - left.start <= most:
            assert len(left.text) >= least
            assert len(right.text) >= least


@calm
@given(
    st.lists(st.sampled_from(["One sentence. " * 9, "# Title", "- a\n- b"]), max_size=6),
    st.lists(st.text(st.sampled_from("x=1 #\n"), max_size=60), min_size=1, max_size=4),
    BOUNDS,
)
def test_fenced_code_that_fits_is_whole(
    prose: list[str], codes: list[str], bounds: tuple[int, int, int]
) -> None:
    fences = [f"```\n{re.sub('`', '', code)}\n```" for code in codes]
    pieces = [piece for pair in zip(prose, fences, strict=False) for piece in pair]
    text = "\n\n".join(pieces)
    chunks = _split(text, bounds)
    position = 0
    for fence in pieces[1::2]:
        start = text.index(fence, position)
        position = start + len(fence)
        if len(fence) <= bounds[2]:
            assert any(chunk.start <= start and position <= chunk.end for chunk in chunks)

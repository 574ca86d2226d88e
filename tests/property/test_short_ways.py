"""Each short way through the reading gives what the long way gives, on texts that try to differ."""

from __future__ import annotations

import io
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.chunking import blocks, clean, document_filters, page_parts, repeats, shared_lines
from pairmill.chunking.chunk import split
from pairmill.chunking.chunk_batches import pack, unpack
from pairmill.chunking.intake_file import IntakeFile
from pairmill.chunking.shared_lines import KeyCounts
from pairmill.quality.text import words
from pairmill.quality.word_lists import ENGLISH
from pairmill.recipes import plan
from pairmill.recipes.plan import pick, weights_of, without
from pairmill.records import Document, digest, digest_with
from pairmill.sources import characters, fences
from pairmill.sources.base import Opener
from pairmill.sources.extractors import Extractors
from pairmill.sources.records import Decoder, _look_where_planned, _search

calm = settings(deadline=None)

_PIECES = st.sampled_from(
    ["\n", "\n\n", "\r\n", "\r", " ", "  ", "\t", "```", "~~~", "`", "#", "# ", "## Head\n",
     "===\n", "---\n", "- item\n", "1. ", "](", "[x](http://a.b)", "[Subscribe](x)", "....",
     "http://a.b/c", "<https://q>", "Subscribe", "share", "© 2020 X", "\x1b[31m", "\x07", "\x0b",
     "\x7f", "\x85", "\u200b", "\u200d", "\u00a0", "\u2028", "\u3164", "e\u0301", "é", "“",
     "日本語。", "\u017f", "\u212a", "\u0131", "word ", "Sentence one. ", "And two! ", "404",
     "enable JavaScript", "java\u017fcript is required", "we use cook\u0131es", "5", "_",
     "VERIFY YOU ARE human", "Checking your browser", "naïve ", "don\u2019t ", "a" * 90]
)  # fmt: skip
TEXTS = (
    st.lists(st.one_of(_PIECES, st.text(max_size=8)), max_size=60)
    .map("".join)
    .map(characters.strip_surrogates)
)


@calm
@given(TEXTS)
def test_hidden_characters(text: str) -> None:
    assert characters.strip_hidden(text) == characters._strip_hidden(text)


@calm
@given(TEXTS, st.integers(1, 60))
def test_lines_for_labels(text: str, most: int) -> None:
    line = " ".join(characters._strip_hidden(text[: 4 * most]).split())
    expected = line if len(line) <= most else line[: most - 1].rstrip() + "…"
    assert characters.plain_line(text, most) == expected


@calm
@given(TEXTS)
def test_words(text: str) -> None:
    counted = sum(1 for _ in islice(document_filters._WORD.finditer(text), clean.MIN_WORDS))
    assert document_filters._words_up_to_enough(text, clean.MIN_WORDS) == counted


@calm
@given(TEXTS)
def test_walls(text: str) -> None:
    assert document_filters._may_be_wall(text) or not document_filters._WALL.search(text)


_SAMPLES = st.lists(
    st.one_of(
        _PIECES,
        st.text(max_size=8),
        st.sampled_from(
            [
                "bcdfg ",
                "qWrtpsk\n",
                "xkcdt, ",
                "rhythms ",
                "length ",
                "12345 ",
                "-- ",
                "x" * 40,
                "Привет мир ",
                "日本語",
                "¤¤¤ ",
                "\u1680",
                "\x1f",
                "\x1c ",
            ]
        ),
    ),
    min_size=1,
    max_size=30,
).flatmap(lambda parts: st.integers(1, 40).map(lambda times: "".join(parts) * times))


@calm
@given(_SAMPLES)
def test_odd_words(sample: str) -> None:
    expected = document_filters._odd_words_counted(sample)
    assert document_filters._odd_words(sample) == expected


_NOTICE_TEXTS = st.one_of([st.from_regex(it.pattern, fullmatch=True) for it in page_parts._NOTICES])


@settings(deadline=None, max_examples=150)
@given(_NOTICE_TEXTS, st.text(page_parts._MARKS, max_size=3))
def test_beginnings_of_notices(notice: str, marks: str) -> None:
    assert page_parts._may_be_notice(marks + notice)


@calm
@given(TEXTS)
def test_marks_of_fences(text: str) -> None:
    position, marks = 0, fences._Marks(text)
    for expected in re.finditer("`{3,}|~{3,}", text):
        found = marks.after(position)
        assert found is not None
        assert found.span() == expected.span()
        position = expected.end()
    assert marks.after(position) is None


@calm
@given(TEXTS)
def test_plain_lines(text: str) -> None:
    text = characters.strip_hidden(text)
    regular = shared_lines._is_regular(text)
    for line in text.split("\n"):
        assert shared_lines._plain(line, is_regular=regular) == " ".join(line.split())


@calm
@given(st.sampled_from(["http", "https", "HTTP", "ftp"]), st.text("aB.:@/?#[ \t\u2100", max_size=9))
def test_hosts(scheme: str, rest: str) -> None:
    url = f"{scheme}://{rest}"
    try:
        host = urlsplit(url).netloc
    except ValueError:
        host = ""
    expected = host.casefold().removeprefix("www.") or "in"
    assert shared_lines.site_of(Document("d", "t", "in/a.html", url=url)) == expected


@calm
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9), max_size=60))
def test_texts_that_were_seen(names: list[int]) -> None:
    first: dict[int, str] = {}
    with IntakeFile(Path("none"), is_own=False) as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "_WRITTEN", 5)
        patch.setattr(repeats, "_FILTER_BITS", 64)  # so that it often errs
        seen = repeats._SeenTexts(file, "chunk")
        for at, name in enumerate(names):
            assert seen.add(name, f"at {at}") == first.get(name)
            first.setdefault(name, f"at {at}")


@calm
@given(
    st.lists(st.lists(st.integers(1, 40) | st.integers(-(2**63), 2**63 - 1), unique=True)),
    st.integers(2, 20),
)
def test_counts_of_keys(documents: list[list[int]], most: int) -> None:
    counts, expected = KeyCounts(most), Counter[int]()
    for keys in documents:
        counts.add(key for key in keys if key)
        expected.update(key for key in keys if key)
        if len(expected) > most:
            least = 2
            while least == 2 or len(expected) > most // 2:
                expected = Counter({key: n for key, n in expected.items() if n >= least})
                least += 1
        assert len(counts) == len(expected)
        for least in (2, 3, 5):
            found = {key for keys in documents for key in keys if counts.has(key, least)}
            assert found == {key for key, n in expected.items() if n >= least}


@calm
@given(TEXTS)
def test_one_paragraph(text: str) -> None:
    line = re.sub(r"[\n#`~]", " ", text)
    found = [(block.start, block.end, block.shape, 0) for block in blocks.find_blocks(line)]
    assert found == blocks._spans(line)


@calm
@given(TEXTS, st.text(), st.text())
def test_names(text: str, tail: str, more: str) -> None:
    name = digest(text)
    assert digest_with(tail, more)(name) == digest(name, tail, more)


@calm
@given(TEXTS, st.sampled_from([(1, 1, 16), (10, 40, 90), (800, 1800, 2800)]))
def test_a_chunk_that_travelled_is_the_same(text: str, bounds: tuple[int, int, int]) -> None:
    document = Document("id", text, "source", "title", None, "url", "en")
    least, wish, most = bounds
    chunks = split(document, min_chars=least, target_chars=wish, max_chars=most)
    spans = [(chunk.start, chunk.end, chunk.section, chunk.parts) for chunk in chunks]
    packed = [pack(document, index, span) for index, span in enumerate(spans)]
    assert [unpack(one) for one in packed] == chunks
    assert [one[:2] for one in packed] == [(chunk.id, "id") for chunk in chunks]


_FIELDS = (
    ["text", "Text", "content", "body", "id", "_id", "ID", "title", "Title", "headline", "author",
     "authors", "url", "link", "lang", "metadata", "Meta", "foo"]
)  # fmt: skip
_NAMES = st.lists(st.sampled_from(_FIELDS), unique=True, max_size=9)
_TEXTUAL = st.one_of(
    TEXTS, st.sampled_from(["", " ", "  a  b ", "x", "\ud800", "\ud800x", "\u0958" * 150])
)
_VALUES = st.one_of(
    _TEXTUAL,
    st.integers(),
    st.none(),
    st.booleans(),
    st.lists(_TEXTUAL, max_size=2),
    st.dictionaries(st.sampled_from(["text", "title", "$oid", "lang"]), _TEXTUAL, max_size=2),
)


@calm
@given(_NAMES, st.sampled_from([None, "text", "Foo", "metadata.text"]), st.data())
def test_records(names: list[str], field: str | None, data: st.DataObject) -> None:
    with Extractors(page_s=1.0) as extractors:
        opener = Opener("f", "f", io.BytesIO(), field, 1024, lambda _: None, extractors)
        decoder = Decoder(opener)
    for _ in range(3):
        record = {name: data.draw(_VALUES) for name in names}
        found = _look_where_planned(record, decoder)
        assert found is None or found == _search(record, field)


@calm
@given(st.lists(st.integers(0, 9) | st.floats(0, 9), min_size=1), st.integers(0, 2**32 - 1))
def test_draws_by_weights(weights: list[float], place: int) -> None:
    named = {str(at): weight for at, weight in enumerate(weights)}
    share = place / 2**32
    if sum(weights):
        assert weights_of(named).pick(share) == pick(named, share)
    del named["0"]
    if sum(named.values()):
        left = without(weights_of({"0": 1, **named}), "0")
        assert left is without(left, "0")
        assert left.pick(share) == pick(named, share)


_TRAITS = st.sampled_from([*ENGLISH, *set().union(*plan._WORDS.values()), "3rd", "'90s", "don't"])


@calm
@given(st.lists(st.one_of(_TRAITS, _TRAITS, TEXTS), max_size=60).map(" ".join))
def test_traits(text: str) -> None:
    tokens = words(text)
    total = max(len(tokens), 1)
    found = plan._form_of(text)
    if sum(word[0].isdigit() for word in tokens) >= max(3, 0.03 * total):
        found.add("numbers")
    if sum(word in ENGLISH for word in tokens) >= 0.25 * total:
        for trait, known in plan._WORDS.items():
            if sum(word in known for word in tokens) >= plan._LEAST_SHARE[trait] * total:
                found.add(trait)
        assert plan.traits_of(text) == frozenset(found)
    else:
        assert plan.traits_of(text) == (frozenset(found) or None)


@calm
@given(TEXTS)
def test_code_in_lines(text: str) -> None:
    assert plan.holds_code(text) == bool(plan._CODE.search(text))

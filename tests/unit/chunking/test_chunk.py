from __future__ import annotations

import pytest

from pairmill.chunking.chunk import split
from pairmill.records import Chunk, Document, digest


def _split(text: str, least: int = 80, target: int = 180, most: int = 280) -> list[Chunk]:
    document = Document("d", text, "s.md", title="T", author="A", url="U", language="en")
    chunks = split(document, min_chars=least, target_chars=target, max_chars=most)
    position = 0
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert not text[position : chunk.start].strip()
        assert len(chunk.text) <= most
        position = chunk.end
    assert not text[position:].strip()
    return chunks


def _sentences(count: int, word: str = "mill") -> str:
    return " ".join(f"Sentence {n} is about the {word} by the river." for n in range(count))


def test_a_small_document_is_one_chunk_and_carries_its_facts() -> None:
    (chunk,) = _split("\n\nOne short text.\n")
    assert chunk == Chunk(
        digest("One short text."), "One short text.", "d", 2, 17, "s.md",
        title="T", author="A", url="U", language="en",
    )  # fmt: skip


def test_white_space_gives_no_chunk() -> None:
    assert _split(" \n\n\t\n") == []


def test_long_prose_is_cut_at_sentences_into_even_pieces() -> None:
    chunks = _split(_sentences(30))
    assert all(chunk.text.endswith("river.") for chunk in chunks)
    assert all(80 <= len(chunk.text) <= 280 for chunk in chunks)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))


@pytest.mark.parametrize(
    "sentence",
    [
        "It was Mr. Smith and Dr. Jones who came to the U.S. Senate with J. Q. Adams and 3.5 tons",
        "Some tools, e.g. hammers, vs. saws, are sold by Acme Inc. in the town of St. Louis today",
        "The version is 3.11.2 and the price is 1.000 dollars for each of the many wheels there",
    ],
)
def test_no_cut_after_an_abbreviation_an_initial_or_within_a_number(sentence: str) -> None:
    chunks = _split(". ".join([sentence] * 8) + ".", 20, 100, 130)
    assert len(chunks) == 8
    assert all(chunk.text == sentence + "." for chunk in chunks)


def test_cjk_sentences_need_no_space() -> None:
    chunks = _split("水车立在河边每年秋天碾磨谷物。" * 30, 40, 90, 140)
    assert all(chunk.text.endswith("。") for chunk in chunks)


def test_headings_open_chunks_and_give_the_section_path() -> None:
    text = "\n\n".join(
        ["# Book", _sentences(3), "## One", _sentences(3), "### Deep", _sentences(3), "## Two #",
         _sentences(3)]
    )  # fmt: skip
    chunks = _split(text)
    assert [chunk.section for chunk in chunks] == [
        ("Book",), ("Book", "One"), ("Book", "One", "Deep"), ("Book", "Two"),
    ]  # fmt: skip
    assert chunks[1].text.startswith("## One")


def test_a_heading_is_never_left_behind() -> None:
    for count in range(1, 9):
        text = f"{_sentences(count)}\n\n## Next\n\n### Sub\n\n{_sentences(4)}"
        assert not any(chunk.text.endswith(("Next", "Sub")) for chunk in _split(text))


def test_underlined_headings_and_headings_without_a_blank_line() -> None:
    text = f"Book\n====\n\n{_sentences(3)}\n# Other\n{_sentences(3)}"
    assert [chunk.section for chunk in _split(text)] == [("Book",), ("Other",)]


def test_fenced_code_is_whole_and_holds_no_heading() -> None:
    code = "```py\n# no heading\n\n" + "x = 1\n" * 20 + "\n# end\n```"
    chunks = _split(f"{_sentences(4)}\n\n{code}\n\n{_sentences(4)}")
    (holder,) = [chunk for chunk in chunks if "```" in chunk.text]
    assert code in holder.text
    assert all(chunk.section == () for chunk in chunks)


def test_a_longer_fence_holds_a_shorter_one() -> None:
    code = "````md\n```\nx\n```\n# inside\n````"
    (chunk,) = _split(f"{code}\n\nAfter it.")
    assert chunk.section == ()


def test_code_over_the_maximum_is_cut_at_blank_lines_then_lines() -> None:
    part = "\n".join(f"line_{n} = call({n})" for n in range(8))
    chunks = _split(f"```\n{part}\n\n{part}\n\n{part}\n```", 40, 180, 200)
    assert [chunk.text.rstrip("`\n").endswith("call(7)") for chunk in chunks] == [True] * 3
    long = "```\n" + "\n".join(f"row_{n} = {n}" for n in range(100)) + "\n```"
    for chunk in _split(long):
        assert all(line.startswith(("row_", "```")) for line in chunk.text.splitlines())


def test_lists_and_tables_are_cut_at_their_lines() -> None:
    rows = "\n".join(f"- item {n}. It has a sentence. And one more." for n in range(20))
    assert all(chunk.text.startswith("- item") for chunk in _split(rows))


def test_indentation_of_the_first_line_stays() -> None:
    code = "    indented = code\n    more = lines"
    chunks = _split(f"{_sentences(4)}\n\n{code}\n\n{_sentences(1)}", 10, 60, 200)
    assert any(chunk.text.startswith("    indented") for chunk in chunks)


def test_a_short_tail_joins_its_neighbour_or_shares_with_it() -> None:
    text = f"{_sentences(4)}\n\n{_sentences(2)}\n\nTail."
    assert all(len(chunk.text) >= 80 for chunk in _split(text))
    text = f"{_sentences(6)}\n\nA tail that does not fit."
    assert all(len(chunk.text) >= 80 for chunk in _split(text))


def test_text_without_any_place_to_cut_is_cut_between_characters() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    for unit in ("x", "e\u0301", family, "\U0001f1eb\U0001f1f7", "\U0001f44d\U0001f3fd"):
        chunks = _split(unit * 300)
        assert all(len(chunk.text) % len(unit) == 0 for chunk in chunks)


def test_hostile_shapes_take_linear_time() -> None:
    for unit in ("# a\n", "```\n", "- \n", ". ", "\n \n", "a\n===\n", "....", "~~~x\n"):
        _split(unit * 20_000)


@pytest.mark.parametrize(
    ("sentence", "ends"),
    [
        ("चक्की नदी के किनारे खड़ी है और किसान जो लाते हैं उसे पीसती है। ", "।"),
        ("किसी को याद नहीं कि इसे किसने बनाया॥ ", "॥"),
        ("چکی دریا کے کنارے کھڑی ہے اور کسان جو لاتے ہیں اسے پیستی ہے۔ ", "۔"),  # noqa: RUF001
        ("تقف الطاحونة بجانب النهر وتطحن كل ما يجلبه المزارعون؟ ", "؟"),
        ("រោងម៉ាស៊ីននៅក្បែរទន្លេ។ ", "។"),
        ("စက်သည် မြစ်နားတွင် ရှိသည်။ ", "။"),
        ("กังหันน้ำตั้งอยู่ริมแม่น้ำและบดธัญพืชที่ชาวนานำมา ", "มา"),
    ],
)
def test_sentences_of_other_scripts_are_not_cut(sentence: str, ends: str) -> None:
    chunks = _split((sentence * 40).strip())
    assert len(chunks) > 3
    assert all(chunk.text.endswith(ends) for chunk in chunks)
    sizes = [len(chunk.text) for chunk in chunks]
    assert max(sizes) < 3 * min(sizes)

from __future__ import annotations

import pytest

from pairmill.chunking.clean import clean, clean_body
from pairmill.chunking.document_filters import Dropped
from pairmill.records import Document

PROSE = "The mill stands by the river and grinds whatever the farmers bring to it each autumn. " * 6


def _clean(text: str, **fields: str) -> Document | Dropped:
    return clean(Document("1", text, "a.txt", **fields))  # type: ignore[arg-type]


def _reason(text: str) -> str:
    result = _clean(text)
    assert isinstance(result, Dropped)
    return result.reason


def test_punctuation_code_and_structure_stay() -> None:
    text = (
        "# Title\n\n- a, b; c: d?\n\n| x | y |\n|---|---|\n\n```py\nif x:\n    y = {'a': 1}\n"
        "\n\n\n\nShare\n```\n\n" + PROSE.strip()
    )
    assert clean_body(text)[0] == text


def test_line_ends_trailing_spaces_and_blank_runs() -> None:
    assert clean_body("\r\n\r\na  \r\nb\rc\t\n\n\n\n\n\nd\n\n")[0] == "a\nb\nc\n\n\nd"


def test_hidden_characters_go_and_text_is_composed() -> None:
    text = "e\u0301t\u00ad\u200b\u202ee\x00\x07 \x1b[31mred\x1b[0m \U000e0041\ud800 a\u00a0b"
    assert clean_body(text)[0] == "éte red  a b"


def test_joiners_stay_where_they_spell() -> None:
    persian, family = "\u0645\u06cc\u200c\u062e\u0648\u0627", "\U0001f468\u200d\U0001f469"
    assert (
        clean_body(f"{persian} {family} plain\u200dtext a\u200c")[0]
        == f"{persian} {family} plaintext a"
    )


def test_boilerplate_lines_go_only_whole_and_outside_code() -> None:
    text = (
        "Subscribe\n**Sign in**\n[Share](https://x.y/z)\n* [Copy link](https://x.y)\n\nFacebook\n"
        "Share the bread.\nEmail\n    Share\n© 2024 The Author\n- Share\n```\nShare\n```"
    )
    kept = "Share the bread.\nEmail\n    Share\n- Share\n```\nShare\n```"
    assert clean_body(text)[0] == kept


def test_companions_go_only_after_boilerplate() -> None:
    assert clean_body("Copy link\n\nFacebook\n\nEmail\n\nText")[0] == "Text"
    assert clean_body("Text\n\nFacebook\n\nEmail")[0] == "Text\n\nFacebook\n\nEmail"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no text"),
        (" \n\u200b\n\t ", "no text"),
        ("word " * 39, "too short"),
        ("404 Not Found\n\n" + PROSE, "error page"),
        ("Please enable JavaScript to view this site.\n" + PROSE, "error page"),
        ("We use cookies to improve things.\n" + PROSE, "error page"),
        ("".join(f"- [Some page number {n}](https://a.b/{n})\n" for n in range(60)), "link list"),
    ],
)
def test_documents_with_nothing_to_work_on(text: str, reason: str) -> None:
    assert _reason(text) == reason


def test_a_long_article_about_cookies_or_with_a_reference_list_stays() -> None:
    cookies = "We use cookies, people say. " + PROSE * 4
    references = PROSE * 4 + "\n\n" + "".join(f"- https://a.b/{n}\n" for n in range(40))
    assert isinstance(_clean(cookies), Document)
    assert isinstance(_clean(references), Document)


def test_cjk_text_without_spaces_counts_as_words() -> None:
    assert isinstance(_clean("水车立在河边每年秋天碾磨农夫们带来的谷物。" * 4), Document)


def test_fields_become_one_printable_line() -> None:
    result = _clean(PROSE, title="A\x1b]0;x\x07\nB\u202e", author=" \x00 ", url="https://a/\x01b")
    assert isinstance(result, Document)
    assert (result.title, result.author, result.url) == ("A B", None, "https://a/b")
    assert result.id == "1"


def test_long_runs_take_linear_time() -> None:
    for run in (" ", "`", "[", "\x1b", "\u200d", "\n", "- ", "[a]("):
        clean_body(run * 300_000 + "x")


def test_embedded_files_go_and_words_around_them_stay() -> None:
    data = "QUJD" * 500
    text = f"{PROSE}\n\n![a](data:image/png;base64,{data}) and then.\n\n{data}\n\nThe end of it."
    tidied = clean_body(text)
    assert tidied.text == f"{PROSE.strip()}\n\n and then.\n\n\n\nThe end of it.".replace(
        "\n\n\n\n", "\n\n\n"
    )
    assert tidied.since == 2


def test_code_keeps_the_ends_of_its_lines() -> None:
    text = f"```\na  \n\tb \t\n\n\n\nc\n```\n\n{PROSE.strip()}"
    assert clean_body(text) == (text, 0, 2)


@pytest.mark.parametrize(
    "text", [PROSE, f"# T\n\n```py\nx\n```\n\n{PROSE}", f"a\n~~~\nb\n~~~\n{PROSE}"[2:]]
)
def test_a_text_that_was_read_alike_before_says_so(text: str) -> None:
    assert clean_body(text).since == 1

from __future__ import annotations

import base64
import random

import pytest

from pairmill.chunking.document_filters import FILTERS, FilterInput, judge

PROSE = "The mill stands by the river, and grinds whatever the farmers bring to it. "


def _reason(text: str, reading: int = 3, link_chars: int = 0) -> str:
    dropped = judge(FilterInput(text, link_chars, 40), reading)
    return dropped.reason if dropped else ""


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("no text", " \n"),
        ("too short", "Ten words are not enough to be an article, are they?"),
        ("error page", "404 Not Found\n\n" + PROSE * 4),
        ("error page", "Error 503: Service Temporarily Unavailable\n\n" + PROSE * 4),
        ("error page", "Seite nicht gefunden\n\n" + PROSE * 4),
        ("error page", "Access denied. " + PROSE * 4),
        ("error page", "Just a moment...\n\n" + PROSE * 4),
        ("error page", "This domain is for sale. " + PROSE * 4),
        ("error page", "Please enable JavaScript. " + PROSE * 4),
        ("gibberish", (PROSE + "\ufffd\ufffd ") * 20),
        ("gibberish", " ".join(str(n * 7919) for n in range(400)) + PROSE * 3),
        ("gibberish", PROSE * 3 + "xkcd qwrt zxcvb mnbv lkjh " * 60),
        ("repetition", "buy now and here " * 2000),
    ],
)
def test_a_gate_holds_with_its_reason(reason: str, text: str) -> None:
    assert _reason(text) == reason


@pytest.mark.parametrize(
    "text",
    [
        "404 people came to the opening of the mill. " + PROSE * 6,
        "410 sacks were ground. " + PROSE * 6,
        "Forbiddenly beautiful is the mill. " + PROSE * 6,
        "Index of the sacks. " + PROSE * 6,
        PROSE * 200,
        "\n".join(f"| {n} | {n * n} | {n**3} | mill {n} |" for n in range(300)),
        "水车立在河边磨着农夫带来的谷物。" * 60,
        "Мельница стоит над рекой и мелет всё, что привозят крестьяне. " * 20,
        "Prst skrz krk: " + "vlk zmrzl, zhltl hrst zrn. " * 8 + PROSE * 6,
    ],
)
def test_what_could_be_an_article_passes(text: str) -> None:
    assert _reason(text) == ""


def test_code_is_no_gibberish() -> None:
    data = base64.b16encode(random.Random(1).randbytes(2000)).decode()
    code = "\n".join(data[at : at + 64] for at in range(0, len(data), 64))
    assert _reason(f"{PROSE * 6}\n\n```\n{code}\n```\n") == ""


def test_an_earlier_version_of_reading_has_the_gates_that_it_had() -> None:
    assert _reason("buy now and here " * 2000, reading=2) == ""
    assert _reason("404 people came. " + PROSE * 6, reading=2) == "error page"
    assert len({it.reason for it in FILTERS}) == 6

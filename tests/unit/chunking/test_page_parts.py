from __future__ import annotations

from collections import Counter

import pytest

from pairmill.chunking.clean import clean_body
from pairmill.chunking.page_parts import without_running_heads

BODY = "The mill stands by the river, and grinds whatever the farmers bring to it.\n\n" * 12


def _removed(text: str) -> tuple[str, dict[str, int]]:
    removed: Counter[str] = Counter()
    return clean_body(text, removed=removed).text, dict(removed)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("cookie notices", "We use cookies to improve your experience. Accept or manage settings."),
        ("cookie notices", "Diese Website verwendet Cookies; Sie können sie akzeptieren."),
        ("newsletter notices", "Subscribe to our weekly newsletter for more stories like this"),
        ("newsletter notices", "Join 40,000+ readers who get it every week"),
        ("newsletter notices", "Thanks for reading The Mill! Subscribe for free to get new posts."),
        ("newsletter notices", "Get the best of it delivered straight to your inbox."),
        ("paywall notices", "This post is for paid subscribers"),
        ("paywall notices", "Subscribe now to continue reading"),
        ("paywall notices", "Already a member? Sign in"),
        ("share boxes", "Share this article"),
        ("share boxes", "- [Share on Facebook](https://facebook.com/share?u=x)"),
        ("share boxes", "Click to share on WhatsApp (Opens in new window)"),
        ("share boxes", "Facebook | Twitter | LinkedIn"),
        ("share boxes", "Follow us on Mastodon for more"),
        ("reading times", "7 min read"),
    ],
)
def test_a_notice_goes_and_is_counted(kind: str, line: str) -> None:
    text, removed = _removed(f"{BODY}{line}\n\n{BODY}{line}")
    if kind == "cookie notices":  # only where a page has its frame
        assert text.count(line) == 1
    else:
        assert line not in text
    assert removed[kind] >= len(line)
    code = f"{BODY}```\n{line}\n```\n\n    {line}"
    assert _removed(code) == (code, {})


@pytest.mark.parametrize(
    "line",
    [
        "We use cookies to keep a session in this handler, and send them with each reply.",
        "Share your findings with the other millers before the wheel is turned again.",
        "This article is for millers who have never seen a water wheel from the inside.",
        "By clicking the button, you start the wheel.",
        "Enter your name and the weight of the sack.",
        "Print the list of sacks.",
        "Follow us along the river to the next mill, where the wheel is older.",
        "The newsletter of the guild was printed in the mill.",
        "Subscribers of the guild's paper read of it the week after.",
    ],
)
def test_what_an_author_says_of_the_same_things_stays(line: str) -> None:
    text = f"{BODY}{line}\n\n{BODY}".rstrip()
    assert _removed(text) == (text, {})


def test_related_links_go_whatever_follows_stays() -> None:
    related = "## You may also like\n\n- [The old mill](/a)\n- Ten wheels of the north\n\n"
    text, removed = _removed(f"{BODY}{related}## The end\n\n{BODY}")
    assert "You may" not in text
    assert "wheels" not in text
    assert "## The end" in text
    assert removed["related links"] > 60
    own = f"{BODY}## Recommended\n\n- Oil the axle.\n- Mend the race in autumn.\n\n{BODY}"
    assert _removed(own)[1] == {}


def test_contents_go_where_they_name_what_follows() -> None:
    body = f"# Mills\n\n{{}}## Wheels\n\n{BODY}## Stones\n\n{BODY}"
    for contents in (
        "## Contents\n\n- [Wheels](#wheels)\n- [Stones](#stones)\n\n",
        "**Contents**\n\n1. Wheels\n2. Stones\n\n",
        "Preface ......... 1\nWheels ......... 3\nStones ......... 17\nIndex .......... 40\n\n",
        "".join(f"- [Part {n}](#part-{n})\n" for n in range(5)) + "\n",
    ):
        text, removed = _removed(body.format(contents))
        assert set(removed) == {"tables of contents"}
        assert text == clean_body(body.format("")).text
    other = body.format("## Contents\n\n- Two sacks of rye\n- One of barley\n\n")
    assert _removed(other)[1] == {}


def test_reference_lists_go_and_code_among_them_keeps_them() -> None:
    items = (
        "1. Smith, J. Mills of the north. 1987, pp. 3-19.\n"
        "2. https://mill.example/wheels\n"
        "3. Doe et al. On stones. Retrieved 2020.\n"
    )
    text, removed = _removed(f"{BODY}## References\n\n{items}\n## Thanks\n\n{BODY}")
    assert "Smith" not in text
    assert "## Thanks" in text
    assert removed["references"] > 100
    kept = f"{BODY}## References\n\n{items}\n```\nx = 1\n```\n\n{BODY}"
    assert _removed(kept)[1] == {}
    prose = f"{BODY}## References\n\nA reference is a pointer.\n\nIt has a lifetime.\n\nIt ends."
    assert _removed(prose)[1] == {}


def test_running_heads_feet_and_page_numbers_go() -> None:
    pages = [
        f"ANNUAL REPORT 2024\n\n{BODY}Sack {n} was ground on day {n} of it.\n\n   Page {n} of 12\n"
        for n in range(1, 13)
    ]
    text, removed = _removed("\f".join(pages))
    assert "ANNUAL REPORT" not in text
    assert "Page" not in text
    assert text.count("was ground on day") == 12
    assert removed["running heads"] > 12 * len("ANNUAL REPORT 2024")
    few = "\f".join(pages[:3])
    assert without_running_heads(few) == (few, 0)


def test_an_earlier_version_of_reading_keeps_them() -> None:
    text = f"{BODY}Share this article"
    assert clean_body(text, 2).text == text
    assert clean_body(text, 3).text == BODY.rstrip()

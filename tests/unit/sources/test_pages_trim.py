# ruff: noqa: E501, ISC004, RUF001 (pages as they are written)
"""What a page puts around and between its text goes; what only looks like it stays."""

from __future__ import annotations

import json

import pytest

from pairmill.sources.pages.article import extract_text

SENTENCE = "The mill stands by the river and grinds whatever the farmers bring to it. "
PROSE = f"<p>{SENTENCE * 4}</p>" * 3
MENU = "<nav><ul>" + "<li><a href='/x'>One of the sections</a></li>" * 12 + "</ul></nav>"


def _text(body: str) -> str:
    return extract_text(f"<html><body>{MENU}{body}</body></html>").text


def _added(html: str, *, above: bool = False) -> str:
    """Return what an article says beside its prose, with something above or below that."""
    parts = [html, PROSE] if above else [PROSE, html]
    text = _text(f"<div class=content><h1>Mills</h1>{''.join(parts)}</div>")
    assert text.count(SENTENCE.strip()) == 12
    return text.replace(SENTENCE.strip(), "").replace("# Mills", "").strip()


@pytest.mark.parametrize(
    "html",
    [
        "<p><em>Copyright 2023 Sun Ltd. All rights reserved. No part may be published.</em></p>",
        "<p>Get the news in your inbox. Subscribe to Mills.com’s newsletters.</p>",
        "<p>Have a tip? Ann Bee may be reached at <a href=x>ann@example.org</a>.</p>"
        "<p>Follow us on Twitter and on Facebook.</p>",
        "<p>Dieser Eintrag wurde am 2. Mai 2019 unter Mühlen veröffentlicht.</p>",
        "<p>Tags: mills, rivers</p>",
        "<div class=wp-block-newsletter><p>Every month, all about mills, for those who grind.</p></div>",
        "<p>Advertisement</p><p>Article continues below this line</p><div>Image 2 of 5</div>",
        "<div><p>Media playback is unsupported on your device</p></div>",
        "<span class='newsCaption'>A wheel <span class=caption>(Image: GETTY )</span></span><p></p>",
    ],
)
def test_lines_that_pages_add_go(html: str) -> None:
    assert _added(html) == ""


def test_dates_above_and_below_the_text_go() -> None:
    dates = (
        "<div><span>PUBLISHED: </span><span>10:48, Tue, Nov 19, 2019</span> | UPDATED: 11:05</div>"
    )
    assert _added(dates, above=True) == _added(dates) == ""


def test_sentences_on_newsletters_and_dates_stay_within_the_text() -> None:
    said = "<p>Published in 1851, it was the newsletter that all of them had to subscribe to.</p>"
    assert "Published in 1851" in _text(f"<div><h1>Mills</h1>{PROSE}{said}{PROSE}</div>")


def test_boxes_that_tease_other_pages_go_unless_the_page_is_made_of_them() -> None:
    box = (
        "<div class='teaserpadding'><h2><a href='/wheel'>What you must know of wheels</a></h2>"
        "<p>The wheel turns, and whoever has one knows how it is.</p></div>"
    )
    assert _added(box) == ""
    assert _text(f"<div>{box * 3}</div>").count("What you must know of wheels") == 3


@pytest.mark.parametrize(
    "lead",
    [
        "<div class=articleContent-lead><h2>{}</h2></div>",
        "<section><div class=texto-bajada><p>{}</p></div></section>",
        "<div><p class=large>{}</p></div>",
    ],
)
def test_a_lead_that_stands_outside_of_the_text_is_kept(lead: str) -> None:
    said = "For three hundred years it has ground corn, and now it is to be a museum."
    text = _text(f"<main>{lead.format(said)}<div class=ugc>{PROSE * 2}</div></main>")
    assert said in text
    assert text.index(said) < text.index(SENTENCE.strip())


def test_what_a_picture_shows_is_no_lead() -> None:
    shown = (
        "<div class='image top'><img src=x><p>The wheel of the mill, in a photo of 1912.</p></div>"
    )
    assert "photo of 1912" not in _text(
        f"<main><h1>M</h1>{shown}<div class=ugc>{PROSE}</div></main>"
    )


def test_a_page_in_a_window_over_another_is_read() -> None:
    window = f"<div class=app-modal><article><h1>Mills</h1>{PROSE}</article></div>"
    assert SENTENCE in _text(f"<div class=index>{'<p>' + 'Some other page. ' * 60}</div>{window}")


def test_the_last_heading_stays_where_loose_text_follows_it() -> None:
    assert _added("<h2>Wheels</h2><br>They turn.") == "## Wheels\n\nThey turn."


def test_terms_that_are_links_stay_with_what_explains_them() -> None:
    row = "<div class=item-row><div class=left><a href=x>{}</a></div><div class=right><p>{}</p></div></div>"
    rows = row.format("Duration", "A span of time, typically for timeouts.") + row.format(
        "Instant", "A measurement of a clock that never goes back."
    )
    added = _added(f"<div class=item-table>{rows}</div>")
    assert added.split("\n\n")[::2] == ["Duration", "Instant"]


def test_a_link_that_is_code_is_text() -> None:
    assert "`continue`" in _added("<h3>Keywords</h3><p><a href=x><tt>continue</tt></a></p>")


def test_posts_that_a_text_quotes_stay() -> None:
    post = "<blockquote><p>Yes this is real, and yes they paid for it.</p>— Ann (@ann)</blockquote>"
    assert "Yes this is real" in _text(
        f"<div><h1>M</h1>{PROSE}<div class='social-media-embed'>{post}</div>{PROSE}</div>"
    )


def test_a_box_beside_the_text_keeps_its_code() -> None:
    box = "<aside class=sidebar><p>Hello World!</p><pre>import x\n\nx.run()\n</pre></aside>"
    assert "import x\n\nx.run()\n" in _text(f"<div><h1>M</h1>{box}{PROSE}</div>")


def test_the_link_to_the_rest_of_an_excerpt_goes() -> None:
    post = f"<article><h3>Mills</h3>May 1, 2019 - <p>{SENTENCE * 3}</p><a href=/m>Continue reading »</a></article>"
    assert "Continue" not in _text(f"<main>{post * 3}</main>")


def test_the_text_that_linked_data_holds_is_read_where_the_page_has_no_other() -> None:
    data = json.dumps({"@type": "NewsArticle", "articleBody": SENTENCE * 5})
    script = f"<script type='application/ld+json'>{data}</script>"
    assert _text(f"<div id=app>Loading</div>{script}") == (SENTENCE * 5).strip()
    assert _text(f"<div id=app><h1>M</h1>{PROSE}</div>{script}").count(SENTENCE.strip()) == 12

# ruff: noqa: E501, ISC004, RUF001 (pages as they are written)
from __future__ import annotations

import pytest

from pairmill.sources.pages.article import extract, extract_text
from pairmill.sources.pages.metadata import plausible_author

PROSE = "The mill stands by the river and grinds whatever the farmers bring to it. " * 3


def _text(body: str, head: str = "") -> str:
    page = f"<!doctype html><html><head>{head}</head><body><article><p>{PROSE}</p>{body}"
    text = extract_text(f"{page}</article></body></html>").text
    assert text.startswith(PROSE.strip())
    return text.removeprefix(PROSE.strip()).strip("\n")


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        (
            '<pre><code class="language-python">def f():\n\n    return 1  \n\n\n\tx = "`a`"\n</code></pre>',
            '```python\ndef f():\n\n    return 1  \n\n\n\tx = "`a`"\n```',
        ),
        ("<pre>\na\n b</pre>", "```\na\n b\n```"),
        ("<pre>a<br>  b<br/><br>c</pre>", "```\na\n  b\n\nc\n```"),
        ("<pre>``` in code\n```</pre>", "````\n``` in code\n```\n````"),
        (
            '<div class="highlight-c notranslate"><div class="highlight"><pre><span></span>'
            '<span class="linenos">1</span><span class="kt">int</span> a;\n'
            '<span class="linenos">2</span>\n<span class="linenos">3</span>b;\n</pre></div></div>',
            "```c\nint a;\n\nb;\n```",
        ),
        (
            '<figure class="highlight ruby"><table><tr><td class="gutter"><pre>'
            '<span class="line">1</span><br><span class="line">2</span></pre></td><td class="code">'
            '<pre><span class="line">def g</span><br><span class="line">  1</span></pre></td></tr>'
            "</table></figure>",
            "```ruby\ndef g\n  1\n```",
        ),
        (
            '<pre><code><table class="rouge-table"><tbody><tr><td class="rouge-gutter gl"><pre '
            'class="lineno">1\n2\n</pre></td><td class="rouge-code"><pre>a = 1\n  b\n</pre></td>'
            "</tr></tbody></table></code></pre>",
            "```\na = 1\n  b\n```",
        ),
        (
            '<table class="highlight"><tr><td class="blob-num" data-line-number="1"></td><td class='
            '"blob-code">if x:</td></tr><tr><td class="blob-num" data-line-number="2"></td><td '
            'class="blob-code">    y()</td></tr></table>',
            "```\nif x:\n    y()\n```",
        ),
        (
            "<ol><li>Install:<pre>pip install x\npip y</pre></li><li>Run it.</li></ol>",
            "1. Install:\n\n```\npip install x\npip y\n```\n\n2. Run it.",
        ),
        (
            "<ul><li>a<ul><li>b<ol><li>c</li></ol></li></ul></li><li><p>d</p></li></ul>",
            "- a\n  - b\n    1. c\n- d",
        ),
        (
            "<table><tr><th>day</th><th>hours</th></tr><tr><td>Mon</td><td><ul><li>8-12</li>"
            "<li>13-17</li></ul></td></tr><tr><td>Tue</td><td>a<br>b | c</td></tr></table>",
            "| day | hours |\n| --- | --- |\n| Mon | 8-12; 13-17 |\n| Tue | a; b \\| c |",
        ),
        (
            "<table><tr><th rowspan=2>a</th><th>b</th></tr><tr><td>c</td></tr></table>",
            "| a | b |\n| --- | --- |\n|  | c |",
        ),
        ("<table><tr><td><p>One.</p><h2>Two</h2></td></tr></table>", "One.\n\n## Two"),
        (
            "<dl><dt>str.<b>join</b>(it)</dt><dd>Joins.<pre>a\nb</pre></dd><dt>x</dt><dt>y</dt>"
            "<dd>Both.</dd></dl>",
            "str.**join**(it)\n: Joins.\n\n```\na\nb\n```\n\nx\ny\n: Both.",
        ),
        ("<blockquote><p>One.</p><p>Two.</p></blockquote>", "> One.\n>\n> Two."),
        (
            "<figure><img src=a.png><figcaption>Figure 1: The mill.</figcaption></figure>",
            "Figure 1: The mill.",
        ),
        (
            '<p>A.<sup id="r"><a href="#fn1">1</a></sup></p><ol><li id="fn1">The note. '
            '<a href="#r">↩</a></li></ol>',
            "A.[^1]\n\n[^1]: The note.",
        ),
        (
            "<p>x<sup>2</sup> and 10<sup>-3</sup>, the 1<sup>st</sup>, H<sub>2</sub>O, e<sup>ix</sup>"
            '<sup class="reference"><a href="#cite_note-3">[3]</a></sup></p>',
            "x² and 10⁻³, the 1st, H2O, e^(ix)",
        ),
        (
            "<p>use <code>max_line_bytes</code>, <code><em>a</em>.b</code>, and so on; "
            "<code>a`b</code> snake_case 2 * 3 [1]</p>",
            "use `max_line_bytes`, `a.b`, and so on; `` a`b `` snake_case 2 * 3 [1]",
        ),
        (
            "<h2><a href=/x>Linked</a> heading<a class=headerlink href=#x>¶</a></h2>",
            "## Linked heading",
        ),
        ("one line<br>\n another<br><br>a paragraph", "one line\nanother\n\na paragraph"),
        ("<p>un<b>believ</b>able <b> bold </b>text</p>", "unbelievable **bold** text"),
        (
            '<p><math><semantics><mi>x</mi><annotation encoding="application/x-tex">x^2'
            "</annotation></semantics></math> holds</p>",
            "$x^2$ holds",
        ),
    ],
)
def test_what_an_author_wrote_stays_as_markdown(html: str, markdown: str) -> None:
    assert _text(html) == markdown


def test_what_stands_around_an_article_is_left_out() -> None:
    page = f"""<html><body><div class="topNav"><a href=/>Home</a></div>
    <nav><h2><a href=/n>Most popular</a></h2></nav>
    <div id="wrap" class="with-sidebar"><div class="post-content"><h1>Title</h1><p>{PROSE}</p>
    <div class="shareButtons">Share this</div><section id="login"><h2>Login</h2><p>{PROSE} log</p>
    <pre>a\nb</pre></section><h3>Related articles</h3><ul><li><a href=/r>Another one</a></li></ul>
    <p>Read more: <a href=/q>Something else entirely</a></p></div></div>
    <div class="comments"><p>{PROSE} first!</p></div><footer>Imprint</footer></body></html>"""
    text = extract_text(page).text
    assert text == f"# Title\n\n{PROSE.strip()}\n\n## Login\n\n{PROSE}log\n\n```\na\nb\n```"


def test_a_page_of_nothing_but_comments_is_a_forum() -> None:
    posts = "".join(f'<div class="comment"><p>{n}: {PROSE}</p></div>' for n in range(5))
    text = extract_text(f"<html><body><div class='comments'>{posts}</div></body></html>").text
    assert text.count("The mill stands") == 15


def test_hidden_parts_forms_and_scripts_are_no_text() -> None:
    noise = (
        "<script>alert(1)</script><style>p{}</style><p style='display: none'>hidden</p>"
        "<p hidden>hidden</p><button>Copy</button><select><option>hidden</option></select>"
        "<template><p>hidden</p></template><!-- hidden -->"
    )
    assert _text(noise) == ""


@pytest.mark.parametrize(
    ("label", "codec", "word"),
    [
        ("gb2312", "gb18030", "镕基总理说"),
        ("iso-8859-1", "cp1252", "“quoted” – café"),
        ("windows-1251", "cp1251", "Мельница"),
        ("Shift_JIS", "cp932", "水車小屋①"),
        ("utf-8", "cp1252", "café “ole”"),
    ],
)
def test_a_page_is_read_in_the_encoding_that_its_label_means(
    label: str, codec: str, word: str
) -> None:
    page = f'<html><head><meta charset="{label}"></head><body><p>{word}, {PROSE}</p></body></html>'
    (article,) = extract(page.encode(codec))
    assert article.text.startswith(word)
    assert article.replaced == 0


def test_titles_lose_their_site_and_authors_must_be_names() -> None:
    head = (
        "<title>The mill | Mill News</title><meta property='og:title' content='The mill | Mill News'>"
        "<meta property='og:site_name' content='Mill News'>"
        '<script type="application/ld+json">{"@graph": [{"@type": "NewsArticle", "author": '
        '[{"name": "By Ada Lovelace"}, {"name": "Mary"}]}]}</script>'
    )
    article = extract_text(f"<html lang=en_GB><head>{head}</head><body><p>{PROSE}</body></html>")
    assert (article.title, article.author, article.language) == (
        "The mill",
        "Ada Lovelace, Mary",
        "en-GB",
    )
    for wrong in (
        "Authority control databases",
        "https://x.y/z",
        "admin",
        "Mill News",
        "3 days ago 12",
    ):
        assert plausible_author(wrong, "Mill News") is None


@pytest.mark.parametrize("tag", ["div", "span", "ul><li", "table><tr><td", "blockquote"])
def test_deeply_nested_pages_keep_their_text(tag: str) -> None:
    opening = f"<{tag}>"
    article = extract_text(f"<html><body>{opening * 20_000}<p>{PROSE}</p></body></html>")
    assert "The mill stands" in article.text or not article.text


def _page(body: str) -> str:
    menu = "".join(f'<li><a href="/{n}">Section number {n}</a></li>' for n in range(9))
    page = f"<html><head><title>T</title></head><body><nav><ul>{menu}</ul></nav>{body}"
    return extract_text(f"{page}<footer>About us, imprint and contact</footer></body></html>").text


TEASER = (
    '<li><div><h3><a href="/other{0}">Quite another thing happened {0} times</a></h3>'
    "<p>{1}</p></div></li>"
)
LONG = "".join(f"<p>{number}. {PROSE}</p>" for number in range(3))


def test_a_stream_of_teasers_is_no_text_even_where_it_is_longer_than_the_article() -> None:
    stream = "".join(TEASER.format(number, PROSE) for number in range(9))
    text = _page(f"<div class='x'><div class='y'>{LONG}</div><ul class='z'>{stream}</ul></div>")
    assert text.count(PROSE.strip()) == 3
    assert "another thing" not in text


def test_a_page_of_nothing_but_teasers_keeps_them() -> None:
    stream = "".join(TEASER.format(number, PROSE) for number in range(9))
    assert _page(f"<div><ul>{stream}</ul></div>").count("another thing") == 9


def test_items_that_open_with_a_link_of_their_line_are_a_list_of_the_text() -> None:
    items = "".join(f'<li><a href="/p{n}">Package-{n}</a> {PROSE}</li>' for n in range(9))
    text = _page(f"<div>{LONG}<ul>{items}</ul></div>")
    assert text.count("- Package-") == 9


@pytest.mark.parametrize(
    ("body", "kept", "dropped"),
    [
        (f"<article><p class='date'>{{}}</p>{LONG}</article>", "grinds", "12 May 2021, 10:48"),
        (f"<article>{LONG}<div>{{}}</div></article>", "grinds", "Print this"),
        (f"<article>{LONG}<h2>{{}}</h2></article>", "grinds", "More on this subject"),
        (
            f"<article>{LONG}<h2>{{}}</h2><p><a href='/x'>It is so</a></p></article>",
            "grinds",
            "Keep reading",
        ),
        (
            f"<article><figure><img src='a.png'><figcaption>{{}}</figcaption></figure>{LONG}</article>",
            "grinds",
            "The mill as it was seen from the other bank of the river",
        ),
        (
            f"<article><div class='wp-caption-text'>{{}}</div>{LONG}</article>",
            "grinds",
            "The mill as it was seen from the other bank of the river",
        ),
        (
            f"<article>{LONG}<p><strong><a href='/x'>{{}}</a></strong></p>{LONG}</article>",
            "grinds",
            "THE MAYOR OPENS A BRIDGE THAT NOBODY HAD ASKED FOR IN ALL THESE YEARS",
        ),
    ],
)
def test_labels_captions_and_teasers_around_the_text_go(body: str, kept: str, dropped: str) -> None:
    text = _page(body.format(dropped))
    assert kept in text
    assert dropped not in text


@pytest.mark.parametrize(
    "body",
    [
        f"<article>{LONG}<ul><li><p>KEPT</p></li></ul></article>",
        f"<article>{LONG}<h2>Return value</h2><p>KEPT</p></article>",
        f"<article>{LONG}<p>KEPT ends like a sentence.</p></article>",
        f"<article>{LONG}<table><tr><th>a</th><th>b</th></tr><tr><td><p>c</p></td><td><p>KEPT</p></td></tr></table></article>",
        f"<article><p>Figure 1. KEPT</p>{LONG}</article>",
        f"<article>{LONG}<figure><figcaption>KEPT, a mill seen from the south</figcaption></figure>{LONG}</article>",
        f"<article>{LONG}<p><a href='/x'>KEPT is described at great length in the manual of the mill.</a></p>{LONG}</article>",
        f"<article>{LONG}<p><code>KEPT</code></p></article>",
        f"<article>{LONG}<p>These are the parts of which a mill consists:</p><div><ul><li><a href='/a'>KEPT</a></li><li><a href='/b'>Wheels</a></li></ul></div>{LONG}</article>",
        f"<article>{LONG}<div><p>KEPT</p><p>Price: 7</p><p>Open: 9 to 5</p><p>On foot</p><p>By boat</p><p>By train</p></div></article>",
        f"<main><section class='text part'>{LONG}</section><div>{PROSE}</div><section class='text part'><p>KEPT {PROSE}</p></section></main>",
        f"<div><h1>T</h1><h2>KEPT is what this article about a mill beside a river says in one sentence</h2></div><div class='article-body'>{LONG}</div>",
        f"<div class='article-body'><p>KEPT and {PROSE}</p><div>{LONG * 6}</div></div>",
        f"<div class='content read-more'>{LONG}<p>KEPT too.</p></div>",
        f"<div class='sidebar-layout'><div class='x'>{LONG * 2}<p>KEPT too.</p></div></div><div class='more'>{PROSE}</div>",
    ],
)
def test_what_looks_like_a_label_but_is_text_stays(body: str) -> None:
    assert "KEPT" in _page(body)


def test_a_lead_that_is_marked_as_a_heading_is_a_paragraph() -> None:
    lead = "What this article about a mill beside a river says in one single sentence"
    text = _page(f"<div><h1>T</h1><h2>{lead}</h2></div><div class='article-body'>{LONG}</div>")
    assert text.startswith(f"{lead}\n\n0. The mill")


def test_text_that_is_marked_in_parts_is_read_as_a_whole() -> None:
    part = f"<section class='article-text'>{LONG}</section>"
    text = _page(f"<div><div>{part}</div><div class='ad'>Buy!</div><div>{part}</div></div>")
    assert text.count(PROSE.strip()) == 6


def test_a_fragment_is_an_article_as_it_is() -> None:
    page = f"<!doctype html><html><body><article>{LONG}<p>The miller</p></article></body></html>"
    assert extract_text(page).text.endswith("The miller")


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        (
            '<table class="highlighttable"><tr><td class="linenos"><div class="linenodiv"><pre>1\n2'
            '</pre></div></td><td class="code"><div><pre id="c"><code>def f():\n    return 1\n</code>'
            "</pre></div></td></tr></table>",
            "```\ndef f():\n    return 1\n```",
        ),
        (
            '<div class="language-ts"><span class="lang">ts</span><pre><code>a\nb</code></pre></div>',
            "```ts\na\nb\n```",
        ),
        (
            '<div class="tabs"><input type="radio"><label>npm</label><label>pnpm</label></div>'
            "<p>Use either of them.</p>",
            "Use either of them.",
        ),
        ("<p>ts</p><p>More of it.</p>", "ts\n\nMore of it."),
    ],
)
def test_labels_of_code_and_tabs_are_no_text(html: str, markdown: str) -> None:
    assert _text(html) == markdown


def test_a_menu_in_a_layout_of_nested_tables_is_left_out() -> None:
    menu = (
        "<table><tr><td><a href=/a>Home</a></td></tr><tr><td><a href=/b>News</a></td></tr></table>"
    )
    data = "<table border=1><tr><th>Year</th><th>Grain</th></tr><tr><td>1901</td><td>30 t</td></tr></table>"
    text = extract_text(
        f"<html><body><table><tr><td>{menu}</td><td><table><tr><td><b>Old</b><br><br>{PROSE}<br><br>"
        f"{PROSE}{data}</td></tr></table></td></tr></table></body></html>"
    ).text
    assert "Home" not in text
    assert text.count(PROSE.strip()) == 2
    assert text.endswith("| Year | Grain |\n| --- | --- |\n| 1901 | 30 t |")


_LISTING = ["def f(x):", "", "    if x:", "        return 1"]


@pytest.mark.parametrize(
    "html",
    [
        '<div class="fragment">{}</div>'.format(
            "".join(
                f'<div class="line"><span class="lineno">{n:5}</span>&#160;{line.replace(" ", "&#160;")}</div>'
                for n, line in enumerate(_LISTING)
            )
        ),
        '<div class="syntaxhighlighter"><table><tr><td class="gutter"><div>1</div><div>2</div></td>'
        '<td class="code"><div class="container">{}</div></td></tr></table></div>'.format(
            "".join(
                f'<div class="line"><code>{"&nbsp;" * (len(line) - len(line.lstrip()))}</code>'
                f'<code class="plain">{line.lstrip() or "&nbsp;"}</code></div>'
                for line in _LISTING
            )
        ),
        '<table class="js-file-line-container">{}</table>'.format(
            "".join(
                f'<tr><td class="blob-num" data-line-number="{n}"></td>'
                f'<td class="blob-code js-file-line">{line}\n</td></tr>'
                for n, line in enumerate(_LISTING)
            )
        ),
        '<table class="crayon-table"><tr><td class="crayon-nums"><div>1</div><div>2</div></td>'
        '<td class="crayon-code"><div class="crayon-pre">{}</div></td></tr></table>'.format(
            "".join(
                f'<div class="crayon-line">{line.replace(" ", "&nbsp;") or "&nbsp;"}</div>'
                for line in _LISTING
            )
        ),
    ],
    ids=["Doxygen", "SyntaxHighlighter", "gist", "Crayon"],
)
def test_code_whose_lines_are_elements_keeps_them(html: str) -> None:
    fence, *lines, end = _text(html).split("\n")
    assert lines == _LISTING
    assert fence.startswith("```")
    assert end == "```"

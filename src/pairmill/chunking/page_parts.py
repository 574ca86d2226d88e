"""Non-article parts of pages and papers: notices, related links, references, contents, heads.

Text added by newsletter, blog and consent software is removed only as whole lines, exactly as that
software writes them: a sentence that contains such a word is kept.

Each other part is recognised by its heading and by its contents; one sign alone is never enough for
more than a line. Fenced and indented code is never examined.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["find_parts", "is_boilerplate", "without_running_heads"]


def _phrases(text: str) -> frozenset[str]:
    return frozenset(" ".join(phrase.split()) for phrase in text.split("|"))


_PHRASES = _phrases(
    """subscribe | subscribe now | subscribe for free | subscribesign in | sign in | sign up
    | log in | login | share | share this post | copy link | start writing
    | start writingget the app
    | get the app | get app | open in app | ready for more? | leave a comment | no posts | restacks
    | already have an account? sign in | discover more | continue reading | thanks for reading!
    | subscribe to our newsletter | skip to content | skip to main content | back to top
    | accept cookies | accept all cookies | reject all | cookie settings | cookie policy
    | member-only story | give a gift | give a gift subscription | upgrade to paid | no thanks
    | see all | share on facebook | share on twitter | share on linkedin | share on x
    | privacy ∙ terms ∙ collection notice | substack is the home for great culture
    | start your substack | listen to this article | listen to this post | type your email...
    | follow us | advertisement | previous post | next post | previousnext | unblock scripts
    | discussion about this post | #### discussion about this post
    | this site requires javascript to run correctly. please turn on javascript or"""
)
# Words of share boxes and footers that articles use too: only right after another such line.
_COMPANIONS = _phrases(
    """facebook | twitter | linkedin | email | note | notes | other | more | top | latest | new
    | comments | discussions | previous | next | write | follow | listen | · | —"""
)
_MAX_CHARS = 80
_LINK_ALONE = re.compile(r"(?:[-*+] )?\[([^\[\]]*)\]\([^()\s]*\)")
_FOOTER = re.compile(r"(?:©|\(c\)|copyright) ?©? ?\d{4}\b[^.!?]{0,60}")


def is_boilerplate(line: str, after_boilerplate: bool) -> bool:
    """Return whether a line outside fenced code is not part of the article.

    ``after_boilerplate``: the last line that was not blank was boilerplate itself.
    """
    if line.startswith(("    ", "\t")):  # indented code
        return False
    if "]" in line and "](" in line:  # a search for one character is faster than for two
        link = _LINK_ALONE.fullmatch(line.strip())
        return link is not None and link[1].strip().casefold() in _PHRASES
    if len(line) > _MAX_CHARS:
        return False
    bare = line.strip(" *_").casefold()
    if bare in _PHRASES or (after_boilerplate and bare in _COMPANIONS):
        return True
    return bare.startswith(("©", "(c)", "copyright")) and bool(_FOOTER.fullmatch(bare))


def _names(text: str) -> frozenset[str]:
    return frozenset(" ".join(name.split()) for name in text.split("|"))


_RELATED = _names(
    """related articles | related posts | related stories | related content | related news
    | related links | related reading | you may also like | you might also like | you may like
    | read next | up next | recommended for you | recommended reading | recommended articles
    | recommended stories | recommended | popular posts | popular articles | most read
    | most popular | trending | trending now | latest posts | latest news | latest articles
    | more stories | more articles | more news | recent posts | recent articles | similar posts
    | similar articles | keep reading | more like this | more from this author | more on this story
    | ähnliche artikel | ähnliche beiträge | das könnte sie auch interessieren
    | das könnte dich auch interessieren | das könnte euch auch interessieren | mehr zum thema
    | weitere artikel | weitere beiträge | verwandte artikel | verwandte beiträge | lesen sie auch
    | articles similaires | articles liés | à lire aussi | lire aussi | sur le même sujet
    | vous aimerez aussi | artículos relacionados | noticias relacionadas | te puede interesar
    | también te puede interesar | entradas relacionadas | articoli correlati
    | potrebbe interessarti | leggi anche | artigos relacionados | leia também | veja também
    | lees ook | gerelateerde artikelen | relaterade artiklar | läs också | 関連記事 | 相关文章
    | 相關文章 | 推荐阅读 | 延伸閱讀 | похожие статьи | читайте также"""
)
_REFERENCES = _names(
    """references | bibliography | works cited | literature cited | citations | reference list
    | references and notes | notes and references | references and further reading
    | literatur | literaturverzeichnis | quellenverzeichnis | einzelnachweise
    | références | bibliographie | notes et références | referencias | bibliografía
    | referências | bibliografia | riferimenti | referenties | referenser | 参考文献 | 參考文獻
    | 参考资料 | 參考資料 | литература | список литературы"""
)
_CONTENTS = _names(
    """contents | table of contents | toc | in this article | in this post | on this page
    | on this article | article contents | page contents | what's in this article
    | inhalt | inhaltsverzeichnis | in diesem artikel | auf dieser seite | sommaire
    | table des matières | dans cet article | índice | contenido | tabla de contenidos
    | en este artículo | sumário | neste artigo | indice | inhoud | innehåll | spis treści
    | 目录 | 目錄 | 目次 | содержание | оглавление"""
)
_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_BOLD = re.compile(r"\s*(?:\*\*|__)([^*_]{2,80})(?:\*\*|__):?\s*")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|\[\d{1,3}\])\s+\S")
_MARKER = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|\[\d{1,3}\])\s+")
_LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\([^()\s]*(?: \"[^\"]*\")?\)")
_ANCHOR = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+\[[^\[\]]*\]\([^()\s]*#[^()\s]*\)\s*")
_LEADERS = re.compile(r"\s*\S.{2,100}?(?:(?:\s?\.){5,}|(?:\s?…){2,})\s*\d{1,4}\s*")
_CITED = re.compile(
    r"\b(?:19|20)\d\d[a-z]?\b|https?://|\bdoi\b|\barxiv\b|\bet al\b|\bpp?\.\s?\d|\bISBN\b"
    r"|\bretrieved\b|\baccessed\b|\babgerufen\b|\bvol\.|\beds?\.",
    re.IGNORECASE,
)
_LEAST_ITEMS = 2
_LEAST_REFERENCES = 3
_LEAST_ENTRIES = 4
_LONGEST_TITLE = 160
_MOST = 0.7  # minimum share of a list's lines that must match


class _Notice(NamedTuple):
    kind: str
    pattern: re.Pattern[str]
    at_edge: bool = False  # counts only near the top or the end, or together with `_CONSENT`


def _notice(kind: str, *patterns: str, at_edge: bool = False) -> _Notice:
    return _Notice(kind, re.compile("|".join(patterns), re.IGNORECASE), at_edge)


_NETWORKS = (
    r"(?:facebook|twitter|x|linkedin|reddit|whatsapp|pinterest|telegram|tumblr|instagram|mastodon"
    r"|bluesky|threads|e-?mail|pocket|hacker ?news|xing|vk|line|flipboard|youtube|medium|tiktok"
    r"|copy link|print)"
)
_NOTICES = (
    _notice(
        "cookie notices",
        r"(?:this|our) (?:web)?site (?:and partners )?uses? cookies\b.*",
        r"we (?:and our partners )?use (?:necessary )?cookies (?:and|to|on|for)\b.*",
        r"by (?:continuing|clicking|using|browsing)\b.{0,120}\bcookies?\b.*",
        r"(?:diese|unsere) (?:web)?(?:seite|site) (?:verwendet|nutzt|benutzt)"
        r" cookies\b.*|wir (?:verwenden|nutzen|setzen) cookies\b.*",
        r"(?:ce site|notre site) (?:web )?utilise des cookies\b.*|nous utilisons des cookies\b.*",
        r"(?:este sitio|esta web)(?: web)? (?:utiliza|usa) cookies\b.*"
        r"|(?:utilizamos|usamos) cookies\b.*",
        r"(?:questo sito|il nostro sito) (?:web )?(?:utilizza|usa) (?:i )?cookies?\b.*",
        at_edge=True,
    ),
    _notice(
        "newsletter notices",
        r"(?:subscribe|sign up|join) (?:now )?(?:to|for) (?:our|my|the)\b.{0,80}"
        r"\b(?:newsletters?|mailing list|updates)\b.{0,60}",
        r"(?:enter|type) your e-?mail(?: address)?\b.{0,100}",
        r"join (?:over |more than )?[\d.,]+\s?k?\+? (?:other |happy )?"
        r"(?:subscribers|readers|others)\b.{0,80}",
        r"get .{0,80}\b(?:delivered|straight|direct(?:ly)?|right) (?:in)?to your inbox\b.{0,60}",
        r"thanks for reading\b.{0,80}\bsubscribe (?:for free|to)\b.{0,120}",
        r".{0,80}\bis a reader-supported publication\b.{0,200}",
        r"(?:abonnieren? (?:sie )?(?:unseren|den|meinen)|jetzt zum) newsletter\b.{0,60}",
        r"(?:inscrivez|abonnez)-vous à (?:notre|la) newsletter\b.{0,60}",
        r"suscríbete a (?:nuestro|nuestra|la) (?:newsletter|boletín)\b.{0,60}",
    ),
    _notice(
        "paywall notices",
        r"this (?:post|article|content|story) is (?:only )?(?:for|available to)"
        r" (?:paid |paying |premium )?(?:subscribers|members)\b.{0,60}",
        r"already (?:a|an) (?:paid )?(?:subscriber|member)\?.{0,60}",
        r"(?:already )?have an account\? (?:sign|log) in\b.{0,20}",
        r"(?:please )?(?:subscribe|sign in|log in|register|create an account)(?: now| today)? to"
        r" (?:continue|keep) reading\b.{0,80}",
        r"to continue reading,? (?:please )?(?:subscribe|sign in|log in|register)\b.{0,80}",
        r"you(?:['\u2019]| ha)?ve (?:reached your|\d+) .{0,30}\b(?:free )?articles?\b.{0,80}",
    ),
    _notice(
        "share boxes",
        r"(?:click to )?(?:share|e-?mail|print|tweet)(?: (?:this|it))?"
        r"(?: (?:article|post|story|page|entry|link))?"
        rf" (?:on|via|with|by|to) {_NETWORKS}(?: \(opens in new window\))?.{{0,20}}|share:",
        r"share this(?: (?:article|post|story|page))?:?",
        r"(?:like this:|like loading\.{0,3})",
        rf"follow (?:us|me) on {_NETWORKS}\b.{{0,60}}",
        rf"(?:{_NETWORKS}[ ,|/·•]+){{2,}}{_NETWORKS}",
        r"(?:diesen )?(?:artikel|beitrag) teilen:?|(?:auf|bei|per) \w+ teilen",
        r"partager (?:sur \w+|cet article|l'article):?|compartir (?:en \w+|este artículo):?",
    ),
    _notice("reading times", r"\d{1,3}[ -]?min(?:ute)?s?\.? read(?: ?[·•|] ?.{0,40})?"),
)
_HINT = re.compile(
    r"cookie|newsletter|subscri|mailing list|e-?mail|inbox|read|member|account|share|print|tweet"
    r"|like|follow|facebook|twitter|linkedin|loading|teilen|partager|compartir|article|boletín|join",
    re.IGNORECASE,
)
_HINTS = (
    "cookie", "newsletter", "subscri", "your e", "inbox", "min read", "minute read", "share",
    "follow", "facebook", "twitter", "loading", "teilen", "partager", "compartir", "like this",
    "keep reading", "continue reading", "articles", "account?", "boletín", "mailing", "readers",
    "member?", "others", "print", "e-mail", "email",
)  # fmt: skip
_CONSENT = re.compile(
    r"\b(?:accept|agree|consent|preferences|settings|policy|analytics|personali[sz]e|experience"
    r"|partners|akzeptieren|zustimm\w+|datenschutz\w*|accepter|aceptar)\b",
    re.IGNORECASE,
)
_LONGEST_NOTICE = 400
_EDGE_LINES = 8
_MARKS = " \t*_>|·•-"
# First letters of all patterns above, except two names, a number, and the pattern that begins with
# anything; `tests/property/test_short_ways.py` checks it.
_STARTS = """
    thi tha our we_ by_ die uns wir ce_ not nou est uti usa que il_ sub sus sig sha joi ent typ
    get abo jet ins alr art auf bei per par com hav ple log reg cre to_ you cli ema e-m pri twe lik
    fol fac lin red wha pin tel tum mas blu thr poc hac fli med tik cop twi
"""
_OPENINGS = frozenset(start.replace("_", " ") for start in _STARTS.split())
# characters that patterns match as s, k and i
_LIKE_ASCII = re.compile("[\u017f\u212a\u0130\u0131]")
_SUPPORTED = re.compile("reader-supported", re.IGNORECASE)


def find_parts(lines: Sequence[str], code: Collection[int]) -> dict[int, str]:
    """Return the numbers of the lines that pages add, with the kind of each.

    Args:
        lines: Lines of a text.
        code: Numbers of those in fenced code.
    """
    plain: list[int] = []
    notices: list[int] = []  # places in it where such a line may be
    lists: list[int] = []
    for at, line in enumerate(lines):
        if at in code or not line or (line[0] in " \t" and line.startswith(("    ", "\t"))):
            continue
        bare = line.strip()
        if not bare:
            continue
        has_link = "#" in line and "](" in line
        if bare[0] in "#*_" or has_link or bare[-1].isdigit():
            lists.append(len(plain))
        if len(line) <= _LONGEST_NOTICE and _may_be_notice(line):
            notices.append(len(plain))
        plain.append(at)
    found: dict[int, str] = {}
    if notices:
        _find_notices(lines, plain, notices, found)
        if found and not _may_hold_notices(lines):
            found.clear()
    if lists:
        _find_lists(lines, plain, lists, found)
    return found


def _may_hold_notices(lines: Sequence[str]) -> bool:
    lower = "\n".join(lines).lower()
    return any(hint in lower for hint in _HINTS)


def _find_notices(
    lines: Sequence[str], plain: list[int], places: list[int], found: dict[int, str]
) -> None:
    for place in places:
        line = lines[plain[place]]
        bare = _LINK.sub(r"\1", line) if "](" in line else line
        bare = bare.strip(_MARKS)
        if "#" in bare:
            bare = _ATX.sub(r"\2", bare).strip(_MARKS)
        if not bare:
            continue
        at_edge = min(place, len(plain) - 1 - place) < _EDGE_LINES
        for kind, pattern, only_at_edge in _NOTICES:
            if not pattern.fullmatch(bare):
                continue
            if only_at_edge and not (at_edge and _CONSENT.search(bare)):
                continue
            if _HINT.search(line):
                found[plain[place]] = kind
            break


def _may_be_notice(line: str) -> bool:
    """Return whether a line begins like a notice; much faster than the full search."""
    if "#" in line or "](" in line:  # text at the beginning may be removed
        return True
    start = line.lstrip(_MARKS)[:3].lower()
    if start in _OPENINGS or start[:2] == "vk" or start[:1] == "x" or start[:1].isdigit():
        return True
    if not start.isascii() and _LIKE_ASCII.search(start):
        return True
    return "-" in line and _SUPPORTED.search(line) is not None


def _find_lists(
    lines: Sequence[str], plain: list[int], places: list[int], found: dict[int, str]
) -> None:
    after = 0
    for place in places:
        if place < after or plain[place] in found:
            continue
        kind, after = _list_at(lines, plain, place)
        for at in plain[place:after]:
            found[at] = kind


def _list_at(lines: Sequence[str], plain: list[int], place: int) -> tuple[str, int]:
    """Return the kind and the end of the part that begins at a place; empty if none does."""
    line = lines[plain[place]]
    label = _label(line)
    if label in _REFERENCES:
        end = _section_end(lines, plain, place)
        if _are_references(lines, plain, place, end):
            return "references", end
    elif label in _RELATED or label in _CONTENTS:
        end = _items_end(lines, plain, place + 1)
        items = plain[place + 1 : end]
        if len(items) >= _LEAST_ITEMS:
            if label in _RELATED and _are_titles(lines, items):
                return "related links", end
            if label in _CONTENTS and _are_contents(lines, items, _titles(lines, plain)):
                return "tables of contents", end
    elif _is_entry(line):
        end = place
        while end < len(plain) and _is_entry(lines[plain[end]]):
            end += 1
        if end - place >= _LEAST_ENTRIES:
            return "tables of contents", end
    return "", place


def _titles(lines: Sequence[str], plain: list[int]) -> set[str]:
    """Return the headings of a text, folded."""
    return {_folded(title[2]) for at in plain if (title := _ATX.match(lines[at]))}


def _is_entry(line: str) -> bool:
    """Return whether a line can only belong to a table of contents: a local link, or leaders."""
    return bool(_ANCHOR.fullmatch(line) or _LEADERS.fullmatch(line))


def _label(line: str) -> str:
    """Return the text of a heading or a bold line, folded; empty if it is neither."""
    if line.lstrip()[:1] not in "#*_":
        return ""
    heading = _ATX.match(line)
    bold = None if heading else _BOLD.fullmatch(line)
    if heading:
        text = heading[2].rstrip("# \t")
    elif bold:
        text = bold[1]
    else:
        return ""
    return " ".join(_LINK.sub(r"\1", text).strip(" *_:").casefold().split())


def _items_end(lines: Sequence[str], plain: list[int], place: int) -> int:
    """Return the end of a list that begins at a place."""
    while place < len(plain) and (
        _ITEM.match(lines[plain[place]]) or _LINK.fullmatch(lines[plain[place]].strip())
    ):
        place += 1
    return place


def _are_titles(lines: Sequence[str], numbers: list[int]) -> bool:
    """Return whether all items are links, or could be titles: short, and not sentences."""
    for at in numbers:
        item = _MARKER.sub("", lines[at], count=1).strip()
        if not (_LINK.sub("", item).strip(" |·-\u2013\u2014") == "" or _is_title(item)):
            return False
    return True


def _is_title(item: str) -> bool:
    return len(item) <= _LONGEST_TITLE and not item.endswith((".", ":", ";", ","))


def _folded(title: str) -> str:
    bare = _LINK.sub(r"\1", title)
    return " ".join(re.sub(r"^\s*(?:\d+[.)]?)+\s+|[*_`#:]", "", bare).casefold().split())


def _are_contents(lines: Sequence[str], numbers: list[int], titles: set[str]) -> bool:
    """Return whether a list refers to places in its own text: by links, leaders or headings."""
    hits = 0
    for at in numbers:
        item = _MARKER.sub("", lines[at], count=1).strip()
        hits += bool(_LINK.fullmatch(item) or _LEADERS.fullmatch(item) or _folded(item) in titles)
    return hits >= _MOST * len(numbers)


def _section_end(lines: Sequence[str], plain: list[int], place: int) -> int:
    heading = _ATX.match(lines[plain[place]])
    level = len(heading[1]) if heading else 6
    place += 1
    while place < len(plain):
        other = _ATX.match(lines[plain[place]])
        if other and len(other[1]) <= level:
            break
        place += 1
    return place


def _are_references(lines: Sequence[str], plain: list[int], place: int, end: int) -> bool:
    """Return whether a section holds only references, without code between them."""
    rows = plain[place + 1 : end]
    filled = sum(bool(lines[at].strip()) for at in range(plain[place], plain[end - 1] + 1))
    if len(rows) < _LEAST_REFERENCES or filled != len(rows) + 1:
        return False
    return sum(bool(_CITED.search(lines[at])) for at in rows) >= _MOST * len(rows)


_PAGE_NUMBER = re.compile(
    r"[\s\-–—|]*(?:page|seite|página|p\.)?\s*\d{1,4}(?:\s*(?:/|of|von|de|sur)\s*\d{1,4})?[\s\-–—|]*",  # noqa: RUF001
    re.IGNORECASE,
)
_OUTER_NUMBER = re.compile(r"^\d+\b|\b\d+$")
_LEAST_PAGES = 4
_EDGE_OF_PAGE = 3
_LONGEST_HEAD = 120
# minimum share of pages with a line for it to be a head: odd and even pages differ
_PAGES_WITH = 0.4


def without_running_heads(text: str) -> tuple[str, int]:
    r"""Remove heads, feet and page numbers from a text with form feeds between its pages.

    Returns:
        The text, with its pages joined by line ends, and the number of removed characters.
    """
    pages = [page.split("\n") for page in text.split("\f")]
    full = [page for page in pages if any(line.strip() for line in page)]
    if len(full) < _LEAST_PAGES:
        return text, 0
    counts: Counter[str] = Counter()
    for page in full:
        counts.update({_head(page[at]) for at in _edges(page)} - {""})
    least = max(_LEAST_PAGES - 1, _PAGES_WITH * len(full))
    gone = 0
    for page in full:
        edges = _edges(page)
        for row in (edges, edges[::-1]):
            for at in row:
                if page[at] and not (
                    counts[_head(page[at])] >= least or _PAGE_NUMBER.fullmatch(page[at])
                ):
                    break
                gone += len(page[at])
                page[at] = ""
    return ("\n".join("\n".join(page) for page in pages), gone) if gone else (text, 0)


def _edges(page: list[str]) -> list[int]:
    """Return the first and last non-blank lines of a page, in order."""
    filled = [at for at, line in enumerate(page) if line.strip()]
    return sorted({*filled[:_EDGE_OF_PAGE], *filled[-_EDGE_OF_PAGE:]})


def _head(line: str) -> str:
    """Normalize a line that may be a running head, without its page; empty if it is too long."""
    bare = " ".join(line.split())
    return _OUTER_NUMBER.sub("0", bare) if len(bare) <= _LONGEST_HEAD else ""

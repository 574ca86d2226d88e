"""Names of page parts, and phrases that send readers elsewhere.

Data, and patterns made from it. Names are matched as whole words of a class, id or role, with camel
case split by hyphens; each line of a table is a separate pattern.
"""

from __future__ import annotations

import re

__all__ = [
    "ASIDE",
    "CAPTION",
    "CLOSING",
    "COMMENTS",
    "CONTENT",
    "CONTINUE",
    "CREDIT",
    "CREDIT_LINE",
    "DATED",
    "FURNITURE",
    "KEEP",
    "LEAD",
    "NUMBERED",
    "PICTURE_BOX",
    "READ_MORE",
    "RELATED",
    "ROLES",
    "SAID_LINK",
    "SAYS_OTHER",
    "SENTENCE_END",
    "STRONG",
    "TEASER",
    "TEASER_BOX",
    "TEXT_SECTION",
    "WEAK",
    "WIDE",
]


def _words(table: str) -> re.Pattern[str]:
    """Match one of the names, separated from others by spaces, hyphens and underscores."""
    return re.compile(rf"(?:^|[\s_-])(?:{'|'.join(table.split())})(?=$|[\s_-])")


def _anywhere(table: str) -> re.Pattern[str]:
    return re.compile("|".join(table.split()))


def _phrases(table: str) -> str:
    return "|".join(line.strip() for line in table.strip().split("\n"))


STRONG = _words(
    r"""
    nav(?:bar|igation|box|list|links?)? menu breadcrumbs? crumbs? sidebars? sidenav side-?bar
    toc tableofcontents footer foot-?links masthead site-?header topbar toolbar sns addthis a2a
    addtoany jp-relatedposts sharedaddy share-?(?:bar|box|buttons?|links?|tools?)
    social(?:-?\w+)? sharing related(?:-?\w+)? recommend(?:ed|ations?)? recirc(?:ulation)?
    more-?(?:stories|news|from|articles) most-?(?:read|popular|viewed) outbrain
    taboola zergnet adsense ad-?(?:container|wrapper|slot|unit|box) advert(?:isement|ising|s)?
    newsletter login cookies? cookie-?(?:banner|notice|consent|policy|warning) consent gdpr
    popup modal lightbox comments?(?:-?(?:list|area|section|forms?|wrapper|container))?
    commentlist disqus respond trackbacks? pingbacks? pag(?:er|ination|inator) post-?navigation
    prev-?next next-?prev skip(?:-?link|-?nav) author-?(?:box|bio|info|card|profile)
    about-?author bio-?box printfooter catlinks mw-jump navbox authority-control sistersitebox
    mw-panel mw-navigation reflist mw-references-wrap sphinxsidebar relbar prev-next-area
    edit-?(?:this-?)?page hidden-print noprint no-print print-?only screen-reader-text
    visually-?hidden off-?screen sr-only search-?(?:box|form|bar)
    language-?(?:switcher|selector|list) rodap[eé] stopka voettekst kopf(?:zeile|bereich|leiste)
    fu(?:ss|ß)(?:zeile|bereich|leiste|navigation)?
    pied-?(?:de-?)?page pie-?(?:de-?)?pagina menue
    navi seitenleiste werbung anzeigen? reklama
    publicidade? publicit[eé] kommentare?(?:bereich|liste|formular)?
    lang-switch copyright gallery-?(?:nav|thumbs) slideshow-?nav
    """
)
"""Class names of elements that are never part of an article."""

READ_MORE = _words("read-?more readmore")
"""Names of a button, or of the rest of the text that it shows."""

WEAK = _words(
    r"""
    share follow(?:-us)? trending popular promo(?:tion|s|box)? ads? sponsor(?:ed|s)? dfp banner
    subscribe subscription-\w+ sign-?up signup replies vote-?cell vote-?count post-?signature
    rating ratings vote voting widget byline
    tags tagcloud tag-?list post-?tags cat-links entry-?(?:meta|footer|utility)
    post-?(?:meta|info|footer|tags|author|date|header-meta) article-?(?:meta|footer|tags|info)
    metadata dateline meta hatnote feedback helpful search disclaimer legal credits?
    photo-?credit image-?credit caption-?credit vcard avatar timestamp published posted-on
    publish-?date gallery slideshow carousel photo-?viewer media-?viewer
    continue-?reading back-?to-?top rss donate app-?store jobs? teaser-?list
    """
)
"""Class names of elements that are mostly not part of an article."""

COMMENTS = re.compile(r"comment|kommentar|disqus|respond|discussion")

ROLES = _words(
    """navigation banner contentinfo search complementary dialog alertdialog menu menubar toolbar
    tablist"""
)

CONTENT = _anywhere(
    r"""
    article[-_]?(?:body|content|text|copy|story)
    (?:post|entry|blog|page|story|main|node|single|td-post)[-_]?(?:content|body|text|entry)
    storybody body-?(?:copy|text|content) richtext rich-text wysiwyg markdown-body
    mw-parser-output
    (?:^|\s)(?:document|rst-content|td-main|theme-doc-markdown|sl-markdown-content|docs?-content|content-body|prose)(?:$|\s)
    """
)
"""Names of the element that holds the article."""

KEEP = _anywhere(
    r"""
    article-?(?:body|content) (?:post|entry)-?(?:content|body) main-?content mw-parser-output
    page-?content story-?(?:body|content) highlight admonition callout
    aside-(?:note|tip|caution|warning) starlight-aside code live-?(?:blog|ticker|match)
    """
)
"""Class names of elements that are kept whatever their other names."""

ASIDE = _anywhere(
    r"""
    note tip warning caution danger info important admonition callout alert topic footnote pull
    margin sidenote
    """
)
"""Names of asides that belong to the text: notes, warnings, footnotes."""

LEAD = _words(
    r"""
    lead(?:er|in|-?(?:text|paragraph))? intro(?:duction|-?text)? dek deck stand-?first subtitle
    sub-?headline subhead chapo-?\w* chapeau bajada entradilla sumario sommario summary excerpt
    abstract vorspann anleser einleitung ingress manchet perex zajawka sapo lede
    description-?lead synopsis
    """
)
"""Names of the sentences that open a text and stand outside of it."""

TEASER_BOX = _words("[a-z]*teasers?(?:-?(?:box|item|list|text|padding|wrapper|container|link))?")
"""Names of a box that shows the beginning of another article, if it links to it."""

PICTURE_BOX = _words(
    "(?:top|lead|main|article|news|post)?-?(?:image|img|photo|foto|picture|bild)s?(?:-?(?:top|box|wrap(?:per)?|container|left|right|holder))?"
)
"""Class names of figures: a picture with its caption."""

TEXT_SECTION = re.compile(r"(?:^|\s)(?:sect(?:ion|\d)|chapter|article|appendix|preface)(?:\s|$)")

SAYS_OTHER = re.compile(
    r"(?<!\S)(?!wp-block-(?:newsletter|navigation|latest|comments|rss|social|loginout|search|tag-cloud))"
    r"(?:(?:category|tag|has|no|with|js|is|post-tag|format|type|status|wp|page-template|u)-\S*"
    r"|elementor-(?:widget(?:-wrap|-container|-text-editor|-heading|-theme-post-\w+)?|element\S*)"
    r"(?!\S)"
    r"|\S*(?:with|has|no|and)-?(?:sidebar|ads?|nav|toc|comments?|author|banner|share)\S*)"
)
"""Classes that say what a page has, or which category it is in, not what the element is."""

SAID_LINK = re.compile(r"^\s*(?:https?:|www\.)|[.:]\s*$")
"""What a link reads like that is an address or a sentence of the text."""

SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f]['\")\]\u00bb\u201d\u2019]*\s*$")

WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff][^\n]{9}")
"""A line in a script whose characters are syllables or words: short, but no label."""

_RELATED = r"""
    related(?: (?:articles?|posts?|stories|content|topics?|news|reading|links|coverage))?
    read (?:more|next|also)
    (?:you )?(?:might|may) also (?:like|be interested in|enjoy)
    recommended(?: (?:for you|reading|articles|stories|posts))?
    more (?:from|on|in|stories|news|articles|posts)\b.{0,40}
    most (?:popular|read|viewed|recent)\b.{0,30}
    popular (?:posts|articles|stories|now)
    latest (?:news|posts|articles|stories)
    trending(?: now)?
    don'?t miss
    what to read next
    see also
    share this(?: (?:article|post|story|page))?
    share
    comments?(?: \(\d+\))?
    leave a (?:comment|reply).{0,30}
    \d+ comments?
    post navigation
    about the author
    tags
    filed under
    topics
    sponsored(?: content)?
    advertisement
    newsletter
    mehr (?:zum thema|artikel|aus|von)\b.{0,40}
    ähnliche (?:artikel|beiträge)
    verwandte (?:artikel|beiträge|themen)
    lesen sie auch.{0,30}
    das könnte (?:sie|dich|ihnen) .{0,30}
    weitere (?:artikel|beiträge|themen|meldungen|nachrichten)\b.{0,40}
    auch interessant
    kommentare?(?: \(\d+\))?
    schreibe einen kommentar.{0,20}
    artikel teilen
    teilen(?: mit)?
    meistgelesen.{0,20}
    schlagworte
    zum thema
    links zum (?:thema|artikel)
    à lire aussi.{0,30}
    lire aussi.{0,60}
    articles? (?:liés|similaires|connexes)
    sur le même sujet
    te puede interesar
    artículos relacionados
    noticias relacionadas
    (?:notas? |temas? |más )?relacionad[oa]s
    schon gelesen
    (?:weitere|mehr) (?:informationen|infos|links?|inhalte|neuigkeiten)(?: zum thema)?
    mehr (?:themen|news|nachrichten)
    (?:weiterführende|verwandte|ähnliche) (?:links?|informationen|inhalte|themen\w*)
    das könnte .{0,30}interessieren
    empfehlungen (?:aus|der|für) .{0,40}
    keep reading
    top (?:stories|news)
    more great .{0,30} stories
    more like this
    you may like
    you'll also like
    new and exciting .{0,40}
    related .{0,20}(?:articles|stories|posts|content)
    kommentierte artikel
    zobacz (?:także|też|również)
    czytaj (?:także|też|również|więcej)
    polecane
    lees (?:ook|meer)
    lue (?:myös|lisää)
    lea también.{0,60}
    leggi anche.{0,60}
    articoli correlati
    читайте также.{0,40}
    похожие (?:статьи|записи|материалы)
    по теме
    関連記事
    相关(?:文章|阅读|新闻)
"""
RELATED = re.compile(rf"\W*(?:{_phrases(_RELATED)})\W*:?\W*", re.IGNORECASE)
"""Headings of lists of other articles."""

_TEASER = r"""
    (?:read|see) (?:more|also|next)
    related
    also read
    more
    watch
    recommended
    don'?t miss
    mire
    mira
    lee(?:r)? también
    lea también
    le puede interesar
    lea(?: más)?:
    puedes? ver
    vea también
    seguir leyendo
    sigue leyendo
    >>
    lue (?:myös|lisää)
    dowiedz się więcej
    te puede interesar
    ver también
    leia também
    veja também
    saiba mais
    leggi anche
    à lire(?: aussi)?
    lire aussi
    voir aussi
    auch lesen
    lesen sie auch
    mehr dazu
    mehr zum thema
    schon gelesen
    lees ook
    läs (?:också|även)
    les også
    læs også
    czytaj (?:także|też|również)
    zobacz (?:także|też)
    читайте также
    читайте также
    ещё по теме
"""
TEASER = re.compile(rf"\W*(?:{_phrases(_TEASER)})\b", re.IGNORECASE)
"""How a paragraph begins that only sends its reader to another article."""

_FURNITURE = r"""
    (?:image|photo|picture|slide|bild|foto|imagen|figure) \d+ (?:of|von|de|sur|di|/) \d+
    media playback is (?:not supported|unsupported) on your device
    your browser does(?: not|n'?t) support .{0,80}
    (?:please )?(?:enable|activate|turn on) javascript.{0,80}
    (?:dieser|ihr) browser unterstützt .{0,80}
    advertis(?:ement|ing)s?
    anzeigen?
    werbung
    reklama
    publicidade?
    publicité
    pubblicità
    advertentie
    реклама
    スポンサーリンク
    广告
    (?:article|story|content|post) continues (?:below|after).{0,30}
    (?:scroll|swipe) (?:down )?(?:to|for) (?:continue|read|see|more).{0,40}
    zurück zur? (?:liste\w*|übersicht\w*|startseite|anfang)
    back to (?:top|the top|list|overview|news|home|blog)
    nach oben
    zum seitenanfang
    (?:bisher|noch) keine kommentare
    no comments(?: yet)?
    comments are closed
    be the first to comment
    (?:kommentare|die kommentarfunktion) (?:sind|ist) geschlossen
"""
FURNITURE = re.compile(rf"\W*(?:{_phrases(_FURNITURE)})\W*", re.IGNORECASE)
"""Lines of a page that are never part of a text: of players, galleries, advertisements."""

DATED = re.compile(
    r"\W*(?:first |originally |last )?(?:published|updated|posted|modified|edited|created"
    r"|veröffentlicht|aktualisiert|erstellt|stand|publié|mis à jour|publicado|actualizado|creado"
    r"|pubblicato|aggiornato|gepubliceerd|bijgewerkt|opublikowano|dodano|опубликовано|обновлено)\b"
    r"[^.!?]{0,30}\d[^!?]*",
    re.IGNORECASE,
)
"""A line that says when a page was published or changed."""

_CLOSING = r"""
    ^\W*(?:copyright|©)
    \ball rights reserved
    \balle rechte vorbehalten
    \btous droits réservés
    \btodos los derechos reservados
    \b(?:subscribe|sign up|join|get|melden sie sich)\b.{0,80}\bnewsletters?\b
    \b(?:abonnier|suscr[ií]b|inscri|iscriv)\w+\b.{0,80}\bnewsletters?\b
    \bsubscribe to (?:our|the)\b
    \bnewsletters?\b.{0,60}\b(?:subscribe|sign up|inbox|abonnieren|anmelden)\b
    \b(?:follow|like|find)\b[^.]{0,60}\bon (?:twitter|facebook|instagram|linkedin|telegram|x\b)
    \bfolge[nt]?\b[^.]{0,60}\bauf (?:twitter|facebook|instagram|linkedin|telegram|x\b)
    \b(?:sigue|síguenos|suivez)\b[^.]{0,60}\b(?:en|sur) (?:twitter|facebook|instagram|linkedin)
    \b(?:may|can) be (?:reached|contacted) at\b
    ^\W*(?:e-?mail|contact) [\w .]{2,40} at \S+@
    ^\W*(?:have|got) a (?:news )?tip\?
    ^\W*this (?:entry|post|article|story) was (?:posted|published|filed|written)\b
    ^\W*(?:posted|filed) (?:in|on|by|under)\b
    ^\W*dieser (?:eintrag|beitrag|artikel) (?:wurde|ist) .{0,80}(?:veröffentlicht|erstellt|abgelegt)
    ^\W*(?:erstellt|veröffentlicht|abgelegt) (?:am|von|in|unter)\b
    ^\W*(?:tags?|schlagw[oö]rter?|stichw[oö]rter?|kategorien?|categor(?:y|ies)|labels?) ?:
    ^\W*(?:etiquetas|mots-clés|keywords) ?:
    \b(?:log|sign) in to (?:comment|leave a comment)
    \bpara comentar\b
    ^\W*(?:\d+ )?bloggern? gefällt (?:das|dies)
    \bnot responsible for the (?:opinions|views|content)
"""
CLOSING = re.compile(_phrases(_CLOSING), re.IGNORECASE)
"""What the last lines of a page hold that are none of its text: rights, newsletters, addresses."""

CONTINUE = re.compile(
    r"\W*(?:continue reading|read (?:more|on|the (?:rest|full (?:article|post|story)))|more"
    r"|weiterlesen|mehr lesen|lire la suite|seguir leyendo|leer más|leia mais"
    r"|continua a leggere|lees verder|czytaj dalej|читать далее|続きを読む|阅读全文)\W*",
    re.IGNORECASE,
)
"""The link below an excerpt that leads to the rest of it."""

CAPTION = _words(
    r"""
    (?:photo|image|img|picture|pic|media|figure|gallery|news|lead|hero|featured|wp|article)?-?
    caption(?:-?text)? bild-?(?:unterschrift|text|legende) legende? img-?text pie-?(?:de-?)?foto
    """.replace("?-?\n    caption", "?-?caption")
)
"""Class names of captions."""

NUMBERED = re.compile(
    r"\W*(?:(?:fig(?:ure|\.)?|abb(?:ildung|\.)?|table|tab\.|listing|image|図|图)\s*\d"
    r"|[^\W\d_]{2,12}\.?\s*\d+(?:[.-]\d+)*[.:])",
    re.IGNORECASE,
)
"""How a caption begins that the text refers to."""

CREDIT = re.compile(
    r"©|\(c\) ?\d{4}|\b(?:getty images|shutterstock|istock|unsplash|pixabay|reuters|afp|ap photo"
    r"|epa|dpa|imago|picture.alliance|alamy)\b|\b(?:photo(?:graph)?|image|picture|foto|bild|crédits?"
    r"|credit|quelle|fuente|źródło|courtesy)(?: credit| by)?s? ?[:/]"
    r"|(?:photo|image)(?:graph)? (?:by|courtesy)|courtesy of",
    re.IGNORECASE,
)
"""What only a caption that names its photographer or agency holds."""

CREDIT_LINE = re.compile(
    r"\W*(?:(?:photo|image|picture|foto|bild|video|illustration)(?:graph|s)?"
    r"(?: credit| by| courtesy)?s? ?[:/]|photo(?:graph)? by |photos? via |crédits? photos? ?:"
    r"|credit ?: )",
    re.IGNORECASE,
)

"""Office documents, books and PDFs. Their parsers run in processes that may be killed."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pairmill.records import Document, digest
from pairmill.sources.notes import Article

if TYPE_CHECKING:
    from pairmill.sources.base import Documents, Opener

__all__ = [
    "docx",
    "epub",
    "odt",
    "pdf",
    "pptx",
    "read_docx",
    "read_epub",
    "read_odt",
    "read_pdf",
    "read_pptx",
]

_CODE_STYLES = "\n".join(
    f"p[style-name='{name}'] => pre:separator('\\n')"
    for name in ("Source Code", "Code", "HTML Preformatted", "Preformatted Text", "Plain Text")
)
_MOST_PART_BYTES = 2**26
_SPACES = re.compile(r"[ \t\n]+")
_HYPHEN = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])")
_PAGE_NUMBER = re.compile(
    r"\W*(?:page |seite |p\. ?)?\d{1,4}(?: ?(?:of|/|von) ?\d{1,4})?\W*", re.IGNORECASE
)
_DIGITS = re.compile(r"\d+")
_EDGE_LINES = 2  # of a page's head and foot that may run through the whole document
_RUNNING_PAGES = 3
_RUNNING_SHARE = 0.5


def docx(data: bytes) -> list[Article]:
    """Return a Word document's text: mammoth converts it to HTML, our page reader to Markdown."""
    import mammoth  # noqa: PLC0415 (an extra)

    from pairmill.sources.pages.article import extract_fragment  # noqa: PLC0415

    _check(zipfile.ZipFile(io.BytesIO(data)))
    page = mammoth.convert_to_html(
        io.BytesIO(data),
        style_map=_CODE_STYLES,
        convert_image=mammoth.images.img_element(lambda _: {"src": ""}),
    )
    return [_facts(data, extract_fragment(page.value))]


def pptx(data: bytes) -> list[Article]:
    """Return the text of the slides in order, each under its number."""
    archive = _check(zipfile.ZipFile(io.BytesIO(data)))
    names = [name for name in archive.namelist() if re.fullmatch(r"ppt/slides/slide\d+\.xml", name)]
    parts = []
    for name in sorted(names, key=lambda it: int(re.findall(r"\d+", it)[0])):
        tree = _xml(archive, name)
        lines = []
        for paragraph in tree.iter("{*}p"):
            line = "".join(run.text or "" for run in paragraph.iter("{*}t")).strip()
            if line:
                lines.append(line)
        if lines:
            title, *rest = lines
            parts.append("\n\n".join((f"## {title}", *rest)))
    return [_facts(data, "\n\n".join(parts))]


def odt(data: bytes) -> list[Article]:
    """Return the text of an OpenDocument file."""
    archive = _check(zipfile.ZipFile(io.BytesIO(data)))
    tree = _xml(archive, "content.xml")
    parts: list[str] = []
    for element in tree.iter("{*}h", "{*}p"):
        text = _SPACES.sub(" ", "".join(element.itertext())).strip()
        if not text:
            continue
        tag = element.tag.rpartition("}")[2]
        level = next((v for k, v in element.attrib.items() if k.endswith("outline-level")), "1")
        in_list = any(it.tag.endswith("}list-item") for it in element.iterancestors())
        if tag == "h":
            parts.append(f"{'#' * min(6, int(level) if level.isdigit() else 1)} {text}")
        else:
            parts.append(f"- {text}" if in_list else text)
    return [_facts(data, "\n\n".join(parts))]


def epub(data: bytes) -> list[Article]:
    """Return a book's chapters in the order of its spine, each an article."""
    from pairmill.sources.pages.article import extract_fragment  # noqa: PLC0415

    archive = _check(zipfile.ZipFile(io.BytesIO(data)))
    container = _xml(archive, "META-INF/container.xml")
    root = next(container.iter("{*}rootfile")).get("full-path")
    package = _xml(archive, root)
    base = posixpath.dirname(root)
    items = {item.get("id"): item.get("href") for item in package.iter("{*}item")}
    facts = {}
    for name in ("title", "creator", "language"):
        found = next(package.iter(f"{{*}}{name}"), None)
        facts[name] = (found.text or "").strip() or None if found is not None else None
    articles = []
    for number, place in enumerate(package.iter("{*}itemref"), 1):
        href = items.get(place.get("idref"))
        if not href:
            continue
        name = posixpath.normpath(posixpath.join(base, unquote(href)))
        try:
            page = _part(archive, name).decode("utf-8", "replace")
        except KeyError:
            articles.append(Article("", part=f"#{number}", reason="missing chapter"))
            continue
        text = extract_fragment(re.sub(r"^\s*<\?xml[^>]*\?>", "", page))
        if text.strip():
            articles.append(
                Article(
                    text, facts["title"], facts["creator"], None, facts["language"], 0, f"#{number}"
                )
            )
    return articles or [Article("", reason="no text")]


def pdf(data: bytes) -> list[Article]:
    """Return a PDF's text, without running heads and feet; lines of a paragraph are joined."""
    import pypdfium2  # noqa: PLC0415 (an extra)

    document = pypdfium2.PdfDocument(data)
    try:
        pages = []
        for page in document:
            text = page.get_textpage()
            pages.append(text.get_text_bounded().replace("\r\n", "\n").replace("\r", "\n"))
            text.close()
            page.close()
        known = document.get_metadata_dict()
    finally:
        document.close()
    text = "\n\n".join(filter(None, map(_joined, _without_running_lines(pages))))
    if not text.strip():
        return [Article("", reason="no text: scanned pages, perhaps")]
    return [Article(text, known.get("Title") or None, known.get("Author") or None)]


def _without_running_lines(pages: list[str]) -> list[list[str]]:
    """Remove lines at the edges of pages that most pages share."""
    lines = [[line.strip() for line in page.split("\n")] for page in pages]
    edges: Counter[str] = Counter()
    for page in lines:
        edges.update({_DIGITS.sub("0", page[at]) for at in _edges(page)})
    many = max(_RUNNING_PAGES, int(_RUNNING_SHARE * len(pages)))
    running = {line for line, count in edges.items() if count >= many}
    kept = []
    for page in lines:
        edge = {
            at
            for at in _edges(page)
            if _DIGITS.sub("0", page[at]) in running or _PAGE_NUMBER.fullmatch(page[at])
        }
        kept.append([line for at, line in enumerate(page) if at not in edge])
    return kept


def _edges(page: list[str]) -> set[int]:
    filled = [at for at, line in enumerate(page) if line]
    return {*filled[:_EDGE_LINES], *filled[-_EDGE_LINES:]}


def _joined(lines: list[str]) -> str:
    """Join lines that were broken by the page width; a short line ends a paragraph."""
    longest = max(map(len, lines), default=0)
    out: list[str] = []
    current: list[str] = []
    for line in lines:
        if line:
            current.append(line)
        if current and (not line or (len(line) < 0.75 * longest and line[-1] in ".!?:。")):
            out.append("\n".join(current))
            current = []
    if current:
        out.append("\n".join(current))
    return "\n\n".join(_HYPHEN.sub("", part).replace("\n", " ") for part in out)


def _check(archive: zipfile.ZipFile) -> zipfile.ZipFile:
    """Reject an archive that unpacks to more than any plausible document.

    Raises:
        ValueError: It does.
    """
    packed = sum(member.compress_size for member in archive.infolist())
    whole = sum(member.file_size for member in archive.infolist())
    if whole > 16 * _MOST_PART_BYTES or (whole > 2**25 and whole > 200 * max(1, packed)):
        raise ValueError("it grows beyond 200 times its size")
    return archive


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as member:
        data = member.read(_MOST_PART_BYTES + 1)
    if len(data) > _MOST_PART_BYTES:
        raise ValueError(f"{name} is too long")
    return data


def _xml(archive: zipfile.ZipFile, name: str) -> Any:
    from lxml import etree  # noqa: PLC0415 (an extra)

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(_part(archive, name), parser)


def _facts(data: bytes, text: str) -> Article:
    """Add title and author from an Office document's properties."""
    if not text.strip():
        return Article("", reason="no text")
    archive = zipfile.ZipFile(io.BytesIO(data))
    known: dict[str, str | None] = {}
    for name in ("docProps/core.xml", "meta.xml"):
        if name in archive.namelist():
            for element in _xml(archive, name).iter("{*}title", "{*}creator", "{*}language"):
                known.setdefault(
                    element.tag.rpartition("}")[2], (element.text or "").strip() or None
                )
    return Article(text, known.get("title"), known.get("creator"), None, known.get("language"))


def read_docx(opener: Opener) -> Documents:
    """Yield a Word document."""
    return _read(opener, "docx")


def read_pptx(opener: Opener) -> Documents:
    """Yield a presentation."""
    return _read(opener, "pptx")


def read_odt(opener: Opener) -> Documents:
    """Yield an OpenDocument text."""
    return _read(opener, "odt")


def read_epub(opener: Opener) -> Documents:
    """Yield the chapters of a book."""
    return _read(opener, "epub")


def read_pdf(opener: Opener) -> Documents:
    """Yield a PDF."""
    return _read(opener, "pdf")


def _read(opener: Opener, entry: str) -> Documents:
    label = opener.label

    def make(article: Article) -> Document:
        return Document(
            digest(article.text),
            article.text,
            f"{label}{article.part}",
            article.title,
            article.author,
            article.url,
            article.language,
        )

    yield from opener.extract_whole(f"{__name__}:{entry}", make)
